package link

import (
	"math/bits"
	"time"
)

// parity takes a row of parity. What can be rebuilt with it is handed to deliver.
func (r *receiver) parity(h parityHeader, symbol []byte, now time.Duration, deliver func([]byte)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.started || r.closed || len(symbol) > maxPacket {
		return
	}
	base := expand(h.base, r.highest)
	last := base + uint64(h.n) - 1
	if last > r.highest+maxGroup || base+window <= r.highest {
		return
	}
	// The tail of a burst: nothing later shows that it is missing.
	r.advance(last, now, true)
	if s := &r.slots[last%window]; s.seq == last && s.fate == missing && s.since == 0 {
		s.since = now
		if !s.congested {
			r.wish(last, now, true)
		}
	}
	r.count.receivedParity.Add(1)
	if base > r.base {
		r.base, r.rows[1], r.rows[0] = base, r.rows[0], 0
	}
	if base == r.base {
		r.rows[0] = max(r.rows[0], h.row+1)
	}
	g := r.group(base, h.n)
	if g.done || g.have&(1<<h.row) != 0 {
		return
	}
	if r.pool.keep(&g.rows[h.row], symbol) {
		g.rows[h.row].length = h.length
		g.have |= 1 << h.row
		r.try(g, deliver)
	}
	r.settle(now)
}

// group returns the group of these packets. A new one takes the place of the
// oldest.
func (r *receiver) group(base uint64, n int) *waiting {
	for i := range r.groups {
		if g := &r.groups[i]; g.n == n && g.base == base {
			return g
		}
	}
	g := &r.groups[r.replace]
	r.replace = (r.replace + 1) % maxGroups
	r.drop(g)
	g.base, g.n, g.done = base, n, false
	return g
}

// drop forgets what g holds.
func (r *receiver) drop(g *waiting) {
	for rows := g.have; rows != 0; rows &= rows - 1 {
		r.pool.free(&g.rows[bits.TrailingZeros32(rows)])
	}
	g.have, g.n, g.done = 0, 0, false
}

// tryGroupsWith tries the groups that wait for packets around seq.
func (r *receiver) tryGroupsWith(seq uint64, deliver func([]byte)) {
	for i := range r.groups {
		if g := &r.groups[i]; g.have != 0 && !g.done && seq-g.base < uint64(g.n) {
			r.try(g, deliver)
		}
	}
}

// try rebuilds what is missing of g if there are rows enough. What was lost to
// congestion stays lost: QUIC has to learn of it.
func (r *receiver) try(g *waiting, deliver func([]byte)) {
	var columns [maxRows]int
	lost, wanted, rows := 0, 0, bits.OnesCount32(g.have)
	for c := range g.n {
		s := &r.slots[(g.base+uint64(c))%window]
		if s.seq == g.base+uint64(c) && s.packet != nil {
			continue
		}
		if lost == rows {
			return
		}
		columns[lost] = c
		lost++
		if s.seq == g.base+uint64(c) && s.fate == missing && !s.congested {
			wanted++
		}
	}
	if wanted > 0 {
		r.rebuild(g, columns[:lost], deliver)
	}
	n, base := g.n, g.base
	r.drop(g)
	g.n, g.base, g.done = n, base, true // later rows of it are of no use
}

// rebuild solves for the packets in columns.
func (r *receiver) rebuild(g *waiting, columns []int, deliver func([]byte)) {
	rows := make([]int, 0, len(columns))
	for have := g.have; len(rows) < len(columns); have &= have - 1 {
		rows = append(rows, bits.TrailingZeros32(have))
	}
	// The kept row becomes its syndrome.
	syndromes := make([]row, len(rows))
	for i, name := range rows {
		kept := g.rows[name]
		syndromes[i] = row{length: kept.length, symbol: kept.bytes[:kept.n:maxPacket]}
		for c := range g.n {
			if s := &r.slots[(g.base+uint64(c))%window]; s.seq == g.base+uint64(c) && s.packet != nil {
				syndromes[i].add(coefficients[name][c], s.packet.bytes[:s.packet.n])
			}
		}
	}
	solution := invert(rows, columns)
	result := row{symbol: make([]byte, 0, maxPacket)}
	for j, c := range columns {
		s := &r.slots[(g.base+uint64(c))%window]
		if s.seq != g.base+uint64(c) || s.fate != missing || s.congested {
			continue
		}
		result.reset()
		for i := range syndromes {
			result.addRow(solution[j][i], &syndromes[i])
		}
		if packet, ok := result.packet(); ok {
			s.fate = rebuilt
			r.pool.keep(&s.packet, packet)
			r.found(s.seq)
			r.count.repairedPackets.Add(1)
			deliver(packet)
		}
	}
}
