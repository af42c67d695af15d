package listener

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"os"
)

// settleBody finds out whether a request over HTTP/3 that declares no length has a
// body, where its method usually has none. quic-go gives every request a body of
// unknown length, since the end of the stream may come apart from the head; passed
// on like that, a GET would reach a backend as a chunked one, which many refuse and
// which keeps net/http's server from noticing that the client has left.
//
// It waits for the first byte or the end, for as long as the head may take.
func settleBody(r *http.Request) *refusal {
	if r.ContentLength >= 0 || r.Body == nil || !usuallyBodiless(r.Method) || len(r.Header["Expect"]) > 0 {
		return nil
	}
	var first [1]byte
	switch n, err := r.Body.Read(first[:]); {
	case n > 0:
		r.Body = &prefixed{io.MultiReader(bytes.NewReader(first[:n]), r.Body), r.Body}
	case err == io.EOF:
		r.Body, r.ContentLength = http.NoBody, 0
	case errors.Is(err, os.ErrDeadlineExceeded):
		return slowHead
	}
	return nil // another error is one of the stream, which ends the context too
}

func usuallyBodiless(method string) bool {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace, http.MethodDelete, "PROPFIND", "SEARCH", "PURGE":
		return true
	}
	return false
}

// prefixed is a body whose first byte was read.
type prefixed struct {
	io.Reader
	io.Closer
}
