package link

import (
	"slices"
	"sync"
	"time"
)

const (
	// window is how many sequence numbers a receiver remembers.
	window = 512
	// maxGroups is how many groups may wait for more packets or parity.
	maxGroups = 16

	// A missing packet is given up as lost when those sent later have been there for
	// a while: as long as any was late recently, within these bounds.
	lateMin = 5 * time.Millisecond
	lateMax = 60 * time.Millisecond

	// Reports leave a few times per round trip while packets arrive, within these
	// bounds; a loss is reported sooner.
	reportMin  = 25 * time.Millisecond
	reportMax  = 100 * time.Millisecond
	reportSoon = 5 * time.Millisecond

	// maxAsks is how many missing packets are asked for at one time, maxTries how
	// often each.
	maxAsks  = 256
	maxTries = 3

	// maxBehind is how many packets in a row may be older than the window.
	maxBehind = 16
)

type fate uint8

const (
	missing fate = iota
	arrived
	rebuilt
)

// A slot is what a receiver knows of one sequence number.
type slot struct {
	seq       uint64
	fate      fate
	congested bool          // it was found missing while the queue was long
	since     time.Duration // when it was found missing
	took      time.Duration // as delay.observe says
	packet    *buffer       // nil: not kept
}

// A waiting is a group at the receiver that parity has arrived for.
type waiting struct {
	base uint64
	n    int // 0: unused
	done bool
	have uint32 // rows, by bit
	rows [maxRows]*buffer
}

// An ask is a missing packet that the sender should send once more.
type ask struct {
	seq   uint64
	due   time.Duration
	tries int
}

// A receiver puts what came from one peer back in shape.
type receiver struct {
	pool  *pool
	count *counters

	mu      sync.Mutex // guards all below
	closed  bool
	started bool
	highest uint64 // sequence number that arrived or is known to have been sent
	settled uint64 // all below have been accounted for
	suspect uint64 // a sequence number that was too far ahead to be believed at once
	behind  int    // data packets in a row that were older than the window
	base    uint64 // of the newest group that parity has come for
	rows    [2]int // of parity that have come for it, and for the one before
	run     int    // packets lost in a row up to settled
	slots   [window]slot
	groups  [maxGroups]waiting
	replace int // of groups: the one that makes room next

	late     time.Duration // how late packets have been
	delay    delay
	sums     report
	reported time.Duration
	pending  bool // something new should be reported soon
	echo     uint32
	echoAt   time.Duration
	asks     []ask // in the order of their times
	requests uint32
}

func newReceiver(p *pool, count *counters) *receiver {
	return &receiver{pool: p, count: count, late: lateMin}
}

// data takes a data packet. What can be rebuilt with it is handed to deliver. It
// reports whether there is something to tell the sender soon.
func (r *receiver) data(h dataHeader, packet []byte, now time.Duration, deliver func([]byte)) (urgent bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed { // since it was looked up
		return false
	}
	r.take(h, packet, now, deliver)
	return r.pending || len(r.asks) > 0
}

func (r *receiver) take(h dataHeader, packet []byte, now time.Duration, deliver func([]byte)) {
	if size := uint16(min(headerSize+len(packet), headerSize+maxPacket)); size > r.sums.largest {
		r.sums.largest, r.pending = size, true
	}
	if h.kind == kindProbe {
		return
	}
	if !r.started {
		r.started, r.highest, r.settled = true, uint64(h.seq)+1<<wireBits, uint64(h.seq)+1<<wireBits
		r.slots[r.highest%window] = slot{seq: r.highest}
	}
	seq := expand(h.seq, r.highest)
	if !r.advance(seq, now, h.kind == kindCoded) {
		return
	}
	s := &r.slots[seq%window]
	if s.seq != seq || s.fate == arrived {
		return // too old to matter, or a copy
	}
	if s.since > 0 {
		r.late = max(r.late, min(now-s.since, lateMax))
		r.found(seq)
	}
	s.fate = arrived
	r.echo, r.echoAt = h.time, now
	s.took = r.delay.observe(now, h.time)
	r.compare(s)
	r.count.receivedPackets.Add(1)
	r.count.receivedBytes.Add(uint64(len(packet)))
	if h.kind == kindCoded && len(packet) <= maxPacket {
		r.pool.keep(&s.packet, packet)
		r.tryGroupsWith(seq, deliver)
	}
	r.settle(now)
}

// compare tells how long a packet took beside one that was sent just before or after
// it.
func (r *receiver) compare(s *slot) {
	for _, seq := range [2]uint64{s.seq - 1, s.seq + 1} {
		if other := &r.slots[seq%window]; other.seq == seq && other.fate == arrived {
			r.delay.compare(s.took - other.took)
			return
		}
	}
}

// advance makes seq part of the window: what lies between it and the highest so far
// is missing. Coded says that parity is to be expected for it. It returns false for
// a number that cannot be right.
func (r *receiver) advance(seq uint64, now time.Duration, coded bool) bool {
	switch {
	case seq+window <= r.highest:
		return r.fallBack(seq)
	case seq >= r.highest+window:
		return r.jump(seq)
	}
	r.behind = 0
	if seq <= r.highest {
		return true
	}
	congested := r.delay.congested()
	// More in a row than there were rows of late will not come back by parity.
	coded = coded && seq-r.highest-1 <= uint64(max(r.rows[0], r.rows[1]))
	for s := r.highest + 1; s <= seq; s++ {
		if s-r.settled >= window {
			r.account(now)
		}
		slot := &r.slots[s%window]
		r.pool.free(&slot.packet)
		slot.seq, slot.fate, slot.since, slot.congested = s, missing, now, congested
		if s < seq && !congested {
			r.wish(s, now, coded)
		}
	}
	r.slots[seq%window].since = 0
	r.highest = seq
	return true
}

