package listener

import (
	"bytes"
	"errors"
	"net"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// An h1Conn is the connection that net/http reads HTTP/1 requests from. It lets
// through only what its scanner accepts and answers the rest itself, after the
// answers to the requests before; it keeps the deadlines that net/http does not
// have. After a hijack it is the plain connection. With h2c it becomes an
// HTTP/2 connection at the preface.
type h1Conn struct {
	halfCloser // the sock, or the TLS connection over it
	sock       *sock
	link       *link
	name       string // of the edge, for Proxy-Status
	refused    func(*link, *refusal)

	scan     scanner
	frames   *frameWatch  // not nil: HTTP/2 in clear text is allowed
	plain    atomic.Bool  // hijacked or opaque: no more scanning
	owed     atomic.Int32 // requests whose head was given to net/http and whose answer has not ended
	handling atomic.Bool  // between the start of a handler and the end of its answer
	fault    *refusal     // what the next Read has to refuse
	stash    [1]byte      // first byte of the refused request
	stashed  bool         // stash was not given to Read yet
	handed   bool         // the refused byte was given to net/http: a hijack loses nothing
	failed   error        // what each Read returns after a refusal
	began    time.Time    // when the head that is being read was first seen

	// mu guards the fields below it.
	mu       sync.Mutex
	userRead time.Time // the read deadline that net/http or a handler asked for
	armed    bool      // the connection has an own deadline in place of userRead
}

// Read gives net/http bytes of whole and faultless messages, and of the one
// message whose fault has not come yet.
func (c *h1Conn) Read(p []byte) (int, error) {
	if c.plain.Load() {
		return c.readPlain(p)
	}
	switch {
	case c.failed != nil:
		return 0, c.failed
	case c.fault != nil:
		return c.readRefused(p)
	}
	c.arm()
	n, err := c.halfCloser.Read(p)
	if n > 0 {
		c.sock.use()
		before := c.scan.heads
		whole, fault := c.scan.scan(p[:n])
		c.owed.Add(int32(c.scan.heads - before))
		if fault != nil {
			return c.refuse(p[:n], whole, fault)
		}
		if c.scan.state == opaque {
			c.leaveHTTP1(p[whole:n])
		} else if !c.scan.midHead() {
			c.began = time.Time{}
		}
	}
	if err != nil && errors.Is(err, os.ErrDeadlineExceeded) {
		err = c.timedOut(err)
	}
	return n, err
}

func (c *h1Conn) readPlain(p []byte) (int, error) {
	if c.fault != nil && !c.handed {
		// It came behind a request that was hijacked afterwards, and is lost: what
		// follows it makes no sense without it.
		return 0, c.fault
	}
	if c.frames != nil && c.scan.state == opaque {
		return c.frames.read(c.halfCloser, p)
	}
	return c.halfCloser.Read(p)
}

// leaveHTTP1 is called with what came after the HTTP/2 preface or CONNECT.
func (c *h1Conn) leaveHTTP1(rest []byte) {
	c.disarm()
	c.plain.Store(true)
	if c.scan.connect {
		c.frames = nil
	}
	if c.frames != nil {
		c.frames.begin(rest)
	}
}

// hijacked is called by net/http when a handler takes the connection over.
func (c *h1Conn) hijacked() {
	c.frames = nil
	c.disarm()
	c.plain.Store(true)
}

// refuse remembers a fault. The messages before it are given to net/http first,
// so that the refusal is answered in its turn.
func (c *h1Conn) refuse(p []byte, whole int, fault *refusal) (int, error) {
	c.fault = fault
	if whole > 0 {
		c.stash[0], c.stashed = p[whole], true
		return whole, nil
	}
	if len(p) == 1 && c.owed.Load() > 0 {
		// net/http watches for the client's going away with a read of one byte, from
		// just before a handler runs; an error would end that handler. If the handler
		// takes the connection over now, the byte is the first of the new protocol:
		// the 101 is on its way to the client before the hijack is done.
		c.handed = true
		return 1, nil
	}
	return c.readRefused(p)
}

// readRefused is Read once a fault is known.
func (c *h1Conn) readRefused(p []byte) (int, error) {
	if len(p) == 1 && c.stashed && !c.scan.midBody() {
		c.stashed = false
		p[0] = c.stash[0]
		return 1, nil
	}
	fault := c.fault
	c.refused(c.link, fault)
	c.failed = &net.OpError{Op: "read", Net: "tcp", Addr: c.RemoteAddr(), Err: fault.proxyError()}
	if !c.scan.midBody() && c.owed.Load() == 0 {
		// The handler answers for a fault in a body; in a head there is none.
		c.answer(fault)
	}
	return 0, c.failed
}

func (c *h1Conn) answer(fault *refusal) {
	c.handling.Store(true) // this write is no answer of net/http's own
	refuseOn(c.halfCloser, fault, c.name)
}

// timedOut turns the end of an own deadline into a refusal.
func (c *h1Conn) timedOut(err error) error {
	c.mu.Lock()
	own := c.armed && (c.userRead.IsZero() || time.Now().Before(c.userRead))
	c.mu.Unlock()
	switch {
	case c.scan.midBody() && own:
		c.fault = slowBody
	case c.scan.midHead() && c.owed.Load() == 0:
		c.fault = slowHead
	default:
		return err
	}
	_, err = c.readRefused(nil)
	return err
}

// arm sets the deadline of the read that follows: the end of the head's time if
// a head has begun, the body's if a body is being read, else what the user of
// the connection asked for. The time of a head that is pipelined behind a request
// begins when that is answered.
func (c *h1Conn) arm() {
	var own time.Time
	switch limits := c.link.limits; {
	case c.scan.midHead() && c.owed.Load() == 0:
		if c.began.IsZero() {
			c.began = time.Now()
		}
		own = c.began.Add(limits.HeaderTimeout.Std())
	case limits.BodyTimeout > 0 && c.scan.midBody():
		own = time.Now().Add(limits.BodyTimeout.Std())
	default:
		c.began = time.Time{}
		c.disarm()
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.armed = true
	c.halfCloser.SetReadDeadline(earlier(own, c.userRead))
}

func (c *h1Conn) disarm() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.armed {
		c.armed = false
		c.halfCloser.SetReadDeadline(c.userRead)
	}
}

// answered is called when an answer has ended and net/http looks for the next
// request.
func (c *h1Conn) answered() {
	c.owed.Add(-1)
	c.handling.Store(false)
}

// SetReadDeadline sets the deadline that net/http or a handler wants. An own
// deadline that is in place stays if it is earlier.
func (c *h1Conn) SetReadDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.userRead = t
	if c.armed && t.IsZero() {
		return nil
	}
	c.armed = false
	return c.halfCloser.SetReadDeadline(t)
}

func (c *h1Conn) SetDeadline(t time.Time) error {
	return errors.Join(c.SetReadDeadline(t), c.SetWriteDeadline(t))
}

// Write notices the refusals that net/http makes without asking a handler, so
// that they are logged like others.
func (c *h1Conn) Write(p []byte) (int, error) {
	if !c.handling.Load() && !c.plain.Load() {
		if status, ok := statusOf(p); ok && status >= 400 {
			c.refused(c.link, &refusal{status, "net/http refused the request"})
		}
	}
	return c.halfCloser.Write(p)
}

// statusOf reads the status of an HTTP/1.1 answer.
func statusOf(p []byte) (int, bool) {
	rest, ok := bytes.CutPrefix(p, []byte("HTTP/1.1 "))
	if !ok || len(rest) < 3 {
		return 0, false
	}
	status, err := strconv.Atoi(string(rest[:3]))
	return status, err == nil
}
