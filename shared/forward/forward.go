// Package forward passes a request on to the next hop and the answer back. Both
// tiers use it: at the edge the next hop is a core, at the core a backend.
//
//	w, r ─▶ Prepare ─▶ RoundTrip ─▶ head ─▶ body, as it comes ─▶ trailers
//	                       └▶ 1xx        └▶ 101: both directions until one ends
//
// Everything streams: what the next hop sends is passed on before more is waited
// for, and no step holds more than a buffer. A request's body may still be sent
// while the response comes back. When the next hop fails before its head, Fail
// answers; after it, the handler ends with http.ErrAbortHandler, which resets the
// stream to whoever asked, so that a cut answer never looks complete.
package forward

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"strings"
	"sync"

	"github.com/ergoproxy/ergo/shared/exchange"
	"github.com/ergoproxy/ergo/shared/hop"
	"github.com/ergoproxy/ergo/shared/proxystatus"
)

// A Forwarder sends requests on over Transport. It is safe for concurrent use.
type Forwarder struct {
	// Hop is "edge" or "core", Name the tier's configured name.
	Hop, Name string

	// Transport sends the request on. Its errors should hold a *proxystatus.Error.
	Transport http.RoundTripper
}

// Rules are what a tier changes in the messages of one request.
type Rules interface {
	// Prepare changes the request that is sent on: out is a copy that shares its
	// header with r, from which the hop-by-hop fields were removed and, for an
	// upgrade, Upgrade and Connection put back. An error is answered like one of the next hop.
	Prepare(out *http.Request, x *exchange.Exchange) error

	// Answer changes the header of the response before it is passed on.
	Answer(res *http.Response, x *exchange.Exchange)
}

// Serve forwards r and passes the answer to w. The context of r must carry an
// exchange.Exchange.
func (f *Forwarder) Serve(w http.ResponseWriter, r *http.Request, rules Rules) {
	x := exchange.From(r.Context())
	out := outbound(r)
	var body *requestBody // Prepare may put something around it
	if out.Body != nil {
		body = newRequestBody(w, r.Body)
		defer body.Close()
		out.Body = body
	}
	if err := rules.Prepare(out, x); err != nil {
		f.fail(w, r, x, err)
		return
	}
	if r.Body != nil && r.Body != http.NoBody {
		// Without this an HTTP/1 server reads the rest of the request before it
		// sends the first byte of a response.
		_ = http.NewResponseController(w).EnableFullDuplex()
	}
	x.Informational = func(status int, h http.Header) error {
		switch {
		case status != http.StatusContinue:
			x.Begun = true
			informational(w, status, h)
		case r.ProtoMajor == 3:
			w.WriteHeader(status) // other servers send it when the body is first read
		}
		return nil
	}
	res, err := f.Transport.RoundTrip(out)
	if body != nil && r.ProtoMajor == 1 && !body.keepsConnection() {
		w.Header()["Connection"] = []string{"close"}
	}
	if err != nil {
		f.fail(w, r, x, err)
		return
	}
	defer res.Body.Close()
	if res.StatusCode < 100 || res.StatusCode > 999 {
		f.fail(w, r, x, proxystatus.New(proxystatus.HTTPProtocolError, f.Hop, "read response head",
			fmt.Errorf("status %d", res.StatusCode)))
		return
	}
	x.Report.Status = res.StatusCode
	if res.StatusCode == http.StatusSwitchingProtocols {
		f.upgrade(w, r, x, res, rules)
		return
	}
	hop.RemoveHopByHop(res.Header)
	rules.Answer(res, x)
	announced := head(w, res)
	if err := f.body(w, r, res); err != nil {
		f.abort(r, x, err)
	}
	trailers(w.Header(), res.Trailer, announced)
}

// outbound makes the request that is sent on. It takes over r's header: the steps
// before have looked at it, and copying it costs more than all of them.
func outbound(r *http.Request) *http.Request {
	out := r.WithContext(r.Context())
	out.Close = false
	if r.ContentLength == 0 {
		out.Body = nil // a transport takes a Body that is there for one of unknown length
	}
	upgrade := hop.UpgradeType(r.Header)
	hop.RemoveHopByHop(out.Header)
	if upgrade != "" && out.Body == nil { // with a body Upgrade is ignored, as RFC 9110, section 7.8 allows
		out.Header["Upgrade"] = []string{upgrade}
		out.Header["Connection"] = []string{"Upgrade"}
	}
	return out
}

