package soak

import (
	"math"
	"strings"
	"testing"

	"github.com/ergoproxy/ergo/bench/load"
)

// course returns 20 samples, 45 s apart, of a tier at work.
func course(change func(i int, s *Sample)) *TierCourse {
	rest := Sample{RSS: 30 << 20, Heap: 4 << 20, Live: 3 << 20, Goroutines: 46, Files: 16}
	t := &TierCourse{Tier: "edge", Before: rest, After: rest}
	for i := range samples {
		s := Sample{At: float64(45*i + 20), RSS: 30 << 20, Heap: 5 << 20, Goroutines: 64, Files: 22, Connections: 7, Lanes: 6, Reserved: 8 << 20, InFlight: 4}
		change(i, &s)
		t.Samples = append(t.Samples, s)
	}
	return t
}

func TestOnlyWhatRisesUnderLoadGrows(t *testing.T) {
	zigzag := func(i int) int64 { return int64(7*i%5 - 2) } // -2 to 2, without a trend
	for _, row := range []struct {
		name   string
		change func(i int, s *Sample)
		want   string // what grows; empty: nothing
	}{
		{"steady", func(int, *Sample) {}, ""},
		{"RSS", func(i int, s *Sample) { s.RSS += int64(i) << 20 }, "RSS"},
		{"heap", func(i int, s *Sample) { s.Heap += int64(i) << 19 }, "heap in use"},
		{"goroutines", func(i int, s *Sample) { s.Goroutines += int64(5 * i) }, "goroutines"},
		{"files", func(i int, s *Sample) { s.Files += int64(3 * i) }, "open files"},
		{"connections", func(i int, s *Sample) { s.Connections += int64(3 * i) }, "connections"},
		{"lanes", func(i int, s *Sample) { s.Lanes += int64(3 * i) }, "lanes"},
		{"receive memory", func(i int, s *Sample) { s.Reserved += int64(i) << 20 }, "receive_reserved"},
		{"in flight", func(i int, s *Sample) { s.InFlight += int64(3 * i) }, "in flight"},
		{"a rise within the noise of its size", func(i int, s *Sample) { s.RSS += int64(i)<<20 + zigzag(i)*(10<<20) }, ""},
		{"a rise through noise", func(i int, s *Sample) { s.Goroutines += int64(5*i) + 10*zigzag(i) }, "goroutines"},
		{"a small rise", func(i int, s *Sample) { s.RSS += int64(i) << 18 }, ""},
		{"a small part of much", func(i int, s *Sample) { s.RSS += 300<<20 + int64(i)<<20 }, ""},
		{"pools that fill at first", func(i int, s *Sample) { s.RSS += min(int64(i), samples/3) << 23 }, ""},
		{"a fall", func(i int, s *Sample) { s.RSS -= int64(i) << 20 }, ""},
		{"one peak", func(i int, s *Sample) {
			if i == samples-2 {
				s.Heap += 40 << 20
			}
		}, ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			got := course(row.change).rising()
			if row.want == "" && len(got) > 0 || row.want != "" && (len(got) != 1 || got[0].What != row.want || got[0].Where != "edge") {
				t.Errorf("%v, want %q", got, row.want)
			}
		})
	}
}

