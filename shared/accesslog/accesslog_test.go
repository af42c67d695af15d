package accesslog_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ergoproxy/ergo/shared/accesslog"
	"github.com/ergoproxy/ergo/shared/config"
	"github.com/ergoproxy/ergo/shared/exchange"
	"github.com/rs/zerolog"
)

func refuse(l *accesslog.Log, n int) {
	for i := range n {
		l.Refused(accesslog.Refusal{Status: 400, Detail: fmt.Sprintf("line %06d", i)})
	}
}

// gate is an output that blocks until it is opened.
type gate struct {
	bytes.Buffer
	open chan struct{}
}

func (g *gate) Write(p []byte) (int, error) {
	<-g.open
	return g.Buffer.Write(p)
}

func TestAFullQueueDropsAndCounts(t *testing.T) {
	c := defaults()
	c.Queue = 10
	got := logged(t, c, func(l *accesslog.Log) {
		refuse(l, 15)
		if l.Dropped() != 5 {
			t.Errorf("%d lines dropped, want 5", l.Dropped())
		}
	})
	if n := strings.Count(got, "\n"); n != 10 || !strings.Contains(got, "line 000009") {
		t.Errorf("%d lines written, want the first 10:\n%s", n, got)
	}
}

func TestTheQueueIsBoundedInBytes(t *testing.T) {
	c := defaults()
	c.QueueBytes = 1000
	got := logged(t, c, func(l *accesslog.Log) {
		refuse(l, 50)
		if l.Dropped() == 0 {
			t.Error("no line was dropped")
		}
	})
	if len(got) > 1000 || len(got) < 800 {
		t.Errorf("%d bytes were queued, want almost 1000", len(got))
	}
}

// gathered waits, on synctest's clock, until the writer has waited for more lines
// than there are.
func gathered() {
	<-time.After(time.Second)
	synctest.Wait()
}

func TestRoomInTheQueueComesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := defaults()
		c.Queue, c.QueueBytes = 10, 2000
		var out bytes.Buffer
		l := accesslog.NewTo(&out, c, "edge", "edge-1", zerolog.Nop())
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- l.Run(ctx) }()
		for range 20 {
			refuse(l, 10)
			gathered()
		}
		cancel()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		if n := strings.Count(out.String(), "\n"); n != 200 || l.Dropped() != 0 {
			t.Errorf("%d lines written, %d dropped; want 200, 0", n, l.Dropped())
		}
	})
}

func TestARequestDoesNotWaitForTheOutput(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := defaults()
		c.Queue = 10
		var errlog bytes.Buffer
		out := &gate{open: make(chan struct{})}
		l := accesslog.NewTo(out, c, "edge", "edge-1", zerolog.New(&errlog))
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- l.Run(ctx) }()
		refuse(l, 1)
		gathered() // the writer holds the first line and is stuck
		refuse(l, 100)
		if l.Dropped() != 90 {
			t.Errorf("%d lines dropped, want 90", l.Dropped())
		}
		cancel()
		if err := <-done; err == nil {
			t.Error("Run returned nil although the output took nothing")
		}
		close(out.open)
		synctest.Wait()
		if n := strings.Count(out.String(), "\n"); n != 11 {
			t.Errorf("%d lines written at the end, want 11", n)
		}
		if !strings.Contains(errlog.String(), `"lines":90`) {
			t.Errorf("the dropped lines are not reported: %s", &errlog)
		}
	})
}

// refusing is an output that is full.
type refusing struct{}

func (refusing) Write([]byte) (int, error) { return 0, errors.New("no space left on device") }

func TestDroppedLinesAreReportedEveryTenSeconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var errlog bytes.Buffer
		l := accesslog.NewTo(refusing{}, defaults(), "edge", "edge-1", zerolog.New(&errlog))
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- l.Run(ctx) }()
		for range 35 { // seconds
			refuse(l, 2)
			<-time.After(time.Second)
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		lines := strings.Split(strings.TrimSpace(errlog.String()), "\n")
		if len(lines) != 4 { // after 10, 20 and 30 seconds, and at the end
			t.Fatalf("%d warnings, want 4:\n%s", len(lines), &errlog)
		}
		var last struct {
			Level, Error string
			Total        int `json:"lines_total"`
		}
		if err := json.Unmarshal([]byte(lines[3]), &last); err != nil {
			t.Fatal(err)
		}
		if last.Total != 70 || last.Level != "warn" || last.Error != "no space left on device" {
			t.Errorf("the last warning is %s", lines[3])
		}
	})
}

