package coding

import (
	"slices"
	"sync"
)

// maxIdle is the number of codecs kept for reuse. More answers than there are
// processors are seldom compressed at one moment, even where many are under way.
const maxIdle = 16

// Stats are counts of a Coder.
type Stats struct {
	Running int    // answers being coded
	Idle    int    // encoders kept for further answers
	Refused uint64 // answers that went out as they were for want of a place, ever
}

// slots bounds the codecs that exist: running and idle ones are at most limit, and
// at most maxIdle of them idle.
type slots struct {
	limit int

	mu sync.Mutex
	// mu guards all below.
	running int
	idle    []idleCodec // the one that has been idle longest first
	refused uint64
}

type idleCodec struct {
	kind  kind
	codec codec
}

func newSlots(limit int) *slots { return &slots{limit: limit} }

// take occupies a place and returns an idle codec of that kind for it, or nil if a
// new one must be made. It reports whether there was a place.
func (s *slots) take(k kind) (codec, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.running >= s.limit {
		s.refused++
		return nil, false
	}
	s.running++
	for i := len(s.idle) - 1; i >= 0; i-- {
		if s.idle[i].kind == k {
			c := s.idle[i].codec
			s.idle = slices.Delete(s.idle, i, i+1)
			return c, true
		}
	}
	if s.running+len(s.idle) > s.limit {
		s.idle = slices.Delete(s.idle, 0, 1)
	}
	return nil, true
}

// give frees a place, and keeps its codec if there is one. If enough are kept, the
// one that has been idle longest goes: the kinds in demand stay.
func (s *slots) give(k kind, c codec) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.running--
	if c == nil {
		return
	}
	if len(s.idle) == maxIdle {
		s.idle = slices.Delete(s.idle, 0, 1)
	}
	s.idle = append(s.idle, idleCodec{kind: k, codec: c})
}

func (s *slots) stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	return Stats{Running: s.running, Idle: len(s.idle), Refused: s.refused}
}
