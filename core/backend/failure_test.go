package backend_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ergoproxy/ergo/core/backend"
	"github.com/ergoproxy/ergo/shared/config"
	"github.com/ergoproxy/ergo/shared/proxystatus"
	"github.com/ergoproxy/ergo/shared/retry"
)

// closedPort is an address on which nobody listens.
func closedPort(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return "http://" + l.Addr().String()
}

// blackHole is an address whose listener's backlog is full, so that further
// connections are neither taken nor refused.
func blackHole(t *testing.T) string {
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { syscall.Close(fd) })
	if err := errors.Join(syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}), syscall.Listen(fd, 0)); err != nil {
		t.Fatal(err)
	}
	sa, err := syscall.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	addr := (&net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: sa.(*syscall.SockaddrInet4).Port}).String()
	for range 8 {
		c, err := net.DialTimeout("tcp", addr, 50*time.Millisecond)
		if err != nil {
			return "http://" + addr
		}
		t.Cleanup(func() { c.Close() })
	}
	t.Skip("the kernel takes connections beyond the backlog")
	return ""
}

// expiredServer has a certificate of last year.
func expiredServer(t *testing.T) (url, ca string) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-2 * time.Hour), NotAfter: time.Now().Add(-time.Hour),
		IsCA: true, BasicConstraintsValid: true, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewUnstartedServer(http.NotFoundHandler())
	srv.TLS = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
	srv.Config.ErrorLog = discardLog
	srv.StartTLS()
	t.Cleanup(srv.Close)
	return srv.URL, caFile(t, cert)
}

// answer is a server that reads a request, writes text and then does after.
func answer(t *testing.T, text string, after func(net.Conn)) string {
	return raw(t, func(c net.Conn) {
		if _, err := head(c); err != nil {
			return
		}
		io.WriteString(c, text)
		if after != nil {
			after(c)
		}
	})
}

func stay(c net.Conn) { io.Copy(io.Discard, c) }

