package backend_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ergoproxy/ergo/core/backend"
	"github.com/ergoproxy/ergo/shared/config"
	"github.com/ergoproxy/ergo/shared/proxystatus"
	"github.com/ergoproxy/ergo/shared/retry"
)

// onEveryProtocol runs f against h as a backend of each kind.
func onEveryProtocol(t *testing.T, h http.HandlerFunc, f func(t *testing.T, p *backend.Pool, proto string)) {
	t.Run("h1", func(t *testing.T) { f(t, newPool(t, nil, serve(t, h).URL), "HTTP/1.1") })
	t.Run("h2c", func(t *testing.T) {
		f(t, newPool(t, nil, strings.Replace(serve(t, h).URL, "http:", "h2c:", 1)), "HTTP/2.0")
	})
	for name, proto := range map[string]string{"https h1": "HTTP/1.1", "https h2": "HTTP/2.0"} {
		t.Run(name, func(t *testing.T) {
			srv, ca := serveTLS(t, h, proto == "HTTP/2.0")
			f(t, newPool(t, func(c *backend.Config) { trust(c, ca) }, srv.URL), proto)
		})
	}
}

func TestRequestReachesTheBackendAsItIs(t *testing.T) {
	h := func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		fmt.Fprintf(w, "%s %s %s %d %q %q %v", r.Method, r.RequestURI, r.Host, r.ContentLength, body,
			r.Header["User-Agent"], r.Header["X-Many"])
	}
	onEveryProtocol(t, h, func(t *testing.T, p *backend.Pool, proto string) {
		req, x := request(t, "POST", "/a%2Fb/../c?q=%2F&x", "hello")
		req.Header["X-Many"] = []string{"1", "2"}
		before := req.Header.Clone()
		resp, body, err := do(t, p, req)
		if err != nil {
			t.Fatal(err)
		}
		if want := `POST /a%2Fb/../c?q=%2F&x app.example.com 5 "hello" [] [1 2]`; body != want {
			t.Errorf("backend saw %s\nwant        %s", body, want)
		}
		if resp.Proto != proto {
			t.Errorf("spoke %s, want %s", resp.Proto, proto)
		}
		if !reflect.DeepEqual(req.Header, before) || req.URL.Host != "" {
			t.Errorf("the caller's request was changed: %v %v", req.Header, req.URL)
		}
		if x.Report.Attempts != 1 || x.Report.Connect <= 0 || x.Report.FirstByte < x.Report.Connect || x.Report.ConnReused || x.Report.Backend == "" {
			t.Errorf("report %+v", x.Report)
		}
		req, x = request(t, "GET", "/", "")
		if _, body, err = do(t, p, req); err != nil || body != `GET / app.example.com 0 "" [] []` {
			t.Errorf("GET: %s, %v", body, err)
		}
		if !x.Report.ConnReused || x.Report.Connect != 0 {
			t.Errorf("second request opened a connection: %+v", x.Report)
		}
		if s := p.Status(); s.InFlight != 0 || s.Backends[0].InFlight != 0 || s.Backends[0].Requests != 2 {
			t.Errorf("status %+v", s)
		}
	})
}

func TestStreamsBothWaysWithTrailers(t *testing.T) {
	h := func(w http.ResponseWriter, r *http.Request) {
		rc := http.NewResponseController(w)
		rc.EnableFullDuplex()
		w.Header().Set("Trailer", "X-Sum")
		in := bufio.NewReader(r.Body)
		for {
			line, err := in.ReadString('\n')
			if err != nil {
				break
			}
			io.WriteString(w, "echo "+line)
			rc.Flush()
		}
		w.Header().Set("X-Sum", r.Trailer.Get("X-Up"))
	}
	onEveryProtocol(t, h, func(t *testing.T, p *backend.Pool, _ string) {
		pr, pw := io.Pipe()
		req, _ := request(t, "POST", "/", "")
		req.Body, req.ContentLength = pr, -1
		req.Trailer = http.Header{"X-Up": nil}
		go pw.Write([]byte("one\n"))
		resp, err := p.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		out := bufio.NewReader(resp.Body)
		for _, word := range []string{"one", "two", "three"} {
			if word != "one" {
				pw.Write([]byte(word + "\n"))
			}
			if line, err := out.ReadString('\n'); line != "echo "+word+"\n" {
				t.Fatalf("read %q, %v", line, err)
			}
		}
		req.Trailer.Set("X-Up", "42")
		pw.Close()
		if _, err := io.Copy(io.Discard, out); err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if got := resp.Trailer.Get("X-Sum"); got != "42" {
			t.Errorf("trailer %q, want 42", got)
		}
	})
}