func TestReopenFollowsARotatedFile(t *testing.T) {
	dir := t.TempDir()
	c := defaults()
	c.Output = filepath.Join(dir, "access.log")
	l, err := accesslog.New(c, "edge", "edge-1", zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(c.Output, c.Output+".1"); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the first new file is closed unused
		if err := l.Reopen(); err != nil {
			t.Fatal(err)
		}
	}
	refuse(l, 3)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := l.Run(ctx); err != nil {
		t.Fatal(err)
	}
	for file, want := range map[string]int{c.Output: 3, c.Output + ".1": 0} {
		text, err := os.ReadFile(file)
		if err != nil || strings.Count(string(text), "\n") != want {
			t.Errorf("%s holds %q, %v; want %d lines", filepath.Base(file), text, err, want)
		}
	}
}

func TestAFileThatCannotBeOpened(t *testing.T) {
	c := defaults()
	c.Output = filepath.Join(t.TempDir(), "missing", "access.log")
	if _, err := accesslog.New(c, "edge", "edge-1", zerolog.Nop()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("New = %v, want os.ErrNotExist", err)
	}
}

func TestOffWritesNothingButStillReports(t *testing.T) {
	c := defaults()
	c.Output = "off"
	l, err := accesslog.New(c, "edge", "edge-1", zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	x := record()
	serve(l, httptest.NewRecorder(), request("GET", "/"), x, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(204) })
	refuse(l, 1)
	if x.Report.Status != 204 || x.Report.Total == 0 || l.Dropped() != 0 {
		t.Errorf("report %+v, %d dropped", x.Report, l.Dropped())
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := l.Run(ctx); err != nil {
		t.Error(err)
	}
}

func TestAPanicIsAnsweredAndLogged(t *testing.T) {
	var errlog bytes.Buffer
	l := accesslog.NewTo(io.Discard, defaults(), "edge", "edge-1", zerolog.New(&errlog))
	w := httptest.NewRecorder()
	aborted := serve(l, w, request("GET", "/"), record(), func(http.ResponseWriter, *http.Request) { panic([]int{1}) })
	if aborted || w.Code != 500 || !strings.Contains(w.Header().Get("Proxy-Status"), "proxy_internal_error") {
		t.Errorf("aborted %v, status %d, Proxy-Status %q", aborted, w.Code, w.Header().Get("Proxy-Status"))
	}
	if s := errlog.String(); !strings.Contains(s, `"panic":"[1]"`) || !strings.Contains(s, "accesslog_test.go") {
		t.Errorf("the panic and its stack are not logged: %s", s)
	}
	aborted = serve(l, httptest.NewRecorder(), request("GET", "/"), record(), func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(200)
		panic("late")
	})
	if !aborted {
		t.Error("a panic after the head does not cut the connection")
	}
}

func TestAClientThatHasAllIsNotAborted(t *testing.T) {
	for name, tc := range map[string]struct {
		length string
		want   bool
	}{"complete": {"4", false}, "cut": {"5", true}, "unknown": {"", true}} {
		ctx, cancel := context.WithCancel(t.Context())
		got := logged(t, defaults(), func(l *accesslog.Log) {
			serve(l, httptest.NewRecorder(), request("GET", "/").WithContext(ctx), record(), func(w http.ResponseWriter, _ *http.Request) {
				if tc.length != "" {
					w.Header().Set("Content-Length", tc.length)
				}
				io.WriteString(w, "full")
				cancel()
			})
		})
		if strings.Contains(got, `"aborted":"client"`) != tc.want {
			t.Errorf("%s: %s", name, got)
		}
	}
}

func TestTheEdgesOwnDeadlineIsNotTheClient(t *testing.T) {
	got := logged(t, defaults(), func(l *accesslog.Log) {
		ctx, cancel := context.WithDeadline(t.Context(), time.Unix(1, 0))
		defer cancel()
		serve(l, httptest.NewRecorder(), request("GET", "/").WithContext(ctx), record(), func(http.ResponseWriter, *http.Request) {
			panic(http.ErrAbortHandler)
		})
	})
	if !strings.Contains(got, `"status":0`) || !strings.Contains(got, `"aborted":"edge","detail":"context deadline exceeded"`) {
		t.Error(got)
	}
}

func TestQueryIsRedacted(t *testing.T) {
	c := defaults()
	c.Query, c.Redact = "redacted", []string{"Voucher"}
	for _, tc := range []struct{ name, in, want string }{
		{"harmless", "a=1&b=2;c=3&d", "a=1&b=2;c=3&d"},
		{"known words", "access_token=x&X-Amz-Signature=y&Key=z", "access_token=[redacted]&X-Amz-Signature=[redacted]&Key=[redacted]"},
		{"configured", "VOUCHER=x&vouchers=y", "VOUCHER=[redacted]&vouchers=y"},
		{"name is encoded", "access%5Ftoken=x&%74oken=y", "access%5Ftoken=[redacted]&%74oken=[redacted]"},
		{"name cannot be decoded", "%zz=x", "%zz=[redacted]"},
		{"after a semicolon", "a=1;token=x", "a=1;token=[redacted]"},
		{"value with equals", "token=a=b", "token=[redacted]"},
		{"no value", "token=&token", "token=&token"},
		{"cut inside a name", "a=1&" + strings.Repeat("b", 5000) + "token=x", "a=1&"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			line := logged(t, c, func(l *accesslog.Log) {
				r := request("GET", "/")
				r.URL.RawQuery = tc.in
				serve(l, httptest.NewRecorder(), r, record(), func(http.ResponseWriter, *http.Request) {})
			})
			var got struct{ Query string }
			if err := json.Unmarshal([]byte(line), &got); err != nil || got.Query != tc.want {
				t.Errorf("query is %q, %v; want %q", got.Query, err, tc.want)
			}
		})
	}
}

