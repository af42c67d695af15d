package stack_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ergoproxy/ergo/deploy/demo"
)

var failureRows = []row{
	{name: "client leaves before the head", run: testCancelBeforeHead},
	{name: "client leaves in mid-body", run: testCancelInBody},
	{name: "client leaves in mid-upload", run: testCancelInUpload},
	{name: "backend dies in mid-body", run: testBackendDiesInBody},
	{name: "backend dies in a body of unknown length", run: testBackendDiesInStream},
	{name: "backend dies in mid-upload", run: testBackendDiesInUpload},
	{name: "backend dies before the head", run: testBackendDiesBeforeHead},
}

// cancelLimit is how long a backend may not know that its client has left.
const cancelLimit = 2 * time.Second

// awaitGone waits until the backend knows that the client has left.
func awaitGone(t testing.TB, gone <-chan struct{}) {
	t.Helper()
	timer := time.NewTimer(cancelLimit)
	defer timer.Stop()
	select {
	case <-gone:
	case <-timer.C:
		t.Errorf("backend did not see within %s that the client left", cancelLimit)
	}
}

func testCancelBeforeHead(t *testing.T, c *cell) {
	began, gone := make(chan struct{}), make(chan struct{})
	path := c.b.handle(func(w http.ResponseWriter, r *http.Request) {
		close(began)
		<-r.Context().Done()
		close(gone)
	})
	req := c.request(t, "GET", path, nil)
	ctx, leave := context.WithCancel(req.Context())
	defer leave()
	c.expect(req, entry{Aborted: "client", ProxyStatus: "connection_terminated"})
	failed := make(chan error, 1)
	go func() {
		res, err := c.http.Do(req.WithContext(ctx))
		if err == nil {
			res.Body.Close()
		}
		failed <- err
	}()
	await(t, began, "the request at the backend")
	leave()
	awaitGone(t, gone)
	if err := await(t, failed, "the client's error"); !errors.Is(err, context.Canceled) {
		t.Errorf("client got %v", err)
	}
}

func testCancelInBody(t *testing.T, c *cell) {
	gone := make(chan struct{})
	path := c.b.handle(func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "first")
		flush(w)
		<-r.Context().Done()
		close(gone)
	})
	req := c.request(t, "GET", path, nil)
	ctx, leave := context.WithCancel(req.Context())
	defer leave()
	res := c.do(t, req.WithContext(ctx))
	c.expect(req, entry{Status: 200, Aborted: "client", ProxyStatus: "connection_terminated"})
	if _, err := io.ReadFull(res.Body, make([]byte, 5)); err != nil {
		t.Fatal(err)
	}
	leave()
	awaitGone(t, gone)
}

// testCancelInUpload leaves in the middle of a body: the backend must not take
// what it got for a whole one.
func testCancelInUpload(t *testing.T, c *cell) {
	began, ended := make(chan struct{}), make(chan error, 1)
	path := c.b.handle(func(w http.ResponseWriter, r *http.Request) {
		io.ReadFull(r.Body, make([]byte, 5))
		close(began)
		_, err := io.Copy(io.Discard, r.Body)
		ended <- err
	})
	body, out := io.Pipe()
	defer out.CloseWithError(errLeft)
	req := c.request(t, "POST", path, body)
	ctx, leave := context.WithCancel(req.Context())
	defer leave()
	// The end of the body may be seen before the end of the client.
	c.expect(req, entry{Aborted: "client", ProxyStatus: "connection_terminated", or: &entry{Status: 400, ProxyStatus: "http_request_error",
		or: &entry{Aborted: "client", ProxyStatus: "http_request_error"}}})
	failed := make(chan error, 1)
	go func() {
		res, err := c.http.Do(req.WithContext(ctx))
		if err == nil {
			res.Body.Close()
		}
		failed <- err
	}()
	io.WriteString(out, "hello")
	await(t, began, "the body at the backend")
	leave()
	timer := time.NewTimer(cancelLimit)
	defer timer.Stop()
	select {
	case err := <-ended:
		if err == nil {
			t.Error("backend took the cut body for a whole one")
		}
	case <-timer.C:
		t.Errorf("backend did not see within %s that the client left", cancelLimit)
	}
	out.CloseWithError(errLeft) // net/http's client for HTTP/1 waits for its body
	await(t, failed, "the client's error")
}

func testBackendDiesInBody(t *testing.T, c *cell) {
	c.wantCut(t, "/die?after=100000&length=200000")
}

// testBackendDiesInStream is the case where only the protocol tells a cut body
// from a whole one.
func testBackendDiesInStream(t *testing.T, c *cell) {
	c.wantCut(t, c.b.handle(func(w http.ResponseWriter, r *http.Request) {
		demo.NewPattern(1000).WriteTo(w)
		flush(w)
		panic(http.ErrAbortHandler)
	}))
}

// wantCut asks for a body in which the backend dies. The client must see that it
// was cut. A reset may overtake what was sent before, the head included: then the
// client gets an error, or a 502 if it happened between the tiers.
func (c *cell) wantCut(t testing.TB, path string) {
	t.Helper()
	req := c.request(t, "GET", path, nil)
	c.expect(req, entry{Status: 200, Aborted: "core", ProxyStatus: "http_response_incomplete"})
	res, err := c.http.Do(req)
	if err != nil {
		return
	}
	defer res.Body.Close()
	if res.StatusCode == 502 && strings.Contains(res.Header.Get("Proxy-Status"), "error=http_response_incomplete") {
		c.expect(req, entry{Status: 502, ProxyStatus: "http_response_incomplete"})
		return
	}
	n, err := demo.CheckPattern(res.Body, 0)
	if err == nil || errors.Is(err, demo.ErrPattern) || n > 100000 {
		t.Errorf("status %d, %d bytes, then %v; want a broken body", res.StatusCode, n, err)
	}
}

// testBackendDiesInUpload has the backend break in the middle of a long upload,
// its answer not begun.
func testBackendDiesInUpload(t *testing.T, c *cell) {
	path := c.b.handle(func(w http.ResponseWriter, r *http.Request) {
		io.ReadFull(r.Body, make([]byte, 100000))
		panic(http.ErrAbortHandler)
	})
	body := io.NopCloser(demo.NewPattern(1 << 40))
	c.wantBadGateway(t, c.request(t, "POST", path, body))
}

func testBackendDiesBeforeHead(t *testing.T, c *cell) {
	c.wantBadGateway(t, c.request(t, "GET", "/die?after=-1", nil))
	c.wantBadGateway(t, c.request(t, "POST", "/die?after=-1", nil))
}

var proxyError = regexp.MustCompile(`core-1; *error=([a-z_]+)`)

// wantBadGateway checks the answer that a core makes for a backend that broke.
func (c *cell) wantBadGateway(t testing.TB, req *http.Request) {
	t.Helper()
	res, _ := c.read(t, req)
	why := proxyError.FindStringSubmatch(res.Header.Get("Proxy-Status"))
	if res.StatusCode != 502 || res.Header.Get("X-Request-Id") == "" || why == nil {
		t.Errorf("status %d, Proxy-Status %q, X-Request-Id %q", res.StatusCode, res.Header.Get("Proxy-Status"), res.Header.Get("X-Request-Id"))
		return
	}
	// HTTP/2 resets the one stream, with a code of its own.
	if !slices.Contains([]string{"connection_terminated", "http_response_incomplete", "http_protocol_error"}, why[1]) {
		t.Errorf("Proxy-Status %q does not say that the backend broke", res.Header.Get("Proxy-Status"))
	}
	c.expect(req, entry{Status: 502, ProxyStatus: why[1]})
}