func TestInformationalResponsesArePassedOn(t *testing.T) {
	h := func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/hints" {
			w.Header().Set("Link", "</a.css>")
			w.WriteHeader(103)
			w.Header().Set("Link", "</b.css>")
			w.WriteHeader(103)
		}
		body, _ := io.ReadAll(r.Body) // sends 100 if that is expected
		w.Write(body)
	}
	onEveryProtocol(t, h, func(t *testing.T, p *backend.Pool, _ string) {
		for _, tt := range []struct {
			path, expect string
			want         []string
		}{
			{"/hints", "", []string{"103</a.css>", "103</b.css>"}},
			{"/", "100-continue", []string{"100"}},
		} {
			req, x := request(t, "POST", tt.path, "body")
			if tt.expect != "" {
				req.Header.Set("Expect", tt.expect)
			}
			var got []string
			x.Informational = func(status int, h http.Header) error {
				got = append(got, fmt.Sprint(status, h.Get("Link")))
				return nil
			}
			if _, body, err := do(t, p, req); err != nil || body != "body" {
				t.Fatalf("%q, %v", body, err)
			}
			if !reflect.DeepEqual(got, tt.want) {
				t.Errorf("informational %v, want %v", got, tt.want)
			}
		}
	})
}

func TestErrorOfInformationalEndsTheExchange(t *testing.T) {
	var begun atomic.Int32
	p := newPool(t, nil, serve(t, func(w http.ResponseWriter, r *http.Request) {
		begun.Add(1)
		w.WriteHeader(103)
	}).URL)
	req, x := request(t, "GET", "/", "")
	gone := proxystatus.New(proxystatus.ConnectionTerminated, "core", "write head", nil)
	x.Informational = func(int, http.Header) error { return gone }
	if _, err := p.RoundTrip(req); !errors.Is(err, error(gone)) || begun.Load() != 1 {
		t.Errorf("%v after %d tries, want %v after 1", err, begun.Load(), gone)
	}
}

func TestInformationalResponsesAreLimited(t *testing.T) {
	p := newPool(t, retriesOff, raw(t, func(c net.Conn) {
		head(c)
		for {
			if _, err := io.WriteString(c, "HTTP/1.1 103 Early Hints\r\n\r\n"); err != nil {
				return
			}
		}
	}))
	req, x := request(t, "GET", "/", "")
	n := 0
	x.Informational = func(int, http.Header) error { n++; return nil }
	if _, err := p.RoundTrip(req); typeOf(err) != proxystatus.HTTPProtocolError || n > 100 {
		t.Errorf("%v after %d responses", err, n)
	}
}

func TestUpgradeGivesTheConnection(t *testing.T) {
	h := func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Upgrade") != "echo" || r.Header.Get("Connection") != "Upgrade" {
			w.WriteHeader(400)
			return
		}
		c, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		defer c.Close()
		io.WriteString(rw, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\nhi ")
		rw.Flush()
		io.Copy(c, rw)
	}
	check := func(t *testing.T, p *backend.Pool) {
		req, _ := request(t, "GET", "/", "")
		req.Header.Set("Connection", "Upgrade")
		req.Header.Set("Upgrade", "echo")
		resp, err := p.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		rw, ok := resp.Body.(io.ReadWriteCloser)
		if resp.StatusCode != 101 || !ok {
			t.Fatalf("status %d, body %T", resp.StatusCode, resp.Body)
		}
		io.WriteString(rw, "there")
		if s := p.Status(); s.InFlight != 1 || s.Backends[0].Connections != 1 {
			t.Errorf("status during the upgrade %+v", s)
		}
		rw.(interface{ CloseWrite() error }).CloseWrite()
		if got, err := io.ReadAll(rw); string(got) != "hi there" || err != nil {
			t.Errorf("read %q, %v", got, err)
		}
		rw.Close()
		eventually(t, "the connection is given back", func() bool {
			s := p.Status()
			return s.InFlight == 0 && s.Backends[0].Connections == 0
		})
	}
	t.Run("http", func(t *testing.T) { check(t, newPool(t, nil, serve(t, h).URL)) })
	t.Run("https that would speak h2", func(t *testing.T) {
		srv, ca := serveTLS(t, h, true)
		check(t, newPool(t, func(c *backend.Config) { trust(c, ca) }, srv.URL))
	})
	t.Run("h2c cannot", func(t *testing.T) {
		p := newPool(t, nil, strings.Replace(serve(t, h).URL, "http:", "h2c:", 1))
		req, _ := request(t, "GET", "/", "")
		req.Header.Set("Upgrade", "echo")
		if _, err := p.RoundTrip(req); typeOf(err) != proxystatus.HTTPUpgradeFailed {
			t.Errorf("%v", err)
		}
	})
}