func TestWhatIsLeftAtRestGrows(t *testing.T) {
	for _, row := range []struct {
		name  string
		after func(s *Sample)
		want  string
	}{
		{"the same", func(*Sample) {}, ""},
		{"10 goroutines", func(s *Sample) { s.Goroutines += 10 }, ""},
		{"11 goroutines", func(s *Sample) { s.Goroutines += 11 }, "goroutines"},
		{"fewer goroutines", func(s *Sample) { s.Goroutines -= 30 }, ""},
		{"11 files", func(s *Sample) { s.Files += 11 }, "open files"},
		{"4 MiB of heap", func(s *Sample) { s.Heap += 4 << 20 }, ""},
		{"more heap", func(s *Sample) { s.Heap += 4<<20 + 1 }, "heap in use"},
		{"a lane", func(s *Sample) { s.Lanes = 1 }, "lanes"},
		{"a connection", func(s *Sample) { s.Connections = 1 }, "connections"},
		{"receive memory", func(s *Sample) { s.Reserved = 1 }, "receive_reserved"},
		{"a request", func(s *Sample) { s.InFlight = 1 }, "in flight"},
	} {
		t.Run(row.name, func(t *testing.T) {
			c := course(func(int, *Sample) {})
			row.after(&c.After)
			got := leftover("edge", &c.Before, c.After)
			if row.want == "" && len(got) > 0 || row.want != "" && (len(got) != 1 || got[0].what != row.want) {
				t.Errorf("%v, want %q", got, row.want)
			}
		})
	}
	big := Sample{Heap: 100 << 20}
	if got := more(big, Sample{Heap: 119 << 20}); len(got) > 0 {
		t.Errorf("19 %% more: %v", got)
	}
	if got := more(big, Sample{Heap: 121 << 20}); len(got) != 1 {
		t.Errorf("21 %% more: %v", got)
	}
	if got := leftover("core", nil, Sample{Connections: 2, Goroutines: 40}); len(got) > 0 {
		t.Errorf("a core that edges are connected to: %v", got)
	}
}

func TestVerdict(t *testing.T) {
	good := func() *Report {
		return &Report{
			Idle:  []IdleResult{{Protocol: load.H2, Connections: 10, Open: Sample{Goroutines: 20, Connections: 10}}},
			Mixed: &MixedResult{Tiers: []TierCourse{*course(func(int, *Sample) {})}, Outcomes: []Outcome{{Operation: "get", Done: 10_000, Failed: 10}}},
		}
	}
	for _, row := range []struct {
		name   string
		change func(r *Report)
		want   string // a finding; empty: flat
	}{
		{"flat", func(*Report) {}, ""},
		{"idle alone", func(r *Report) { r.Mixed = nil }, ""},
		{"what the first connections left", func(r *Report) { r.Idle[0].Closed.Heap, r.Idle[0].ClosedAgain.Heap = 50<<20, 51<<20 }, ""},
		{"idle connections leave goroutines", func(r *Report) { r.Idle[0].ClosedAgain.Goroutines = 20 }, "idle h2: goroutines: 20 at rest, 0 before, want at most 10 more"},
		{"idle connections stay", func(r *Report) { r.Idle[0].ClosedAgain.Connections = 1 }, "idle h2: connections: 1 at rest, want 0"},
		{"rises", func(r *Report) {
			r.Mixed.Tiers[0] = *course(func(i int, s *Sample) { s.RSS += int64(i) << 20 })
		}, "edge: RSS: rises by 13.0 MiB (± 0.0 MiB) in 9m45s under load, want at most 8.0 MiB"},
		{"left", func(r *Report) { r.Mixed.Tiers[0].After.Reserved = 5 }, "edge: receive_reserved: 5 at rest, want 0"},
		{"failures", func(r *Report) { r.Mixed.Outcomes[0].Failed = 11 }, "clients: failures: 11 of 10011 operations failed"},
		{"nothing done", func(r *Report) { r.Mixed.Outcomes = nil }, "clients: failures: 0 of 0 operations failed"},
	} {
		t.Run(row.name, func(t *testing.T) {
			r := good()
			row.change(r)
			r.judge()
			if row.want == "" {
				if r.Verdict != Flat || len(r.Findings) > 0 {
					t.Errorf("%s, %v", r.Verdict, r.Findings)
				}
				return
			}
			if r.Verdict != Grows || len(r.Findings) != 1 || r.Findings[0].String() != row.want {
				t.Errorf("%s, %v, want %s", r.Verdict, r.Findings, row.want)
			}
		})
	}
}

