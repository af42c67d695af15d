package wan

import (
	"encoding/json"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/ergoproxy/ergo/bench/load"
	"github.com/ergoproxy/ergo/shared/link/linktest"
)

func TestValidateNamesEveryProblem(t *testing.T) {
	c := Config{
		Sets: []string{"matrix", "moon", "matrix"}, RTTs: []time.Duration{-1, 3 * time.Second}, Losses: []float64{0.6, math.NaN()},
		Workloads: []Workload{{Bytes: 0, Rate: 0}}, Duration: time.Millisecond, Repeats: -1, EdgeProgram: "x",
	}
	err := c.Validate()
	for _, want := range []string{
		`sets: no "moon"`, "sets: matrix twice", "systems: none", "round-trip time: -1ns", "round-trip time: 3s", "loss: 60 %", "loss: NaN %",
		"bodies of 0 bytes", "0 requests/s", "duration: 1ms", "rounds: 0", "repeats: -1", "edge and core programs",
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in: %v", want, err)
		}
	}
	if good := Default(); good.Validate() != nil {
		t.Error(good.Validate())
	}
}

func TestDefaultsAreThoseOfTheNumbers(t *testing.T) {
	c := Default()
	courses, workloads := c.courses()
	var got []string
	for i, path := range courses {
		for _, w := range workloads[i] {
			got = append(got, path.Name+": "+w.Name+" for "+number(w.Duration)+" s")
		}
	}
	var want []string
	three := []string{"1 KiB at 200/s for 8 s", "100 KiB at 20/s for 8 s", "2 MB at 2/s for 16 s"}
	for _, path := range []string{"80 ms, 0 % loss", "80 ms, 0.1 % loss", "80 ms, 1 % loss", "80 ms, 3 % loss"} {
		for _, w := range three {
			want = append(want, path+": "+w)
		}
	}
	want = append(want, "80 ms, 0 % loss, 20 Mbit/s: 1 MB every 2 s for 24 s", "80 ms, 1 % loss, 20 Mbit/s: 1 MB every 2 s for 24 s")
	for _, path := range []string{"80 ms, 1 % loss, bursts", "80 ms, 10 % reordered by 5 ms", "80 ms, jitter of ±20 ms each way, out of order"} {
		for _, w := range three {
			want = append(want, path+": "+w)
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("got:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if path := courses[4]; path.Rate != 20_000_000 || path.Queue != 0.05 || path.RTT != 0.08 {
		t.Errorf("bottleneck: %+v", path.Path)
	}
}

func TestCourseIsTheSameBothWaysButForItsState(t *testing.T) {
	c := newCourse(80*time.Millisecond, 0.01)
	if got := c.conditions(); got.Delay != 40*time.Millisecond || got.Loss != linktest.Bernoulli(0.01) || got.Queue != 100*time.Millisecond || got.MTU != 1500 {
		t.Errorf("%+v", got)
	}
	if calm := c.calm(); calm.Loss != nil || calm.Delay != 40*time.Millisecond || calm.Rate != 200_000_000 {
		t.Errorf("calm: %+v", calm)
	}
	b := bursts()
	if one, other := b.conditions().Loss, b.conditions().Loss; one == other {
		t.Error("both directions have one model of bursts")
	}
}

func TestWorkloadsAreBounded(t *testing.T) {
	for _, row := range []struct {
		bytes              int64
		rate               float64
		connections, queue int
		warmup             time.Duration
	}{
		{1 << 10, 200, 1000, 1001, 2 * time.Second},
		{100 << 10, 20, 601, 0, 2 * time.Second},
		{2_000_000, 2, 61, 0, 3 * time.Second},
		{1_000_000, 0.5, 16, 0, 4 * time.Second},
	} {
		w := NewWorkload(row.bytes, row.rate)
		if o := w.open(); o.Connections != row.connections || o.Queue != row.queue || o.Warmup != row.warmup {
			t.Errorf("%s: %d connections, queue of %d, warm-up %s", w.Name, o.Connections, o.Queue, o.Warmup)
		}
	}
	short := NewWorkload(1<<10, 200)
	short.Duration = 0.5
	if got := short.open().Warmup; got != 500*time.Millisecond {
		t.Errorf("warm-up of a measurement of 500 ms: %s", got)
	}
}

func TestSizesArePrintedWithTheirUnit(t *testing.T) {
	for bytes, want := range map[int64]string{1: "1 bytes", 1000: "1 kB", 1024: "1 KiB", 1_000_000: "1 MB", 1 << 20: "1 MiB", 2_000_000: "2 MB", 100 << 10: "100 KiB", 1025: "1025 bytes"} {
		if got := size(bytes); got != want {
			t.Errorf("%d: %q, want %q", bytes, got, want)
		}
	}
	for x, want := range map[float64]string{0: "0", 0.1: "0.1", 100: "100", 0.333: "0.33", 20: "20"} {
		if got := number(x); got != want {
			t.Errorf("%g: %q, want %q", x, got, want)
		}
	}
}

const metricsPage = `# HELP core_link_sent_bytes_total Bytes.
# TYPE core_link_sent_bytes_total counter
core_link_sent_bytes_total{edge="edge-1"} 1e+06
core_link_sent_bytes_total{edge="edge-2"} 1e+06
core_link_parity_bytes_total{edge="edge-1"} 100000
core_link_sent_bytes_total_other 7
edge_link_received_packets_total{core="core-1"} 970
edge_link_missing_packets_total{core="core-1"} 30
edge_link_repaired_packets_total{core="core-1"} 29
`

func TestLinkIsReadFromMetrics(t *testing.T) {
	var c linkCounters
	if err := c.take([]byte("go_goroutines 7\n")); err != nil || c.sumUp() != nil {
		t.Errorf("no link: %+v, %v", c.sumUp(), err)
	}
	before := c
	if err := c.take([]byte(metricsPage)); err != nil {
		t.Fatal(err)
	}
	c.add(before, -1)
	if got, want := c.sumUp(), (Link{LossBefore: 0.03, LossAfter: 0.001, ParityShare: 0.05, Repaired: 29}); got == nil || *got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	c.add(c, -1)
	if got := c.sumUp(); got == nil || *got != (Link{}) {
		t.Errorf("nothing was sent: %+v", got)
	}
	if err := c.take([]byte(`core_link_sent_bytes_total{edge="edge-1"} many`)); err == nil {
		t.Error("a value that is no number was taken")
	}
}

func TestCalmestTakeCounts(t *testing.T) {
	failed := errors.New("no")
	for _, c := range []struct {
		name     string
		late     []int64 // of 10,000 packets, for each take; -1: it fails
		repeats  int
		want     int64 // -1: the error
		repeated int
	}{
		{"calm at once", []int64{10, 0}, 2, 10, 0},
		{"calm the second time", []int64{11, 9, 0}, 2, 9, 1},
		{"never calm", []int64{50, 20, 30, 0}, 2, 20, 2},
		{"no repeats", []int64{50, 0}, 0, 50, 0},
		{"an error ends it", []int64{50, -1, 0}, 2, -1, 1},
	} {
		next := 0
		got, repeated, err := calmest(c.repeats, func() (take, error) {
			late := c.late[next]
			next++
			if late < 0 {
				return take{}, failed
			}
			return take{used: meter{late: late, delivered: 10_000}}, nil
		}, func(float64) {})
		if repeated != c.repeated || (err != nil) != (c.want < 0) || err == nil && got.used.late != c.want {
			t.Errorf("%s: %d late, repeated %d times, %v", c.name, got.used.late, repeated, err)
		}
	}
}

func TestRoundsOfACellAreMerged(t *testing.T) {
	c := cell{system: Ergo, course: newCourse(usualRTT, 0), workload: NewWorkload(1000, 10), failures: make(map[string]int64)}
	for round := range 2 {
		h := hdrhistogram.New(1, int64(time.Hour), 3)
		h.RecordValue(int64(time.Duration(1+9*round) * time.Second))
		c.book(&load.Result{Answered: 1, Overflow: 2, Bytes: 1000, Failures: map[load.Failure]int64{load.FailedTimeout: 3}, Latency: h},
			meter{cpu: time.Second, wire: 1500, packets: 10, lost: 1, dropped: 2, delivered: 8, late: 4})
	}
	got := c.sumUp()
	if got.Answered != 2 || got.Overflow != 4 || got.Failures["timeout"] != 6 || got.CPU != 1 || got.WireBytes != 3000 || got.BodyBytes != 2000 || got.Link != nil {
		t.Errorf("%+v", got)
	}
	if got.Lost != 0.1 || got.Dropped != 0.2 || got.Late != 0.5 {
		t.Errorf("shares: %+v", got)
	}
	if q := got.Latency; math.Abs(q.P50-1) > 0.01 || math.Abs(q.P99-10) > 0.01 || math.Abs(q.Max-10) > 0.01 {
		t.Errorf("quantiles: %+v", q)
	}
	nothing := cell{latency: hdrhistogram.New(1, 10, 1)}
	if got := nothing.sumUp(); got.CPU != 0 || got.Latency != (Quantiles{}) {
		t.Errorf("nothing answered: %+v", got)
	}
}

func TestRequestsBelongToTheStepTheyWereDueIn(t *testing.T) {
	begin := time.Unix(1000, 0)
	c := change{begin: begin, steps: []step{{end: time.Second}, {end: 2 * time.Second, loss: 0.05, link: linkCounters{found: true, sentBytes: 4, parityBytes: 1}}}}
	for _, x := range []load.Exchange{
		{Due: begin, Done: begin.Add(3 * time.Second)},
		{Due: begin.Add(time.Second), Done: begin.Add(1100 * time.Millisecond)},
		{Due: begin.Add(1500 * time.Millisecond), Done: begin.Add(1700 * time.Millisecond)},
		{Due: begin.Add(2 * time.Second), Failure: load.FailedTimeout},
	} {
		c.point(x.Due).book(x)
	}
	first, second := c.steps[0].sumUp(), c.steps[1].sumUp()
	if first.At != 1 || first.Latency.Max != 3 || first.Failures != 0 || first.ParityShare != 0 {
		t.Errorf("%+v", first)
	}
	if second.At != 2 || second.Loss != 0.05 || second.Latency.P50 != 0.2 || second.Latency.Max != 0.2 || second.Failures != 1 || second.ParityShare != 0.25 {
		t.Errorf("%+v", second)
	}
}

func TestExactQuantiles(t *testing.T) {
	var of []time.Duration
	for i := 1000; i > 0; i-- {
		of = append(of, time.Duration(i)*time.Second)
	}
	if got, want := exactQuantiles(of), (Quantiles{P50: 501, P90: 901, P99: 991, P999: 1000, Max: 1000}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	if got := exactQuantiles(nil); got != (Quantiles{}) {
		t.Errorf("of nothing: %+v", got)
	}
}

func TestLongestGap(t *testing.T) {
	at := func(ms int64) time.Time { return time.UnixMilli(ms) }
	r := record{answers: []time.Time{at(100), at(0), at(950), at(130)}}
	if got := r.longestGap(); got != 820*time.Millisecond {
		t.Errorf("%s", got)
	}
}

func TestNotesAreShortAndSaidOnce(t *testing.T) {
	var progress strings.Builder
	b := newBench(Config{Progress: &progress}, "/some/dir")
	for range 2 {
		b.note("ergo: left out: %s", "ended\n--- core, end of /some/dir/core.log\n"+strings.Repeat("é", longestNote))
	}
	if len(b.result.Notes) != 1 || strings.Count(progress.String(), "\n") != 1 {
		t.Fatalf("%q, progress %q", b.result.Notes, progress.String())
	}
	note := b.result.Notes[0]
	if !strings.HasPrefix(note, "ergo: left out: ended / --- core, end of core.log / é") || !strings.HasSuffix(note, "é ...") || len(note) > longestNote+4 {
		t.Errorf("%q", note)
	}
}

// sample has one of everything.
func sample() *Result {
	r := &Result{
		Kind: "wan", Machine: Machine{CPU: "Some CPU", Cores: 2, Kernel: "Linux 6.18", Go: "go1.27.4", TCP: "bbr"},
		Systems: map[string]string{"nginx": "nginx/1.22.1", "ergo": "ergo 1a2b"}, Notes: []string{"share: no TCP with bbr on this machine"},
	}
	path, w := newCourse(usualRTT, 0.01).Path, NewWorkload(1<<10, 200)
	fast := Quantiles{P50: 0.0812, P90: 0.082, P99: 0.085, P999: 0.09, Max: 0.1}
	slow := Quantiles{P50: 0.0812, P90: 0.1, P99: 0.34, P999: 0.5, Max: 1.25}
	r.Cells = []Cell{
		{System: "ergo", Path: path, Workload: w, Measured: Measured{Answered: 1600, Latency: fast, CPU: 300e-6, WireBytes: 3000, BodyBytes: 2000,
			Link: &Link{LossBefore: 0.01, LossAfter: 0, ParityShare: 0.12, Repaired: 16}}},
		{System: "nginx", Path: path, Workload: w, Measured: Measured{Answered: 1590, Failures: map[string]int64{"timeout": 4, "closed": 3}, Overflow: 3, Latency: slow, CPU: 200e-6, WireBytes: 2900, BodyBytes: 2000}},
		{System: "nginx", Path: newCourse(usualRTT, 0).Path, Workload: w, Measured: Measured{}},
	}
	r.Shares = []Share{{System: "ergo", Against: "cubic", Rate: 20_000_000, Own: 0.45, Other: 0.55, RTT: 0.08}}
	points := func(parity float64) []Point {
		return []Point{{At: 0.5, Latency: fast}, {At: 1, Loss: 0.05, Latency: slow, ParityShare: parity, Failures: 2}}
	}
	r.Timelines = []Timeline{{System: "ergo", Name: "loss 0 → 5 %", Workload: w, Points: points(0.2)}, {System: "nginx", Name: "loss 0 → 5 %", Workload: w, Points: points(0)}}
	r.Journeys = []Journey{{Name: "restart of the edge", System: "ergo", Path: path, Tries: 5, Latency: fast, Failures: 1, Note: "1 of 500 requests failed"}}
	return r
}

func TestTable(t *testing.T) {
	var got strings.Builder
	if err := sample().WriteTable(&got); err != nil {
		t.Fatal(err)
	}
	const want = `Some CPU, 2 cores, Linux 6.18, go1.27.4, TCP with bbr
  ergo: ergo 1a2b
  nginx: nginx/1.22.1

80 ms, 1 % loss: 1 KiB at 200/s for 8 s
  system  p50 ms    p90    p99  p99.9     max  answered  failed  overflow  CPU µs  wire/body  p50 × ergo  p99 × ergo
    ergo    81.2   82.0   85.0   90.0   100.0      1600       0         0     300       1.50        1.00        1.00
   nginx    81.2  100.0  340.0  500.0  1250.0      1590       7         3     200       1.45        1.00        4.00
  link of ergo: 1.00 % lost before and 0.00 % after repair, 16 packets rebuilt, parity is 12.0 % of the data

80 ms, 0 % loss: 1 KiB at 200/s for 8 s
  system  p50 ms  p90  p99  p99.9  max  answered  failed  overflow  CPU µs  wire/body  p50 × ergo  p99 × ergo
   nginx       -    -    -      -    -         0       0         0       0          -           -           -

shares of a bottleneck
  system  its share  beside  its share  RTT ms  Mbit/s
    ergo       45 %   cubic       55 %      80      20

loss 0 → 5 %: 1 KiB at 200/s; p50 / max ms of what was due in each interval, + failed
  until s  loss           ergo  parity          nginx
      0.5   0 %       81 / 100     0 %       81 / 100
      1.0   5 %  81 / 1250 + 2    20 %  81 / 1250 + 2

journeys, in ms
                 what  system             path  p50  p90  max  tries  failed
  restart of the edge    ergo  80 ms, 1 % loss   81   82  100      5       1
  restart of the edge: 1 of 500 requests failed

note: share: no TCP with bbr on this machine
`
	if got.String() != want {
		t.Errorf("got:\n%s\nwant:\n%s", got.String(), want)
	}
}

func TestResultReadsBack(t *testing.T) {
	content, err := json.Marshal(sample())
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"kind":"wan"`, `"system":"ergo"`, `"rtt":0.08`, `"loss":0.01`, `"p999":0.09`, `"wire_bytes":3000`, `"wan_lost":0`, `"link":{"loss_before":0.01`, `"own":0.45`, `"points":[{"at":0.5`, `"tries":5`} {
		if !strings.Contains(string(content), want) {
			t.Errorf("%s is not in %s", want, content)
		}
	}
	var copied Result
	if err := json.Unmarshal(content, &copied); err != nil || len(copied.Cells) != 3 || *copied.Cells[0].Link != *sample().Cells[0].Link || copied.Journeys[0] != sample().Journeys[0] {
		t.Errorf("%+v, %v", copied, err)
	}
}
