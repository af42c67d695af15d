package listener

import (
	"errors"
	"io"
	"maps"
	"net/http"
	"os"
	"sync"
	"time"
)

// maxWrite is how much of a response is given to HTTP/2 or HTTP/3 at once. A
// client makes progress if it takes that much within the write timeout.
const maxWrite = 16 << 10

// A deadliner is what the ResponseWriters of HTTP/2 and HTTP/3 have in common
// beyond http.ResponseWriter.
type deadliner interface {
	http.ResponseWriter
	FlushError() error
	SetReadDeadline(time.Time) error
	SetWriteDeadline(time.Time) error
}

// A stream is the ResponseWriter and the request body of one request over HTTP/2
// or HTTP/3. It breaks off what makes no progress: on HTTP/1 the connection does
// that, here one stream must not wait for another.
type stream struct {
	w      deadliner
	limits *Limits
	body   io.ReadCloser
	req    *http.Request // whose Trailer quic-go replaces
	tail   http.Header   // Trailer as the handlers know it
	taken  int64         // body bytes read
	unsent int           // body bytes written since the last flush
	read   guard
	write  guard
}

func newStream(w deadliner, r *http.Request, limits *Limits) *stream {
	s := &stream{w: w, limits: limits}
	// The deadlines of a QUIC stream cost nothing until something blocks on them.
	cheap := r.ProtoMajor == 3
	s.read.init(limits.BodyTimeout.Std(), cheap, w.SetReadDeadline)
	s.write.init(limits.WriteTimeout.Std(), cheap, w.SetWriteDeadline)
	if r.Body != nil && r.Body != http.NoBody {
		s.body, r.Body = r.Body, streamBody{s}
		keepTrailer(r)
		s.req, s.tail = r, r.Trailer
	}
	return s
}

// Unwrap is for http.ResponseController.
func (s *stream) Unwrap() http.ResponseWriter { return s.w }

func (s *stream) Header() http.Header { return s.w.Header() }

func (s *stream) WriteHeader(status int) { s.w.WriteHeader(status) }

func (s *stream) Write(p []byte) (int, error) {
	written := 0
	for {
		part := p[written:min(len(p), written+maxWrite)]
		s.write.begin()
		n, err := s.w.Write(part)
		s.write.end()
		written += n
		s.unsent += n
		if err != nil || written == len(p) {
			return written, err
		}
	}
}

// Flush sends what was written so far.
func (s *stream) Flush() { s.FlushError() }

// FlushError is Flush for http.ResponseController.
func (s *stream) FlushError() error {
	s.write.begin()
	defer s.write.end()
	s.unsent = 0
	return s.w.FlushError()
}

// SetReadDeadline is for http.ResponseController. It counts beside the body
// timeout.
func (s *stream) SetReadDeadline(t time.Time) error { return s.read.setUser(t) }

// SetWriteDeadline is for http.ResponseController. It counts beside the write
// timeout.
func (s *stream) SetWriteDeadline(t time.Time) error { return s.write.setUser(t) }

// finish is called when the handler is done: the library may still hold bytes
// that the client does not take.
func (s *stream) finish() {
	if s.unsent > 0 {
		s.write.last()
	}
}

// keepTrailer makes the Trailer of r a map before handlers copy r: what is set in
// it at the end of the body is then seen in every copy, and a trailer that was not
// announced is not lost.
func keepTrailer(r *http.Request) {
	if r.Trailer == nil && r.ContentLength < 0 {
		r.Trailer = make(http.Header)
	}
}

// streamBody is the request body that the handler reads.
type streamBody struct{ s *stream }

func (b streamBody) Read(p []byte) (int, error) {
	s := b.s
	s.read.begin()
	n, err := s.body.Read(p)
	mine := s.read.end()
	s.taken += int64(n)
	if err == io.EOF && s.tail != nil && s.req.ProtoMajor == 3 {
		maps.Copy(s.tail, s.req.Trailer)
	}
	switch limit := int64(s.limits.BodyBytes); {
	case limit > 0 && s.taken > limit:
		return n - int(min(s.taken-limit, int64(n))), longBody.proxyError()
	case mine && errors.Is(err, os.ErrDeadlineExceeded):
		return n, slowBody.proxyError()
	}
	return n, err
}

func (b streamBody) Close() error { return b.s.body.Close() }

// A guard ends one direction of a stream when an operation takes too long. Where
// setting a deadline is cheap it sets one; where it is a message to another
// goroutine (HTTP/2), it runs a timer and sets one only when that fires.
type guard struct {
	timeout time.Duration // 0: none
	cheap   bool
	set     func(time.Time) error

	// mu guards the fields below it.
	mu      sync.Mutex
	user    time.Time // deadline of the handler
	timer   *time.Timer
	busy    bool      // between begin and end
	by      time.Time // when the operation has to be done
	expired bool
}

func (g *guard) init(timeout time.Duration, cheap bool, set func(time.Time) error) {
	g.timeout, g.cheap, g.set = timeout, cheap, set
}

func (g *guard) begin() {
	if g.timeout <= 0 {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.busy = true
	g.by = time.Now().Add(g.timeout)
	switch {
	case g.cheap:
		g.set(earlier(g.user, g.by))
	case g.timer == nil:
		g.timer = time.AfterFunc(g.timeout, g.expire)
	default:
		g.timer.Reset(g.timeout)
	}
}

// end reports whether the operation was ended by the guard, not by a deadline of
// the handler.
func (g *guard) end() bool {
	if g.timeout <= 0 {
		return false
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.busy = false
	if g.timer != nil {
		g.timer.Stop()
	}
	if g.cheap {
		return !time.Now().Before(g.by) && (g.user.IsZero() || g.by.Before(g.user))
	}
	return g.expired
}

// expire runs in the timer's goroutine. It holds mu while it ends the operation:
// the handler cannot return meanwhile, after which the stream may not be touched.
func (g *guard) expire() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.busy && !time.Now().Before(g.by) {
		g.expired = true
		g.set(time.Unix(1, 0))
	}
}

func (g *guard) setUser(t time.Time) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.user = t
	if g.cheap && g.busy {
		return g.set(earlier(t, g.by))
	}
	return g.set(t)
}

// last sets a deadline for what the library does after the handler.
func (g *guard) last() {
	if g.timeout > 0 {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.set(earlier(g.user, time.Now().Add(g.timeout)))
	}
}
