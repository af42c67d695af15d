package link

import (
	"bytes"
	"net"
	"sync"
	"time"
)

// A socket sends packets, each of size bytes, the last one may be shorter: b holds
// them one after the other. Oob is ancillary data. A parity shares that of the data,
// since what is rebuilt with it is handed up with its ECN mark; a report shares it
// but for the mark, which nobody would look at there.
type socket interface {
	write(b []byte, size int, to net.Addr, oob []byte) error
	withoutECN(oob []byte) []byte
}

// Packets are sent once more for resendShare of the packets that leave, so that a
// path that cannot take what it gets does not get more; resendBurst may be saved up.
const (
	resendShare = 0.1
	resendBurst = 64
)

// A sender numbers what leaves for one peer, adds parity, and listens to reports.
type sender struct {
	clock  func() time.Duration
	socket socket
	flow   uint32 // what the peer calls us
	key    key    // of the reports to us
	theirs key    // of ours to the peer
	count  *counters

	mu          sync.Mutex // guards all below
	control     *controller
	closed      bool
	next        uint64 // sequence number of the next data packet
	established int    // bytes of the largest packet that the path is known to carry
	past        past   // what was sent lately
	size        int    // of the packets that are on their way
	tokens      float64
	requests    uint32 // number of the last request
	parity      []byte
	to          net.Addr // where data went last
	oob         []byte   // and with what

	group sending
	timer *time.Timer
}

// A sending is the group that is open at the sender. It keeps no packet: each is
// added to all rows as it leaves.
type sending struct {
	base    uint64
	n       int
	limit   int   // of n
	rows    []row // the first planned of them are in use
	planned int
	opened  time.Duration
	touched time.Duration
	full    bool          // the last packet was as large as the path takes
	bulk    bool          // any was
	armed   time.Duration // when the timer fires
	usual   int           // size of the groups before
}

func newSender(c *Conn, theirs Offer, own key, count *counters) *sender {
	return &sender{clock: c.now, socket: c.socket, flow: theirs.Flow, theirs: theirs.Key, key: own, count: count,
		control: newController(c.shared.repair), established: headerSize + initialPacket,
		past: past{pool: c.shared.pool}, tokens: resendBurst}
}

// send sends the packets in b, each of size bytes.
func (s *sender) send(b []byte, size int, to net.Addr, oob []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed { // since it was looked up
		return s.socket.write(b, size, to, oob)
	}
	if s.group.n > 0 && !bytes.Equal(oob, s.oob) {
		s.end() // its parity has the mark of all packets in it
	}
	now := s.clock()
	s.to, s.oob = to, append(s.oob[:0], oob...)
	s.size = size + headerSize
	s.past.begin(len(b)+(len(b)/size+1)*headerSize, now, s.control.memory())
	defer s.tally(s.next, len(b))
	for len(b) > 0 {
		packet := b[:min(size, len(b))]
		b = b[len(packet):]
		s.frame(packet, now)
		if s.group.n > 0 && s.group.n >= s.group.limit {
			err := s.flush()
			s.end() // has room for no more
			if err != nil {
				return err
			}
		}
	}
	return s.flush()
}

// frame adds packet to what is on its way.
func (s *sender) frame(packet []byte, now time.Duration) {
	h := dataHeader{kind: kindData, flow: s.flow, seq: uint32(s.next & wireMask), time: uint32(now/tick) & wireMask}
	numbered := headerSize+len(packet) <= s.established
	switch {
	case !numbered:
		// QUIC finds out whether the path takes this size. It is no part of a group,
		// whose parity would be lost with it, and its loss says nothing of the path.
		h.kind = kindProbe
	case s.cover(packet, now):
		h.kind = kindCoded
	}
	to := s.past.add(s.next, headerSize+len(packet), numbered)
	h.put(to)
	copy(to[headerSize:], packet)
	if numbered {
		s.next++
	}
}

// tally counts what was sent since the number was before, bytes in all.
func (s *sender) tally(before uint64, bytes int) {
	n := s.next - before
	if n == 0 {
		return // a probe, which comes alone
	}
	s.tokens = min(resendBurst, s.tokens+resendShare*float64(n))
	s.count.sentPackets.Add(n)
	s.count.sentBytes.Add(uint64(bytes))
}

// flush writes what is on its way.
func (s *sender) flush() error {
	if out := s.past.end(); len(out) > 0 {
		return s.socket.write(out, s.size, s.to, s.oob)
	}
	return nil
}

