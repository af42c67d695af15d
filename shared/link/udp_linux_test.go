package link

import (
	"bytes"
	"encoding/binary"
	"errors"
	"net"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/ipv4"
	"golang.org/x/sys/unix"

	"github.com/ergoproxy/ergo/deploy/require"
)

// ECN marks (RFC 3168, section 5).
const (
	ecnMask = 3
	ect0    = 2
	ce      = 3
)

// A udpEnd is an end over a socket on loopback.
type udpEnd struct {
	*UDPConn
	peer  *Peer
	tally Tally
	addr  *net.UDPAddr
}

// newUDPEnds returns two ends with links to each other. Their sockets report ECN
// and where packets arrived, as those of quic-go do.
func newUDPEnds(t *testing.T, network, host string, s Settings) (a, b *udpEnd) {
	t.Helper()
	if s.Memory == 0 {
		s.Memory = 64 << 20
	}
	var ends [2]*udpEnd
	for i := range ends {
		c, err := net.ListenUDP(network, &net.UDPAddr{IP: net.ParseIP(host)})
		if network == "udp6" {
			require.Have(t, "ipv6", err)
		}
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		c.SetReadBuffer(4 << 20)
		tellOOB(t, c, network)
		ends[i] = &udpEnd{UDPConn: New(s).UDP(c), addr: c.LocalAddr().(*net.UDPAddr)}
	}
	a, b = ends[0], ends[1]
	var err error
	if a.peer, err = a.NewPeer(b.addr, &a.tally); err != nil {
		t.Fatal(err)
	}
	if b.peer, err = b.NewPeer(a.addr, &b.tally); err != nil {
		t.Fatal(err)
	}
	if a.peer.Start(b.peer.Offer()) == nil || b.peer.Start(a.peer.Offer()) == nil {
		t.Fatal("the ends do not understand each other")
	}
	t.Cleanup(func() { a.peer.Close(); b.peer.Close() })
	return a, b
}

func tellOOB(t *testing.T, c *net.UDPConn, network string) {
	t.Helper()
	raw, err := c.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	options := [][2]int{{unix.IPPROTO_IP, unix.IP_RECVTOS}, {unix.IPPROTO_IP, unix.IP_PKTINFO}}
	if network == "udp6" {
		options = [][2]int{{unix.IPPROTO_IPV6, unix.IPV6_RECVTCLASS}, {unix.IPPROTO_IPV6, unix.IPV6_RECVPKTINFO}}
	}
	for _, o := range options {
		var failed error
		if err := raw.Control(func(fd uintptr) { failed = unix.SetsockoptInt(int(fd), o[0], o[1], 1) }); err != nil || failed != nil {
			t.Fatal(err, failed)
		}
	}
}

// A read is a packet as quic-go gets it.
type read struct {
	packet []byte
	ecn    int // -1: not told
	info   net.IP
	from   net.Addr
}

// readAll reads n packets, into buffers of that size.
func (e *udpEnd) readAll(t *testing.T, n, size int) (all []read) {
	t.Helper()
	e.SetReadDeadline(time.Now().Add(10 * time.Second))
	ms := make([]ipv4.Message, 8)
	for len(all) < n {
		for i := range ms {
			ms[i] = ipv4.Message{Buffers: [][]byte{make([]byte, size)}, OOB: make([]byte, oobSize)}
		}
		got, err := e.ReadBatch(ms, 0)
		if err != nil {
			t.Fatalf("read batch after %d of %d packets: %v", len(all), n, err)
		}
		for _, m := range ms[:got] {
			r := read{packet: m.Buffers[0][:m.N], from: m.Addr}
			r.ecn, r.info = told(m.OOB[:m.NN])
			all = append(all, r)
		}
	}
	return all
}

