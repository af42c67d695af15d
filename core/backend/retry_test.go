package backend_test

import (
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/http2"

	"github.com/ergoproxy/ergo/core/backend"
	"github.com/ergoproxy/ergo/shared/config"
	"github.com/ergoproxy/ergo/shared/proxystatus"
	"github.com/ergoproxy/ergo/shared/retry"
)

// A counting backend whose connection dies after it has read the first request:
// what may have run must not run again.
func TestRetryNeverRunsARequestTwice(t *testing.T) {
	tests := []struct {
		method, body string
		header       string
		wantBegun    int64
	}{
		{"GET", "", "", 2},
		{"PUT", "hello", "", 2},
		{"DELETE", "", "", 2},
		{"POST", "hello", "", 1},
		{"POST", "", "", 1},
		{"PATCH", "x", "", 1},
		{"POST", "", "Idempotency-Key", 1}, // net/http would send this again
		{"POST", "hello", "Idempotency-Key", 1},
	}
	for _, fresh := range []bool{true, false} {
		for _, tt := range tests {
			var begun atomic.Int64
			url := raw(t, func(conn net.Conn) {
				for {
					r, err := head(conn)
					if err != nil {
						return
					}
					if r.URL.Path != "/warm" && begun.Add(1) == 1 {
						return // the connection dies, although the request was read
					}
					io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
				}
			})
			p := newPool(t, nil, url)
			if !fresh {
				warm, _ := request(t, "GET", "/warm", "")
				if _, _, err := do(t, p, warm); err != nil {
					t.Fatal(err)
				}
			}
			req, x := request(t, tt.method, "/", tt.body)
			if tt.header != "" {
				req.Header.Set(tt.header, "1")
			}
			_, body, err := do(t, p, req)
			if begun.Load() != tt.wantBegun || int64(x.Report.Attempts) != tt.wantBegun {
				t.Errorf("%s %s, fresh %v: begun %d, tries %d, want %d", tt.method, tt.header, fresh, begun.Load(), x.Report.Attempts, tt.wantBegun)
			}
			if ok := tt.wantBegun == 2; ok != (err == nil && body == "ok") {
				t.Errorf("%s %s, fresh %v: %q, %v", tt.method, tt.header, fresh, body, err)
			}
		}
	}
}

func TestRefusedConnectionsMoveAnyMethodOn(t *testing.T) {
	srv := serve(t, func(w http.ResponseWriter, r *http.Request) { io.Copy(w, r.Body) })
	p := newPool(t, func(c *backend.Config) { c.Balance = "round_robin"; c.Retries.MinPerSecond = 100 }, closedPort(t), srv.URL)
	for range 10 {
		req, x := request(t, "POST", "/", "hello")
		if _, body, err := do(t, p, req); err != nil || body != "hello" {
			t.Fatalf("%q, %v", body, err)
		}
		if !strings.HasSuffix(srv.URL, x.Report.Backend) {
			t.Errorf("answered by %s", x.Report.Backend)
		}
	}
	s := p.Status()
	if s.Backends[0].State != "down" || s.Backends[0].Ejections != 1 || s.Retries == 0 || s.Failures != 0 {
		t.Errorf("status %+v", s)
	}
}

// A backend that closes an unused connection just as a POST comes: sent again
// only if nothing of it was sent.
func TestStaleConnections(t *testing.T) {
	closeIt := make(chan struct{}, 10)
	var begun atomic.Int64
	closed := make(chan struct{}, 10)
	url := raw(t, func(c net.Conn) {
		if r, err := head(c); err != nil {
			return
		} else if r.Method == "POST" {
			begun.Add(1)
		}
		io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
		<-closeIt
		c.Close()
		closed <- struct{}{}
	})
	p := newPool(t, nil, url)
	for range 5 {
		warm, _ := request(t, "GET", "/", "")
		if _, _, err := do(t, p, warm); err != nil {
			t.Fatal(err)
		}
		closeIt <- struct{}{}
		<-closed
		eventually(t, "the dead connection is noticed", func() bool { return p.Status().Backends[0].Connections == 0 })
		before := begun.Load()
		req, x := request(t, "POST", "/", "hello")
		if _, _, err := do(t, p, req); err != nil {
			t.Fatalf("POST after the connection died: %v", err)
		}
		if begun.Load() != before+1 || x.Report.ConnReused {
			t.Errorf("POST begun %d times, connection reused %v", begun.Load()-before, x.Report.ConnReused)
		}
		closeIt <- struct{}{}
		<-closed
	}
}

func TestBudgetStopsRetryStorms(t *testing.T) {
	p := newPool(t, func(c *backend.Config) {
		c.Retries.MinPerSecond, c.Retries.Budget, c.Retries.Tries = 0, 0.1, 5
	}, raw(t, func(c net.Conn) { head(c) })) // takes the request and breaks off
	for range 100 {
		req, _ := request(t, "GET", "/", "")
		if _, err := p.RoundTrip(req); err == nil {
			t.Fatal("no error")
		}
	}
	if n := p.Status().Retries; n > 10 {
		t.Errorf("%d retries for 100 requests at 10 %%", n)
	}
}

