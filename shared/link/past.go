package link

import "time"

const (
	// pastPackets is how many packets a sender can find again at most.
	pastPackets = 4096
	// pastMin and pastMax are the bytes that it keeps: for a start, and at most, if so
	// many are sent within the time in which a packet may be asked for.
	pastMin = 64 << 10
	pastMax = 4 << 20
	// pastIdle is how long a round of a ring may take before the ring is too large.
	pastIdle = 10 * time.Second
)

// A past keeps what was sent lately, in the memory that it was put together in, so
// that keeping it costs no copy.
type past struct {
	pool   *pool
	ring   []byte
	from   uint64 // where in the ring, counted over all rounds, the packets stand that are on their way
	to     uint64 // where the next one goes
	index  []place
	held   int           // bytes taken from the pool
	mark   uint64        // where a round of the ring began
	marked time.Duration // and when
}

// A place is where a packet stands.
type place struct {
	seq  uint64
	at   uint64
	size uint32
}

// begin makes room for packets of n bytes in one piece. What was sent within keep
// should be there when it is asked for.
func (p *past) begin(n int, now, keep time.Duration) {
	if len(p.ring) > pastMin && now-p.marked >= pastIdle {
		// Most peers are idle most of the time, and all share the memory. QUIC's
		// keep-alives come by here.
		p.close()
		p.marked = now
	}
	for n > len(p.ring) {
		p.enlarge(n)
	}
	if p.to-p.mark >= uint64(len(p.ring)) {
		if now-p.marked < keep && len(p.ring) < pastMax {
			p.enlarge(n)
		}
		p.mark, p.marked = p.to, now
	}
	if at := int(p.to % uint64(len(p.ring))); at+n > len(p.ring) {
		p.to += uint64(len(p.ring) - at)
	}
	p.from = p.to
}

// enlarge doubles the ring, if there is memory left or n bytes would find no room.
func (p *past) enlarge(n int) {
	old := p.ring
	size := max(pastMin, 2*len(old))
	if p.pool.take(size - len(old)) {
		p.held += size - len(old)
	} else if n <= len(old) {
		return
	}
	p.ring = make([]byte, size)
	if p.index == nil {
		p.index = make([]place, pastPackets)
	}
	// All that is still there keeps its place on the axis of the ring's rounds.
	for at := p.to - min(p.to, uint64(len(old))); at < p.to; {
		from, to := at%uint64(len(old)), at%uint64(size)
		at += uint64(copy(p.ring[to:], old[from:min(uint64(len(old)), from+p.to-at)]))
	}
}

// add returns the room for a packet of n bytes.
func (p *past) add(seq uint64, n int, numbered bool) []byte {
	at := p.to
	p.to += uint64(n)
	if numbered {
		p.index[seq%pastPackets] = place{seq: seq, at: at, size: uint32(n)}
	}
	start := at % uint64(len(p.ring))
	return p.ring[start : start+uint64(n)]
}

// end returns what was added since begin, and begins anew behind it.
func (p *past) end() []byte {
	start, n := p.from%uint64(len(p.ring)), p.to-p.from
	p.from = p.to
	return p.ring[start : start+n]
}

// find returns a packet as it was sent, or nil if it is gone.
func (p *past) find(seq uint64) []byte {
	if p.index == nil {
		return nil
	}
	place := p.index[seq%pastPackets]
	if place.size == 0 || place.seq != seq || p.to-place.at > uint64(len(p.ring)) {
		return nil
	}
	start := place.at % uint64(len(p.ring))
	return p.ring[start : start+uint64(place.size)]
}

// close gives the memory back.
func (p *past) close() {
	p.pool.give(p.held)
	*p = past{pool: p.pool}
}
