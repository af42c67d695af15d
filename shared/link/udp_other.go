//go:build !linux

package link

import "net"

// A UDPConn is a Conn over a UDP socket: packet by packet, where the system is not
// Linux.
type UDPConn = PacketConn

// UDP returns a UDPConn over c.
func (s *Shared) UDP(c *net.UDPConn) *UDPConn { return s.Over(c) }