func informational(w http.ResponseWriter, status int, h http.Header) {
	header := w.Header()
	kept := maps.Clone(header)
	clear(header) // what earlier steps have set belongs to the final response
	hop.RemoveHopByHop(h)
	copyHeader(header, h)
	w.WriteHeader(status)
	clear(header)
	copyHeader(header, kept)
}

// head passes on the status and the header fields, and returns how many trailer
// fields were announced.
func head(w http.ResponseWriter, res *http.Response) int {
	header := w.Header()
	copyHeader(header, res.Header)
	if _, ok := header["Content-Type"]; !ok {
		header["Content-Type"] = nil // keeps net/http from guessing one
	}
	for name := range res.Trailer {
		header["Trailer"] = append(header["Trailer"], name)
	}
	if len(res.Trailer) > 0 {
		delete(header, "Content-Length") // HTTP/1.1 has trailers only where it has chunks
	}
	w.WriteHeader(res.StatusCode)
	return len(res.Trailer)
}

// bufferSize is how much of a body is passed on at once.
const bufferSize = 32 << 10

var buffers = sync.Pool{New: func() any { b := make([]byte, bufferSize); return &b }}

// body passes the body on as it comes. Whatever a read returned is sent before
// the next read, which may wait for long; only the last piece goes with the end.
func (f *Forwarder) body(w http.ResponseWriter, r *http.Request, res *http.Response) error {
	buf := buffers.Get().(*[]byte)
	defer buffers.Put(buf)
	flush := http.NewResponseController(w).Flush
	// The head waits for the first piece only where that comes along with it: a
	// stream of events may begin long before its first event.
	if streams(r, res) {
		if err := flush(); err != nil {
			return proxystatus.New(proxystatus.ConnectionTerminated, f.Hop, "flush response head", err)
		}
	}
	for written := int64(0); ; {
		n, err := res.Body.Read(*buf)
		written += int64(n)
		if n > 0 && r.Method != http.MethodHead {
			if _, err := w.Write((*buf)[:n]); err != nil {
				return proxystatus.New(proxystatus.ConnectionTerminated, f.Hop, "write response body", err)
			}
		}
		if err == io.EOF || err != nil && written == res.ContentLength && r.Context().Err() != nil {
			return nil // a client may leave as soon as it has all that the head announced
		}
		if err != nil {
			return err
		}
		if err := flush(); err != nil {
			return proxystatus.New(proxystatus.ConnectionTerminated, f.Hop, "flush response body", err)
		}
	}
}

// streams reports whether the body is one that may come long after the head.
func streams(r *http.Request, res *http.Response) bool {
	switch {
	case r.Method == http.MethodHead, res.StatusCode == http.StatusNoContent, res.StatusCode == http.StatusNotModified:
		return false
	}
	return res.ContentLength < 0 || res.ContentLength > bufferSize
}

// trailers passes the trailer section on: as announced, or under TrailerPrefix
// what was not.
func trailers(header, trailer http.Header, announced int) {
	prefix := ""
	if len(trailer) != announced {
		prefix = http.TrailerPrefix
	}
	for name, values := range trailer {
		if len(values) > 0 {
			header[prefix+name] = values
		}
	}
}

// abort ends an exchange whose head is sent. It does not return.
func (f *Forwarder) abort(r *http.Request, x *exchange.Exchange, err error) {
	x.Fail(f.reason(r.Context(), err))
	panic(http.ErrAbortHandler)
}

// fail answers an exchange that has no head yet.
func (f *Forwarder) fail(w http.ResponseWriter, r *http.Request, x *exchange.Exchange, err error) {
	e := f.reason(r.Context(), err)
	if errors.Is(r.Context().Err(), context.Canceled) {
		x.Fail(e)
		panic(http.ErrAbortHandler) // nobody is there to answer
	}
	x.Refuse(w, r, f.Name, e)
}

// reason says why, and blames who asked if they have left.
func (f *Forwarder) reason(ctx context.Context, err error) *proxystatus.Error {
	if errors.Is(ctx.Err(), context.Canceled) {
		return proxystatus.New(proxystatus.ConnectionTerminated, f.Hop, "serve: client left", context.Cause(ctx))
	}
	return proxystatus.From(f.Hop, err)
}