// told returns the ECN mark and the local address in ancillary data.
func told(oob []byte) (ecn int, info net.IP) {
	ecn = -1
	messages(oob, func(h unix.Cmsghdr, body []byte) bool {
		switch {
		case h.Level == unix.IPPROTO_IP && h.Type == unix.IP_TOS:
			ecn = int(body[0] & ecnMask)
		case h.Level == unix.IPPROTO_IPV6 && h.Type == unix.IPV6_TCLASS:
			ecn = int(binary.NativeEndian.Uint32(body) & ecnMask)
		case h.Level == unix.IPPROTO_IP && h.Type == unix.IP_PKTINFO:
			info = net.IP(body[4:8])
		case h.Level == unix.IPPROTO_IPV6 && h.Type == unix.IPV6_PKTINFO:
			info = net.IP(body[:16])
		}
		return true
	})
	return ecn, info
}

// message returns ancillary data with one message.
func message(level, kind int32, body ...byte) []byte {
	b := make([]byte, unix.CmsgSpace(len(body)))
	binary.NativeEndian.PutUint64(b, uint64(unix.CmsgLen(len(body))))
	binary.NativeEndian.PutUint32(b[8:], uint32(level))
	binary.NativeEndian.PutUint32(b[12:], uint32(kind))
	copy(b[unix.CmsgLen(0):], body)
	return b
}

func ecnMessage(network string, mark byte) []byte {
	number := binary.NativeEndian.AppendUint32(nil, uint32(mark))
	if network == "udp6" {
		return message(unix.IPPROTO_IPV6, unix.IPV6_TCLASS, number...)
	}
	return message(unix.IPPROTO_IP, unix.IP_TOS, number...)
}

func pktinfoMessage(network string, ip net.IP) []byte {
	if network == "udp6" {
		return message(unix.IPPROTO_IPV6, unix.IPV6_PKTINFO, append(slices.Clone([]byte(ip.To16())), 0, 0, 0, 0)...)
	}
	return message(unix.IPPROTO_IP, unix.IP_PKTINFO, append(append(make([]byte, 4), ip.To4()...), 0, 0, 0, 0)...)
}

var families = []struct{ network, host string }{{"udp4", "127.0.0.1"}, {"udp6", "::1"}}

func TestBatchesKeepPacketsApart(t *testing.T) {
	for _, f := range families {
		for _, c := range []struct {
			name        string
			count, last int // packets of 1000 bytes, and bytes of one more
			segmented   bool
			linked      bool
		}{
			{"one packet", 1, 0, false, true},
			{"one packet, segmented", 1, 0, true, true},
			{"a batch", 14, 0, true, true},
			{"a batch with a shorter end", 14, 300, true, true},
			{"a batch with an end of one byte", 2, 1, true, true},
			{"one packet without a link", 1, 0, false, false},
			{"a batch without a link", 14, 300, true, false},
		} {
			t.Run(f.network+" "+c.name, func(t *testing.T) {
				a, b := newUDPEnds(t, f.network, f.host, Settings{Repair: Auto})
				if !c.linked {
					a.peer.Close()
				}
				all := packets(newRand(1), c.count, 1000, 1000)
				if c.last > 0 {
					all = append(all, packets(newRand(2), 1, c.last, c.last)...)
				}
				oob := slices.Concat(pktinfoMessage(f.network, a.addr.IP), ecnMessage(f.network, ect0))
				if c.segmented {
					// As quic-go puts it together: in front of the mark.
					oob = slices.Concat(pktinfoMessage(f.network, a.addr.IP), appendSegment(nil, 1000), ecnMessage(f.network, ect0))
				}
				batch := slices.Concat(all...)
				for range 3 {
					if n, oobn, err := a.WriteMsgUDP(batch, oob, b.addr); n != len(batch) || oobn != len(oob) || err != nil {
						t.Fatalf("wrote %d and %d bytes, %v", n, oobn, err)
					}
					for i, r := range b.readAll(t, len(all), 1500) {
						if !bytes.Equal(r.packet, all[i]) || r.ecn != ect0 || !r.info.Equal(b.addr.IP) || r.from.String() != a.addr.String() {
							t.Errorf("packet %d: %d bytes, ECN %d, at %v, from %v", i, len(r.packet), r.ecn, r.info, r.from)
						}
					}
				}
				if n := b.tally.Counts().ReceivedPackets; (n == uint64(3*len(all))) != c.linked {
					t.Errorf("the link has counted %d packets", n)
				}
			})
		}
	}
}

