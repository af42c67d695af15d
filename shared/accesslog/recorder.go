package accesslog

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/ergoproxy/ergo/shared/exchange"
)

// recorder counts what passes through a http.ResponseWriter. Like that it is
// used by one goroutine at a time; the body may be read by another.
//
// It is no io.ReaderFrom on purpose: the kernel's help that net/http's is for
// needs a file or a TCP connection as the source, and the source is a tunnel.
type recorder struct {
	http.ResponseWriter
	x         *exchange.Exchange
	head      bool // the method is HEAD: what is written is not sent
	status    int  // final; 0: not sent
	written   int64
	writeErr  error // the client could not be written to
	firstByte time.Duration
	hijacked  *countingConn
	body      countingBody
}

// Unwrap is for http.ResponseController.
func (rec *recorder) Unwrap() http.ResponseWriter { return rec.ResponseWriter }

// WriteHeader implements http.ResponseWriter. Informational statuses pass, 101
// is final.
func (rec *recorder) WriteHeader(status int) {
	if status >= 200 || status == http.StatusSwitchingProtocols {
		rec.begin(status)
	}
	rec.ResponseWriter.WriteHeader(status)
}

func (rec *recorder) begin(status int) {
	if rec.status == 0 {
		rec.status = status
		rec.firstByte = time.Since(rec.x.Start)
	}
}

// Write implements io.Writer.
func (rec *recorder) Write(p []byte) (int, error) {
	rec.begin(http.StatusOK)
	n, err := rec.ResponseWriter.Write(p)
	rec.count(int64(n), err)
	return n, err
}

// count takes note of written bytes and of an error that is the client's.
func (rec *recorder) count(n int64, err error) {
	if !rec.head {
		rec.written += n
	}
	if err != nil && rec.writeErr == nil && !errors.Is(err, http.ErrBodyNotAllowed) &&
		!errors.Is(err, http.ErrContentLength) && !errors.Is(err, http.ErrHijacked) {
		rec.writeErr = err
	}
}

// Flush implements http.Flusher.
func (rec *recorder) Flush() { rec.FlushError() }

// FlushError sends what is buffered, the head included.
func (rec *recorder) FlushError() error {
	rec.begin(http.StatusOK)
	err := http.NewResponseController(rec.ResponseWriter).Flush()
	if err != nil && !errors.Is(err, http.ErrNotSupported) {
		rec.count(0, err)
	}
	return err
}

// Hijack implements http.Hijacker for Upgrade over HTTP/1.1. The bytes that
// pass through the connection are counted as body bytes; what the server had
// already read is returned by the first reads of either value.
func (rec *recorder) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, buffered, err := http.NewResponseController(rec.ResponseWriter).Hijack()
	if err != nil {
		return nil, nil, err
	}
	rec.begin(http.StatusSwitchingProtocols)
	counting := &countingConn{Conn: conn}
	if n := buffered.Reader.Buffered(); n > 0 {
		ahead, _ := buffered.Reader.Peek(n) // cannot fail: n bytes are there
		counting.ahead = append([]byte(nil), ahead...)
	}
	rec.hijacked = counting
	return counting, bufio.NewReadWriter(bufio.NewReader(counting), bufio.NewWriter(counting)), nil
}

func (rec *recorder) bytesIn() int64 {
	n := rec.body.read.Load()
	if rec.hijacked != nil {
		n += rec.hijacked.read.Load()
	}
	return n
}

func (rec *recorder) bytesOut() int64 {
	if rec.hijacked != nil {
		return rec.written + rec.hijacked.written.Load()
	}
	return rec.written
}

// countingBody counts what is read from a request body. It may still be read
// when the handler has ended.
type countingBody struct {
	io.ReadCloser
	read   atomic.Int64
	failed atomic.Pointer[logError]
}

// Read implements io.Reader.
func (b *countingBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.read.Add(int64(n))
	if err != nil && err != io.EOF && !errors.Is(err, http.ErrBodyReadAfterClose) {
		b.failed.CompareAndSwap(nil, &logError{err})
	}
	return n, err
}

// failure returns why the body could not be read to its end, nil if nothing
// went wrong.
func (b *countingBody) failure() error {
	if failed := b.failed.Load(); failed != nil {
		return failed.error
	}
	return nil
}

// countingConn counts what passes through a hijacked connection. Reads and
// writes may come from different goroutines.
type countingConn struct {
	net.Conn
	ahead         []byte // read by the server before the hijack; used by the reader only
	read, written atomic.Int64
}

// Read implements net.Conn.
func (c *countingConn) Read(p []byte) (int, error) {
	if len(c.ahead) > 0 {
		n := copy(p, c.ahead)
		c.ahead = c.ahead[n:]
		c.read.Add(int64(n))
		return n, nil
	}
	n, err := c.Conn.Read(p)
	c.read.Add(int64(n))
	return n, err
}

// Write implements net.Conn.
func (c *countingConn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	c.written.Add(int64(n))
	return n, err
}

// CloseWrite closes the sending half where the connection can: TCP and TLS.
func (c *countingConn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return c.Conn.Close()
}
