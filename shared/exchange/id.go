package exchange

import (
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"time"
)

// ID names one request on its whole way. It is a UUID version 7 (RFC 9562,
// section 5.7): sortable by time, unguessable in its last 74 bits.
type ID [16]byte

// NewID returns a fresh ID for a request that came at now. It is safe for
// concurrent use.
func NewID(now time.Time) ID {
	var id ID
	rand.Read(id[6:])
	ms := uint64(now.UnixMilli())
	binary.BigEndian.PutUint16(id[0:], uint16(ms>>32))
	binary.BigEndian.PutUint32(id[2:], uint32(ms))
	id[6] = id[6]&0x0f | 0x70
	id[8] = id[8]&0x3f | 0x80
	return id
}

// String returns the 36 characters of RFC 9562, section 4.
func (id ID) String() string {
	var b [36]byte
	return string(id.Append(b[:0]))
}

// Append appends the 36 characters of String to dst and returns it.
func (id ID) Append(dst []byte) []byte {
	var b [36]byte
	hex.Encode(b[0:8], id[0:4])
	b[8] = '-'
	hex.Encode(b[9:13], id[4:6])
	b[13] = '-'
	hex.Encode(b[14:18], id[6:8])
	b[18] = '-'
	hex.Encode(b[19:23], id[8:10])
	b[23] = '-'
	hex.Encode(b[24:36], id[10:16])
	return append(dst, b[:]...)
}

// IsZero reports whether id was never set.
func (id ID) IsZero() bool { return id == ID{} }

// Trace is a W3C trace context: the trace this exchange belongs to and the
// span that this hop's work hangs under.
type Trace struct {
	ID    [16]byte
	Span  [8]byte // the parent span for the next hop
	Flags byte
	State string // tracestate, as received from a trusted peer
}

// NewTrace starts a trace.
func NewTrace() Trace {
	var t Trace
	var b [24]byte
	rand.Read(b[:])
	copy(t.ID[:], b[:16])
	copy(t.Span[:], b[16:])
	return t
}

// Parent returns the value of the traceparent field.
func (t Trace) Parent() string {
	var b [55]byte
	return string(t.AppendParent(b[:0]))
}

// AppendParent appends the 55 characters of Parent to dst and returns it.
func (t Trace) AppendParent(dst []byte) []byte {
	var b [55]byte
	b[0], b[1], b[2] = '0', '0', '-'
	hex.Encode(b[3:35], t.ID[:])
	b[35] = '-'
	hex.Encode(b[36:52], t.Span[:])
	b[52] = '-'
	hex.Encode(b[53:55], []byte{t.Flags})
	return append(dst, b[:]...)
}

// IsZero reports whether t was never set.
func (t Trace) IsZero() bool { return t.ID == [16]byte{} }

// ParseTrace reads a traceparent value. Of a version above 00 it reads the part
// that version 00 defines, as the W3C recommendation asks. The State is left
// empty.
func ParseTrace(s string) (Trace, error) {
	var t Trace
	if len(s) < 55 || s[2] != '-' || s[35] != '-' || s[52] != '-' ||
		(s[:2] == "00" && len(s) != 55) || (len(s) > 55 && s[55] != '-') || s[:2] == "ff" {
		return Trace{}, fmt.Errorf("traceparent of %d bytes is not version-traceid-parentid-flags", len(s))
	}
	var version, flags [1]byte
	if !decodeLowerHex(version[:], s[0:2]) || !decodeLowerHex(t.ID[:], s[3:35]) ||
		!decodeLowerHex(t.Span[:], s[36:52]) || !decodeLowerHex(flags[:], s[53:55]) {
		return Trace{}, fmt.Errorf("traceparent holds something else than lower-case hex")
	}
	if t.IsZero() || t.Span == [8]byte{} {
		return Trace{}, fmt.Errorf("traceparent with an all-zero id")
	}
	t.Flags = flags[0] & 1
	return t, nil
}

// decodeLowerHex fills dst from twice as many lower-case hex digits. It stands
// for hex.Decode, which takes upper case too and wants a copy of src.
func decodeLowerHex(dst []byte, src string) bool {
	for i := range dst {
		high, low := lowerHexDigit(src[2*i]), lowerHexDigit(src[2*i+1])
		if high > 15 || low > 15 {
			return false
		}
		dst[i] = high<<4 | low
	}
	return true
}

// lowerHexDigit returns the value of c, or a number above 15.
func lowerHexDigit(c byte) byte {
	switch {
	case '0' <= c && c <= '9':
		return c - '0'
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10
	default:
		return 255
	}
}
