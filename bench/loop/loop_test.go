package loop

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/ergoproxy/ergo/bench/peers"
	"github.com/ergoproxy/ergo/deploy/require"
	"github.com/ergoproxy/ergo/shared/config"
)

func small() Config {
	return Config{
		Duration: 100 * time.Millisecond, Rounds: 1, Connections: []int{2}, BulkConnections: 1,
		Sizes: []config.Bytes{1 << 10, 1 << 20}, Peers: peers.Peers(), Progress: io.Discard,
	}
}

func TestRunMeasuresWhatIsInstalled(t *testing.T) {
	// This test is no ergo-bench that could serve the demo backend in its place.
	require.Have(t, "nginx", peers.Installed("nginx"))
	var progress bytes.Buffer
	c := small()
	c.Progress = &progress
	r, err := Run(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	if got := len(r.Chains) + len(r.Skipped); got != 2+len(peers.Peers()) {
		t.Errorf("chains %v, skipped %v", r.Chains, r.Skipped)
	}
	if len(r.Results) != 2*len(r.Chains) || strings.Count(progress.String(), "\n") != len(r.Results) {
		t.Errorf("%d results of %d chains, progress %q", len(r.Results), len(r.Chains), progress.String())
	}
	for _, result := range r.Results {
		m := result.Median
		if m.Failed != 0 || m.Answered < 1 || m.Rate <= 0 || m.CPU < 0 || m.P50 <= 0 || m.P99 < m.P50 || m.Max < m.P99 || m.RSS <= 0 {
			t.Errorf("%s, %s: %+v", result.Chain, result.Case, m)
		}
	}
	var copied Report
	content, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(content, &copied); err != nil || copied.Schema != Schema || len(copied.Results) != len(r.Results) || copied.Settings.Rounds != 1 {
		t.Errorf("JSON: %v, %s", err, content)
	}
}

func TestErgoIsMeasuredWithAndWithoutItsLink(t *testing.T) {
	require.Have(t, "nginx", peers.Installed("nginx")) // the backend, as above
	c := small()
	c.Sizes, c.Peers, c.Plain, c.Certs = c.Sizes[:1], nil, true, peers.WriteCertificates
	r, err := Run(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, result := range r.Results {
		names = append(names, result.Chain)
	}
	if got := strings.Join(names, " "); !strings.HasSuffix(got, " ergo ergo-plain") {
		t.Errorf("measured: %s", got)
	}
}

func TestRunEndsWhenItsContextDoes(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	c := small()
	c.Duration = time.Hour
	c.Progress = cancelling{cancel}
	if _, err := Run(ctx, c); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

// cancelling ends the run with its first line of progress.
type cancelling struct{ cancel func() }

func (c cancelling) Write(b []byte) (int, error) { c.cancel(); return len(b), nil }

func TestValidateNamesEveryProblem(t *testing.T) {
	c := Config{Duration: time.Millisecond, Warmup: -1, Sizes: []config.Bytes{0}, Connections: []int{0, 1001}, EdgeProgram: "x"}
	err := c.Validate()
	for _, want := range []string{"duration: 1ms", "warm-up: -1ns", "rounds: 0", "bulk connections: 0", "connections: 0", "connections: 1001", "sizes: 0", "edge and core programs"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in: %v", want, err)
		}
	}
	good := small()
	if err := good.Validate(); err != nil {
		t.Error(err)
	}
}

func TestBulkHasItsOwnConnections(t *testing.T) {
	c := Config{Connections: []int{1, 64}, BulkConnections: 8, Sizes: []config.Bytes{1 << 10, 1 << 20}}
	want := []Case{{1 << 10, 1}, {1 << 10, 64}, {1 << 20, 8}}
	got := c.cases()
	if len(got) != len(want) || got[0] != want[0] || got[1] != want[1] || got[2] != want[2] {
		t.Errorf("%v, want %v", got, want)
	}
}

func TestMedian(t *testing.T) {
	for _, row := range []struct {
		of   []float64
		want float64
	}{{[]float64{3}, 3}, {[]float64{9, 1, 2}, 2}, {[]float64{4, 1, 2, 9}, 3}} {
		if got := median(row.of); got != row.want {
			t.Errorf("median(%v) = %g, want %g", row.of, got, row.want)
		}
	}
}

func TestTable(t *testing.T) {
	c := Case{1 << 10, 64}
	r := &Report{
		Machine:  Machine{CPU: "Some CPU", Cores: 2, Kernel: "Linux 6.18", Go: "go1.27.4"},
		Settings: Settings{Duration: "4s", Config: Config{Rounds: 2}},
		Chains:   []ChainInfo{{"ergo", "ergo 1a2b"}, {"nginx", "nginx/1.22.1"}},
		Skipped:  []Skipped{{"haproxy-h1", "haproxy: not installed"}},
	}
	for _, row := range []struct {
		chain string
		rate  float64
	}{{"ergo", 30_000}, {"nginx", 18_000}, {"ergo", 36_000}, {"nginx", 26_000}} {
		r.add(row.chain, c, Measurement{Rate: row.rate, CPU: 40, P50: 1000, P99: 2000, Answered: 10, Failed: 1, RSS: 64 << 20})
	}
	r.sumUp()
	ergo := r.find("ergo", c)
	if ergo.Median.Rate != 33_000 || math.Abs(ergo.Spread-6.0/33) > 1e-9 || ergo.Median.Answered != 20 || ergo.Median.Failed != 2 {
		t.Errorf("%+v, spread %g", ergo.Median, ergo.Spread)
	}
	var got strings.Builder
	if err := r.WriteTable(&got); err != nil {
		t.Fatal(err)
	}
	const want = `Some CPU, 2 cores, Linux 6.18, go1.27.4
2 rounds of 4s each, medians; CPU of both tiers per request
  ergo: ergo 1a2b
  nginx: nginx/1.22.1
  haproxy-h1: left out: haproxy: not installed

1KiB, 64 connections
  chain  req/s  spread  CPU µs  p50 µs  p99 µs  RSS MiB  failed  vs nginx
   ergo  33000     18%    40.0    1000    2000       64       2      1.50
  nginx  22000     36%    40.0    1000    2000       64       2      1.00
`
	if got.String() != want {
		t.Errorf("got:\n%s\nwant:\n%s", got.String(), want)
	}
}
