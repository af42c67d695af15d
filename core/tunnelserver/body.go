package tunnelserver

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"sync/atomic"

	"github.com/ergoproxy/ergo/shared/proxystatus"
	"github.com/ergoproxy/ergo/shared/tunnel"
)

// A requestBody is the Body of a request. The transport to the backend may still
// read it when the handler has returned; it gets an error then.
type requestBody struct {
	w       *response
	in      *tunnel.BodyReader
	none    bool  // the head was the whole request
	upgrade bool  // body bytes are what the client sends after a 101
	length  int64 // as declared; -1: unknown
	read    atomic.Int64

	mu           sync.Mutex // guards what follows, and in
	sendContinue bool
	closed       bool
	broken       error // violation of the protocol
}

func newRequestBody(w *response, head *tunnel.RequestHead) *requestBody {
	b := &requestBody{w: w, in: tunnel.NewBodyReader(w.lane), sendContinue: head.Continue,
		upgrade: head.Upgrade != "", length: head.ContentLength}
	b.none = !head.HasBody && !b.upgrade
	if b.upgrade {
		b.length = -1
	}
	return b
}

// Read reads what the client sends. It returns io.EOF at the end, when the
// request's Trailer is complete, and a *proxystatus.Error when the edge gave up.
func (b *requestBody) Read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.closed:
		return 0, http.ErrBodyReadAfterClose
	case b.none:
		return 0, io.EOF
	case b.broken != nil:
		return 0, b.broken
	}
	if b.sendContinue {
		b.sendContinue = false
		b.w.continue100()
	}
	n, err := b.in.Read(p)
	read := b.read.Add(int64(n))
	if b.length >= 0 && (read > b.length || err == io.EOF && read < b.length) {
		err = fmt.Errorf("%w: body of %d bytes, head says %d", tunnel.ErrProtocol, read, b.length)
	}
	switch {
	case err == io.EOF:
		b.complete()
	case errors.Is(err, tunnel.ErrProtocol):
		b.broken = err
	case err != nil:
		err = proxystatus.New(proxystatus.HTTPRequestError, "core", "read request body", err)
	}
	return n, err
}

func (b *requestBody) complete() {
	req := b.w.req
	for name, values := range b.in.Trailer {
		if req.Trailer == nil {
			req.Trailer = make(http.Header)
		}
		req.Trailer[name] = values
	}
}

// Close does nothing: what the lane needs when the exchange is over is done by
// response.finish.
func (b *requestBody) Close() error { return nil }

// continue100 asks the edge for the body.
func (w *response) continue100() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.writeInformational(http.StatusContinue, nil)
}

// ended reports whether everything that the edge sends for this exchange is here,
// so that the lane can be used again. It does not wait: the client may take its
// time with a body that nobody wants.
func (b *requestBody) ended() bool {
	if b.none {
		return true
	}
	if !b.mu.TryLock() {
		return false // somebody is reading still
	}
	defer b.mu.Unlock()
	return b.broken == nil && b.in.Ended()
}

// close waits for a Read under way, which ends when the lane does, and makes later
// ones fail: they must not touch a lane that serves the next exchange. It returns
// the violation that was found, if any.
func (b *requestBody) close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	return b.broken
}
