package backend

import (
	"context"
	"encoding/binary"
	"errors"
	"math"
	"net"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ergoproxy/ergo/core/backend/h1"
)

// A conn is one connection to a backend, after TLS if there is any. It stands
// between the network and whoever speaks HTTP on it, h1 or net/http, and writes
// down the facts that those do not tell: whether a request left at all, what broke the connection, how far
// an HTTP/2 server says it got. Errors are judged by these, never by texts.
type conn struct {
	net.Conn
	wire   *h1.Wire // below TLS
	h2     bool
	h1     *h1.Conn         // nil with HTTP/2
	client *http.ClientConn // nil with HTTP/1.1
	pool   *conns

	read    atomic.Int64 // bytes
	wrote   atomic.Int64 // bytes handed to the network
	readErr atomic.Pointer[error]
	sendErr atomic.Pointer[error]

	frames *frameWatch // nil with HTTP/1.1

	closing   sync.Once
	closeErr  error
	used      atomic.Bool // a request was sent on it before
	admitted  bool        // it has a place in the pool; guarded by pool.mu, like the next
	closed    bool
	idle      bool // in pool.idle
	idleSince time.Time
}

// Read implements net.Conn.
func (c *conn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.read.Add(int64(n))
	if c.frames != nil {
		c.frames.received.feed(p[:n])
	}
	if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) { // a deadline is h1's own
		note(&c.readErr, err)
	}
	return n, err
}

// note keeps the first error that is not our own closing.
func note(first *atomic.Pointer[error], err error) {
	if !errors.Is(err, net.ErrClosed) {
		first.CompareAndSwap(nil, &err)
	}
}

// Write implements net.Conn.
func (c *conn) Write(p []byte) (int, error) {
	if c.frames != nil {
		c.frames.sent.feed(p)
	}
	n, err := c.Conn.Write(p)
	if err != nil {
		note(&c.sendErr, err)
		if c.Conn != net.Conn(c.wire) {
			// TLS reports 0 bytes although records may have left.
			n = max(n, 1)
			c.wrote.Add(int64(n))
			return 0, err
		}
	}
	c.wrote.Add(int64(n))
	return n, err
}

// Close implements net.Conn. The first call gives the connection's place in
// the pool to the next.
func (c *conn) Close() error {
	c.closing.Do(func() {
		c.closeErr = c.Conn.Close()
		c.pool.released(c)
	})
	return c.closeErr
}

// shut closes c between two requests.
func (c *conn) shut() {
	if c.h2 {
		c.client.Close()
		return
	}
	c.Close()
}

// release gives back what was reserved, when no request is sent after all.
func (c *conn) release() {
	if c.h2 {
		c.client.Release()
		return
	}
	c.pool.freed(c)
}

// quiet reports whether an unused HTTP/1.1 connection is still good.
func (c *conn) quiet() bool { return c.wire.Quiet(c.Conn) }

// roundTrip sends req. With HTTP/2 informational responses are told by a trace
// in ctx, which must be req's.
func (c *conn) roundTrip(ctx context.Context, req *http.Request, informational func(int, http.Header) error) (*http.Response, error) {
	if c.h2 {
		return c.client.RoundTrip(req)
	}
	return c.h1.RoundTrip(ctx, req, informational)
}

// CloseWrite ends our direction only, for upgraded connections.
func (c *conn) CloseWrite() error {
	if w, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return w.CloseWrite()
	}
	return net.ErrClosed
}

// broken returns what the network said when it broke c, or nil.
func (c *conn) broken() error {
	if err := c.readErr.Load(); err != nil {
		return *err
	}
	if err := c.sendErr.Load(); err != nil {
		return *err
	}
	return nil
}

// frameWatch reads along on an HTTP/2 connection: which stream was opened last,
// and whether the server's GOAWAY excluded it. A stream above the one that a
// GOAWAY names was not and will not be processed (RFC 9113, section 6.8), which
// net/http knows too but tells by an error without a type.
type frameWatch struct {
	sent, received frameScanner
}

// newFrameWatch is for a connection on which nothing was sent yet.
func newFrameWatch() *frameWatch {
	w := &frameWatch{}
	w.sent.skip = len("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
	w.received.goAway.Store(math.MaxUint32)
	return w
}

// lastOpened returns the highest stream whose HEADERS frame was sent.
func (w *frameWatch) lastOpened() uint32 { return w.sent.headers.Load() }

// refused reports whether the server said that it did not begin stream.
func (w *frameWatch) refused(stream uint32) bool { return stream > w.received.goAway.Load() }

// Frame types (RFC 9113, section 6).
const (
	frameHeaders = 0x1
	frameGoAway  = 0x7
)

// A frameScanner follows the frames of one direction of an HTTP/2 connection.
// Only one goroutine feeds it; the results may be read by all.
type frameScanner struct {
	headers atomic.Uint32 // highest stream id of a HEADERS frame
	goAway  atomic.Uint32 // last stream id of the latest GOAWAY frame

	buf  [13]byte // frame header, for GOAWAY also the last stream id
	have int      // bytes in buf
	skip int      // bytes of the frame to pass over
}

// feed takes the next bytes.
func (s *frameScanner) feed(p []byte) {
	for len(p) > 0 {
		if s.skip > 0 {
			n := min(s.skip, len(p))
			s.skip -= n
			p = p[n:]
			continue
		}
		want := 9
		if s.have >= 9 {
			want = 13 // GOAWAY, see below
		}
		n := copy(s.buf[s.have:want], p)
		s.have += n
		p = p[n:]
		if s.have == want {
			s.frame()
		}
	}
}

// frame acts on the complete part in buf.
func (s *frameScanner) frame() {
	length := int(s.buf[0])<<16 | int(s.buf[1])<<8 | int(s.buf[2])
	if s.have == 13 {
		s.goAway.Store(binary.BigEndian.Uint32(s.buf[9:]) &^ (1 << 31))
		s.have, s.skip = 0, length-4
		return
	}
	switch {
	case s.buf[3] == frameGoAway && length >= 4:
		return // four more bytes are wanted
	case s.buf[3] == frameHeaders:
		id := binary.BigEndian.Uint32(s.buf[5:]) &^ (1 << 31)
		s.headers.Store(max(s.headers.Load(), id))
	}
	s.have, s.skip = 0, length
}