func TestAllDown(t *testing.T) {
	for _, mode := range []string{"try", "fail"} {
		var up atomic.Bool
		p := newPool(t, func(c *backend.Config) {
			c.Health.WhenAllDown, c.Health.Passive.Failures, c.Retries.Tries = mode, 1, 1
			c.Health.Passive.Ejection, c.Health.Passive.MaxEjection = config.Duration(time.Hour), config.Duration(time.Hour)
		}, raw(t, func(c net.Conn) {
			if _, err := head(c); err == nil && up.Load() {
				io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
			}
		}))
		first, _ := request(t, "GET", "/", "")
		if _, err := p.RoundTrip(first); typeOf(err) != proxystatus.ConnectionTerminated {
			t.Fatalf("%s: %v", mode, err)
		}
		up.Store(true)
		second, _ := request(t, "GET", "/", "")
		_, _, err := do(t, p, second)
		if mode == "try" && (err != nil || p.Status().Backends[0].State != "up") {
			t.Errorf("try: %v, state %s", err, p.Status().Backends[0].State)
		}
		if mode == "fail" && proxystatus.From("core", err).HTTPStatus() != 503 {
			t.Errorf("fail: %v", err)
		}
	}
}

// h2Server is a bare HTTP/2 server: for each request frame it calls on.
func h2Server(t *testing.T, on func(fr *http2.Framer, stream uint32, n int) (stop bool)) string {
	var n atomic.Int64
	return strings.Replace(raw(t, func(c net.Conn) {
		if _, err := io.ReadFull(c, make([]byte, len(http2.ClientPreface))); err != nil {
			return
		}
		fr := http2.NewFramer(c, c)
		fr.WriteSettings()
		for {
			f, err := fr.ReadFrame()
			if err != nil {
				return
			}
			if s, ok := f.(*http2.SettingsFrame); ok && !s.IsAck() {
				fr.WriteSettingsAck()
			}
			if h, ok := f.(*http2.HeadersFrame); ok && on(fr, h.StreamID, int(n.Add(1))) {
				stay(c)
				return
			}
		}
	}), "http:", "h2c:", 1)
}

// ok200 is ":status: 200" by the static table of HPACK.
var ok200 = []byte{0x88}

func respond(fr *http2.Framer, stream uint32) {
	fr.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: ok200, EndHeaders: true, EndStream: true})
}

func TestHTTP2SaysHowFarItGot(t *testing.T) {
	tests := []struct {
		name  string
		fail  func(fr *http2.Framer, stream uint32)
		stop  bool
		again bool // a POST is sent again
	}{
		{"stream refused", func(fr *http2.Framer, s uint32) { fr.WriteRSTStream(s, http2.ErrCodeRefusedStream) }, false, true},
		{"stream reset", func(fr *http2.Framer, s uint32) { fr.WriteRSTStream(s, http2.ErrCodeInternal) }, false, false},
		{"GOAWAY below the stream", func(fr *http2.Framer, s uint32) { fr.WriteGoAway(s-2, http2.ErrCodeNo, nil) }, true, true},
		{"GOAWAY with the stream, then closed", func(fr *http2.Framer, s uint32) {
			fr.WriteGoAway(s, http2.ErrCodeNo, nil)
			fr.WriteRSTStream(s, http2.ErrCodeCancel)
		}, true, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var begun atomic.Int64
			p := newPool(t, nil, h2Server(t, func(fr *http2.Framer, stream uint32, n int) bool {
				if n == 2 {
					tt.fail(fr, stream)
					return tt.stop
				}
				begun.Add(1)
				respond(fr, stream)
				return false
			}))
			warm, _ := request(t, "GET", "/", "")
			if _, _, err := do(t, p, warm); err != nil {
				t.Fatal(err)
			}
			req, x := request(t, "POST", "/", "hello")
			_, _, err := do(t, p, req)
			if tt.again && (err != nil || x.Report.Attempts != 2) {
				t.Errorf("%v after %d tries, want a second one", err, x.Report.Attempts)
			}
			if !tt.again && (err == nil || x.Report.Attempts != 1 || retry.StageOf(err) != retry.Unknown) {
				t.Errorf("%v after %d tries, stage %v; want no second one", err, x.Report.Attempts, retry.StageOf(err))
			}
			if tt.again && p.Status().Backends[0].State != "up" {
				t.Error("a refusal counted as a failure")
			}
		})
	}
}

func TestConcurrentRequestsSurviveDyingConnections(t *testing.T) {
	var served, posts sync.Map
	var n atomic.Int64
	url := raw(t, func(c net.Conn) {
		for {
			r, err := head(c)
			if err != nil {
				return
			}
			if r.Method == "POST" {
				if _, twice := posts.LoadOrStore(r.Header.Get("Id"), true); twice {
					t.Errorf("POST %s came twice", r.Header.Get("Id"))
				}
			}
			served.Store(r.Header.Get("Id"), true)
			if n.Add(1)%7 == 0 {
				return
			}
			io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
		}
	})
	p := newPool(t, func(c *backend.Config) {
		c.Retries.Budget, c.Retries.Tries, c.Health.Passive.Failures = 1, 10, 0
	}, url)
	var wg sync.WaitGroup
	for w := range 16 {
		wg.Go(func() {
			for i := range 40 {
				method := []string{"GET", "POST"}[i%2]
				req, _ := request(t, method, "/", "")
				id := strings.Repeat("i", w+1) + strings.Repeat("j", i)
				req.Header.Set("Id", id)
				_, body, err := do(t, p, req)
				if method == "GET" && (err != nil || body != "ok") {
					t.Errorf("GET: %q, %v", body, err)
				}
				if _, came := served.Load(id); err == nil && !came {
					t.Errorf("%s was answered but never served", id)
				}
			}
		})
	}
	wg.Wait()
	if s := p.Status(); s.InFlight != 0 || s.Backends[0].InFlight != 0 {
		t.Errorf("status %+v", s)
	}
}
