package backend

import (
	"io"
	"maps"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"net/url"
	"sync"
	"sync/atomic"

	"github.com/ergoproxy/ergo/core/backend/h1"
	"github.com/ergoproxy/ergo/shared/health"
	"github.com/ergoproxy/ergo/shared/proxystatus"
	"github.com/ergoproxy/ergo/shared/retry"
)

// An attempt is one try on one connection, and afterwards the body of its
// response. Everything that net/http may still look at when the try has failed
// belongs to it alone.
type attempt struct {
	call     *call
	endpoint *endpoint
	conn     *conn
	permit   health.Permit
	body     *retry.Body // of the request; nil without one

	out http.Request
	url url.URL

	readBefore, wroteBefore int64         // of conn, before the try
	stream                  atomic.Uint32 // with HTTP/2, once its HEADERS were written

	mu            sync.Mutex // guards the next, and is held while a 1xx is passed on
	headDone      bool       // RoundTrip has returned
	informational int
	hookErr       error

	response io.ReadCloser
	done     atomic.Bool
}

// roundTrip sends the request.
func (a *attempt) roundTrip() (*http.Response, error) {
	req, err := a.request()
	if err != nil {
		a.conn.release()
		return nil, failure(retry.Unknown, proxystatus.HTTPRequestError, "send request body again", err)
	}
	a.readBefore, a.wroteBefore = a.conn.read.Load(), a.conn.wrote.Load()
	resp, err := a.conn.roundTrip(a.call.ctx, req, a.got1xx)
	a.endHead()
	if err != nil {
		return nil, a.roundTripError(a.call.ctx, err)
	}
	a.body.Commit()
	a.wrap(resp)
	return resp, nil
}

// request is the incoming one, addressed to the backend. Its header and trailer
// are shared, since no RoundTripper may change them.
func (a *attempt) request() (*http.Request, error) {
	c := a.call
	a.out = *c.in
	a.url = *c.in.URL
	a.url.Scheme, a.url.Host = a.endpoint.scheme(), a.endpoint.target.addr
	a.out.URL = &a.url
	a.out.RequestURI = ""
	a.out.Close = false // is between the client and us
	a.out.TransferEncoding = nil
	a.out.GetBody = nil
	a.out.Body = http.NoBody
	if a.endpoint.config.Host != "" {
		a.out.Host = a.endpoint.config.Host
	}
	if a.body != nil {
		body, err := a.body.Try()
		if err != nil {
			return nil, err
		}
		a.out.Body = body
	}
	if !a.conn.h2 {
		return &a.out, nil
	}
	a.suppressAgent()
	return a.withTrace(), nil
}

// suppressAgent keeps net/http from adding its own User-Agent: an empty value
// means none.
func (a *attempt) suppressAgent() {
	if _, ok := a.out.Header["User-Agent"]; ok {
		return
	}
	header := make(http.Header, len(a.out.Header)+1)
	maps.Copy(header, a.out.Header)
	header["User-Agent"] = []string{""}
	a.out.Header = header
}

// withTrace adds the hooks that net/http needs.
func (a *attempt) withTrace() *http.Request {
	return a.out.WithContext(httptrace.WithClientTrace(a.call.ctx, &httptrace.ClientTrace{
		WroteHeaders: a.wroteHeaders,
		Got1xxResponse: func(status int, header textproto.MIMEHeader) error {
			return a.got1xx(status, http.Header(header))
		},
	}))
}

// got1xx passes an informational response on. With HTTP/2 it runs in a goroutine
// of net/http, which RoundTrip does not wait for when its context ends: the lock
// makes sure that nothing is passed on after that.
func (a *attempt) got1xx(status int, header http.Header) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.headDone {
		return http.ErrAbortHandler
	}
	a.informational++
	if a.informational > h1.MaxInformational {
		a.hookErr = proxystatus.New(proxystatus.HTTPProtocolError, hop,
			"read response head of "+a.endpoint.target.addr, h1.ErrTooManyInformational)
		return a.hookErr
	}
	pass := a.call.exchange.Informational
	if pass == nil {
		return nil
	}
	a.call.began1xx = true
	if err := pass(status, header); err != nil {
		a.hookErr = err
	}
	return a.hookErr
}

// endHead stops got1xx, and waits for the one that is under way.
func (a *attempt) endHead() {
	a.mu.Lock()
	a.headDone = true
	a.mu.Unlock()
}

// wroteHeaders notes the stream of this request. net/http calls it under the
// lock that its HEADERS frame was written under, so the last stream opened is
// ours.
func (a *attempt) wroteHeaders() { a.stream.Store(a.conn.frames.lastOpened()) }

// wrap makes resp's body end the attempt.
func (a *attempt) wrap(resp *http.Response) {
	a.response = resp.Body
	if resp.Body == nil || resp.Body == http.NoBody {
		a.finish()
		return
	}
	if w, ok := resp.Body.(io.Writer); ok && resp.StatusCode == http.StatusSwitchingProtocols {
		resp.Body = &upgraded{attempt: a, Writer: w}
		return
	}
	resp.Body = a
}

// Read reads the body of the response.
func (a *attempt) Read(p []byte) (int, error) {
	n, err := a.response.Read(p)
	if err == nil {
		return n, nil
	}
	if err != io.EOF {
		err = a.broke(err)
	}
	a.finish()
	return n, err
}

// broke translates the error of a body and marks the backend.
func (a *attempt) broke(err error) error {
	if a.done.Load() {
		return err // read after Close
	}
	err = a.responseBodyError(a.call.ctx, err)
	mark(a.permit, err)
	return err
}

// Close ends the response. What was not read is not wanted.
func (a *attempt) Close() error {
	a.finish()
	return a.response.Close()
}

// finish ends the count of this request, once.
func (a *attempt) finish() {
	if a.done.CompareAndSwap(false, true) {
		a.endpoint.inFlight.Add(-1)
		a.call.end()
	}
}

// upgraded is the body of a 101: the connection, in both directions.
type upgraded struct {
	*attempt
	io.Writer
}

// CloseWrite ends our direction; the backend's goes on.
func (u *upgraded) CloseWrite() error { return u.conn.CloseWrite() }