func TestWhatAClientSendsIsBounded(t *testing.T) {
	huge := strings.Repeat("\x01", 100_000)
	line := logged(t, defaults(), func(l *accesslog.Log) {
		r := request(strings.Repeat("M", 1000), "/")
		r.URL.Path, r.Host = "/"+huge, huge
		r.Header.Set("User-Agent", huge)
		r.Header.Set("Referer", huge)
		x := record()
		x.Principal.Subject, x.Report.Detail = huge, huge
		serve(l, httptest.NewRecorder(), r, x, func(http.ResponseWriter, *http.Request) {})
	})
	if len(line) > 16<<10 || !json.Valid([]byte(line)) {
		t.Errorf("the line has %d bytes", len(line))
	}
}

func TestConfigValidation(t *testing.T) {
	for name, tc := range map[string]struct {
		change func(*accesslog.Config)
		key    string // of the problem; "": none
	}{
		"defaults":              {func(c *accesslog.Config) {}, ""},
		"file":                  {func(c *accesslog.Config) { c.Output = "./access.log" }, ""},
		"misspelt output":       {func(c *accesslog.Config) { c.Output = "stdot" }, "output"},
		"no queue":              {func(c *accesslog.Config) { c.Queue = 0 }, "queue"},
		"huge queue":            {func(c *accesslog.Config) { c.Queue = 1<<20 + 1 }, "queue"},
		"small queue":           {func(c *accesslog.Config) { c.QueueBytes = 1000 }, "queue_bytes"},
		"bad query":             {func(c *accesslog.Config) { c.Query = "on" }, "query"},
		"redact without effect": {func(c *accesslog.Config) { c.Redact = []string{"x"} }, "redact"},
	} {
		c := defaults()
		tc.change(&c)
		var r config.Report
		c.Validate(&r)
		var keys string
		for _, p := range r.Problems() {
			keys += p.Key
		}
		if keys != tc.key {
			t.Errorf("%s: problems with %q, want %q", name, keys, tc.key)
		}
	}
}

// nothing is a ResponseWriter without cost.
type nothing struct{ h http.Header }

func (n nothing) Header() http.Header         { return n.h }
func (n nothing) Write(p []byte) (int, error) { return len(p), nil }
func (n nothing) WriteHeader(int)             {}

type countingWriter struct{ n atomic.Int64 }

func (w *countingWriter) Write(p []byte) (int, error) { w.n.Add(int64(len(p))); return len(p), nil }

// typical returns a handler chain and a request that is logged with all that a
// usual line holds.
func typical(l *accesslog.Log) (http.Handler, http.ResponseWriter, *http.Request) {
	x := record()
	answered(x)
	x.Principal.Subject = "alice"
	r := request("GET", "https://example.com/some/path/of/usual/length")
	body := []byte("hello")
	h := accesslog.Wrap(l, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.Write(body) }))
	return h, nothing{http.Header{}}, r.WithContext(exchange.With(r.Context(), x))
}

func TestALineCostsTwoAllocations(t *testing.T) {
	if raceDetector {
		t.Skip("the race detector allocates")
	}
	c := defaults()
	c.Queue, c.QueueBytes = 1, 64<<10
	l := accesslog.NewTo(io.Discard, c, "edge", "edge-1", zerolog.Nop())
	h, w, r := typical(l) // without Run: the queue is full after the first line
	if got := testing.AllocsPerRun(1000, func() { h.ServeHTTP(w, r) }); got > 2 {
		t.Errorf("%v allocations, want at most 2", got)
	}
}

func BenchmarkLine(b *testing.B) {
	var out countingWriter
	l := accesslog.NewTo(&out, defaults(), "edge", "edge-1", zerolog.Nop())
	ctx, cancel := context.WithCancel(b.Context())
	done := make(chan error, 1)
	go func() { done <- l.Run(ctx) }()
	h, w, r := typical(l)
	b.ReportAllocs()
	for b.Loop() {
		h.ServeHTTP(w, r)
	}
	b.StopTimer()
	cancel()
	<-done
	b.ReportMetric(float64(l.Dropped())/float64(b.N), "dropped/op")
}
