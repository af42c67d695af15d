package tunnelserver

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/ergoproxy/ergo/shared/exchange"
	"github.com/ergoproxy/ergo/shared/proxystatus"
	"github.com/ergoproxy/ergo/shared/tunnel"
)

// errOver is what a handler gets that goes on writing after it returned: the lane
// may serve another exchange by then.
var errOver = errors.New("the handler of this exchange has returned")

// A response is the http.ResponseWriter of one exchange. It belongs to the
// handler, but for the 100 (Continue) that the first read of the body sends,
// perhaps from another goroutine.
type response struct {
	lane    *tunnel.Lane
	x       *exchange.Exchange
	req     *http.Request
	body    *requestBody
	header  http.Header
	aborted bool // the handler gave up

	mu            sync.Mutex // guards the writing side of lane, and what follows
	status        int        // 0: no final head was written
	informational int        // 1xx heads written
	declared      int64      // Content-Length; -1: none
	written       int64
	trailer       []string // announced names
	upgraded      bool
	ended         bool  // END was written
	err           error // of writing, sticky
}

func newResponse(l *tunnel.Lane, x *exchange.Exchange, req *http.Request, head *tunnel.RequestHead) *response {
	w := &response{lane: l, x: x, req: req, header: make(http.Header), declared: -1}
	w.body = newRequestBody(w, head)
	return w
}

// Header returns the header section of the response that is not written yet.
func (w *response) Header() http.Header { return w.header }

// WriteHeader writes the head: at once if it is informational, together with the
// first part of the body or the end otherwise. It panics for a status that is not
// of three digits, as net/http does.
func (w *response) WriteHeader(status int) {
	if status < 100 || status > 999 {
		panic(fmt.Sprintf("invalid WriteHeader code %d", status))
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if status < 200 && status != http.StatusSwitchingProtocols {
		w.writeInformational(status, w.header)
		return
	}
	w.writeHead(status)
}

// writeInformational sends a 1xx head. What is too many, or cannot be sent, is
// left out: nobody may depend on one.
func (w *response) writeInformational(status int, h http.Header) {
	if w.status != 0 || w.err != nil || w.informational == tunnel.MaxInformational {
		return
	}
	w.informational++
	if w.lane.WriteResponse(&tunnel.ResponseHead{Status: status, Header: h, ContentLength: -1}) == nil {
		w.err = w.lane.Flush()
	}
}

func (w *response) writeHead(status int) {
	if w.status != 0 || w.err != nil {
		return
	}
	w.status, w.x.Report.Status = status, status
	w.x.Report.FirstByte = time.Since(w.x.Start)
	if v := w.header.Get("Content-Length"); v != "" && status != http.StatusSwitchingProtocols {
		if n, err := strconv.ParseInt(v, 10, 64); err == nil && n >= 0 {
			w.declared = n
		}
	}
	for _, list := range w.header["Trailer"] {
		for name := range strings.SplitSeq(list, ",") {
			if name = http.CanonicalHeaderKey(strings.TrimSpace(name)); name != "" {
				w.trailer = append(w.trailer, name)
			}
		}
	}
	w.err = w.lane.WriteResponse(&tunnel.ResponseHead{Status: status, Header: w.headFields(), ContentLength: w.declared, Trailer: w.trailer})
}

// headFields returns the header without what belongs to the trailers.
func (w *response) headFields() http.Header {
	trailing := func(name string, _ []string) bool { return strings.HasPrefix(name, http.TrailerPrefix) }
	found := len(w.trailer) > 0
	for name := range w.header {
		found = found || trailing(name, nil)
	}
	if !found {
		return w.header
	}
	h := maps.Clone(w.header)
	maps.DeleteFunc(h, trailing)
	for _, name := range w.trailer {
		delete(h, name)
	}
	delete(h, "Trailer")
	return h
}

// bodyAllowed reports whether the response has a body (RFC 9110, section 6.4.1).
func (w *response) bodyAllowed() bool {
	return w.req.Method != http.MethodHead && w.status != http.StatusNoContent && w.status != http.StatusNotModified
}

// Write writes body bytes. It blocks while the edge has not given credit for
// more.
func (w *response) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.status == 0 {
		w.writeHead(http.StatusOK)
	}
	switch {
	case w.err != nil:
		return 0, w.err
	case w.ended:
		return 0, io.ErrClosedPipe
	case !w.bodyAllowed():
		return 0, http.ErrBodyNotAllowed
	case w.declared >= 0 && w.written+int64(len(p)) > w.declared:
		return 0, http.ErrContentLength
	}
	w.written += int64(len(p))
	if w.err = w.lane.WriteBody(w.req.Context(), p); w.err != nil {
		return 0, w.err
	}
	return len(p), nil
}

// Flush sends what was written.
func (w *response) Flush() { _ = w.FlushError() }

// FlushError is Flush for http.ResponseController.
func (w *response) FlushError() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.status == 0 {
		w.writeHead(http.StatusOK)
	}
	if w.err == nil {
		w.err = w.lane.Flush()
	}
	return w.err
}

