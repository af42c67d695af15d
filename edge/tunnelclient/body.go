package tunnelclient

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"sync/atomic"

	"github.com/ergoproxy/ergo/shared/proxystatus"
	"github.com/ergoproxy/ergo/shared/retry"
	"github.com/ergoproxy/ergo/shared/tunnel"
)

// A responseBody is the Body of a response: it reads from the lane and gives it
// back at the end. Close before the end tells the core to stop; it may be called
// while another goroutine reads.
type responseBody struct {
	attempt  *attempt
	response *http.Response
	length   int64 // as declared; -1: unknown, or there is no body

	mu   sync.Mutex // guards what follows
	in   *tunnel.BodyReader
	read int64
	err  error // sticky
}

func newResponseBody(a *attempt, res *http.Response) *responseBody {
	b := &responseBody{attempt: a, response: res, length: res.ContentLength, in: tunnel.NewBodyReader(a.lane)}
	switch {
	case a.req.Method == http.MethodHead, res.StatusCode == http.StatusNotModified,
		res.StatusCode == http.StatusNoContent, res.StatusCode == http.StatusSwitchingProtocols:
		b.length = -1
	}
	return b
}

// Read returns io.EOF after the core's END; then the response's Trailer and the
// exchange's CoreReport are complete. Other errors are *retry.Failure.
func (b *responseBody) Read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err != nil {
		return 0, b.err
	}
	n, err := b.in.Read(p)
	b.read += int64(n)
	if b.length >= 0 && (b.read > b.length || err == io.EOF && b.read < b.length) {
		err = fmt.Errorf("%w: response body of %d bytes, head says %d", tunnel.ErrProtocol, b.read, b.length)
	}
	switch {
	case err == io.EOF:
		b.err = err
		b.complete()
	case err != nil:
		b.err = b.attempt.unread("read response body from", err)
	}
	return n, b.err
}

func (b *responseBody) complete() {
	a := b.attempt
	if b.in.Trailer != nil {
		if b.response.Trailer == nil {
			b.response.Trailer = make(http.Header, len(b.in.Trailer))
		}
		for name, values := range b.in.Trailer {
			b.response.Trailer[name] = values
		}
	}
	a.x.CoreReport = b.in.Report
	if a.sending.Load() {
		// The core has answered in full and does not wait for the rest of the
		// request: neither do we.
		a.abort(tunnel.NewCode(proxystatus.None))
	}
	a.give(!b.in.Last)
}

// Close ends the exchange if it is not over.
func (b *responseBody) Close() error {
	b.attempt.abort(cancelCode(b.attempt.req.Context())) // ends a Read under way
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err == nil {
		b.err = http.ErrBodyReadAfterClose
	}
	b.attempt.give(false)
	return nil
}

// An upgradedBody is the Body of a 101 response: both directions of the protocol
// that the client asked for. One goroutine may read while another writes; Close
// may be called by any.
type upgradedBody struct {
	*responseBody
	readEnd  atomic.Bool // END was read
	wroteEnd atomic.Bool
}

// Read reads what the far side sent. The lane is given back by Close only, since
// the other direction may go on.
func (b *upgradedBody) Read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err != nil {
		return 0, b.err
	}
	n, err := b.in.Read(p)
	switch {
	case err == io.EOF:
		b.attempt.x.CoreReport = b.in.Report
		b.readEnd.Store(true)
	case errors.Is(err, tunnel.ErrProtocol):
		b.attempt.conn.control.Fail(err)
	}
	if err != nil && err != io.EOF {
		t, cause := b.attempt.reason(err)
		err = b.attempt.fail(retry.Unknown, t, "read from", cause)
	}
	b.err = err
	return n, err
}

// Write sends p at once.
func (b *upgradedBody) Write(p []byte) (int, error) {
	lane := b.attempt.lane
	if err := lane.WriteBody(lane.Context(), p); err != nil {
		return 0, err
	}
	return len(p), lane.Flush()
}

// CloseWrite ends the direction to the core.
func (b *upgradedBody) CloseWrite() error {
	err := b.attempt.lane.WriteEnd(&tunnel.End{})
	b.wroteEnd.Store(err == nil)
	return err
}

// Close ends both directions.
func (b *upgradedBody) Close() error {
	if b.readEnd.Load() && b.wroteEnd.Load() {
		b.attempt.leave()
	}
	return b.responseBody.Close()
}