func TestConnectIsRefused(t *testing.T) {
	p := newPool(t, nil, "http://127.0.0.1:1")
	req, _ := request(t, "CONNECT", "/", "")
	if _, err := p.RoundTrip(req); typeOf(err) != proxystatus.HTTPRequestError {
		t.Errorf("%v", err)
	}
}

func TestColdHTTP2BackendGetsOneConnection(t *testing.T) {
	h := func(w http.ResponseWriter, r *http.Request) {}
	for _, proto := range []string{"h2c", "https"} {
		t.Run(proto, func(t *testing.T) {
			var p *backend.Pool
			if proto == "h2c" {
				p = newPool(t, nil, strings.Replace(serve(t, h).URL, "http:", "h2c:", 1))
			} else {
				srv, ca := serveTLS(t, h, true)
				p = newPool(t, func(c *backend.Config) { trust(c, ca) }, srv.URL)
			}
			var wg sync.WaitGroup
			for range 50 {
				req, _ := request(t, "GET", "/", "")
				wg.Go(func() {
					if _, _, err := do(t, p, req); err != nil {
						t.Error(err)
					}
				})
			}
			wg.Wait()
			if n := p.Status().Backends[0].Connections; n != 1 {
				t.Errorf("%d connections, want 1", n)
			}
		})
	}
}

// A counting backend: the answer to each request is its number.
func TestParallelRequestsStayWithinTheLimits(t *testing.T) {
	var now, peak atomic.Int64
	h := func(w http.ResponseWriter, r *http.Request) {
		n := now.Add(1)
		for old := peak.Load(); n > old && !peak.CompareAndSwap(old, n); old = peak.Load() {
		}
		io.WriteString(w, strings.Repeat("x", 5000))
		now.Add(-1)
	}
	p := newPool(t, func(c *backend.Config) { c.Limits.Connections = 3; c.Limits.IdleConnections = 2 }, serve(t, h).URL)
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			for range 20 {
				req, _ := request(t, "GET", "/", "")
				if _, body, err := do(t, p, req); err != nil || len(body) != 5000 {
					t.Errorf("%d bytes, %v", len(body), err)
				}
			}
		})
	}
	wg.Wait()
	if peak.Load() > 3 {
		t.Errorf("%d requests at once over 3 connections", peak.Load())
	}
	eventually(t, "unused connections above the limit are closed", func() bool {
		b := p.Status().Backends[0]
		return b.Connections == b.Idle && b.Idle <= 2
	})
}

func TestQueueIsBounded(t *testing.T) {
	release := make(chan struct{})
	p := newPool(t, func(c *backend.Config) {
		retriesOff(c)
		c.Limits.Connections, c.Limits.Queue = 1, 1
		c.Limits.QueueTimeout = config.Duration(30 * time.Millisecond)
	}, serve(t, func(w http.ResponseWriter, r *http.Request) { <-release }).URL)
	first := make(chan error)
	req, _ := request(t, "GET", "/", "")
	go func() { _, _, err := do(t, p, req); first <- err }()
	eventually(t, "first request has the connection", func() bool { return p.Status().Backends[0].Connections == 1 })
	errs := make(chan error, 8)
	for range 8 {
		req, _ := request(t, "GET", "/", "")
		go func() { _, _, err := do(t, p, req); errs <- err }()
	}
	for range 8 {
		err := <-errs
		if e := proxystatus.From("core", err); e.Type != proxystatus.ConnectionLimitReached || e.HTTPStatus() != 503 {
			t.Errorf("%v", err)
		}
		if retry.StageOf(err) != retry.Unsent {
			t.Errorf("stage %v", retry.StageOf(err))
		}
	}
	close(release)
	if err := <-first; err != nil {
		t.Error(err)
	}
	if p.Status().Backends[0].State != "up" {
		t.Error("a full queue marked the backend down")
	}
}