func TestTooLargePacketsAreDropped(t *testing.T) {
	a, b := newUDPEnds(t, "udp4", "127.0.0.1", Settings{Repair: Auto})
	a.peer.Close() // a link carries no such packets
	large, small := packets(newRand(1), 1, 1500, 1500)[0], packets(newRand(2), 1, 100, 100)[0]
	for _, p := range [][]byte{small, large, large, small} {
		if _, _, err := a.WriteMsgUDP(p, nil, b.addr); err != nil {
			t.Fatal(err)
		}
	}
	for i, r := range b.readAll(t, 2, 1499) {
		if !bytes.Equal(r.packet, small) {
			t.Errorf("packet %d has %d bytes", i, len(r.packet))
		}
	}
}

func TestTheSocketsErrorsComeThrough(t *testing.T) {
	a, b := newUDPEnds(t, "udp4", "127.0.0.1", Settings{Repair: Always})
	for range 2 {
		_, _, err := a.WriteMsgUDP(make([]byte, 1<<16), nil, b.addr)
		if !errors.Is(err, unix.EMSGSIZE) {
			t.Errorf("a packet that no path takes: %v", err)
		}
	}
	b.SetReadDeadline(time.Now().Add(-time.Second))
	if _, err := b.ReadBatch(make([]ipv4.Message, 1), 0); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("read after the deadline: %v", err)
	}
	b.Close()
	if _, err := b.ReadBatch(make([]ipv4.Message, 1), 0); !errors.Is(err, net.ErrClosed) {
		t.Errorf("read after Close: %v", err)
	}
}

// A sieve is a socket that loses data packets.
type sieve struct {
	socket
	lose func(seq uint32) bool

	mu     sync.Mutex     // guards all below
	marked map[byte][]int // ECN marks of what was written, by kind of packet; parity is one kind
}

func (s *sieve) write(b []byte, size int, to net.Addr, oob []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	ecn, _ := told(oob)
	for len(b) > 0 {
		packet := b[:min(size, len(b))]
		b = b[len(packet):]
		kind := packet[0]
		if isKind(packet, kindParity) {
			kind = kindParity
		}
		if s.marked == nil {
			s.marked = make(map[byte][]int)
		}
		s.marked[kind] = append(s.marked[kind], ecn)
		if (kind == kindCoded || kind == kindData) && s.lose(seqOf(packet)) {
			continue
		}
		if err := s.socket.write(packet, len(packet), to, oob); err != nil {
			return err
		}
	}
	return nil
}

// QUIC counts the marks of what it acknowledges, and gives ECN up for good when one
// is missing (RFC 9000, section 13.4.2.1).
func TestRebuiltPacketsCarryTheMarkTheyWereSentWith(t *testing.T) {
	for _, f := range families {
		for _, c := range []struct {
			name  string
			marks []byte // of four packets each, of which the third is lost
		}{
			{"without ECN", []byte{0, 0}},
			{"with ECN", []byte{ect0, ect0}},
			{"ECN ends", []byte{ect0, 0}},
			{"ECN begins", []byte{0, ect0}},
		} {
			a, b := newUDPEnds(t, f.network, f.host, Settings{Repair: Always})
			a.Conn.socket = &sieve{socket: a.Conn.socket, lose: func(seq uint32) bool { return seq%4 == 2 }}
			a.peer.sender.Store(newSender(a.Conn, b.peer.Offer(), a.peer.own.Key, a.peer.count))
			marks := make(map[string]byte)
			rng := newRand(1)
			for _, mark := range c.marks {
				for _, p := range packets(rng, 4, 1000, 1000) {
					marks[string(p)] = mark
					if _, _, err := a.WriteMsgUDP(p, ecnMessage(f.network, mark), b.addr); err != nil {
						t.Fatal(err)
					}
				}
			}
			for _, r := range b.readAll(t, len(marks), 1500) {
				if want, sent := marks[string(r.packet)]; !sent || r.ecn != int(want) || !r.info.Equal(b.addr.IP) {
					t.Errorf("%s, %s: sent with mark %d, read with %d, at %v", f.network, c.name, want, r.ecn, r.info)
				}
				delete(marks, string(r.packet))
			}
			if len(marks) != 0 {
				t.Errorf("%s, %s: %d packets did not arrive", f.network, c.name, len(marks))
			}
		}
	}
}

