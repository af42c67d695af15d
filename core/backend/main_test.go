package backend_test

import (
	"bufio"
	"context"
	"crypto/x509"
	"encoding/pem"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"go.uber.org/goleak"

	"github.com/ergoproxy/ergo/core/backend"
	"github.com/ergoproxy/ergo/shared/config"
	"github.com/ergoproxy/ergo/shared/exchange"
	"github.com/ergoproxy/ergo/shared/proxystatus"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// wait is how long a test waits for what must happen.
const wait = 10 * time.Second

// newPool makes a pool of urls; change may alter its config.
func newPool(t testing.TB, change func(*backend.Config), urls ...string) *backend.Pool {
	t.Helper()
	return newPoolWith(t, nil, change, urls...)
}

func newPoolWith(t testing.TB, r *net.Resolver, change func(*backend.Config), urls ...string) *backend.Pool {
	t.Helper()
	var cfg backend.Config
	cfg.SetDefaults()
	for _, u := range urls {
		cfg.Endpoints = append(cfg.Endpoints, backend.Endpoint{URL: u})
	}
	if change != nil {
		change(&cfg)
	}
	p, err := backend.New("web", cfg, backend.Deps{Log: zerolog.Nop(), Resolver: r})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), wait)
		defer cancel()
		if err := p.Drain(ctx); err != nil {
			t.Errorf("drain: %v", err)
		}
	})
	return p
}

// run runs p until the test ends.
func run(t testing.TB, p *backend.Pool) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- p.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
}

// serve starts a backend.
func serve(t testing.TB, h http.HandlerFunc) *httptest.Server {
	t.Helper()
	srv := httptest.NewUnstartedServer(h)
	srv.Config.Protocols = new(http.Protocols)
	srv.Config.Protocols.SetHTTP1(true)
	srv.Config.Protocols.SetUnencryptedHTTP2(true)
	srv.Start()
	t.Cleanup(srv.Close)
	return srv
}

// serveTLS starts a backend with https, and returns the file with its CA.
func serveTLS(t testing.TB, h http.HandlerFunc, h2 bool) (*httptest.Server, string) {
	t.Helper()
	srv := httptest.NewUnstartedServer(h)
	srv.EnableHTTP2 = h2
	srv.StartTLS()
	t.Cleanup(srv.Close)
	return srv, caFile(t, srv.Certificate())
}

func caFile(t testing.TB, cert *x509.Certificate) string {
	file := filepath.Join(t.TempDir(), "ca.crt")
	data := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw})
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// raw starts a TCP server that gives each connection to f and closes it after.
func raw(t testing.TB, f func(c net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	stopped := make(chan struct{})
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				gone := make(chan struct{})
				defer close(gone)
				go func() {
					select {
					case <-stopped:
					case <-gone:
					}
					c.Close()
				}()
				f(c)
			})
		}
	})
	t.Cleanup(func() { close(stopped); l.Close(); wg.Wait() })
	return "http://" + l.Addr().String()
}

// head reads the head of a request, and its body if it has a length.
func head(c net.Conn) (*http.Request, error) {
	r, err := http.ReadRequest(bufio.NewReader(c))
	if err == nil {
		_, err = io.Copy(io.Discard, r.Body)
	}
	return r, err
}

// reset closes c so that the other end gets a RST.
func reset(c net.Conn) {
	c.(*net.TCPConn).SetLinger(0)
	c.Close()
}

// request makes a request as a tier's handler hands it on.
func request(t testing.TB, method, path, body string) (*http.Request, *exchange.Exchange) {
	t.Helper()
	var r io.Reader
	if body != "" {
		r = strings.NewReader(body)
	}
	req := httptest.NewRequest(method, path, r)
	req.Host = "app.example.com"
	x := &exchange.Exchange{Start: time.Now()}
	ctx, cancel := context.WithTimeout(req.Context(), wait)
	t.Cleanup(cancel)
	return req.WithContext(exchange.With(ctx, x)), x
}

// do sends a request and reads the answer.
func do(t testing.TB, rt http.RoundTripper, req *http.Request) (*http.Response, string, error) {
	t.Helper()
	resp, err := rt.RoundTrip(req)
	if err != nil {
		return nil, "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return resp, string(body), err
}

// eventually waits until ok.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(wait)
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("never happened: %s", what)
		}
		<-tick.C
	}
}

func typeOf(err error) proxystatus.Type { return proxystatus.From("test", err).Type }

func retriesOff(c *backend.Config) { c.Retries.Tries = 1 }

// trust makes backends verified by the CA of file.
func trust(c *backend.Config, file string) { c.TLS.CA = config.Path(file) }
