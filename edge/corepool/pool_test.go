package corepool_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"go.uber.org/goleak"

	"github.com/ergoproxy/ergo/edge/corepool"
	"github.com/ergoproxy/ergo/shared/exchange"
	"github.com/ergoproxy/ergo/shared/proxystatus"
	"github.com/ergoproxy/ergo/shared/retry"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A core answers, or fails in the way that is set.
type core struct {
	name   string
	down   atomic.Bool
	serve  func(*http.Request) (*http.Response, error)
	mu     sync.Mutex
	bodies []string
}

func (c *core) InFlight() int64 { return 0 }
func (c *core) Usable() bool    { return !c.down.Load() }
func (c *core) Steady() bool    { return !c.down.Load() }

func (c *core) RoundTrip(req *http.Request) (*http.Response, error) {
	var body []byte
	if req.Body != nil {
		body, _ = io.ReadAll(req.Body)
	}
	c.mu.Lock()
	c.bodies = append(c.bodies, string(body))
	c.mu.Unlock()
	return c.serve(req)
}

func (c *core) tries() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.bodies)
}

func answers(name string) *core {
	return &core{name: name, serve: func(*http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: 200, Header: make(http.Header), Body: io.NopCloser(strings.NewReader(name))}, nil
	}}
}

func fails(name string, stage retry.Stage) *core {
	return &core{name: name, serve: func(*http.Request) (*http.Response, error) {
		return nil, &retry.Failure{Stage: stage, Err: proxystatus.New(proxystatus.ConnectionTerminated, "edge", "read "+name, errors.New("gone"))}
	}}
}

func poolOf(t *testing.T, change func(*corepool.Config), cores ...*core) *corepool.Pool {
	t.Helper()
	var c corepool.Config
	c.SetDefaults()
	c.Retry.SetDefaults()
	c.Health.SetDefaults()
	c.Balance = "round_robin"
	if change != nil {
		change(&c)
	}
	p, err := corepool.New(c, zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	var named []corepool.Named
	for _, k := range cores {
		named = append(named, corepool.Named{Name: k.name, Core: k})
	}
	if err := p.SetCores(named); err != nil {
		t.Fatal(err)
	}
	return p
}

func request(ctx context.Context, method, body string) (*http.Request, *exchange.Exchange) {
	x := &exchange.Exchange{Start: time.Now()}
	var r io.Reader
	if body != "" {
		r = strings.NewReader(body)
	}
	req, err := http.NewRequestWithContext(exchange.With(ctx, x), method, "http://example.test/", r)
	if err != nil {
		panic(err)
	}
	return req, x
}

func TestPoolRepeatsOnlyWhatMayBeRepeated(t *testing.T) {
	for _, tt := range []struct {
		name   string
		method string
		body   string
		stage  retry.Stage
		begun  bool
		again  bool
	}{
		{"GET that may have begun", "GET", "", retry.Unknown, false, true},
		{"PUT that may have begun", "PUT", "x", retry.Unknown, false, true},
		{"POST that may have begun", "POST", "x", retry.Unknown, false, false},
		{"POST that never left", "POST", "x", retry.Unsent, false, true},
		{"POST that the core refused", "POST", "x", retry.Refused, false, true},
		{"PATCH that may have begun", "PATCH", "x", retry.Unknown, false, false},
		{"GET whose early hints were passed on", "GET", "", retry.Unknown, true, false},
		{"POST with a body past the buffer", "POST", strings.Repeat("x", 64<<10+1), retry.Refused, false, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			bad, good := fails("bad", tt.stage), answers("good")
			p := poolOf(t, nil, bad, good)
			for range 2 { // round robin: one of two begins at the bad core
				req, x := request(t.Context(), tt.method, tt.body)
				x.Begun = tt.begun
				res, err := p.RoundTrip(req)
				if err == nil {
					res.Body.Close()
				}
				if bad.tries() == 0 {
					continue
				}
				if got := err == nil; got != tt.again {
					t.Errorf("sent again: %v, want %v (%v)", got, tt.again, err)
				}
				if tt.again && good.bodies[len(good.bodies)-1] != tt.body {
					t.Errorf("second core got another body: %d bytes, want %d", len(good.bodies[len(good.bodies)-1]), len(tt.body))
				}
				return
			}
			t.Fatal("the bad core was never picked")
		})
	}
}