// EnableFullDuplex does nothing: body and response are independent here.
func (w *response) EnableFullDuplex() error { return nil }

// finish completes the response after the handler. It reports whether the lane
// can be used again; an error is a violation by the edge.
func (w *response) finish() (again bool, err error) {
	again, abort, code := w.complete()
	switch {
	case abort:
		w.lane.Abort(code)
	case !again:
		w.lane.Leave()
	}
	err = w.body.close()
	return again && err == nil, err
}

// complete writes what is left of the response, or says with which code the lane
// has to be aborted.
func (w *response) complete() (again, abort bool, code tunnel.Code) {
	w.mu.Lock()
	defer w.mu.Unlock()
	defer func() { w.err = errOver }()
	switch {
	case w.err != nil:
		return false, true, w.abortCode()
	case w.aborted && w.status == 0:
		return false, true, w.reason(proxystatus.ProxyInternalError)
	}
	if w.status == 0 {
		w.writeHead(http.StatusOK)
	}
	if w.aborted || w.bodyAllowed() && w.declared >= 0 && w.written != w.declared {
		return false, true, w.reason(proxystatus.HTTPResponseIncomplete)
	}
	if !w.ended && !w.upgraded && w.err == nil {
		w.err = w.lane.WriteTrailers(w.trailers())
	}
	again = !w.upgraded && w.body.ended()
	if w.err != nil || w.writeEnd(!again) != nil {
		return false, true, w.abortCode()
	}
	return again, false, 0
}

// abortCode translates the error of writing.
func (w *response) abortCode() tunnel.Code {
	switch {
	case errors.Is(w.err, tunnel.ErrHeadSize) && w.status != 0 && w.written > 0:
		return w.reason(proxystatus.HTTPResponseTrailerSectionSize)
	case errors.Is(w.err, tunnel.ErrHeadSize):
		return w.reason(proxystatus.HTTPResponseHeaderSectionSize)
	case errors.Is(w.err, tunnel.ErrHeadSyntax):
		return w.reason(proxystatus.HTTPProtocolError)
	}
	return w.reason(proxystatus.HTTPResponseIncomplete)
}

// reason is what the handler recorded as the failure, or t.
func (w *response) reason(t proxystatus.Type) tunnel.Code {
	if recorded := w.x.Report.Error; recorded != proxystatus.None {
		t = recorded
	}
	return tunnel.NewCode(t)
}

func (w *response) writeEnd(last bool) error {
	if w.ended || w.err != nil {
		return w.err
	}
	w.ended = true
	r := &w.x.Report
	r.Total, r.BytesOut, r.BytesIn = time.Since(w.x.Start), w.written, w.body.read.Load()
	w.err = w.lane.WriteEnd(&tunnel.End{Report: *r, Last: last})
	return w.err
}

// trailers returns the trailer section: the announced names that have a value
// now, and what was set with http.TrailerPrefix.
func (w *response) trailers() http.Header {
	var t http.Header
	set := func(name string, values []string) {
		if t == nil {
			t = make(http.Header)
		}
		t[name] = values
	}
	for _, name := range w.trailer {
		if values := w.header[name]; len(values) > 0 {
			set(name, values)
		}
	}
	for name, values := range w.header {
		if rest, ok := strings.CutPrefix(name, http.TrailerPrefix); ok {
			set(http.CanonicalHeaderKey(rest), values)
		}
	}
	return t
}

// Upgrade sends the head, of status 101 (Switching Protocols), and returns the
// byte stream to the edge. The handler must not return before it is done with the
// stream. It fails with http.ErrNotSupported when the client did not
// ask for an upgrade.
func (w *response) Upgrade() (io.ReadWriteCloser, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.body.upgrade || w.status != 0 && w.status != http.StatusSwitchingProtocols {
		return nil, http.ErrNotSupported
	}
	w.writeHead(http.StatusSwitchingProtocols)
	if w.err == nil {
		w.err = w.lane.Flush()
	}
	w.upgraded = w.err == nil
	return upgraded{w}, w.err
}

// upgraded is the byte stream after a 101. One goroutine may read while another
// writes; Close may be called by any.
type upgraded struct{ w *response }

func (u upgraded) Read(p []byte) (int, error) { return u.w.body.Read(p) }

// Write sends p at once.
func (u upgraded) Write(p []byte) (int, error) {
	n, err := u.w.Write(p)
	if err != nil {
		return n, err
	}
	return n, u.w.FlushError()
}

// CloseWrite ends the direction to the edge.
func (u upgraded) CloseWrite() error {
	u.w.mu.Lock()
	defer u.w.mu.Unlock()
	return u.w.writeEnd(true)
}

// Close ends both directions. What was written before is delivered, unless a
// Write is stuck in the lane.
func (u upgraded) Close() error {
	w := u.w
	if !w.mu.TryLock() {
		w.lane.Abort(tunnel.NewCode(proxystatus.ConnectionTerminated))
		return nil
	}
	defer w.mu.Unlock()
	err := w.writeEnd(true)
	w.lane.Leave()
	return err
}