// cover adds packet to the open group, or to a new one if the loss asks for
// parity. It reports whether it did.
func (s *sender) cover(packet []byte, now time.Duration) bool {
	g := &s.group
	full := headerSize+len(packet) >= s.established*9/10
	if g.n == 0 && !s.open(now, full) {
		return false
	}
	for i := range g.rows[:g.planned] {
		g.rows[i].add(coefficients[i][g.n], packet)
	}
	g.n++
	g.touched = now
	g.full = full
	g.bulk = g.bulk || full
	if due := s.due(); due < g.armed || g.n == 1 {
		s.arm(due, now)
	}
	return true
}

// open begins a group. It has room for twice as many packets as the ones before
// had: rows that are not sent in the end cost time for each packet. Where only bulk
// gets parity, it begins with a full packet: the receiver does not ask for a packet
// before its parity may have come.
func (s *sender) open(now time.Duration, full bool) bool {
	g := &s.group
	g.limit = min(maxGroup, 2*g.usual+8)
	g.planned = s.control.rows(g.limit, true)
	if g.planned == 0 || !full && s.control.rows(g.limit, false) == 0 {
		return false
	}
	for len(g.rows) < g.planned {
		g.rows = append(g.rows, row{symbol: make([]byte, 0, maxPacket)})
	}
	for i := range g.rows[:g.planned] {
		g.rows[i].reset()
	}
	g.base, g.opened, g.bulk = s.next, now, false
	return true
}

// due is when the open group ends if nothing is added to it.
func (s *sender) due() time.Duration {
	g := &s.group
	if g.full {
		return g.opened + s.control.hold()
	}
	return min(g.touched+idleGap, g.opened+2*idleGap)
}

func (s *sender) arm(due, now time.Duration) {
	s.group.armed = due
	if s.timer == nil {
		s.timer = time.AfterFunc(due-now, s.expire)
		return
	}
	s.timer.Reset(due - now)
}

// expire ends the open group if nothing more is to be expected.
func (s *sender) expire() {
	s.mu.Lock()
	defer s.mu.Unlock()
	g := &s.group
	if g.n == 0 || s.closed {
		return
	}
	if due, now := s.due(), s.clock(); due > now {
		s.arm(due, now)
		return
	}
	s.end()
}

// end sends the parity of the open group and closes it. That it cannot be sent is
// like its loss.
func (s *sender) end() {
	g := &s.group
	m := min(s.control.rows(g.n, g.bulk), g.planned)
	s.parity = s.parity[:0]
	size := 0
	for i := range m {
		r := &g.rows[i]
		size = headerSize + len(r.symbol)
		start := len(s.parity)
		s.parity = append(s.parity, make([]byte, headerSize)...)
		parityHeader{row: i, flow: s.flow, base: uint32(g.base & wireMask), n: g.n, length: r.length}.put(s.parity[start:])
		s.parity = append(s.parity, r.symbol...)
	}
	s.count.parityPackets.Add(uint64(m))
	s.count.parityBytes.Add(uint64(len(s.parity)))
	if m > 0 {
		_ = s.socket.write(s.parity, size, s.to, s.oob)
	}
	g.usual = max(g.n, (3*g.usual+g.n)/4)
	g.n = 0
}

// report takes a report from the peer. It reports whether it was one.
func (s *sender) report(packet []byte) bool {
	r, err := parseReport(packet, s.key)
	if err != nil {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.control.report(s.clock(), r) {
		s.established = max(s.established, min(int(r.largest), headerSize+maxPacket))
	}
	return true
}

// resend sends packets once more that the peer asks for. It reports whether it was
// asked.
func (s *sender) resend(packet []byte) bool {
	number, wanted, err := parseRequest(packet, s.key)
	if err != nil {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || int32(number-s.requests) <= 0 {
		return true
	}
	s.requests = number
	for ; len(wanted) > 0 && s.tokens >= 1; wanted = wanted[3:] {
		old := s.past.find(expand(get24(wanted), s.next))
		if old == nil {
			continue
		}
		s.tokens--
		s.parity = append(s.parity[:0], old...)
		s.parity[0] = kindAgain
		s.count.resentBytes.Add(uint64(len(old)))
		_ = s.socket.write(s.parity, len(s.parity), s.to, s.oob)
	}
	return true
}

// signal sends a packet of our own the way that data went.
func (s *sender) signal(packet []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed && s.to != nil {
		_ = s.socket.write(packet, len(packet), s.to, s.socket.withoutECN(s.oob))
	}
}

// rtt is the smoothed round trip, or 0.
func (s *sender) rtt() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.control.rtt
}

func (s *sender) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	s.group.n = 0
	s.past.close()
	if s.timer != nil {
		s.timer.Stop()
	}
}