func TestPoolWithoutUsableCoreFailsAtOnceAndSaysWhenToAskAgain(t *testing.T) {
	c := answers("a")
	c.down.Store(true)
	p := poolOf(t, nil, c)
	req, _ := request(t.Context(), "GET", "")
	_, err := p.RoundTrip(req)
	e := proxystatus.From("edge", err)
	if e.Type != proxystatus.DestinationUnavailable || e.HTTPStatus() != 503 || e.RetryAfter == 0 {
		t.Errorf("got %v with status %d and Retry-After %v, want destination_unavailable, 503 and a time", e, e.HTTPStatus(), e.RetryAfter)
	}
	if p.Usable() {
		t.Error("pool is usable without a usable core")
	}
	c.down.Store(false)
	req, _ = request(t.Context(), "GET", "")
	if res, err := p.RoundTrip(req); err != nil {
		t.Errorf("core is back, got %v", err)
	} else {
		res.Body.Close()
	}
}

func TestPoolStopsAtTheAllowedTries(t *testing.T) {
	cores := []*core{fails("a", retry.Unknown), fails("b", retry.Unknown), fails("c", retry.Unknown), fails("d", retry.Unknown)}
	p := poolOf(t, func(c *corepool.Config) { c.Retry.Attempts = 3 }, cores...)
	req, x := request(t.Context(), "GET", "")
	if _, err := p.RoundTrip(req); err == nil {
		t.Fatal("no error although every core fails")
	}
	total := 0
	for _, c := range cores {
		if c.tries() > 1 {
			t.Errorf("core %s was tried %d times while others were not", c.name, c.tries())
		}
		total += c.tries()
	}
	if total != 3 || x.Report.Attempts != 3 {
		t.Errorf("%d tries, %d reported, want 3", total, x.Report.Attempts)
	}
}

func TestPoolDoesNotRepeatForAClientThatLeft(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	bad := &core{name: "bad"}
	bad.serve = func(*http.Request) (*http.Response, error) {
		cancel()
		return nil, &retry.Failure{Stage: retry.Unsent, Err: proxystatus.New(proxystatus.ConnectionTerminated, "edge", "read", nil)}
	}
	other := &core{name: "other", serve: bad.serve}
	p := poolOf(t, nil, bad, other)
	req, _ := request(ctx, "GET", "")
	if _, err := p.RoundTrip(req); err == nil {
		t.Fatal("no error")
	}
	if n := bad.tries() + other.tries(); n != 1 {
		t.Errorf("%d tries, want 1", n)
	}
}

func TestPoolLeavesOutACoreThatKeepsFailing(t *testing.T) {
	bad, good := fails("bad", retry.Unknown), answers("good")
	p := poolOf(t, func(c *corepool.Config) { c.Health.Failures = 2 }, bad, good)
	for range 40 {
		req, _ := request(t.Context(), "GET", "")
		res, err := p.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
	}
	if n := bad.tries(); n > 4 {
		t.Errorf("failing core was tried %d times of 40, want it ejected after 2", n)
	}
}

func TestSetCoresKeepsTheHealthOfThoseThatStay(t *testing.T) {
	bad, good := fails("bad", retry.Unknown), answers("good")
	p := poolOf(t, func(c *corepool.Config) { c.Health.Failures = 1 }, bad, good)
	for range 4 {
		req, _ := request(t.Context(), "GET", "")
		if res, err := p.RoundTrip(req); err == nil {
			res.Body.Close()
		}
	}
	before := bad.tries()
	if err := p.SetCores([]corepool.Named{{Name: "bad", Core: bad}, {Name: "good", Core: good}, {Name: "new", Core: answers("new")}}); err != nil {
		t.Fatal(err)
	}
	for range 20 {
		req, _ := request(t.Context(), "GET", "")
		res, err := p.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
	}
	if after := bad.tries(); after != before {
		t.Errorf("ejected core was tried %d times after the members changed", after-before)
	}
}

func BenchmarkPoolRoundTrip(b *testing.B) {
	res := &http.Response{StatusCode: 200, Body: http.NoBody}
	var cfg corepool.Config
	cfg.SetDefaults()
	cfg.Retry.SetDefaults()
	cfg.Health.SetDefaults()
	p, err := corepool.New(cfg, zerolog.Nop())
	if err != nil {
		b.Fatal(err)
	}
	if err := p.SetCores([]corepool.Named{{Name: "a", Core: &quick{res}}, {Name: "b", Core: &quick{res}}}); err != nil {
		b.Fatal(err)
	}
	req, _ := request(b.Context(), "GET", "")
	b.ReportAllocs()
	for b.Loop() {
		if _, err := p.RoundTrip(req); err != nil {
			b.Fatal(err)
		}
	}
}

type quick struct{ res *http.Response }

func (q *quick) InFlight() int64                                 { return 0 }
func (q *quick) Usable() bool                                    { return true }
func (q *quick) Steady() bool                                    { return true }
func (q *quick) RoundTrip(*http.Request) (*http.Response, error) { return q.res, nil }
