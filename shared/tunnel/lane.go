package tunnel

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// Peer is what a lane needs to know of its connection.
type Peer interface {
	// GrantCredit tells the far end that it may send limit body bytes in all for
	// the numbered exchange of a lane. It does not block.
	GrantCredit(lane, exchange, limit uint64)

	// RTT is the smoothed round-trip time.
	RTT() time.Duration
}

// A Lane carries exchanges, one after another, over a Stream. One goroutine at a
// time may use the reading methods and one the writing methods; Grant and Abort
// may be called from anywhere.
type Lane struct {
	Stream
	peer    Peer
	in      *bufio.Reader
	out     []byte // encoded and not yet written
	receive receiveWindow
	send    sendWindow
	count   uint64 // exchanges begun
}

// NewLane returns a Lane over s. A nil peer means that the stream's own flow
// control is enough, as it is for a TCP connection.
func NewLane(s Stream, peer Peer) *Lane {
	return &Lane{Stream: s, peer: peer, in: bufio.NewReaderSize(s, readBuffer), send: sendWindow{grown: make(chan struct{}, 1)}}
}

// Grant handles a CREDIT message for this lane.
func (l *Lane) Grant(exchange, limit uint64) { l.send.grant(exchange, limit) }

// Begin starts the next exchange. sendLimit is how many body bytes the peer takes
// for a start; 0 means no limit. End, or Release if the lane is not used again,
// must be called when the exchange is over.
func (l *Lane) Begin(sendLimit uint64) {
	l.count++
	l.send.begin(sendLimit)
}

// Receive reserves budget for the body that the peer may send in the exchange
// that has begun, and returns how many bytes of it the peer may send for a
// start. A start of 0 leaves that number to the budget. It returns false when the
// budget is exhausted, and a credit of 0 where the stream's own flow control
// does.
func (l *Lane) Receive(budget *Budget, start int64) (credit uint64, ok bool) {
	if l.peer == nil {
		return 0, true
	}
	n := l.receive.begin(budget, start)
	return uint64(n), n > 0
}

// Release gives back the budget that Receive reserved. It belongs to the goroutine
// that reads.
func (l *Lane) Release() { l.receive.end() }

// End makes the lane ready for the next exchange when both directions of this one
// are over: it gives back the budget, and the memory that a large head left.
func (l *Lane) End() {
	l.Release()
	if cap(l.out) > keepBuffer {
		l.out = nil
	}
}

// Next reads the header of the next frame. An ABORT frame comes back as an
// *AbortError; extension frames are skipped.
func (l *Lane) Next() (Header, error) {
	for skipped := 0; ; {
		h, err := l.header()
		switch {
		case err != nil:
			return Header{}, err
		case h.Type == FrameAbort:
			payload, err := l.Payload(h.Length)
			if err != nil {
				return Header{}, err
			}
			d := decoder{rest: payload}
			return Header{}, &AbortError{Code: CodeFrom(d.uint())}
		case h.Type < 0x40:
			return h, nil
		}
		if _, err := l.in.Discard(h.Length); err != nil {
			return Header{}, noEOF(err)
		}
		if skipped++; skipped > MaxExtensions {
			return Header{}, protocolErrorf("more than %d extension frames in a row", MaxExtensions)
		}
	}
}

func (l *Lane) header() (Header, error) {
	for want := 2; ; want++ {
		b, err := l.in.Peek(want)
		h, n, parseErr := ParseHeader(b)
		switch {
		case parseErr == nil:
			_, err = l.in.Discard(n)
			return h, err
		case parseErr != io.ErrUnexpectedEOF:
			return Header{}, parseErr
		case err == io.EOF && len(b) > 0:
			return Header{}, io.ErrUnexpectedEOF
		case err != nil:
			return Header{}, err
		}
	}
}

// FrameBuffered reports whether the next frame can be read whole without waiting.
func (l *Lane) FrameBuffered() bool {
	b, _ := l.in.Peek(min(l.in.Buffered(), 9))
	h, n, err := ParseHeader(b)
	return err == nil && l.in.Buffered() >= n+h.Length
}

// Attached reads the ATTACH with which the lane of a TCP session starts. It
// returns false, and reads nothing, if the lane starts with another frame.
func (l *Lane) Attached() (a Attach, ok bool, err error) {
	b, err := l.in.Peek(1)
	if err != nil || FrameType(b[0]) != FrameAttach {
		return Attach{}, false, err
	}
	h, err := l.Next()
	if err != nil {
		return Attach{}, false, err
	}
	payload, err := l.Payload(h.Length)
	if err != nil {
		return Attach{}, false, err
	}
	m, err := ParseControl(h.Type, payload)
	if err != nil {
		return Attach{}, false, err
	}
	return m.(Attach), true, nil
}