func TestRebuiltPacketsThatWaitAreBounded(t *testing.T) {
	u := &UDPConn{}
	for range 10 * maxRows {
		u.queue([]byte("QUIC"), nil, nil)
	}
	if len(u.rebuilt) != maxRows {
		t.Errorf("%d packets wait, want %d", len(u.rebuilt), maxRows)
	}
}

func TestWithoutECNKeepsTheRest(t *testing.T) {
	info4, info6, segment := pktinfoMessage("udp4", net.IPv4(127, 0, 0, 1)), pktinfoMessage("udp6", net.IPv6loopback), appendSegment(nil, 1210)
	for _, c := range []struct {
		name      string
		oob, want []byte
	}{
		{"nothing", nil, nil},
		{"a mark", ecnMessage("udp4", ect0), nil},
		{"an address", info4, info4},
		{"both", slices.Concat(info4, ecnMessage("udp4", ect0)), info4},
		{"both, IPv6", slices.Concat(info6, ecnMessage("udp6", ce)), info6},
		{"the mark before", slices.Concat(ecnMessage("udp6", ect0), info6), info6},
		{"the mark between", slices.Concat(info4, ecnMessage("udp4", ect0), segment), slices.Concat(info4, segment)},
		{"cut", info4[:20], nil},
	} {
		if got := (udpSocket{}).withoutECN(c.oob); !bytes.Equal(got, c.want) {
			t.Errorf("%s: % x, want % x", c.name, got, c.want)
		}
	}
}

func TestSegmentSizeIsFoundWhereverItStands(t *testing.T) {
	info := pktinfoMessage("udp4", net.IPv4(127, 0, 0, 1))
	for _, c := range []struct {
		name string
		oob  []byte
		want int
	}{
		{"nothing", nil, -1},
		{"no size", info, -1},
		{"a size", appendSegment(nil, 1200), 0},
		{"behind an address", appendSegment(slices.Clone(info), 1200), len(info)},
		{"between", slices.Concat(appendSegment(slices.Clone(info), 1200), info), len(info)},
		{"what the kernel tells of a read", message(unix.IPPROTO_UDP, unix.UDP_GRO, 0, 0, 4, 176), -1},
		{"empty", message(unix.IPPROTO_UDP, unix.UDP_SEGMENT), -1},
	} {
		if got := findSegment(c.oob); got != c.want {
			t.Errorf("%s: at %d, want %d", c.name, got, c.want)
		}
	}
	for _, c := range []struct {
		name string
		oob  []byte
		want int
	}{
		{"nothing told", nil, 9000},
		{"told", message(unix.IPPROTO_UDP, unix.UDP_GRO, binary.NativeEndian.AppendUint32(nil, 1210)...), 1210},
		{"behind an address", slices.Concat(info, message(unix.IPPROTO_UDP, unix.UDP_GRO, binary.NativeEndian.AppendUint32(nil, 1210)...)), 1210},
		{"zero", message(unix.IPPROTO_UDP, unix.UDP_GRO, 0, 0, 0, 0), 9000},
		{"cut", message(unix.IPPROTO_UDP, unix.UDP_GRO, 1), 9000},
	} {
		if got := segmentSize(c.oob, 9000); got != c.want {
			t.Errorf("read, %s: %d, want %d", c.name, got, c.want)
		}
	}
}