func TestFitFindsTheLine(t *testing.T) {
	l, ok := fit([]float64{0, 1, 2, 3}, []float64{1, 3, 5, 7})
	if !ok || l.mean != 4 || math.Abs(l.rise-6) > 1e-9 || l.uncertain > 1e-9 {
		t.Errorf("%+v, %t", l, ok)
	}
	// By hand: slope 0.8, residuals ±0.6 and ±0.2, so 0.8 over 2 degrees of freedom and Sxx 5.
	l, ok = fit([]float64{0, 1, 2, 3}, []float64{0, 2, 1, 3})
	if !ok || math.Abs(l.rise-2.4) > 1e-9 || math.Abs(l.uncertain-3*math.Sqrt(0.9/5)) > 1e-9 {
		t.Errorf("%+v, %t", l, ok)
	}
	for name, at := range map[string][]float64{"too few": {0, 1}, "one moment": {2, 2, 2}} {
		if _, ok := fit(at, make([]float64, len(at))); ok {
			t.Errorf("%s: a line", name)
		}
	}
}

func TestCostOfOneConnection(t *testing.T) {
	r := IdleResult{
		Connections: 100,
		Before:      Sample{RSS: 20 << 20, Heap: 4 << 20, Stack: 1 << 20, Goroutines: 46},
		Open:        Sample{RSS: 20<<20 + 3_000_000, Heap: 4<<20 + 1_000_000, Stack: 1<<20 + 800_000, Goroutines: 246},
	}
	r.costs()
	if r.RSS != 30_000 || r.Heap != 10_000 || r.Stack != 8000 || r.Goroutines != 2 {
		t.Errorf("%+v", r)
	}
}

func TestTable(t *testing.T) {
	r := newReport(Config{Idle: 100, Duration: 60e9, Warmup: 30e9, Rate: 50})
	r.Go, r.CPUs = "go1.27.4", 2
	r.Idle = []IdleResult{{Protocol: load.H1, Connections: 100, OpenSeconds: 2, RSS: 20 << 10, Heap: 10 << 10, Stack: 8 << 10, Goroutines: 1, Open: Sample{RSS: 30 << 20, Goroutines: 146}}}
	r.Mixed = &MixedResult{CPU: 0.25, Skipped: 3, Tiers: []TierCourse{*course(func(int, *Sample) {})}, Outcomes: []Outcome{{"get", 9000, 1, "h1: EOF"}, {"post", 100, 0, ""}}}
	r.Mixed.Tiers[0].Samples = r.Mixed.Tiers[0].Samples[:1]
	r.judge()
	var got strings.Builder
	if err := r.WriteTable(&got); err != nil {
		t.Fatal(err)
	}
	const want = `go1.27.4, 2 CPUs

what one idle connection costs the edge
  protocol  connections  opened in  RSS KiB  heap KiB  stack KiB  goroutines
        h1          100         2s     20.0      10.0        8.0        1.00

what the edge held
  protocol                RSS MiB  heap MiB  goroutines  files  connections
        h1        before      0.0       0.0           0      0            0
        h1          open     30.0       0.0         146      0            0
        h1        closed      0.0       0.0           0      0            0
        h1  closed again      0.0       0.0           0      0            0

mixed load of 50 operations/s for 1m0s after a warm-up of 30s; both tiers used 0.25 of a CPU

edge
  time  RSS MiB  heap MiB  live MiB  goroutines  files  connections  lanes  reserved KiB  in flight
  rest     30.0       4.0       3.0          46     16            0      0             0          0
   20s     30.0       5.0       0.0          64     22            7      6          8192          4
  rest     30.0       4.0       3.0          46     16            0      0             0          0

  operation  done  failed
        get  9000       1
       post   100       0
  first failure of get: h1: EOF
  3 operations were skipped since 256 were under way

verdict: flat
`
	if got.String() != want {
		t.Errorf("got:\n%s\nwant:\n%s", got.String(), want)
	}
}
