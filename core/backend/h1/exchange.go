package h1

import (
	"io"
	"net/http"
	"sync/atomic"
)

// States of an exchange. It leaves active once, and whoever makes it do so
// decides on the connection.
const (
	active uint32 = iota
	whole         // the response was read to its end
	broken        // it was not; the connection is closed
)

// An exchange is one request and its response, and the body of the latter.
type exchange struct {
	conn     *Conn
	req      *http.Request
	response http.Response
	upload   *upload     // nil without a request body
	stop     func() bool // of the watch on the context; may be nil
	keep     bool        // neither side asked for the connection to be closed
	state    atomic.Uint32

	framing framing
	left    int64 // bytes of a sized body, or of the current chunk
	chunks  chunkState
	err     error // what ended the body; belongs to the reader
}

// readResponse reads heads up to the final one.
func (x *exchange) readResponse(informational func(int, http.Header) error) error {
	c, r := x.conn, &x.response
	for seen := 0; ; seen++ {
		head, err := c.readSection(beginsLikeHead)
		if err != nil {
			return err
		}
		if err := parseHead(r, head); err != nil {
			return err
		}
		if r.StatusCode >= 200 || r.StatusCode == http.StatusSwitchingProtocols {
			break
		}
		if seen == MaxInformational {
			return ErrTooManyInformational
		}
		if r.StatusCode == http.StatusContinue && x.upload != nil {
			x.upload.tell(true)
		}
		if informational != nil {
			if err := informational(r.StatusCode, r.Header); err != nil {
				return err
			}
		}
	}
	c.endHeadLimit()
	if x.upload != nil {
		x.upload.tell(false) // a body that still waits is not wanted
	}
	return x.begin()
}

// begin prepares for the body.
func (x *exchange) begin() (err error) {
	r := &x.response
	r.Request = x.req
	if x.framing, err = frame(r, x.req.Method); err != nil {
		return err
	}
	x.keep = x.keep && reusable(r)
	r.Close = !x.keep
	r.Body = x
	switch {
	case r.StatusCode == http.StatusSwitchingProtocols:
		if len(x.req.Header["Upgrade"]) == 0 {
			return malformed("101 without an upgrade asked for")
		}
		x.framing = upgraded
		r.Body = &Upgraded{x}
	case x.framing == noBody:
		x.finish()
		r.Body = http.NoBody
	case x.framing == sized:
		x.left = r.ContentLength
	}
	return nil
}

// Read reads the body of the response.
func (x *exchange) Read(p []byte) (n int, err error) {
	switch {
	case x.err != nil:
		return 0, x.err
	case x.state.Load() != active:
		return 0, http.ErrBodyReadAfterClose
	case len(p) == 0:
		return 0, nil
	}
	switch x.framing {
	case sized:
		n, err = x.readSized(p)
	case chunked:
		n, err = x.readChunked(p)
	default:
		n, err = x.conn.readSome(p)
		x.keep = false
	}
	if err == nil {
		return n, nil
	}
	switch {
	case err == io.EOF && x.framing == upgraded:
		return n, err // the other direction goes on
	case err == io.EOF:
		x.finish()
	default:
		err = x.fail(err)
	}
	x.err = err
	return n, err
}

// readSized returns the end together with the last bytes.
func (x *exchange) readSized(p []byte) (int, error) {
	if int64(len(p)) > x.left {
		p = p[:x.left]
	}
	n, err := x.conn.readSome(p)
	x.left -= int64(n)
	if err == nil && x.left == 0 {
		err = io.EOF
	} else if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

// Close ends the exchange. What was not read is not wanted, and the connection
// goes with it.
func (x *exchange) Close() error {
	x.drop()
	return nil
}

// finish is for a response that was read to its end. Bytes behind it belong to
// no request: then the connection is closed.
func (x *exchange) finish() {
	c := x.conn
	stopped := x.stop == nil || x.stop()
	if !x.keep || !stopped || c.ended || len(c.buf.unread()) > 0 {
		x.drop()
		return
	}
	if !x.state.CompareAndSwap(active, whole) {
		return // Close was faster
	}
	if x.upload == nil || x.upload.responseEnded() {
		c.release()
	}
}

// fail ends the exchange because of err, which it returns, or what made it
// happen.
func (x *exchange) fail(err error) error {
	x.drop()
	if x.upload != nil {
		if fault := x.upload.requestFault(); fault != nil {
			return fault
		}
	}
	return err
}

// drop closes the connection unless the exchange has ended. The buffer is left
// to the garbage collector: a Read may be under way in it.
func (x *exchange) drop() {
	if x.state.CompareAndSwap(active, broken) {
		if x.stop != nil {
			x.stop()
		}
		x.abort()
	}
}

// abort closes the connection, which ends everything that waits for it, and the
// request's body.
func (x *exchange) abort() {
	x.conn.net.Close()
	if x.upload != nil {
		x.upload.abort()
	}
}

// Upgraded is the body of a 101 (Switching Protocols): the connection, in both
// directions. What the backend sent with the head is read first. Read and Write
// may be called at once, Close ends both.
type Upgraded struct{ *exchange }

// Write implements io.Writer. A request body that is still being sent goes
// first.
func (u *Upgraded) Write(p []byte) (int, error) {
	if u.upload != nil {
		<-u.upload.done
	}
	return u.conn.net.Write(p)
}

var _ io.ReadWriteCloser = (*Upgraded)(nil)
