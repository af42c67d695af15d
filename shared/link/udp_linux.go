package link

import (
	"encoding/binary"
	"net"
	"time"
	"unsafe"

	"golang.org/x/net/ipv4"
	"golang.org/x/sys/unix"
)

const (
	// groBuffer holds what the kernel joins into one read: at most a UDP payload.
	groBuffer = 64 << 10
	// groBatch is how many such reads one system call does.
	groBatch = 4
	// oobSize has room for the segment size, ECN and packet info.
	oobSize = 128
)

// A UDPConn is a Conn over a UDP socket of Linux. It implements what quic-go looks
// for in one: that of a net.UDPConn, and ReadBatch. Batches cross it whole in both
// directions: what quic-go sends as one (UDP_SEGMENT) leaves as one, and packets
// that came as one (UDP_GRO) are read as one and cut apart here. Read packet by
// packet, as quic-go does by itself, they cost a third of the receiver's CPU on
// bulk.
type UDPConn struct {
	*net.UDPConn
	*Conn
	batch *ipv4.PacketConn

	reads   [groBatch]ipv4.Message
	n       int           // reads that hold something
	next    int           // of reads: the one that rest belongs to
	rest    []byte        // of that read: what was not handed out yet
	size    int           // of its segments
	at      time.Duration // when it was read
	rebuilt []rebuiltPacket
}

// A rebuiltPacket waits to be read, with the ancillary data of the packet that made
// it possible.
type rebuiltPacket struct {
	packet, oob []byte
	from        net.Addr
}

// UDP returns a UDPConn over c.
func (s *Shared) UDP(c *net.UDPConn) *UDPConn {
	u := &UDPConn{UDPConn: c, Conn: newConn(s), batch: ipv4.NewPacketConn(c)}
	u.Conn.socket = udpSocket{c}
	size := groBuffer
	if !joinReads(c) {
		size = headerSize + maxPacket
	}
	for i := range u.reads {
		u.reads[i] = ipv4.Message{Buffers: [][]byte{make([]byte, size)}, OOB: make([]byte, oobSize)}
	}
	return u
}

// joinReads switches UDP_GRO on and reports whether the kernel has it.
func joinReads(c *net.UDPConn) bool {
	raw, err := c.SyscallConn()
	if err != nil {
		return false
	}
	var unsupported error
	err = raw.Control(func(fd uintptr) {
		unsupported = unix.SetsockoptInt(int(fd), unix.IPPROTO_UDP, unix.UDP_GRO, 1)
	})
	return err == nil && unsupported == nil
}

// ReadBatch fills ms with packets of QUIC: one each, as if they had been read one by
// one. A packet that is too large for its buffer is dropped.
func (u *UDPConn) ReadBatch(ms []ipv4.Message, flags int) (int, error) {
	filled := 0
	for filled == 0 {
		if len(u.rebuilt) == 0 && len(u.rest) == 0 && u.next+1 >= u.n {
			n, err := u.batch.ReadBatch(u.reads[:], flags)
			if err != nil {
				return 0, err
			}
			u.n, u.next, u.at = n, -1, u.now()
		}
		for filled < len(ms) && u.fill(&ms[filled]) {
			filled++
		}
	}
	return filled, nil
}

// fill moves the next packet into m. It returns false when nothing is left.
func (u *UDPConn) fill(m *ipv4.Message) bool {
	for {
		if len(u.rebuilt) > 0 {
			r := u.rebuilt[0]
			u.rebuilt = u.rebuilt[1:]
			if put(m, r.packet, r.oob, r.from) {
				return true
			}
			continue
		}
		segment := u.segment()
		if segment == nil {
			return false
		}
		read := &u.reads[u.next]
		oob := read.OOB[:read.NN]
		packet := u.incoming(segment, read.Addr, u.at, func(packet []byte) {
			u.queue(packet, oob, read.Addr)
		})
		if packet != nil && put(m, packet, oob, read.Addr) {
			return true
		}
	}
}

// put copies a packet into m, if it fits.
func put(m *ipv4.Message, packet, oob []byte, from net.Addr) bool {
	if len(packet) > len(m.Buffers[0]) {
		return false
	}
	m.N = copy(m.Buffers[0], packet)
	m.NN = copy(m.OOB, oob)
	m.Addr = from
	return true
}

