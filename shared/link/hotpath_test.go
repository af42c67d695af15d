package link

import (
	"net"
	"os"
	"testing"
	"time"
)

// silent is a socket that takes everything.
type silent struct{}

func (silent) write([]byte, int, net.Addr, []byte) error { return nil }
func (silent) withoutECN([]byte) []byte                  { return nil }

// allocations returns how many a run of f takes once it is warm.
func allocations(t *testing.T, f func()) float64 {
	t.Helper()
	if UnderRace {
		t.Skip("the race detector allocates")
	}
	for range 1000 {
		f()
	}
	return testing.AllocsPerRun(1000, f)
}

func TestRowsAddWithoutAllocation(t *testing.T) {
	packet := packets(newRand(1), 1, 1400, 1400)[0]
	r := row{symbol: make([]byte, 0, maxPacket)}
	if n := allocations(t, func() { r.reset(); r.add(7, packet) }); n != 0 {
		t.Errorf("%v allocations to add a packet to a row", n)
	}
}

// The clocks stand still: neither timers nor reports come between.
func TestSendingDoesNotAllocate(t *testing.T) {
	for _, c := range []struct {
		name string
		loss float64
	}{{"clean path", 0}, {"one packet in a hundred is lost", 0.01}, {"one in ten", 0.1}} {
		a, b := newEnds(t, Settings{})
		a.assume(c.loss)
		s := a.sender()
		s.mu.Lock()
		s.socket, s.clock = silent{}, func() time.Duration { return time.Second }
		s.mu.Unlock()
		batch := packets(newRand(1), 1, 12000, 12000)[0]
		n := allocations(t, func() {
			if err := a.conn.outgoing(batch, 1200, b.addr, nil); err != nil {
				t.Fatal(err)
			}
		})
		if n != 0 {
			t.Errorf("%s: %v allocations for ten packets", c.name, n)
		}
	}
}

// queue is a net.PacketConn that always has the same packets to read.
type queue struct {
	net.PacketConn
	from net.Addr
	next func() []byte
}

func (q *queue) ReadFrom(b []byte) (int, net.Addr, error) {
	packet := q.next()
	if packet == nil {
		return 0, nil, os.ErrDeadlineExceeded
	}
	return copy(b, packet), q.from, nil
}

func TestReceivingDoesNotAllocate(t *testing.T) {
	for _, c := range []struct {
		name string
		kind byte
	}{{"clean path", kindData}, {"packets with parity", kindCoded}} {
		_, b := newEnds(t, Settings{})
		seq := uint64(1000)
		packet := make([]byte, headerSize+1200)
		q := &queue{from: net.UDPAddrFromAddrPort(b.peer.addrs[0])}
		over := &PacketConn{PacketConn: q, Conn: b.conn, read: make([]byte, headerSize+maxPacket)}
		b.receiver().reported = 1 << 60 // no report is due
		q.next = func() []byte {
			dataHeader{kind: c.kind, flow: b.peer.Offer().Flow, seq: uint32(seq & wireMask)}.put(packet)
			seq++
			return packet
		}
		var into [1500]byte
		n := allocations(t, func() {
			if got, _, err := over.ReadFrom(into[:]); got != 1200 || err != nil {
				t.Fatal(got, err)
			}
		})
		if n != 0 {
			t.Errorf("%s: %v allocations for a packet", c.name, n)
		}
		if got := b.tally.Counts().ReceivedPackets; got != seq-1000 {
			t.Errorf("%s: %d of %d packets counted", c.name, got, seq-1000)
		}
	}
}

func TestReportsAllocateLittle(t *testing.T) {
	r := sampleReport()
	packet := r.append(nil, 1, sampleKey)
	if n := allocations(t, func() {
		if _, err := parseReport(packet, sampleKey); err != nil {
			t.Fatal(err)
		}
	}); n > 10 {
		t.Errorf("%v allocations to check a report", n)
	}
}