func TestFailuresGetTheirWords(t *testing.T) {
	limits := func(c *backend.Config, timeout time.Duration) {
		c.Retries.Tries = 1
		c.Timeouts.Connect = config.Duration(timeout)
		c.Timeouts.TLSHandshake = config.Duration(timeout)
		c.Timeouts.ResponseHeader = config.Duration(timeout)
		c.Limits.ResponseHeader = 4 << 10
	}
	tests := []struct {
		name   string
		server func(t *testing.T, c *backend.Config) string
		want   proxystatus.Type
		status int
		stage  retry.Stage
		op     string
	}{
		{"port refused", func(t *testing.T, c *backend.Config) string { return closedPort(t) },
			proxystatus.ConnectionRefused, 502, retry.Unsent, "dial 127.0.0.1:"},
		{"black hole", func(t *testing.T, c *backend.Config) string { return blackHole(t) },
			proxystatus.ConnectionTimeout, 504, retry.Unsent, "dial 127.0.0.1:"},
		{"unknown CA", func(t *testing.T, c *backend.Config) string {
			srv, _ := serveTLS(t, func(http.ResponseWriter, *http.Request) {}, false)
			srv.Config.ErrorLog = discardLog
			return srv.URL
		}, proxystatus.TLSCertificateError, 502, retry.Unsent, "handshake with 127.0.0.1:"},
		{"certificate for another name", func(t *testing.T, c *backend.Config) string {
			srv, ca := serveTLS(t, func(http.ResponseWriter, *http.Request) {}, false)
			srv.Config.ErrorLog = discardLog
			trust(c, ca)
			c.TLS.ServerName = "other.net"
			return srv.URL
		}, proxystatus.TLSCertificateError, 502, retry.Unsent, "handshake with 127.0.0.1:"},
		{"certificate expired", func(t *testing.T, c *backend.Config) string {
			url, ca := expiredServer(t)
			trust(c, ca)
			return url
		}, proxystatus.TLSCertificateError, 502, retry.Unsent, "handshake with 127.0.0.1:"},
		{"TLS to a clear port", func(t *testing.T, c *backend.Config) string {
			return strings.Replace(raw(t, func(c net.Conn) {
				io.ReadFull(c, make([]byte, 5))
				io.WriteString(c, "HTTP/1.1 400 Bad Request\r\n\r\n")
				stay(c)
			}), "http:", "https:", 1)
		}, proxystatus.TLSProtocolError, 502, retry.Unsent, "handshake with 127.0.0.1:"},
		{"TLS answered by silence", func(t *testing.T, c *backend.Config) string {
			return strings.Replace(raw(t, stay), "http:", "https:", 1)
		}, proxystatus.ConnectionTimeout, 504, retry.Unsent, "handshake with 127.0.0.1:"},
		{"TLS answered by an alert", func(t *testing.T, c *backend.Config) string {
			srv, ca := serveTLS(t, func(http.ResponseWriter, *http.Request) {}, false)
			srv.Config.ErrorLog = discardLog
			srv.TLS.NextProtos = []string{"http/1.1"}
			trust(c, ca)
			c.Protocol = backend.ProtocolH2 // no common protocol
			return srv.URL
		}, proxystatus.TLSAlertReceived, 502, retry.Unsent, "handshake with 127.0.0.1:"},
		{"closed before the response", func(t *testing.T, c *backend.Config) string { return answer(t, "", nil) },
			proxystatus.ConnectionTerminated, 502, retry.Unknown, "read response head of 127.0.0.1:"},
		{"reset before the response", func(t *testing.T, c *backend.Config) string { return answer(t, "", reset) },
			proxystatus.ConnectionTerminated, 502, retry.Unknown, "read response head of 127.0.0.1:"},
		{"closed in the head", func(t *testing.T, c *backend.Config) string {
			return answer(t, "HTTP/1.1 200 OK\r\nContent-Le", nil)
		}, proxystatus.HTTPResponseIncomplete, 502, retry.Unknown, "read response head of 127.0.0.1:"},
		{"garbage", func(t *testing.T, c *backend.Config) string {
			return answer(t, "SSH-2.0-OpenSSH_9.6\r\nmore\r\n\r\n", stay)
		}, proxystatus.HTTPProtocolError, 502, retry.Unknown, "read response head of 127.0.0.1:"},
		{"two lengths", func(t *testing.T, c *backend.Config) string {
			return answer(t, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", stay)
		}, proxystatus.HTTPProtocolError, 502, retry.Unknown, "read response head of 127.0.0.1:"},
		{"head too large", func(t *testing.T, c *backend.Config) string {
			return answer(t, "HTTP/1.1 200 OK\r\nX: "+strings.Repeat("x", 64<<10)+"\r\n\r\n", stay)
		}, proxystatus.HTTPResponseHeaderSectionSize, 502, retry.Unknown, "read response head of 127.0.0.1:"},
		{"no response in time", func(t *testing.T, c *backend.Config) string { return answer(t, "", stay) },
			proxystatus.HTTPResponseTimeout, 504, retry.Unknown, "read response head of 127.0.0.1:"},
		{"whole request too slow", func(t *testing.T, c *backend.Config) string {
			c.Timeouts.Request = config.Duration(30 * time.Millisecond)
			return answer(t, "", stay)
		}, proxystatus.HTTPResponseTimeout, 504, retry.Unknown, "read response head of 127.0.0.1:"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var url string
			p := newPool(t, func(c *backend.Config) {
				if tt.status == http.StatusGatewayTimeout {
					limits(c, 50*time.Millisecond)
				} else {
					limits(c, wait)
				}
				url = tt.server(t, c)
				c.Endpoints = []backend.Endpoint{{URL: url}}
			})
			req, x := request(t, "GET", "/", "")
			_, err := p.RoundTrip(req)
			var e *proxystatus.Error
			if !errors.As(err, &e) {
				t.Fatalf("%v is no proxystatus.Error", err)
			}
			if e.Type != tt.want || e.HTTPStatus() != tt.status || e.Hop != "core" || !strings.HasPrefix(e.Op, tt.op) {
				t.Errorf("%v (status %d), want %v (%d) %q", err, e.HTTPStatus(), tt.want, tt.status, tt.op)
			}
			if retry.StageOf(err) != tt.stage {
				t.Errorf("stage %v, want %v", retry.StageOf(err), tt.stage)
			}
			if x.Report.Attempts != 1 {
				t.Errorf("%d tries", x.Report.Attempts)
			}
			if s := p.Status(); s.InFlight != 0 || s.Backends[0].InFlight != 0 || s.Failures != 1 {
				t.Errorf("status %+v", s)
			}
		})
	}
}

// The connection dies by itself at a moment that races with the request.
func TestHTTP2ToAnHTTP1PortFails(t *testing.T) {
	for range 20 {
		p := newPool(t, retriesOff, strings.Replace(raw(t, func(c net.Conn) {
			io.ReadFull(c, make([]byte, 24))
			io.WriteString(c, "HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")
		}), "http:", "h2c:", 1))
		req, _ := request(t, "GET", "/", "")
		_, err := p.RoundTrip(req)
		e := proxystatus.From("core", err)
		if e.Type != proxystatus.HTTPProtocolError && e.Type != proxystatus.ConnectionTerminated || e.HTTPStatus() != 502 {
			t.Errorf("%v", err)
		}
		eventually(t, "the connection is counted out", func() bool { return p.Status().Backends[0].Connections == 0 })
	}
}