func TestWaitersGetConnectionsInTurn(t *testing.T) {
	p := newPool(t, func(c *backend.Config) { c.Limits.Connections = 1 },
		serve(t, func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "ok") }).URL)
	var wg sync.WaitGroup
	for range 200 {
		req, _ := request(t, "GET", "/", "")
		wg.Go(func() {
			if _, _, err := do(t, p, req); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n := p.Status().Backends[0].Connections; n != 1 {
		t.Errorf("%d connections", n)
	}
}

func TestCanceledWaiterLeavesTheLine(t *testing.T) {
	release := make(chan struct{})
	p := newPool(t, func(c *backend.Config) { c.Limits.Connections = 1 },
		serve(t, func(w http.ResponseWriter, r *http.Request) { <-release }).URL)
	first, _ := request(t, "GET", "/", "")
	done := make(chan error, 2)
	go func() { _, _, err := do(t, p, first); done <- err }()
	eventually(t, "first has the connection", func() bool { return p.Status().Backends[0].InFlight == 1 })
	second, _ := request(t, "GET", "/", "")
	ctx, cancel := context.WithCancel(second.Context())
	go func() { _, _, err := do(t, p, second.WithContext(ctx)); done <- err }()
	eventually(t, "second waits", func() bool { return p.Status().Backends[0].InFlight == 2 })
	cancel()
	if err := <-done; proxystatus.From("core", err).HTTPStatus() != 499 {
		t.Errorf("canceled waiter: %v", err)
	}
	close(release)
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestUnusedConnectionsExpire(t *testing.T) {
	p := newPool(t, func(c *backend.Config) { c.Timeouts.IdleConnection = config.Duration(40 * time.Millisecond) },
		serve(t, func(w http.ResponseWriter, r *http.Request) {}).URL)
	run(t, p)
	req, _ := request(t, "GET", "/", "")
	if _, _, err := do(t, p, req); err != nil {
		t.Fatal(err)
	}
	eventually(t, "connection expires", func() bool { return p.Status().Backends[0].Connections == 0 })
}

func TestDrainWaitsForBodies(t *testing.T) {
	release := make(chan struct{})
	p := newPool(t, nil, serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.(http.Flusher).Flush()
		<-release
		io.WriteString(w, "end")
	}).URL)
	req, _ := request(t, "GET", "/", "")
	resp, err := p.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	if err := p.Drain(ctx); err == nil {
		t.Error("Drain did not wait for the body")
	}
	late, _ := request(t, "GET", "/", "")
	if _, err := p.RoundTrip(late); typeOf(err) != proxystatus.DestinationUnavailable {
		t.Errorf("request after Close: %v", err)
	}
	close(release)
	if body, err := io.ReadAll(resp.Body); string(body) != "end" || err != nil {
		t.Errorf("%q, %v", body, err)
	}
	resp.Body.Close()
	if err := p.Drain(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestEqualTellsWhatAReloadMayKeep(t *testing.T) {
	p := newPool(t, nil, "http://127.0.0.1:1")
	var cfg backend.Config
	cfg.SetDefaults()
	cfg.Endpoints = []backend.Endpoint{{URL: "http://127.0.0.1:1"}}
	if !p.Equal("web", cfg) {
		t.Error("the same config is not equal")
	}
	cfg.DNS = &backend.DNS{Name: "x"}
	if p.Equal("web", cfg) || p.Equal("other", cfg) {
		t.Error("another config is equal")
	}
}

func TestEqualNoticesARenewedCertificate(t *testing.T) {
	srv := httptest.NewTLSServer(nil)
	defer srv.Close()
	ca := filepath.Join(t.TempDir(), "ca.crt")
	write := func(note string) {
		block := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw})
		if err := os.WriteFile(ca, append([]byte(note), block...), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("")
	var cfg backend.Config
	p := newPool(t, func(c *backend.Config) {
		c.Endpoints, c.TLS.CA = []backend.Endpoint{{URL: srv.URL}}, config.Path(ca)
		cfg = *c
	})
	if !p.Equal("web", cfg) {
		t.Error("the same files are not equal")
	}
	write("renewed\n")
	if p.Equal("web", cfg) {
		t.Error("a file with another content is equal")
	}
}

func TestEndpointHostReplacesTheClients(t *testing.T) {
	srv := serve(t, func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, r.Host) })
	p := newPool(t, func(c *backend.Config) { c.Endpoints = []backend.Endpoint{{URL: srv.URL, Host: "inner"}} })
	req, _ := request(t, "GET", "/", "")
	if _, body, err := do(t, p, req); body != "inner" || err != nil {
		t.Errorf("%q, %v", body, err)
	}
}

func TestLargeBodies(t *testing.T) {
	big := bytes.Repeat([]byte("0123456789abcdef"), 1<<20/16*3)
	h := func(w http.ResponseWriter, r *http.Request) { io.Copy(w, r.Body) }
	onEveryProtocol(t, h, func(t *testing.T, p *backend.Pool, _ string) {
		req, _ := request(t, "PUT", "/", string(big))
		if _, body, err := do(t, p, req); err != nil || body != string(big) {
			t.Errorf("%d bytes came back, %v", len(body), err)
		}
	})
}
