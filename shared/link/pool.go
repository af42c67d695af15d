package link

import (
	"sync"
	"sync/atomic"
)

// A buffer holds a packet, or a row of parity.
type buffer struct {
	n      int
	length [2]byte // of a row
	bytes  [maxPacket]byte
}

// bufferSize is what a buffer takes, in bytes.
const bufferSize = 1536

// A pool lends buffers to all receivers of a process, up to a limit. Who gets none
// does without repair.
type pool struct {
	limit int64 // bytes
	used  atomic.Int64
	idle  sync.Pool
}

func newPool(limit int64) *pool {
	return &pool{limit: limit, idle: sync.Pool{New: func() any { return new(buffer) }}}
}

// take takes n bytes, if they are left.
func (p *pool) take(n int) bool {
	for {
		used := p.used.Load()
		if used+int64(n) > p.limit {
			return false
		}
		if p.used.CompareAndSwap(used, used+int64(n)) {
			return true
		}
	}
}

// give gives n bytes back.
func (p *pool) give(n int) { p.used.Add(-int64(n)) }

// keep copies content into *at, which gets a buffer if it has none. It reports
// whether there was one to be had.
func (p *pool) keep(at **buffer, content []byte) bool {
	if *at == nil {
		if !p.take(bufferSize) {
			return false
		}
		*at = p.idle.Get().(*buffer)
	}
	(*at).n = copy((*at).bytes[:], content)
	return true
}

// free takes the buffer at *at back, if there is one.
func (p *pool) free(at **buffer) {
	if *at != nil {
		p.idle.Put(*at)
		p.give(bufferSize)
		*at = nil
	}
}