func TestFailingBodies(t *testing.T) {
	for name, after := range map[string]func(net.Conn){"closed": nil, "reset": func(c net.Conn) { reset(c) }} {
		for framing, text := range map[string]string{
			"length":  "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc",
			"chunked": "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
		} {
			t.Run(name+" "+framing, func(t *testing.T) {
				p := newPool(t, nil, answer(t, text, after))
				req, _ := request(t, "GET", "/", "")
				_, body, err := do(t, p, req)
				var e *proxystatus.Error
				if !errors.As(err, &e) || e.Type != proxystatus.HTTPResponseIncomplete || strings.Trim("abc", body) != "" && body != "" && body != "abc" {
					t.Errorf("read %q, %v", body, err)
				}
				if s := p.Status(); s.InFlight != 0 {
					t.Errorf("in flight %d", s.InFlight)
				}
			})
		}
	}
}

func TestClientThatGoesAwayIsNoFault(t *testing.T) {
	p := newPool(t, func(c *backend.Config) { c.Health.Passive.Failures = 1 }, answer(t, "", stay))
	req, _ := request(t, "GET", "/", "")
	ctx, cancel := context.WithCancel(req.Context())
	done := make(chan error)
	go func() { _, err := p.RoundTrip(req.WithContext(ctx)); done <- err }()
	eventually(t, "request is sent", func() bool { return p.Status().Backends[0].Connections == 1 })
	cancel()
	if err := <-done; proxystatus.From("core", err).HTTPStatus() != 499 {
		t.Errorf("%v", err)
	}
	if s := p.Status(); s.Backends[0].State != "up" || s.Retries != 0 {
		t.Errorf("%+v", s)
	}
}

func TestClientBodyThatBreaksIsNoFault(t *testing.T) {
	for _, scheme := range []string{"http:", "h2c:"} {
		p := newPool(t, func(c *backend.Config) { c.Health.Passive.Failures = 1 },
			strings.Replace(serve(t, func(w http.ResponseWriter, r *http.Request) { io.Copy(io.Discard, r.Body) }).URL, "http:", scheme, 1))
		req, _ := request(t, "PUT", "/", "")
		pr, pw := io.Pipe()
		req.Body, req.ContentLength = pr, 100
		go func() { pw.Write([]byte("abc")); pw.CloseWithError(io.ErrUnexpectedEOF) }()
		_, err := p.RoundTrip(req)
		if e := proxystatus.From("core", err); e.Type != proxystatus.HTTPRequestError || e.Op != "read request body" {
			t.Errorf("%s %v", scheme, err)
		}
		if s := p.Status(); s.Backends[0].State != "up" || s.Retries != 0 {
			t.Errorf("%s %+v", scheme, s)
		}
	}
}

// What can't be written as HTTP/1.1 is refused before a byte is sent, by one
// try, and the connection stays.
func TestRequestThatCannotBeSentIsNoFault(t *testing.T) {
	p := newPool(t, func(c *backend.Config) { c.Health.Passive.Failures = 1 },
		serve(t, func(w http.ResponseWriter, r *http.Request) {}).URL)
	warm, _ := request(t, "GET", "/", "")
	if _, _, err := do(t, p, warm); err != nil {
		t.Fatal(err)
	}
	for _, change := range []func(r *http.Request){
		func(r *http.Request) { r.Header["A"] = []string{"b\r\nC: d"} },
		func(r *http.Request) { r.Host = "a b" },
	} {
		req, x := request(t, "GET", "/", "")
		change(req)
		_, err := p.RoundTrip(req)
		if typeOf(err) != proxystatus.HTTPRequestError || retry.StageOf(err) != retry.Unknown || x.Report.Attempts != 1 {
			t.Errorf("%v, stage %v, %d tries", err, retry.StageOf(err), x.Report.Attempts)
		}
	}
	if s := p.Status(); s.Backends[0].State != "up" || s.Backends[0].Idle != 1 {
		t.Errorf("%+v", s)
	}
}

// A body that ends before its Content-Length is the client's fault.
func TestShortBodyIsNoFault(t *testing.T) {
	p := newPool(t, func(c *backend.Config) { c.Health.Passive.Failures = 1 },
		serve(t, func(w http.ResponseWriter, r *http.Request) { io.Copy(io.Discard, r.Body) }).URL)
	req, x := request(t, "PUT", "/", "abc")
	req.ContentLength = 5
	if _, err := p.RoundTrip(req); typeOf(err) != proxystatus.HTTPRequestError || x.Report.Attempts != 1 {
		t.Errorf("%v after %d tries", err, x.Report.Attempts)
	}
	if s := p.Status(); s.Backends[0].State != "up" {
		t.Errorf("%+v", s)
	}
}
