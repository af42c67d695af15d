package listener

import (
	"errors"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// A sock is an accepted TCP connection. It breaks off writes that make no
// progress, gives back what was read past a PROXY header, and tells the
// listener once when it is closed. It is as safe for concurrent use as the
// net.Conn below it.
type sock struct {
	net.Conn
	remote  net.Addr // the client: the PROXY header's source if there was one
	early   []byte   // read with the PROXY header, not yet given to Read
	stall   time.Duration
	onClose func()
	used    atomic.Bool // a byte of HTTP was read

	// mu guards the fields below it.
	mu        sync.Mutex
	closed    bool
	userWrite time.Time // the deadline that the user of the conn asked for
	armedAt   time.Time // when the deadline of the conn was last set
}

func (s *sock) RemoteAddr() net.Addr { return s.remote }

func (s *sock) Read(p []byte) (int, error) {
	if len(s.early) > 0 {
		n := copy(p, s.early)
		if s.early = s.early[n:]; len(s.early) == 0 {
			s.early = nil
		}
		return n, nil
	}
	return s.Conn.Read(p)
}

// Write writes all of p unless for the stall time not a byte of it could be
// written.
func (s *sock) Write(p []byte) (int, error) {
	if s.stall <= 0 {
		return s.Conn.Write(p)
	}
	written := 0
	for {
		if err := s.armWrite(written > 0); err != nil {
			return written, err
		}
		n, err := s.Conn.Write(p[written:])
		written += n
		if err == nil || n == 0 || !errors.Is(err, os.ErrDeadlineExceeded) || s.userExpired() {
			return written, err
		}
	}
}

// armWrite moves the write deadline on. A deadline that was set less than an
// eighth of the stall time ago is left as it is: it saves the call in most
// writes of a busy connection.
func (s *sock) armWrite(again bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	if !again && now.Sub(s.armedAt) < s.stall/8 {
		return nil
	}
	s.armedAt = now
	return s.Conn.SetWriteDeadline(earlier(s.userWrite, now.Add(s.stall)))
}

func (s *sock) userExpired() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !s.userWrite.IsZero() && !time.Now().Before(s.userWrite)
}

// SetWriteDeadline sets the deadline of the user, which counts beside the stall
// time. net/http clears it after each response: that costs nothing.
func (s *sock) SetWriteDeadline(t time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stall > 0 && t.IsZero() && s.userWrite.IsZero() {
		return nil
	}
	s.userWrite = t
	s.armedAt = time.Time{}
	return s.Conn.SetWriteDeadline(t)
}

func (s *sock) SetDeadline(t time.Time) error {
	return errors.Join(s.SetReadDeadline(t), s.SetWriteDeadline(t))
}

// CloseWrite sends FIN, if the connection can.
func (s *sock) CloseWrite() error {
	if c, ok := s.Conn.(interface{ CloseWrite() error }); ok {
		return c.CloseWrite()
	}
	return nil
}

func (s *sock) use() {
	if !s.used.Load() {
		s.used.Store(true)
	}
}

func (s *sock) abort()       { s.Close() }
func (s *sock) unused() bool { return !s.used.Load() }

// also adds f to what is done when s is closed. It reports false, without doing
// f, if s is closed already.
func (s *sock) also(f func()) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	before := s.onClose
	s.onClose = func() { f(); before() }
	return true
}

func (s *sock) Close() error {
	err := s.Conn.Close()
	s.mu.Lock()
	first := !s.closed
	s.closed = true
	s.mu.Unlock()
	if first {
		s.onClose()
	}
	return err
}

// noDeadline clears a deadline.
var noDeadline time.Time

// earlier returns the earlier of two deadlines; the zero time is none.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || (!b.IsZero() && b.Before(a)) {
		return b
	}
	return a
}
