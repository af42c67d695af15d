package tunnel

import (
	"context"
	"errors"
	"io"

	"github.com/quic-go/quic-go"
)

// A Stream is the byte stream under a lane: a QUIC stream, or a TLS connection.
// One goroutine may read while another writes.
type Stream interface {
	io.Reader
	io.Writer

	// Number identifies the lane on its connection; both ends see the same.
	Number() uint64

	// Context ends when the peer gave the lane up or the connection ended.
	Context() context.Context

	// Leave ends the lane once what was written has been delivered. Nothing more
	// is read.
	Leave()

	// Abort ends both directions at once and tells the peer why. Reads and
	// writes under way return an error. It may be called at any time and more
	// than once; the first code counts.
	Abort(Code)
}

// QUICStream returns s as a Stream.
func QUICStream(s *quic.Stream) Stream { return quicStream{s} }

type quicStream struct{ *quic.Stream }

func (s quicStream) Number() uint64 { return uint64(s.StreamID()) }

func (s quicStream) Leave() {
	s.CancelRead(0)
	s.Stream.Close()
}

func (s quicStream) Abort(c Code) {
	s.CancelRead(quic.StreamErrorCode(c))
	s.CancelWrite(quic.StreamErrorCode(c))
}

func (s quicStream) Read(p []byte) (int, error) {
	n, err := s.Stream.Read(p)
	return n, abortedBy(err)
}

func (s quicStream) Write(p []byte) (int, error) {
	n, err := s.Stream.Write(p)
	return n, abortedBy(err)
}

// abortedBy turns the stream error of a remote reset into an AbortError.
func abortedBy(err error) error {
	if err == nil || err == io.EOF {
		return err
	}
	var reset *quic.StreamError
	if errors.As(err, &reset) && reset.Remote {
		return &AbortError{Code: CodeFrom(uint64(reset.ErrorCode))}
	}
	return err
}
