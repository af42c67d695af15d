package tunnel

import (
	"io"

	"github.com/quic-go/quic-go/quicvarint"
)

// FrameType is the first byte of a frame.
type FrameType uint8

// Frames of an exchange.
const (
	FrameHead          FrameType = 0x01 // edge: request head
	FrameResponse      FrameType = 0x02 // core: head of the final response
	FrameInformational FrameType = 0x03 // core: head of a 1xx response
	FrameBody          FrameType = 0x04 // both: content
	FrameTrailers      FrameType = 0x05 // both: trailer section
	FrameEnd           FrameType = 0x06 // both: this direction is complete
	FrameAbort         FrameType = 0x07 // both, TCP only: the lane ends here with a Code
)

// Frames of a control lane, and of the start of a TCP lane.
const (
	FrameHello  FrameType = 0x20 // both, first: version, name, capabilities
	FramePing   FrameType = 0x21 // both: asks for a PONG
	FramePong   FrameType = 0x22 // both: answers a PING
	FrameState  FrameType = 0x23 // core: readiness and load
	FrameCredit FrameType = 0x24 // both: more of a body may be sent
	FrameAttach FrameType = 0x25 // edge, first on a TCP lane: which session it belongs to
	FrameCancel FrameType = 0x26 // edge, TCP only: a lane was aborted
)

// A Header starts every frame.
//
//	+---------+------------------------+-----------------+
//	| type: 1 | length: 1, 2, 4 or 8   | payload: length |
//	+---------+------------------------+-----------------+
//
// Sizes are bytes. Length is a variable-length integer (RFC 9000, section 16).
type Header struct {
	Type   FrameType
	Length int // payload bytes, at most the maximum of Type
}

// maxPayload returns the longest payload that a frame of type t may have, and
// false for a type that is unknown. Unknown types from 0x40 up are extensions:
// a receiver skips them.
func maxPayload(t FrameType) (int, bool) {
	switch t {
	case FrameHead, FrameResponse, FrameInformational, FrameTrailers:
		return MaxHead, true
	case FrameBody:
		return MaxBodyFrame, true
	case FrameEnd:
		return MaxEnd, true
	case FrameAbort:
		return 8, true
	case FrameHello, FramePing, FramePong, FrameState, FrameCredit, FrameAttach, FrameCancel:
		return MaxControl, true
	}
	return MaxControl, t >= 0x40
}

// AppendHeader appends the encoding of h to b.
func AppendHeader(b []byte, h Header) []byte {
	return quicvarint.Append(append(b, byte(h.Type)), uint64(h.Length))
}

// ParseHeader reads a Header from the front of b and reports how many bytes it
// took. It returns io.ErrUnexpectedEOF if b ends inside the header, and an error
// matching ErrProtocol if the type is unknown or the length exceeds its maximum.
// It does not retain b.
func ParseHeader(b []byte) (Header, int, error) {
	if len(b) == 0 {
		return Header{}, 0, io.ErrUnexpectedEOF
	}
	t := FrameType(b[0])
	limit, known := maxPayload(t)
	if !known {
		return Header{}, 0, protocolErrorf("frame type %#02x", b[0])
	}
	length, n, err := quicvarint.Parse(b[1:])
	if err != nil {
		return Header{}, 0, io.ErrUnexpectedEOF
	}
	if length > uint64(limit) {
		return Header{}, 0, protocolErrorf("frame type %#02x of %d bytes, limit %d", b[0], length, limit)
	}
	return Header{Type: t, Length: int(length)}, 1 + n, nil
}