// jump begins anew at seq if the packet before was close to it: so many were lost
// at once that nothing can be repaired. A single number far away is not believed,
// anybody could have made it up.
func (r *receiver) jump(seq uint64) bool {
	if r.suspect == 0 || max(seq, r.suspect)-min(seq, r.suspect) > window {
		r.suspect = seq
		return false
	}
	gone := seq - r.highest - 1
	r.sums.outages += uint32(min(gone, 1<<20))
	r.count.outagePackets.Add(gone)
	r.restart(seq)
	return true
}

// fallBack begins anew at seq, which is older than the window, if all that came
// lately was: then the highest number was made up.
func (r *receiver) fallBack(seq uint64) bool {
	if r.behind++; r.behind < maxBehind {
		return false
	}
	r.restart(seq)
	return true
}

// restart makes seq the only number that is known.
func (r *receiver) restart(seq uint64) {
	for i := range r.slots {
		r.pool.free(&r.slots[i].packet)
		r.slots[i] = slot{}
	}
	for i := range r.groups {
		r.drop(&r.groups[i])
	}
	r.highest, r.settled, r.suspect, r.behind, r.run, r.asks = seq, seq, 0, 0, 0, r.asks[:0]
	r.base, r.rows = 0, [2]int{}
	r.slots[seq%window] = slot{seq: seq}
}

// settle accounts for packets, oldest first, up to the first one that may still
// come.
func (r *receiver) settle(now time.Duration) {
	for r.settled <= r.highest {
		s := &r.slots[r.settled%window]
		if s.fate != arrived && now-s.since < r.late {
			return
		}
		r.account(now)
	}
}

// account accounts for the packet at settled.
func (r *receiver) account(now time.Duration) {
	s := &r.slots[r.settled%window]
	r.settled++
	if s.fate == arrived {
		r.sums.received++
		r.endRun()
		return
	}
	r.pending = true
	r.sums.missing++
	r.count.missingPackets.Add(1)
	if s.congested {
		r.sums.congested++
		r.count.congestedPackets.Add(1)
		r.endRun()
		return
	}
	r.run++
}

// endRun counts the run of packets lost at random that has ended.
func (r *receiver) endRun() {
	switch {
	case r.run == 0:
	case r.run <= maxRun:
		r.sums.runs[classOf(r.run)]++
	default:
		r.sums.outages += uint32(r.run)
		r.count.outagePackets.Add(uint64(r.run))
	}
	r.run = 0
}

// report returns a report if one is due, a round trip being rtt or unknown.
func (r *receiver) report(now, rtt time.Duration) (report, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	interval := max(reportMin, min(reportMax, rtt/4))
	if r.pending {
		interval = reportSoon
	}
	if !r.started || now-r.reported < interval {
		return report{}, false
	}
	r.reported, r.pending = now, false
	r.late = max(lateMin, r.late-r.late/64)
	r.sums.number++
	r.sums.queueing = uint16(min(r.delay.queue/tick, 1<<16-1))
	r.sums.echo, r.sums.held = r.echo, uint16(min((now-r.echoAt)/tick, 1<<16-1))
	return r.sums, true
}

// wish notes that seq is missing. It is asked for when neither delay nor parity can
// bring it any more.
func (r *receiver) wish(seq uint64, now time.Duration, coded bool) {
	if len(r.asks) == maxAsks {
		return
	}
	due := now
	if r.late > lateMin {
		due += r.late
	}
	if coded {
		due += holdMax
	}
	r.insert(ask{seq: seq, due: due})
}

// insert puts a where its time comes.
func (r *receiver) insert(a ask) {
	at := len(r.asks)
	for at > 0 && r.asks[at-1].due > a.due {
		at--
	}
	r.asks = slices.Insert(r.asks, at, a)
}

// found takes back the wish for seq.
func (r *receiver) found(seq uint64) {
	r.asks = slices.DeleteFunc(r.asks, func(a ask) bool { return a.seq == seq })
}

// again takes a packet that was asked for. It reports whether it is news.
func (r *receiver) again(h dataHeader) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	before := len(r.asks)
	r.found(expand(h.seq, r.highest))
	if len(r.asks) == before {
		return false
	}
	r.count.resentPackets.Add(1)
	return true
}

// wanted appends to b what is to be asked for now, a round trip being rtt.
func (r *receiver) wanted(b []uint32, now, rtt time.Duration) (number uint32, _ []uint32) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for len(r.asks) > 0 && r.asks[0].due <= now && len(b) < maxWanted {
		a := r.asks[0]
		r.asks = slices.Delete(r.asks, 0, 1)
		if a.tries == maxTries {
			continue // the last answer has not come either
		}
		b = append(b, uint32(a.seq&wireMask))
		// The first time twice, since a request may be lost as well. Later ones come
		// too late for QUIC to take a cut of its window back, but in time for those
		// who wait.
		a.tries++
		a.due = now + reportSoon
		if a.tries > 1 {
			a.due += rtt + rtt/4
		}
		r.insert(a)
	}
	if len(b) > 0 {
		r.requests++
	}
	return r.requests, b
}

func (r *receiver) close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range r.slots {
		r.pool.free(&r.slots[i].packet)
	}
	for i := range r.groups {
		r.drop(&r.groups[i])
	}
	r.closed = true
}
