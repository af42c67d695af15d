package soak

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ergoproxy/ergo/bench/peers"
)

const metrics = `# HELP go_goroutines Number of goroutines that currently exist.
# TYPE go_goroutines gauge
go_goroutines 46
go_memstats_heap_inuse_bytes 4.194304e+06
go_memstats_heap_alloc_bytes 3.145728e+06
go_memstats_stack_inuse_bytes 1.048576e+06
process_resident_memory_bytes 3.145728e+07
process_open_fds 16
edge_client_connections 7
edge_receive_reserved_bytes 8192
edge_requests_in_flight 4
edge_requests_total{status_class="2xx"} 12
`

func TestSampleIsReadFromMetrics(t *testing.T) {
	got, err := readMetrics("edge", strings.NewReader(metrics))
	want := Sample{RSS: 30 << 20, Heap: 4 << 20, Live: 3 << 20, Stack: 1 << 20, Goroutines: 46, Files: 16, Connections: 7, Reserved: 8192, InFlight: 4}
	if err != nil || got != want {
		t.Errorf("%+v, %v", got, err)
	}
	for line := range strings.Lines(metrics) {
		name, _, _ := strings.Cut(line, " ")
		if strings.HasPrefix(line, "#") || strings.Contains(line, "{") {
			continue
		}
		if _, err := readMetrics("edge", strings.NewReader(strings.Replace(metrics, "\n"+line, "\n", 1))); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("without %s: %v", name, err)
		}
		if _, err := readMetrics("edge", strings.NewReader(strings.Replace(metrics, "\n"+line, "\n"+name+" many\n", 1))); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("a bad %s: %v", name, err)
		}
	}
	if _, err := readMetrics("core", strings.NewReader(metrics)); err == nil {
		t.Error("an edge was taken for a core")
	}
}

func TestLanesAreReadFromStatus(t *testing.T) {
	for status, want := range map[string]int64{
		`{"tunnels": [{"connections": [{"lanes": 3, "idle_lanes": 2}, {"lanes": 4}]}, {"connections": []}]}`: 7,
		`{"tunnels": [{"edge": "edge-1", "lanes": 5}, {"lanes": 1}]}`:                                        6,
		`{"tunnels": []}`: 0,
	} {
		if got, err := readLanes(strings.NewReader(status)); got != want || err != nil {
			t.Errorf("%s: %d, %v", status, got, err)
		}
	}
	if _, err := readLanes(strings.NewReader(`{"tunnels": 3}`)); err == nil {
		t.Error("no error")
	}
}

// watched returns a tier whose admin server answers as pages say.
func watched(t *testing.T, pages map[string]string) *tier {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		page, ok := pages[r.URL.Path]
		if !ok {
			w.WriteHeader(http.StatusNotFound)
		}
		fmt.Fprint(w, page)
	}))
	t.Cleanup(server.Close)
	return &tier{peers.Tier{Name: "edge", Admin: strings.TrimPrefix(server.URL, "http://")}, server.Client()}
}

func TestTierIsWatched(t *testing.T) {
	pages := map[string]string{"/metrics": metrics, "/status": `{"tunnels": [{"lanes": 2}]}`, "/debug/pprof/heap": "heap", "/debug/pprof/goroutine": "goroutines"}
	tier := watched(t, pages)
	if s, err := tier.sample(t.Context()); err != nil || s.Lanes != 2 || s.Goroutines != 46 {
		t.Errorf("%+v, %v", s, err)
	}
	prefix := filepath.Join(t.TempDir(), "after")
	if err := tier.keepProfiles(t.Context(), prefix); err != nil {
		t.Error(err)
	}
	for name, want := range map[string]string{"heap.pprof": "heap", "goroutines.txt": "goroutines"} {
		if got, err := os.ReadFile(prefix + "-edge-" + name); string(got) != want {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
	for page := range pages {
		if page == "/debug/pprof/goroutine" {
			continue
		}
		left := map[string]string{}
		for name, content := range pages {
			if name != page {
				left[name] = content
			}
		}
		if _, err := watched(t, left).sample(t.Context()); err == nil || !strings.Contains(err.Error(), page) {
			t.Errorf("without %s: %v", page, err)
		}
	}
}

func TestUntilEnds(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	asked := 0
	if ok, err := until(ctx, func() (bool, error) { asked++; return asked == 2, nil }); !ok || err != nil || asked != 2 {
		t.Errorf("%t, %v after %d", ok, err, asked)
	}
	broken := errors.New("broken")
	if ok, err := until(ctx, func() (bool, error) { return false, broken }); ok || err != broken {
		t.Errorf("%t, %v", ok, err)
	}
	if ok, err := until(ctx, func() (bool, error) { cancel(); return false, nil }); ok || !errors.Is(err, context.Canceled) {
		t.Errorf("%t, %v", ok, err)
	}
}
