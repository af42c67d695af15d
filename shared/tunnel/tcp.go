package tunnel

import (
	"context"
	"crypto/tls"
	"io"
	"sync"
	"time"
)

const (
	// tcpBuffer is how much a TCP lane reads ahead of its reader, in bytes.
	tcpBuffer = 64 << 10
	// abortTimeout bounds the writing of an ABORT frame.
	abortTimeout = 200 * time.Millisecond
	// lingerTimeout bounds how long a lane that ended waits for its peer to close.
	lingerTimeout = 5 * time.Second
)

// TCPStream is a Stream over a TLS connection of its own. Somebody must call Run:
// it reads ahead, so that the end of the peer is noticed while nobody reads.
//
// A lane that ends is not closed at once. The kernel answers data that nobody
// read with a reset, which makes the far kernel throw away what was written last:
// the end of a response, or the code of an ABORT. So the writing side is closed
// first, and Run reads what still comes until the peer has closed too.
type TCPStream struct {
	conn   *tls.Conn
	number uint64
	ctx    context.Context
	cancel context.CancelCauseFunc

	writing sync.Mutex // held during a write; every write is of whole frames

	mu       sync.Mutex // guards what follows
	ahead    [tcpBuffer]byte
	from, n  int   // of ahead: what was read and not yet taken
	err      error // of the reading side, sticky
	over     bool  // Leave, Abort or Close was called: what comes is thrown away
	arrived  chan struct{}
	consumed chan struct{}
}

// NewTCPStream returns the Stream of lane number over conn, which it owns. The
// handshake of conn must be complete.
func NewTCPStream(conn *tls.Conn, number uint64) *TCPStream {
	ctx, cancel := context.WithCancelCause(context.Background())
	return &TCPStream{conn: conn, number: number, ctx: ctx, cancel: cancel,
		arrived: make(chan struct{}, 1), consumed: make(chan struct{}, 1)}
}

// Number returns the lane's number in its session.
func (s *TCPStream) Number() uint64 { return s.number }

// SetNumber sets the lane's number, where ATTACH tells it, before first use.
func (s *TCPStream) SetNumber(n uint64) { s.number = n }

// Context ends when the connection did, or the lane on this side.
func (s *TCPStream) Context() context.Context { return s.ctx }

// Run reads from the connection until it ends, then closes it. It returns nil:
// the reader of the Stream gets the error.
func (s *TCPStream) Run() error {
	defer s.conn.Close()
	for {
		free := s.room()
		if free == nil {
			break
		}
		n, err := s.conn.Read(free)
		s.mu.Lock()
		s.n += n
		if err != nil && s.err == nil {
			s.err = err
		}
		s.mu.Unlock()
		signal(s.arrived)
		if err != nil {
			s.cancel(noEOF(err))
			return nil
		}
	}
	var scratch [4 << 10]byte
	for {
		if _, err := s.conn.Read(scratch[:]); err != nil {
			return nil
		}
	}
}

// room waits for free space behind what is buffered, and returns nil when the
// stream is over.
func (s *TCPStream) room() []byte {
	for {
		s.mu.Lock()
		if s.n == 0 {
			s.from = 0
		}
		end := s.from + s.n
		if end == len(s.ahead) && s.from > 0 {
			copy(s.ahead[:], s.ahead[s.from:end])
			s.from, end = 0, s.n
		}
		over := s.over
		s.mu.Unlock()
		switch {
		case over:
			return nil
		case end < len(s.ahead):
			// Only Run writes behind end, so the space stays free without the lock.
			return s.ahead[end:]
		}
		<-s.consumed
	}
}

// Read takes what was read ahead, or waits for it. What arrived before the peer
// ended the lane can still be read.
func (s *TCPStream) Read(p []byte) (int, error) {
	for {
		s.mu.Lock()
		switch {
		case s.over:
			s.mu.Unlock()
			return 0, io.ErrClosedPipe
		case s.n > 0:
			n := copy(p, s.ahead[s.from:s.from+s.n])
			s.from, s.n = s.from+n, s.n-n
			s.mu.Unlock()
			signal(s.consumed)
			return n, nil
		case s.err != nil:
			defer s.mu.Unlock()
			return 0, s.err
		}
		s.mu.Unlock()
		<-s.arrived
	}
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// Write writes p, which holds whole frames.
func (s *TCPStream) Write(p []byte) (int, error) {
	s.writing.Lock()
	defer s.writing.Unlock()
	n, err := s.conn.Write(p)
	if err != nil {
		s.cancel(err)
	}
	return n, err
}

// finish makes Reads fail and Run throw away what comes. It reports whether the
// stream was not over before.
func (s *TCPStream) finish() bool {
	s.mu.Lock()
	first := !s.over
	s.over = true
	s.mu.Unlock()
	signal(s.arrived)
	signal(s.consumed)
	return first
}

// Leave closes the writing side, after which the peer closes the connection. It
// does not wait for that.
func (s *TCPStream) Leave() {
	if !s.finish() {
		return
	}
	s.writing.Lock()
	defer s.writing.Unlock()
	s.end()
}

// end closes the writing side and gives the peer lingerTimeout to close. It is
// called with writing held.
func (s *TCPStream) end() {
	s.conn.SetReadDeadline(time.Now().Add(lingerTimeout))
	if s.conn.CloseWrite() != nil {
		s.conn.Close()
	}
	s.cancel(io.ErrClosedPipe)
}

// Abort tells the peer the code, if no write is under way, and ends the lane.
func (s *TCPStream) Abort(c Code) {
	if !s.finish() {
		return
	}
	if !s.writing.TryLock() {
		s.Close() // a frame is cut in the middle, so nothing can follow it
		return
	}
	defer s.writing.Unlock()
	s.conn.SetWriteDeadline(time.Now().Add(abortTimeout))
	if _, err := s.conn.Write(appendAbort(nil, c)); err != nil {
		s.Close()
		return
	}
	s.end()
}

// Close ends the connection at once.
func (s *TCPStream) Close() {
	s.finish()
	s.cancel(io.ErrClosedPipe)
	s.conn.NetConn().Close() // tls.Conn.Close would wait for a write under way
}
