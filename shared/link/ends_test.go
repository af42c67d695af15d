package link

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
	"time"
)

// An end is one end of a link without sockets: what it sends is kept until a test
// takes it, loses it, or brings it to the other end.
type end struct {
	t     testing.TB
	addr  *net.UDPAddr
	conn  *Conn
	peer  *Peer
	tally Tally

	mu   sync.Mutex // guards all below
	out  [][]byte   // that was sent
	fail error      // of writing
	got  [][]byte   // that was handed to QUIC
}

func (e *end) write(b []byte, size int, _ net.Addr, _ []byte) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.fail != nil {
		return e.fail
	}
	for len(b) > 0 {
		n := min(size, len(b))
		e.out = append(e.out, bytes.Clone(b[:n]))
		b = b[n:]
	}
	return nil
}

func (e *end) withoutECN([]byte) []byte { return nil }

// newEnds returns two ends that know each other.
func newEnds(t testing.TB, s Settings) (a, b *end) {
	t.Helper()
	if s.Memory == 0 {
		s.Memory = 64 << 20
	}
	if s.Repair == "" {
		s.Repair = Auto
	}
	ends := [2]*end{}
	for i := range ends {
		e := &end{t: t, addr: &net.UDPAddr{IP: net.IPv4(10, 0, 0, byte(i+1)), Port: 1000}, conn: newConn(New(s))}
		e.conn.socket = e
		ends[i] = e
	}
	a, b = ends[0], ends[1]
	a.meet(b)
	b.meet(a)
	if a.peer.Start(b.peer.Offer()) == nil || b.peer.Start(a.peer.Offer()) == nil {
		t.Fatal("the ends do not understand each other")
	}
	t.Cleanup(func() { a.peer.Close(); b.peer.Close() })
	return a, b
}

func (e *end) meet(other *end) {
	e.t.Helper()
	p, err := e.conn.NewPeer(other.addr, &e.tally)
	if err != nil {
		e.t.Fatal(err)
	}
	e.peer = p
}

func (e *end) sender() *sender     { return e.peer.sender.Load() }
func (e *end) receiver() *receiver { return e.peer.receiver }

// send sends packets of QUIC.
func (e *end) send(packets ...[]byte) {
	e.t.Helper()
	for _, p := range packets {
		if err := e.conn.outgoing(p, len(p), e.other(), nil); err != nil {
			e.t.Fatal(err)
		}
	}
}

func (e *end) other() net.Addr { return net.UDPAddrFromAddrPort(e.peer.addrs[0]) }

// flushed ends the open group, as its timer would, and returns all that was sent.
func (e *end) flushed() [][]byte {
	s := e.sender()
	s.mu.Lock()
	if s.group.n > 0 {
		s.end()
	}
	s.mu.Unlock()
	return e.sent()
}

// sent returns what was sent since the last time.
func (e *end) sent() [][]byte {
	e.mu.Lock()
	defer e.mu.Unlock()
	out := e.out
	e.out = nil
	return out
}

// hear takes packets from the network.
func (e *end) hear(from net.Addr, packets ...[]byte) {
	for _, p := range packets {
		// The buffer is used for the next packet too.
		b := bytes.Clone(p)
		packet := e.conn.incoming(b, from, e.conn.now(), func(packet []byte) {
			e.got = append(e.got, bytes.Clone(packet))
		})
		if packet != nil {
			e.got = append(e.got, bytes.Clone(packet))
		}
		clear(b)
	}
}

// handed returns what was handed to QUIC since the last time.
func (e *end) handed() [][]byte {
	got := e.got
	e.got = nil
	return got
}

// assume makes the sender believe in a loss, as reports of it would.
func (e *end) assume(loss float64) {
	s := e.sender()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.control.total = 1 << 20
	s.control.losses = losses{loss}
	s.control.small, s.control.bulk = [maxGroup + 1]int8{}, [maxGroup + 1]int8{}
}

// packets returns n packets of QUIC of random content and of different lengths
// from least to most, each with its number in it.
func packets(rng *rand.Rand, n, least, most int) [][]byte {
	all := make([][]byte, n)
	for i := range all {
		p := make([]byte, least+rng.IntN(most-least+1))
		for j := range p {
			p[j] = byte(rng.Uint32())
		}
		p[0] |= quicBit
		if len(p) >= 5 {
			binary.BigEndian.PutUint32(p[1:], uint32(i))
		}
		all[i] = p
	}
	return all
}

func newRand(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 1)) }

// isKind reports whether a link packet is of a kind.
func isKind(packet []byte, kind byte) bool {
	if kind == kindParity {
		return packet[0]&^rowMask == kindParity
	}
	return packet[0] == kind
}

// ofKind returns the packets of one kind.
func ofKind(packets [][]byte, kind byte) (found [][]byte) {
	for _, p := range packets {
		if isKind(p, kind) {
			found = append(found, p)
		}
	}
	return found
}

// contains reports whether one of the packets is p.
func contains(packets [][]byte, p []byte) bool {
	for _, other := range packets {
		if bytes.Equal(other, p) {
			return true
		}
	}
	return false
}

const rtt = 80 * time.Millisecond
