package wan

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ergoproxy/ergo/bench/peers"
	"github.com/ergoproxy/ergo/bench/wan/emulator"
	"github.com/ergoproxy/ergo/deploy/require"
)

// needed skips the test where nothing can be measured.
func needed(t *testing.T) {
	t.Helper()
	require.Have(t, "netns", emulator.Available())
	require.Have(t, "nginx", peers.Installed("nginx"))
}

// quick measures one small cell.
func quick(sets ...string) Config {
	return Config{
		Sets: sets, Systems: []string{"nginx"}, RTTs: []time.Duration{10 * time.Millisecond}, Losses: []float64{0.01},
		Workloads: []Workload{NewWorkload(1<<10, 50)}, Duration: 500 * time.Millisecond, Rounds: 1, Progress: io.Discard,
	}
}

func TestRunMeasuresACellOfErgoAndOfAPeer(t *testing.T) {
	t.Parallel()
	needed(t)
	c := quick("matrix")
	var progress strings.Builder
	c.Systems, c.Progress, c.Rounds = []string{Ergo, "nginx"}, &progress, 2
	r, err := Run(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Cells) != 2 || strings.Count(progress.String(), "p99") != 4 {
		t.Fatalf("%d cells, progress:\n%s", len(r.Cells), progress.String())
	}
	for i, cell := range r.Cells {
		if cell.System != c.Systems[i] || cell.Path.Name != "10 ms, 1 % loss" || cell.Workload.Name != "1 KiB at 50/s" {
			t.Errorf("cell %d: %+v", i, cell)
		}
		if cell.Answered != 50 || len(cell.Failures) > 0 || cell.Overflow != 0 || cell.BodyBytes != 50<<10 || cell.WireBytes < cell.BodyBytes || cell.CPU < 0 {
			t.Errorf("%s: %+v", cell.System, cell.Measured)
		}
		if q := cell.Latency; q.P50 < 0.01 || q.P90 < q.P50 || q.P99 < q.P90 || q.P999 < q.P99 || q.Max < q.P999 {
			t.Errorf("%s: %+v", cell.System, q)
		}
		if r.Systems[cell.System] == "" {
			t.Errorf("versions: %v", r.Systems)
		}
	}
	if len(r.Notes) != 1 || !strings.HasPrefix(r.Notes[0], "the emulator delivered") {
		t.Errorf("notes: %q", r.Notes)
	}
	if r.Machine.TCP == "" || r.Systems["backend"] == "" {
		t.Errorf("%+v, %v", r.Machine, r.Systems)
	}
}

func TestRunMeasuresSharesAndChanges(t *testing.T) {
	t.Parallel()
	needed(t)
	c := quick("share", "changing")
	c.Duration = 1200 * time.Millisecond
	r, err := Run(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Shares)+strings.Count(strings.Join(r.Notes, "\n"), "no TCP with") < 4 {
		t.Errorf("shares %+v, notes %q", r.Shares, r.Notes)
	}
	for _, s := range r.Shares {
		if s.System != "nginx" || s.Own <= 0 || s.Other <= 0 || s.Own+s.Other < 0.999 || s.Own+s.Other > 1.001 || s.Rate != narrowRate {
			t.Errorf("%+v", s)
		}
	}
	if len(r.Timelines) != 1 || len(r.Timelines[0].Points) != 3 {
		t.Fatalf("%+v", r.Timelines)
	}
	line := r.Timelines[0]
	for i, at := range []float64{0.5, 1, 1.2} {
		if p := line.Points[i]; p.At != at || p.Loss != []float64{0, 0.05, 0}[i] || p.Latency.P50 < 0.08 {
			t.Errorf("point %d: %+v", i, p)
		}
	}
}

func TestJourneysHaveAnEnd(t *testing.T) {
	t.Parallel()
	needed(t)
	ctx, stop := context.WithTimeout(t.Context(), time.Minute)
	defer stop()
	c := quick("journeys")
	c.Systems = []string{Ergo}
	b := newBench(c, t.TempDir())
	b.patience = patience{cold: 2, restarts: 1, lead: 200 * time.Millisecond, tail: 1200 * time.Millisecond}
	if err := b.findErgo(ctx); err != nil {
		t.Fatal(err)
	}
	if err := b.measureFirstRequest(ctx, newCourse(usualRTT, 0)); err != nil {
		t.Fatal(err)
	}
	if err := b.measureRestart(ctx, "restart of one core of two", "core", 2); err != nil {
		t.Fatal(err)
	}
	j := b.result.Journeys
	if len(j) != 3 {
		t.Fatalf("%+v", j)
	}
	straight, near, restart := j[0], j[1], j[2]
	// Three round trips for TCP, TLS and the request, and one that the tunnel takes.
	if straight.Failures+near.Failures > 0 || straight.Latency.P50 < 0.24 || near.Latency.P50 < 0.08 || near.Latency.P50 > straight.Latency.P50 {
		t.Errorf("straight %+v, over Ergo %+v", straight, near)
	}
	if restart.Tries != 1 || restart.Latency.Max < 0.02 || !strings.Contains(restart.Note, " of 70 requests failed") {
		t.Errorf("%+v", restart)
	}
}

func TestASystemThatDoesNotStartIsLeftOut(t *testing.T) {
	t.Parallel()
	needed(t)
	c := quick("matrix")
	c.Systems = []string{Ergo, Plain}
	broken := filepath.Join(t.TempDir(), "broken")
	if err := os.WriteFile(broken, []byte("#!/bin/sh\necho nothing works; exit 1\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	c.EdgeProgram, c.CoreProgram = broken, broken
	r, err := Run(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	notes := strings.Join(r.Notes, "\n")
	if len(r.Cells) != 0 || !strings.Contains(notes, "ergo: left out") || !strings.Contains(notes, "ergo-plain: left out") || !strings.Contains(notes, "nothing works") {
		t.Errorf("%d cells, notes:\n%s", len(r.Cells), notes)
	}
}

func TestAnInterruptedRunReturnsWhatItHas(t *testing.T) {
	t.Parallel()
	needed(t)
	ctx, cancel := context.WithCancel(t.Context())
	c := quick("matrix")
	c.Losses = []float64{0, 0.01}
	c.Progress = cancelling{cancel}
	r, err := Run(ctx, c)
	if !errors.Is(err, context.Canceled) || r == nil || len(r.Cells) != 1 || !strings.Contains(strings.Join(r.Notes, "\n"), "interrupted") {
		t.Errorf("%+v, %v", r, err)
	}
}

// cancelling ends the run with its first line of progress.
type cancelling struct{ cancel func() }

func (c cancelling) Write(b []byte) (int, error) { c.cancel(); return len(b), nil }
