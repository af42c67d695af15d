package tunnel

import (
	"net/netip"

	"github.com/quic-go/quic-go/quicvarint"
	"golang.org/x/net/http/httpguts"
)

func appendString(b []byte, s string) []byte {
	return append(quicvarint.Append(b, uint64(len(s))), s...)
}

// A decoder reads values from the front of a payload. The first failure sticks:
// callers read everything and look at err once.
type decoder struct {
	rest string
	err  error
}

func (d *decoder) fail(format string, args ...any) {
	if d.err == nil {
		d.err = protocolErrorf(format, args...)
	}
	d.rest = ""
}

func (d *decoder) byte() byte {
	if len(d.rest) == 0 {
		d.fail("payload ends early")
		return 0
	}
	c := d.rest[0]
	d.rest = d.rest[1:]
	return c
}

// uint reads a variable-length integer (RFC 9000, section 16). It works on the
// string itself, which quicvarint.Parse cannot.
func (d *decoder) uint() uint64 {
	first := d.byte()
	n := 1<<(first>>6) - 1
	if len(d.rest) < n {
		d.fail("payload ends early")
		return 0
	}
	v := uint64(first & 0x3f)
	for i := range n {
		v = v<<8 | uint64(d.rest[i])
	}
	d.rest = d.rest[n:]
	return v
}

// bytes reads n bytes as a string that shares the payload's memory.
func (d *decoder) bytes(n int) string {
	if n > len(d.rest) {
		d.fail("payload ends early")
		return ""
	}
	s := d.rest[:n]
	d.rest = d.rest[n:]
	return s
}

// string reads a string of at most limit bytes.
func (d *decoder) string(limit int) string {
	n := d.uint()
	if n > uint64(limit) {
		d.fail("string of %d bytes, limit %d", n, limit)
		return ""
	}
	return d.bytes(int(n))
}

// count reads the number of elements of a list, each of which takes at least one
// byte, so that a large number in a short payload takes no memory.
func (d *decoder) count(limit int) int {
	n := d.uint()
	if n > uint64(limit) || n > uint64(len(d.rest)) {
		d.fail("list of %d elements, limit %d", n, limit)
		return 0
	}
	return int(n)
}

// done reports the first failure, or that bytes are left over.
func (d *decoder) done() error {
	if d.err == nil && d.rest != "" {
		d.fail("%d bytes after the payload's last value", len(d.rest))
	}
	return d.err
}

// Addresses are a family byte (0: none, 4, 6), the address and the port.
func appendAddr(b []byte, a netip.AddrPort) []byte {
	addr := a.Addr().Unmap()
	switch {
	case addr.Is4():
		v := addr.As4()
		b = append(append(b, 4), v[:]...)
	case addr.Is6():
		v := addr.As16()
		b = append(append(b, 6), v[:]...)
	default:
		return append(b, 0)
	}
	return append(b, byte(a.Port()>>8), byte(a.Port()))
}

func (d *decoder) addr() netip.AddrPort {
	var addr netip.Addr
	switch family := d.byte(); family {
	case 0:
		return netip.AddrPort{}
	case 4:
		var v [4]byte
		copy(v[:], d.bytes(4))
		addr = netip.AddrFrom4(v)
	case 6:
		var v [16]byte
		copy(v[:], d.bytes(16))
		addr = netip.AddrFrom16(v)
	default:
		d.fail("address family %d", family)
	}
	port := uint16(d.byte())<<8 | uint16(d.byte())
	if d.err != nil {
		return netip.AddrPort{}
	}
	return netip.AddrPortFrom(addr, port)
}

func appendUint16(b []byte, v uint16) []byte { return append(b, byte(v>>8), byte(v)) }

func (d *decoder) uint16() uint16 { return uint16(d.byte())<<8 | uint16(d.byte()) }

// validToken reports whether s is a token (RFC 9110, section 5.6.2), as methods
// and field names are.
func validToken(s string) bool { return httpguts.ValidHeaderFieldName(s) }