// queue keeps a rebuilt packet until it is read.
func (u *UDPConn) queue(packet, oob []byte, from net.Addr) {
	if len(u.rebuilt) == 0 {
		u.rebuilt = u.rebuilt[:0:0]
	}
	if len(u.rebuilt) >= maxRows {
		return
	}
	u.rebuilt = append(u.rebuilt, rebuiltPacket{packet: append([]byte(nil), packet...), oob: append([]byte(nil), oob...), from: from})
}

// segment returns the next packet as it came, or nil.
func (u *UDPConn) segment() []byte {
	for len(u.rest) == 0 {
		if u.next+1 >= u.n {
			return nil
		}
		u.next++
		read := &u.reads[u.next]
		u.rest = read.Buffers[0][:read.N]
		u.size = segmentSize(read.OOB[:read.NN], read.N)
	}
	n := min(u.size, len(u.rest))
	segment := u.rest[:n:n]
	u.rest = u.rest[n:]
	return segment
}

// messages calls f with each message in oob until it returns false.
func messages(oob []byte, f func(header unix.Cmsghdr, body []byte) bool) {
	for len(oob) >= unix.SizeofCmsghdr { // ParseOne reads it before it looks
		header, body, rest, err := unix.ParseOneSocketControlMessage(oob)
		if err != nil || !f(header, body) {
			return
		}
		oob = rest
	}
}

// segmentSize returns the size of the segments of a read of n bytes: what the
// kernel says in a UDP_GRO message, or n if it joined nothing.
func segmentSize(oob []byte, n int) int {
	messages(oob, func(header unix.Cmsghdr, body []byte) bool {
		if header.Level == unix.IPPROTO_UDP && header.Type == unix.UDP_GRO && len(body) >= 4 {
			if size := int(binary.NativeEndian.Uint32(body)); size > 0 {
				n = size
			}
			return false
		}
		return true
	})
	return n
}

// isECN reports whether a message holds the ECN mark: in its first byte, or in the
// number that it is.
func isECN(header unix.Cmsghdr) bool {
	return header.Level == unix.IPPROTO_IP && header.Type == unix.IP_TOS ||
		header.Level == unix.IPPROTO_IPV6 && header.Type == unix.IPV6_TCLASS
}

// WriteMsgUDP sends packets of QUIC.
func (u *UDPConn) WriteMsgUDP(b, oob []byte, to *net.UDPAddr) (n, oobn int, err error) {
	size := len(b)
	rest := oob
	if i := findSegment(oob); i >= 0 {
		size = int(binary.NativeEndian.Uint16(oob[i+unix.CmsgLen(0):]))
		rest = append(append(make([]byte, 0, oobSize), oob[:i]...), oob[i+unix.CmsgSpace(2):]...)
	}
	return len(b), len(oob), u.outgoing(b, size, to, rest)
}

// findSegment returns where in oob the segment size stands, or -1.
func findSegment(oob []byte) int {
	at, found := 0, -1
	messages(oob, func(header unix.Cmsghdr, body []byte) bool {
		if header.Level == unix.IPPROTO_UDP && header.Type == unix.UDP_SEGMENT && len(body) >= 2 {
			found = at
			return false
		}
		at += unix.CmsgSpace(len(body))
		return true
	})
	return found
}

// A udpSocket writes to the socket itself.
type udpSocket struct{ c *net.UDPConn }

func (s udpSocket) write(b []byte, size int, to net.Addr, oob []byte) error {
	if len(b) > size {
		oob = appendSegment(append(make([]byte, 0, oobSize), oob...), uint16(size))
	}
	_, _, err := s.c.WriteMsgUDP(b, oob, to.(*net.UDPAddr))
	return err
}

// appendSegment appends a UDP_SEGMENT message.
func appendSegment(oob []byte, size uint16) []byte {
	start := len(oob)
	oob = append(oob, make([]byte, unix.CmsgSpace(2))...)
	header := (*unix.Cmsghdr)(unsafe.Pointer(&oob[start]))
	header.Level, header.Type = unix.IPPROTO_UDP, unix.UDP_SEGMENT
	header.SetLen(unix.CmsgLen(2))
	binary.NativeEndian.PutUint16(oob[start+unix.CmsgLen(0):], size)
	return oob
}

// withoutECN returns oob with no ECN mark in it.
func (udpSocket) withoutECN(oob []byte) []byte {
	kept := make([]byte, 0, oobSize)
	at := 0
	messages(oob, func(header unix.Cmsghdr, body []byte) bool {
		size := unix.CmsgSpace(len(body))
		if !isECN(header) {
			kept = append(kept, oob[at:min(at+size, len(oob))]...)
		}
		at += size
		return true
	})
	return kept
}
