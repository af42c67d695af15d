package h1

import (
	"errors"
	"io"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// uploadGrace is how long a request's body may still be sent when the response
// is complete. Most are about to end; a backend that does not want the rest
// does not get it.
const uploadGrace = 50 * time.Millisecond

// An upload sends the body of a request in a goroutine of its own, so that a
// response which comes early is seen at once.
type upload struct {
	exchange *exchange
	wanted   chan bool     // answer to Expect: 100-continue; nil without
	done     chan struct{} // closed when the last byte was written, or never will be
	last     atomic.Bool   // the last write has begun

	mu       sync.Mutex // guards the next
	finished bool
	sent     bool        // all of it
	fault    error       // what was wrong with the body itself
	grace    *time.Timer // runs when the response was complete first
}

func newUpload(x *exchange) *upload {
	u := &upload{exchange: x, done: make(chan struct{})}
	expect := x.req.Header["Expect"]
	if x.conn.settings.ContinueTimeout > 0 && hasToken(expect, "100-continue") {
		u.wanted = make(chan bool, 1)
	}
	return u
}

// tell says whether the body is wanted. Only the first word counts.
func (u *upload) tell(wanted bool) {
	if u.wanted != nil {
		select {
		case u.wanted <- wanted:
		default:
		}
	}
}

var errNotWanted = errors.New("request body is not wanted")

// run sends the body.
func (u *upload) run() {
	err := u.await()
	if err == nil {
		err = u.send()
	}
	x := u.exchange
	x.req.Body.Close()
	x.conn.startHeadLimit()
	u.mu.Lock()
	u.finished, u.sent = true, err == nil
	last := u.grace != nil && u.grace.Stop()
	fault := u.fault
	u.mu.Unlock()
	close(u.done)
	switch {
	case fault != nil, last && err != nil:
		x.conn.net.Close() // the backend must not take it for complete
	case last:
		x.conn.release()
	}
}

// await waits until the body may be sent (RFC 9110, section 10.1.1).
func (u *upload) await() error {
	if u.wanted == nil {
		return nil
	}
	timer := time.NewTimer(u.exchange.conn.settings.ContinueTimeout)
	defer timer.Stop()
	select {
	case wanted := <-u.wanted:
		if !wanted {
			return errNotWanted
		}
	case <-timer.C:
	}
	return nil
}

// send copies the body. A Content-Length is a promise: what exceeds it is not
// sent, what is missing is a fault.
func (u *upload) send() error {
	b := getBuffer()
	defer putBuffer(b)
	if u.exchange.req.ContentLength > 0 {
		return u.sendSized(b.bytes)
	}
	return u.sendChunked(b.bytes)
}

func (u *upload) sendSized(buf []byte) error {
	req, conn := u.exchange.req, u.exchange.conn.net
	for left := req.ContentLength; left > 0; {
		n, err := req.Body.Read(buf[:min(int64(len(buf)), left)])
		if n > 0 {
			left -= int64(n)
			u.last.Store(left == 0)
			if _, err := conn.Write(buf[:n]); err != nil {
				return err
			}
		}
		if err != nil && left > 0 {
			if err == io.EOF {
				err = errBodyShort
			}
			return u.faulty(err)
		}
	}
	return nil
}

// Room around the data of a chunk: eight hexadecimal digits and CRLF before it,
// CRLF, the last chunk and the blank line behind it.
const (
	chunkHead = 10
	chunkTail = 2 + len("0\r\n\r\n")
)

func (u *upload) sendChunked(buf []byte) error {
	req, conn := u.exchange.req, u.exchange.conn.net
	for {
		n, err := req.Body.Read(buf[chunkHead : len(buf)-chunkTail])
		if err != nil && err != io.EOF {
			return u.faulty(err)
		}
		out := buf[chunkHead:chunkHead]
		if n > 0 {
			out = frameChunk(buf, n)
		}
		if err == io.EOF {
			if out, err = appendTrailers(append(out, "0\r\n"...), req.Trailer); err != nil {
				return u.faulty(err)
			}
			u.last.Store(true)
			_, err = conn.Write(out)
			return err
		}
		if n > 0 {
			if _, err := conn.Write(out); err != nil {
				return err
			}
		}
	}
}

// frameChunk puts the head and the CRLF around the n bytes behind chunkHead.
func frameChunk(buf []byte, n int) []byte {
	var digits [8]byte
	size := strconv.AppendInt(digits[:0], int64(n), 16)
	start := chunkHead - 2 - len(size)
	copy(buf[start:], size)
	copy(buf[chunkHead-2:], "\r\n")
	return append(buf[start:chunkHead+n], "\r\n"...)
}

// appendTrailers appends the trailer section and the blank line.
func appendTrailers(b []byte, trailer http.Header) ([]byte, error) {
	for name, values := range trailer {
		if framingField(name) {
			return nil, requestError("trailer %q is not allowed", name)
		}
		var err error
		if b, err = appendField(b, name, values); err != nil {
			return nil, err
		}
	}
	return append(b, "\r\n"...), nil
}

// faulty notes what was wrong with the body.
func (u *upload) faulty(err error) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.fault = &RequestError{err}
	return err
}

// requestFault returns what was wrong with the body, or nil.
func (u *upload) requestFault() error {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.fault
}

// responseEnded reports whether the connection can be released now. If the body
// is still being sent, its end decides, or the end of the grace.
func (u *upload) responseEnded() bool {
	if u.last.Load() {
		u.awaitDone()
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if !u.finished {
		u.grace = time.AfterFunc(uploadGrace, u.exchange.abort)
		return false
	}
	if !u.sent {
		u.exchange.conn.net.Close()
	}
	return u.sent
}

// awaitDone is for a response that was faster than the return of the write it
// answers: without the wait the next request would find no connection.
func (u *upload) awaitDone() {
	select {
	case <-u.done:
		return
	default:
	}
	timer := time.NewTimer(uploadGrace)
	defer timer.Stop()
	select {
	case <-u.done:
	case <-timer.C:
	}
}

// abort ends the sending: the connection is closed already, the body follows.
func (u *upload) abort() {
	u.tell(false)
	u.exchange.req.Body.Close()
}
