package daemon

import (
	"runtime/debug"

	"github.com/ergoproxy/ergo/shared/config"
)

// Memory says how much memory a daemon's Go runtime may use, and how much of it
// in order to collect garbage less often.
type Memory struct {
	// Soft limit of the memory of the Go runtime: near it, garbage is collected as often as
	// needed to stay below. Buffers of the kernel do not count. Default 0: none, or what
	// the environment says in GOMEMLIMIT.
	Limit config.Bytes `yaml:"limit"`
	// Garbage that may pile up before it is collected, besides as much as is in use. A
	// proxy has little in use and makes garbage fast; without this much room it would
	// collect hundreds of times a second. Default 24MiB. 0: as Go does.
	Headroom config.Bytes `yaml:"headroom"`
}

// Bounds of Memory.
const (
	minLimit    = 64 << 20
	maxHeadroom = 4 << 30
)

// SetDefaults sets the defaults.
func (m *Memory) SetDefaults() { m.Headroom = 24 << 20 }

// Validate reports what is wrong with m.
func (m *Memory) Validate(r *config.Report) {
	if m.Limit != 0 && m.Limit < minLimit {
		r.Errorf("limit", "%s is too little, want 0 or at least %s", m.Limit, config.Bytes(minLimit))
	}
	if m.Headroom > maxHeadroom {
		r.Errorf("headroom", "%s is too much, want at most %s", m.Headroom, config.Bytes(maxHeadroom))
	}
	if m.Limit != 0 && m.Headroom > m.Limit/2 {
		r.Errorf("headroom", "%s is more than half of the limit, which is %s", m.Headroom, m.Limit)
	}
}

// apply puts m into force and returns what must be kept reachable.
//
// The collector starts when the heap has doubled, so an allocation that nobody
// touches, and that therefore is not resident, moves that point up by its size.
// SetGCPercent cannot do this: a percentage that suits a heap of 5 MiB is far too
// high once ten thousand connections are open.
func (m Memory) apply() []byte {
	if m.Limit > 0 {
		debug.SetMemoryLimit(int64(m.Limit))
	}
	return make([]byte, m.Headroom)
}
