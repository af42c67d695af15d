package link

import (
	"net"
)

// queued is how many rebuilt packets wait to be read at most: those of one group.
const queued = maxRows

// A PacketConn is a Conn over any net.PacketConn: packet by packet, without
// ancillary data. Over a UDP socket of Linux, a UDPConn is faster.
type PacketConn struct {
	net.PacketConn
	*Conn
	read    []byte
	rebuilt [][]byte
	from    net.Addr
}

// Over returns a PacketConn over c, whose addresses are *net.UDPAddr.
func (s *Shared) Over(c net.PacketConn) *PacketConn {
	p := &PacketConn{PacketConn: c, Conn: newConn(s), read: make([]byte, headerSize+maxPacket)}
	p.Conn.socket = plain{c}
	return p
}

// ReadFrom implements net.PacketConn.
func (p *PacketConn) ReadFrom(b []byte) (int, net.Addr, error) {
	for {
		if len(p.rebuilt) > 0 {
			packet := p.rebuilt[0]
			p.rebuilt = p.rebuilt[1:]
			return copy(b, packet), p.from, nil
		}
		n, from, err := p.PacketConn.ReadFrom(p.read)
		if err != nil {
			return 0, nil, err
		}
		p.rebuilt, p.from = p.rebuilt[:0], from
		packet := p.incoming(p.read[:n], from, p.now(), func(packet []byte) {
			if len(p.rebuilt) < queued {
				p.rebuilt = append(p.rebuilt, append([]byte(nil), packet...))
			}
		})
		if packet != nil {
			return copy(b, packet), from, nil
		}
	}
}

// WriteTo implements net.PacketConn.
func (p *PacketConn) WriteTo(b []byte, to net.Addr) (int, error) {
	return len(b), p.outgoing(b, len(b), to, nil)
}

// plain is a socket without offload.
type plain struct{ c net.PacketConn }

func (p plain) write(b []byte, size int, to net.Addr, _ []byte) error {
	for len(b) > 0 {
		n := min(size, len(b))
		if _, err := p.c.WriteTo(b[:n], to); err != nil {
			return err
		}
		b = b[n:]
	}
	return nil
}

func (plain) withoutECN([]byte) []byte { return nil }
