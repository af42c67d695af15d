package stack_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"

	"github.com/ergoproxy/ergo/deploy/demo"
)

// A cell is one combination of the matrix, and a client of its own for one row.
type cell struct {
	in              *installation
	client, backend string
	url             string // of the edge
	http            *http.Client
	b               *backend
}

func newCell(t testing.TB, in *installation, client, backend string) *cell {
	c := &cell{in: in, client: client, backend: backend, b: in.backends[backend], url: in.TLSURL(0)}
	if client == "h1" || client == "h2c" {
		c.url = in.URL(0)
	}
	c.http = &http.Client{Transport: transport(t, client, in.CA), CheckRedirect: func(*http.Request, []*http.Request) error {
		return http.ErrUseLastResponse
	}}
	return c
}

// clientTLS trusts the certificate of the edge.
func clientTLS(ca []byte, alpn string) *tls.Config {
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca)
	return &tls.Config{RootCAs: roots, NextProtos: []string{alpn}}
}

// transport speaks one protocol only: h1, h1tls, h2, h2c or h3.
func transport(t testing.TB, protocol string, ca []byte) http.RoundTripper {
	if protocol == "h3" {
		tr := &http3.Transport{TLSClientConfig: clientTLS(ca, http3.NextProtoH3), DisableCompression: true,
			QUICConfig: &quic.Config{MaxIdleTimeout: patience}, MaxResponseHeaderBytes: 1 << 20}
		t.Cleanup(func() { tr.Close() })
		return tr
	}
	var protocols http.Protocols
	protocols.SetHTTP1(protocol == "h1" || protocol == "h1tls")
	protocols.SetHTTP2(protocol == "h2")
	protocols.SetUnencryptedHTTP2(protocol == "h2c")
	alpn := "http/1.1"
	if protocol == "h2" {
		alpn = "h2"
	}
	tr := &http.Transport{Protocols: &protocols, TLSClientConfig: clientTLS(ca, alpn), DisableCompression: true,
		ExpectContinueTimeout: patience, MaxResponseHeaderBytes: 1 << 20}
	t.Cleanup(tr.CloseIdleConnections)
	return tr
}

// request makes a request for path, which goes out as it is written.
func (c *cell) request(t testing.TB, method, path string, body io.Reader) *http.Request {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	t.Cleanup(cancel)
	req, err := http.NewRequestWithContext(ctx, method, c.url+"/", body)
	if err != nil {
		t.Fatal(err)
	}
	target, err := url.ParseRequestURI(path)
	if err != nil {
		t.Fatal(err)
	}
	req.URL.Path, req.URL.RawPath, req.URL.RawQuery, req.URL.ForceQuery = target.Path, target.RawPath, target.RawQuery, target.ForceQuery
	req.Host = c.host()
	req.Header.Set("User-Agent", c.in.book.agent(t))
	return req
}

func (c *cell) host() string { return c.backend + ".test" }

// do sends req. If it gets an answer, the access log must show its status.
func (c *cell) do(t testing.TB, req *http.Request) *http.Response {
	t.Helper()
	res, err := c.http.Do(req)
	if err != nil {
		t.Fatalf("%s %s: %v", req.Method, req.URL.Path, err)
	}
	t.Cleanup(func() { res.Body.Close() })
	c.in.book.answered(req.UserAgent(), res.StatusCode)
	return res
}

// expect says how the exchange of req is logged if not as the answer it got.
func (c *cell) expect(req *http.Request, e entry) { c.in.book.expect(req.UserAgent(), e) }

// get returns the answer to a GET, and its whole body.
func (c *cell) get(t testing.TB, path string, header ...string) (*http.Response, string) {
	t.Helper()
	return c.read(t, c.request(t, "GET", path, nil), header...)
}

// read sends req with more header fields, given as names and values in turn.
func (c *cell) read(t testing.TB, req *http.Request, header ...string) (*http.Response, string) {
	t.Helper()
	for i := 0; i < len(header); i += 2 {
		req.Header.Add(header[i], header[i+1])
	}
	res := c.do(t, req)
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatalf("%s %s: read body: %v", req.Method, req.URL.Path, err)
	}
	return res, string(body)
}

// seen asks what the backend sees of req.
func (c *cell) seen(t testing.TB, req *http.Request, header ...string) demo.Reflection {
	t.Helper()
	_, body := c.read(t, req, header...)
	return decode[demo.Reflection](t, body)
}

// raw connects to the edge for HTTP/1 written by hand.
func (c *cell) raw(t testing.TB) (net.Conn, *bufio.Reader) {
	t.Helper()
	addr := strings.SplitN(c.url, "://", 2)[1]
	var conn net.Conn
	var err error
	switch c.client {
	case "h1":
		conn, err = net.Dial("tcp", addr)
	case "h1tls":
		conn, err = tls.Dial("tcp", addr, clientTLS(c.in.CA, "http/1.1"))
	default:
		err = errors.New("not for " + c.client)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(patience))
	return conn, bufio.NewReader(conn)
}
