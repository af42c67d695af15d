package telemetry_test

import (
	"io"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/ergoproxy/ergo/shared/telemetry"
)

func scrape(t *testing.T, r *telemetry.Registry) string {
	t.Helper()
	w := httptest.NewRecorder()
	r.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	body, err := io.ReadAll(w.Result().Body)
	if err != nil {
		t.Fatal(err)
	}
	if w.Code != 200 {
		t.Fatalf("scrape: %d %s", w.Code, body)
	}
	return string(body)
}

func wantLines(t *testing.T, body string, lines ...string) {
	t.Helper()
	for _, line := range lines {
		if !strings.Contains(body, "\n"+line+"\n") {
			t.Errorf("no line %q in\n%s", line, grep(body, strings.FieldsFunc(line, func(c rune) bool { return c == '{' || c == ' ' })[0]))
		}
	}
}

func grep(body, word string) string {
	var out strings.Builder
	for line := range strings.Lines(body) {
		if strings.Contains(line, word) {
			out.WriteString(line)
		}
	}
	return out.String()
}

func TestScrapeShowsEveryKind(t *testing.T) {
	r := telemetry.NewRegistry(telemetry.Build{Version: "v1", Revision: "abc", Go: "go1.27.4"})
	requests := r.Counter("edge_requests_total", "Requests.", telemetry.KeyProto)
	h1 := requests.With("HTTP/1.1")
	h1.Inc()
	h1.Add(2)
	open := r.Gauge("edge_open", "Open.").With()
	open.Set(5)
	open.Add(-2)
	took := r.Histogram("core_attempt_seconds", "Time.", telemetry.KeyBackend).With("10.0.0.5:80")
	took.Observe(200 * time.Microsecond)
	took.Observe(61 * time.Second)
	r.GaugeFunc("edge_cores", "Cores.", []string{telemetry.KeyState}, func(emit telemetry.Emit) {
		emit(2, "up")
		emit(1, "down")
	})
	r.CounterFunc("core_dials_total", "Dials.", nil, func(emit telemetry.Emit) { emit(7) })
	wantLines(t, scrape(t, r),
		`edge_requests_total{proto="HTTP/1.1"} 3`,
		`edge_open 3`,
		`core_attempt_seconds_bucket{backend="10.0.0.5:80",le="0.0001"} 0`,
		`core_attempt_seconds_bucket{backend="10.0.0.5:80",le="0.00025"} 1`,
		`core_attempt_seconds_bucket{backend="10.0.0.5:80",le="60"} 1`,
		`core_attempt_seconds_bucket{backend="10.0.0.5:80",le="+Inf"} 2`,
		`edge_cores{state="down"} 1`,
		`edge_cores{state="up"} 2`,
		`core_dials_total 7`,
		`ergo_build_info{go="go1.27.4",revision="abc",version="v1"} 1`,
		`# TYPE core_dials_total counter`,
		`# TYPE go_goroutines gauge`,
	)
}

func TestSeriesAreBounded(t *testing.T) {
	r := telemetry.NewRegistry(telemetry.Build{})
	c := r.Counter("edge_many_total", "Many.", telemetry.KeyRoute)
	for i := range telemetry.MaxSeries + 500 {
		c.With(strconv.Itoa(i)).Inc()
	}
	r.GaugeFunc("edge_many", "Many.", []string{telemetry.KeyRoute}, func(emit telemetry.Emit) {
		for i := range telemetry.MaxSeries + 500 {
			emit(1, strconv.Itoa(i))
		}
	})
	body := scrape(t, r)
	if n := strings.Count(body, "edge_many_total{"); n != telemetry.MaxSeries+1 {
		t.Errorf("%d series of the counter, want %d and one for the rest", n, telemetry.MaxSeries)
	}
	wantLines(t, body, `edge_many_total{route="other"} 500`)
	if n := strings.Count(body, "edge_many{"); n != telemetry.MaxSeries {
		t.Errorf("%d series of the gauge func, want %d", n, telemetry.MaxSeries)
	}
}

func TestDeleteMakesRoom(t *testing.T) {
	r := telemetry.NewRegistry(telemetry.Build{})
	c := r.Gauge("edge_room", "Room.", telemetry.KeyRoute)
	for i := range telemetry.MaxSeries * 2 {
		c.With(strconv.Itoa(i)).Set(1)
		c.Delete(strconv.Itoa(i))
	}
	c.With("last").Set(1)
	wantLines(t, scrape(t, r), `edge_room{route="last"} 1`)
}

func TestReloadKeepsCountsAndReplacesFuncs(t *testing.T) {
	r := telemetry.NewRegistry(telemetry.Build{})
	for generation := range 2 {
		r.Counter("core_requests_total", "Requests.", telemetry.KeyRoute).With("web").Inc()
		r.GaugeFunc("core_generation", "Generation.", nil, func(emit telemetry.Emit) { emit(float64(generation)) })
	}
	wantLines(t, scrape(t, r), `core_requests_total{route="web"} 2`, `core_generation 1`)
}

func TestBadLabelValuesDoNotBreakTheScrape(t *testing.T) {
	r := telemetry.NewRegistry(telemetry.Build{})
	r.Counter("edge_bad_total", "Bad.", telemetry.KeyRoute).With("a\xffb").Inc()
	r.GaugeFunc("edge_twice", "Twice.", []string{telemetry.KeyRoute}, func(emit telemetry.Emit) {
		emit(1, "x\xff")
		emit(2, "x\xff")
	})
	wantLines(t, scrape(t, r), `edge_bad_total{route="a?b"} 1`, `edge_twice{route="x?"} 1`)
}

func TestWrongNumberOfEmittedLabelsFailsTheScrape(t *testing.T) {
	r := telemetry.NewRegistry(telemetry.Build{})
	r.GaugeFunc("edge_wrong", "Wrong.", []string{telemetry.KeyRoute}, func(emit telemetry.Emit) { emit(1) })
	w := httptest.NewRecorder()
	r.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	if w.Code != 500 || !strings.Contains(w.Body.String(), "0 label values emitted, want 1") {
		t.Errorf("scrape: %d %s, want 500 with the reason", w.Code, w.Body)
	}
}

func TestProgrammersMistakesPanic(t *testing.T) {
	r := telemetry.NewRegistry(telemetry.Build{})
	r.Counter("edge_used_total", "Used.", telemetry.KeyRoute)
	for name, f := range map[string]func(){
		"no prefix":        func() { r.Counter("requests_total", "x") },
		"upper case":       func() { r.Gauge("edge_Open", "x") },
		"another kind":     func() { r.Gauge("edge_used_total", "x", telemetry.KeyRoute) },
		"other labels":     func() { r.Counter("edge_used_total", "x", telemetry.KeyCore) },
		"func of a metric": func() { r.GaugeFunc("edge_used_total", "x", nil, func(telemetry.Emit) {}) },
		"too few values":   func() { r.Counter("edge_used_total", "x", telemetry.KeyRoute).With() },
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if recover() == nil {
					t.Error("it was taken")
				}
			}()
			f()
		})
	}
}

func TestHotPathDoesNotAllocate(t *testing.T) {
	r := telemetry.NewRegistry(telemetry.Build{})
	c := r.Counter("edge_hot_total", "Hot.", telemetry.KeyRoute).With("a")
	h := r.Histogram("edge_hot_seconds", "Hot.", telemetry.KeyRoute).With("a")
	h.Observe(time.Millisecond) // makes the native bucket
	if n := testing.AllocsPerRun(100, func() { c.Inc(); h.Observe(time.Millisecond) }); n != 0 {
		t.Errorf("%v allocations per request, want 0", n)
	}
}