// WaitReadable blocks until there is a byte to read.
func (l *Lane) WaitReadable() error {
	_, err := l.in.Peek(1)
	return err
}

// Payload reads the n bytes of a frame's payload.
func (l *Lane) Payload(n int) (string, error) {
	if n <= l.in.Size() {
		b, err := l.in.Peek(n)
		if err != nil {
			return "", noEOF(err)
		}
		s := string(b)
		_, err = l.in.Discard(n)
		return s, err
	}
	// The builder grows with what arrives, not with what was announced.
	var s strings.Builder
	if _, err := io.CopyN(&s, l.in, int64(n)); err != nil {
		return "", noEOF(err)
	}
	return s.String(), nil
}

func noEOF(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// frame appends a frame whose payload is written by fill, which appends to what
// it is given. The length is put in afterwards: two bytes of it are enough for
// all but the largest heads. An error leaves nothing behind.
func (l *Lane) frame(t FrameType, fill func([]byte) ([]byte, error)) error {
	const room = 3 // type and a two-byte length
	start := len(l.out)
	b, err := fill(append(l.out, byte(t), 0, 0))
	if err != nil {
		return err
	}
	n := len(b) - start - room
	if limit, _ := maxPayload(t); n > limit {
		return fmt.Errorf("%w: %d bytes, limit %d", ErrHeadSize, n, limit)
	}
	if n < 1<<14 {
		b[start+1], b[start+2] = 0x40|byte(n>>8), byte(n)
		l.out = b
		return nil
	}
	b = append(b, 0, 0) // a four-byte length
	copy(b[start+room+2:], b[start+room:])
	b[start+1], b[start+2], b[start+3], b[start+4] = 0x80|byte(n>>24), byte(n>>16), byte(n>>8), byte(n)
	l.out = b
	return nil
}

// WriteRequest queues a HEAD. Without body and upgrade it is also the end of its
// direction. Errors match ErrHeadSize or ErrHeadSyntax; the lane is as before.
func (l *Lane) WriteRequest(h *RequestHead) error {
	return l.frame(FrameHead, func(b []byte) ([]byte, error) { return AppendRequestHead(b, h) })
}

// WriteResponse queues a RESPONSE, or an INFORMATIONAL for a 1xx other than 101.
// Errors are as for WriteRequest.
func (l *Lane) WriteResponse(h *ResponseHead) error {
	t := FrameResponse
	if h.Status < 200 && h.Status != http.StatusSwitchingProtocols {
		t = FrameInformational
	}
	return l.frame(t, func(b []byte) ([]byte, error) { return AppendResponseHead(b, h) })
}

// WriteBody queues body bytes and writes what fills a chunk. It blocks while the
// peer has no credit left, until ctx ends.
func (l *Lane) WriteBody(ctx context.Context, p []byte) error {
	for len(p) > 0 {
		n := l.send.take(min(len(p), bodyChunk))
		if n == 0 {
			if err := l.Flush(); err != nil {
				return err
			}
			if err := l.send.wait(ctx); err != nil {
				return err
			}
			continue
		}
		l.out = append(AppendHeader(l.out, Header{FrameBody, n}), p[:n]...)
		p = p[n:]
		if len(l.out) >= bodyChunk {
			if err := l.Flush(); err != nil {
				return err
			}
		}
	}
	return nil
}

// WriteTrailers queues a trailer section, if there is one. Errors are as for
// WriteRequest.
func (l *Lane) WriteTrailers(h http.Header) error {
	if len(h) == 0 {
		return nil
	}
	return l.frame(FrameTrailers, func(b []byte) ([]byte, error) { return AppendTrailers(b, h) })
}

// WriteEnd queues the END of this direction and writes everything.
func (l *Lane) WriteEnd(e *End) error {
	if err := l.frame(FrameEnd, func(b []byte) ([]byte, error) { return AppendEnd(b, e), nil }); err != nil {
		return err
	}
	return l.Flush()
}

// Flush writes what is queued.
func (l *Lane) Flush() error {
	if len(l.out) == 0 {
		return nil
	}
	_, err := l.Write(l.out)
	l.out = l.out[:0]
	return err
}