// An Upgrader is a ResponseWriter that changes protocols without an HTTP/1
// connection under it, as the tunnel's does.
type Upgrader interface {
	// Upgrade sends the head, of status 101, and returns the byte stream.
	Upgrade() (io.ReadWriteCloser, error)
}

// upgrade answers 101 and copies both directions until one of them ends.
func (f *Forwarder) upgrade(w http.ResponseWriter, r *http.Request, x *exchange.Exchange, res *http.Response, rules Rules) {
	far, ok := res.Body.(io.ReadWriteCloser)
	if !ok {
		f.fail(w, r, x, proxystatus.New(proxystatus.HTTPUpgradeFailed, f.Hop, "switch protocols",
			fmt.Errorf("body of the 101 response is a %T, which cannot be written", res.Body)))
		return
	}
	asked, upgrade := hop.UpgradeType(r.Header), hop.UpgradeType(res.Header)
	if asked == "" || !strings.EqualFold(asked, upgrade) {
		f.fail(w, r, x, proxystatus.New(proxystatus.HTTPUpgradeFailed, f.Hop, "switch protocols",
			fmt.Errorf("to %q, and %q was asked for", upgrade, asked)))
		return
	}
	hop.RemoveHopByHop(res.Header)
	rules.Answer(res, x)
	res.Header["Upgrade"] = []string{upgrade}
	res.Header["Connection"] = []string{"Upgrade"}
	near, err := switchProtocols(w, res.Header)
	if err != nil {
		f.fail(w, r, x, proxystatus.New(proxystatus.HTTPUpgradeFailed, f.Hop, "switch protocols", err))
		return
	}
	stop := context.AfterFunc(r.Context(), func() { near.Close(); far.Close() })
	defer stop()
	join(near, far)
}

// switchProtocols answers 101 with h and returns the connection to whoever asked.
func switchProtocols(w http.ResponseWriter, h http.Header) (io.ReadWriteCloser, error) {
	copyHeader(w.Header(), h)
	w.WriteHeader(http.StatusSwitchingProtocols)
	for inner := w; ; {
		if u, ok := inner.(Upgrader); ok {
			return u.Upgrade()
		}
		wrapped, ok := inner.(interface{ Unwrap() http.ResponseWriter })
		if !ok {
			break
		}
		inner = wrapped.Unwrap()
	}
	conn, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return nil, err
	}
	return hijacked{conn, buffered.Reader}, nil
}

func copyHeader(dst, src http.Header) {
	for name, values := range src {
		dst[name] = values
	}
}

// hijacked reads what the server had already buffered first, and then from the
// connection itself: the server's reader would take the end of the client's
// direction for the end of the client, and end the request's context.
type hijacked struct {
	net.Conn
	in *bufio.Reader
}

func (h hijacked) Read(p []byte) (int, error) {
	if n := h.in.Buffered(); n > 0 {
		return h.in.Read(p[:min(n, len(p))])
	}
	return h.Conn.Read(p)
}

func (h hijacked) CloseWrite() error {
	if c, ok := h.Conn.(interface{ CloseWrite() error }); ok {
		return c.CloseWrite()
	}
	return errors.ErrUnsupported
}

// join copies both directions. The end of one is passed on, and the other may
// finish; an error, or an end that cannot be passed on alone, ends both.
func join(near, far io.ReadWriteCloser) {
	var g sync.WaitGroup
	g.Go(func() { splice(far, near) })
	g.Go(func() { splice(near, far) })
	g.Wait()
	near.Close()
	far.Close()
}

func splice(dst, src io.ReadWriteCloser) {
	buf := buffers.Get().(*[]byte)
	defer buffers.Put(buf)
	_, err := io.CopyBuffer(writeOnly{dst}, readOnly{src}, *buf)
	half, ok := dst.(interface{ CloseWrite() error })
	if err == nil && ok && half.CloseWrite() == nil {
		return
	}
	dst.Close()
	src.Close()
}

// writeOnly and readOnly keep io.Copy from shortcuts that hold data back.
type writeOnly struct{ io.Writer }

type readOnly struct{ io.Reader }
