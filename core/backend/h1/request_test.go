package h1_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/ergoproxy/ergo/core/backend/h1"
)

// sent returns the bytes of a request.
func sent(t *testing.T, req *http.Request) (string, error) {
	t.Helper()
	c := &canned{in: strings.NewReader(okEmpty)}
	freed := make(chan struct{}, 1)
	resp, err := h1.New(c, settings(), func() { freed <- struct{}{} }).RoundTrip(context.Background(), req, nil)
	if err == nil {
		resp.Body.Close()
	}
	eventually(t, "the exchange ends", func() bool { return len(freed) > 0 || c.isClosed() })
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.out.String(), err
}

func TestRequestsAsTheyAreSent(t *testing.T) {
	tests := []struct {
		name   string
		change func(r *http.Request)
		want   string
	}{
		{"plain", func(r *http.Request) {}, "GET /path?q=1 HTTP/1.1\r\nHost: backend\r\n\r\n"},
		{"escaped path", func(r *http.Request) { r.URL.Path, r.URL.RawPath = "/a/b", "/a%2Fb" }, "GET /a%2Fb?q=1 HTTP/1.1\r\nHost: backend\r\n\r\n"},
		{"no path", func(r *http.Request) { r.URL.Path, r.URL.RawQuery, r.URL.ForceQuery = "", "", true }, "GET /? HTTP/1.1\r\nHost: backend\r\n\r\n"},
		{"opaque", func(r *http.Request) { r.URL.Opaque = "//other/x" }, "GET http://other/x?q=1 HTTP/1.1\r\nHost: backend\r\n\r\n"},
		{"host with zone", func(r *http.Request) { r.Host = "[fe80::1%25eth0]:80" }, "GET /path?q=1 HTTP/1.1\r\nHost: [fe80::1]:80\r\n\r\n"},
		{"fields that are ours", func(r *http.Request) {
			r.Header = http.Header{"Host": {"evil"}, "Content-Length": {"7"}, "Transfer-Encoding": {"chunked"}, "Trailer": {"X"}, "A": {"1", "2"}}
		}, "GET /path?q=1 HTTP/1.1\r\nHost: backend\r\nA: 1\r\nA: 2\r\n\r\n"},
		{"close", func(r *http.Request) { r.Close = true }, "GET /path?q=1 HTTP/1.1\r\nHost: backend\r\nConnection: close\r\n\r\n"},
		{"POST without body", func(r *http.Request) { r.Method = "POST" }, "POST /path?q=1 HTTP/1.1\r\nHost: backend\r\nContent-Length: 0\r\n\r\n"},
		{"sized", func(r *http.Request) { r.Body, r.ContentLength = io.NopCloser(strings.NewReader("hello")), 5 },
			"GET /path?q=1 HTTP/1.1\r\nHost: backend\r\nContent-Length: 5\r\n\r\nhello"},
		{"longer than its length", func(r *http.Request) { r.Body, r.ContentLength = io.NopCloser(strings.NewReader("helloGET /")), 5 },
			"GET /path?q=1 HTTP/1.1\r\nHost: backend\r\nContent-Length: 5\r\n\r\nhello"},
		{"chunked", func(r *http.Request) {
			r.Body, r.ContentLength = io.NopCloser(strings.NewReader("0123456789abcdef")), -1
		},
			"GET /path?q=1 HTTP/1.1\r\nHost: backend\r\nTransfer-Encoding: chunked\r\n\r\n10\r\n0123456789abcdef\r\n0\r\n\r\n"},
		{"chunked, empty", func(r *http.Request) { r.Body, r.ContentLength = io.NopCloser(strings.NewReader("")), -1 },
			"GET /path?q=1 HTTP/1.1\r\nHost: backend\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"},
		{"trailers", func(r *http.Request) {
			r.Body, r.ContentLength = io.NopCloser(strings.NewReader("a")), -1
			r.Trailer = http.Header{"X-Sum": {"1"}}
		}, "GET /path?q=1 HTTP/1.1\r\nHost: backend\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n1\r\na\r\n0\r\nX-Sum: 1\r\n\r\n"},
	}
	for _, tt := range tests {
		req := request("GET", nil, 0)
		tt.change(req)
		if got, err := sent(t, req); err != nil || got != tt.want {
			t.Errorf("%s: %v\n%q\nwant\n%q", tt.name, err, got, tt.want)
		}
	}
}

// Nothing that a client can put into a request makes a second one of it.
func TestRequestsThatAreNotSent(t *testing.T) {
	for name, change := range map[string]func(r *http.Request){
		"method with space":    func(r *http.Request) { r.Method = "GET /x" },
		"empty method":         func(r *http.Request) { r.Method = "" },
		"query with CRLF":      func(r *http.Request) { r.URL.RawQuery = "a\r\nB: c" },
		"query with space":     func(r *http.Request) { r.URL.RawQuery = "a HTTP/1.1" },
		"opaque with tab":      func(r *http.Request) { r.URL.Opaque = "a\tb" },
		"host with CRLF":       func(r *http.Request) { r.Host = "a\r\nB: c" },
		"host with path":       func(r *http.Request) { r.Host = "a/b" },
		"field name with CRLF": func(r *http.Request) { r.Header["A\r\nB"] = []string{"c"} },
		"field name with colon": func(r *http.Request) {
			r.Header["A:"] = []string{"c"}
		},
		"empty field name": func(r *http.Request) { r.Header[""] = []string{"c"} },
		"value with LF":    func(r *http.Request) { r.Header["A"] = []string{"b\nC: d"} },
		"value with CR":    func(r *http.Request) { r.Header["A"] = []string{"b\rd"} },
		"value with NUL":   func(r *http.Request) { r.Header["A"] = []string{"b\x00"} },
		"framing trailer": func(r *http.Request) {
			r.Body, r.ContentLength, r.Trailer = io.NopCloser(strings.NewReader("a")), -1, http.Header{"Content-Length": nil}
		},
	} {
		req := request("GET", nil, 0)
		change(req)
		got, err := sent(t, req)
		var invalid *h1.RequestError
		if !errors.As(err, &invalid) || got != "" {
			t.Errorf("%s: %v, sent %q", name, err, got)
		}
	}
}
