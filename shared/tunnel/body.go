package tunnel

import (
	"io"
	"net/http"

	"github.com/ergoproxy/ergo/shared/exchange"
)

// A BodyReader reads the body, trailers and end of one direction of an exchange
// from a Lane. It belongs to the goroutine that reads.
type BodyReader struct {
	Trailer http.Header     // complete once Read returned io.EOF
	Report  exchange.Report // likewise; only a core sends one
	Last    bool            // likewise; the peer serves no further exchange on the lane

	lane      *Lane
	remaining int   // bytes of the current BODY frame
	err       error // sticky; io.EOF after END
}

// NewBodyReader returns a BodyReader for the exchange that l has begun.
func NewBodyReader(l *Lane) *BodyReader { return &BodyReader{lane: l} }

// Ended reports whether END was read, or is here already with nothing before it,
// after which the lane holds nothing more of this exchange. It does not wait.
func (b *BodyReader) Ended() bool {
	if b.err == nil && b.remaining == 0 && b.lane.endBuffered() {
		b.err = b.advance()
	}
	return b.err == io.EOF
}

// Read reads body bytes. It returns io.EOF after the END frame, and together with
// the last bytes where END has already arrived. Other errors are an *AbortError,
// one that matches ErrProtocol, or the connection's.
func (b *BodyReader) Read(p []byte) (int, error) {
	if b.err != nil {
		return 0, b.err
	}
	for b.remaining == 0 {
		if b.err = b.advance(); b.err != nil {
			return 0, b.err
		}
	}
	if len(p) == 0 {
		return 0, nil
	}
	n, err := b.lane.in.Read(p[:min(len(p), b.remaining)])
	b.remaining -= n
	b.consumed(n)
	if err != nil {
		b.err = noEOF(err)
		return n, b.err
	}
	if b.remaining == 0 && b.lane.endBuffered() {
		b.err = b.advance()
	}
	return n, b.err
}

func (b *BodyReader) consumed(n int) {
	l := b.lane
	if l.peer == nil {
		return
	}
	if limit, tell := l.receive.consume(int64(n), l.peer.RTT); tell {
		l.peer.GrantCredit(l.Number(), l.count, uint64(limit))
	}
}

// advance reads frame headers up to the next BODY with content, and returns
// io.EOF at END.
func (b *BodyReader) advance() error {
	h, err := b.lane.Next()
	if err != nil {
		return noEOF(err)
	}
	switch h.Type {
	case FrameBody:
		if h.Length == 0 || b.Trailer != nil {
			return protocolErrorf("empty body frame, or one after the trailers")
		}
		b.remaining = h.Length
		return b.lane.receive.arrived(int64(h.Length))
	case FrameTrailers:
		return b.trailers(h.Length)
	case FrameEnd:
		payload, err := b.lane.Payload(h.Length)
		if err != nil {
			return err
		}
		end, err := ParseEnd(payload)
		if err != nil {
			return err
		}
		b.Report, b.Last = end.Report, end.Last
		return io.EOF
	}
	return protocolErrorf("frame type %#02x inside a body", byte(h.Type))
}

func (b *BodyReader) trailers(n int) error {
	if b.Trailer != nil {
		return protocolErrorf("second trailer section")
	}
	payload, err := b.lane.Payload(n)
	if err != nil {
		return err
	}
	b.Trailer, err = ParseTrailers(payload)
	return err
}

// endBuffered reports whether the next frame is an END that is here already.
func (l *Lane) endBuffered() bool {
	b, _ := l.in.Peek(min(l.in.Buffered(), 1))
	return len(b) == 1 && FrameType(b[0]) == FrameEnd && l.FrameBuffered()
}
