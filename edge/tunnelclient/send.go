package tunnelclient

import (
	"errors"
	"io"
	"net/http"
	"sync"

	"github.com/ergoproxy/ergo/shared/proxystatus"
	"github.com/ergoproxy/ergo/shared/tunnel"
)

var buffers = sync.Pool{New: func() any { b := make([]byte, 32<<10); return &b }}

// closeBody closes the body of a request that is not sent, as a RoundTripper must.
func closeBody(req *http.Request) {
	if req.Body != nil {
		req.Body.Close()
	}
}

// sendBody copies the request's body to the lane, as it comes.
func (a *attempt) sendBody() {
	defer a.req.Body.Close()
	defer a.sending.Store(false)
	if a.proceed != nil {
		select {
		case <-a.proceed:
		case <-a.lane.Context().Done():
			return // a read of the body would ask the client for it
		}
	}
	if a.over() {
		return
	}
	buf := buffers.Get().(*[]byte)
	defer buffers.Put(buf)
	for left := a.declared(); ; {
		n, err := a.req.Body.Read(*buf)
		if left >= 0 {
			left -= int64(n)
		}
		if a.over() {
			return
		}
		// More or less than the head said would be taken for a violation, and cost
		// the connection.
		tooLong := a.declared() >= 0 && left < 0
		tooShort := err == io.EOF && left > 0
		if tooLong || tooShort || err != nil && err != io.EOF {
			a.bodyFailed(err)
			return
		}
		if !a.sendPiece((*buf)[:n], err == io.EOF) || err == io.EOF {
			return
		}
	}
}

// bodyFailed ends the exchange because the client's side of it is broken. What the
// listener or a filter says about it is what the client is to be told.
func (a *attempt) bodyFailed(err error) {
	e, ok := errors.AsType[*proxystatus.Error](err)
	if !ok {
		e = proxystatus.New(proxystatus.HTTPRequestError, "edge", "read request body", err)
	}
	a.bodyErr.Store(e)
	a.abort(tunnel.NewCode(e.Type))
}

// declared returns the length that the head tells, or -1.
func (a *attempt) declared() int64 {
	if n := a.req.ContentLength; n > 0 && n <= tunnel.MaxContentLength {
		return n
	}
	return -1
}

// over reports whether the lane is lost, or another's.
func (a *attempt) over() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.dirty || a.released
}

// sendPiece writes body bytes, and trailers and END after the last. It reports
// whether the lane took them; the reader of the response finds out why not.
func (a *attempt) sendPiece(p []byte, last bool) bool {
	lane := a.lane
	err := lane.WriteBody(lane.Context(), p)
	switch {
	case err != nil:
	case !last:
		err = lane.Flush()
	default:
		if err := lane.WriteTrailers(filled(a.req.Trailer)); err != nil {
			a.abort(tunnel.NewCode(proxystatus.HTTPRequestError))
			return false
		}
		err = lane.WriteEnd(&tunnel.End{})
	}
	if err != nil {
		a.spoil()
	}
	return err == nil
}

// filled returns the trailer fields that got a value.
func filled(h http.Header) http.Header {
	var out http.Header
	for name, values := range h {
		if len(values) == 0 {
			continue
		}
		if out == nil {
			out = make(http.Header, len(h))
		}
		out[name] = values
	}
	return out
}
