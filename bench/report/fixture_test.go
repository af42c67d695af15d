package report_test

import (
	"math"
	"time"

	"github.com/ergoproxy/ergo/bench/load"
	"github.com/ergoproxy/ergo/bench/loop"
	"github.com/ergoproxy/ergo/bench/soak"
	"github.com/ergoproxy/ergo/bench/wan"
	"github.com/ergoproxy/ergo/shared/config"
)

// The fixtures are of the size and shape of real results, so that a page made of
// them shows what a reader will see: all plots, with holes and failures. Nothing
// in them was measured.

var fixtureDate = time.Date(2026, 11, 20, 9, 30, 0, 0, time.UTC)

const ms = 1e-3

func quantiles(p50, p90, p99, p999, most float64) wan.Quantiles {
	return wan.Quantiles{P50: p50 * ms, P90: p90 * ms, P99: p99 * ms, P999: p999 * ms, Max: most * ms}
}

func wanFixture() wan.Result {
	r := wan.Result{
		Kind: "wan", Date: fixtureDate, Command: "ergo-bench wan --rounds 3 --json wan.json",
		Machine: wan.Machine{CPU: "Example CPU at 2.6 GHz", Cores: 2, Memory: 24 << 30, Kernel: "Linux 6.18.5", Go: "go1.27.4", TCP: "bbr"},
		Systems: map[string]string{
			"ergo": "fixture", "ergo-plain": "fixture, link repair off", "nginx": "fixture 1.22.1",
			"haproxy-h1": "fixture 2.6.12", "haproxy-h2": "fixture 2.6.12",
		},
		Notes: []string{"caddy: not installed", "bbr beside haproxy-h1: the kernel has no second congestion control"},
	}
	r.Cells = append(matrixFixture(), bottleneckFixture()...)
	r.Cells = append(r.Cells, oddPathsFixture()...)
	for _, system := range []string{"ergo", "ergo-plain", "nginx"} {
		r.Timelines = append(r.Timelines, timelineFixture(system))
	}
	for _, rtt := range []float64{0.020, 0.080} {
		r.Shares = append(r.Shares,
			wan.Share{System: "ergo", Against: "cubic", Rate: 20e6, Own: 0.44, Other: 0.56, RTT: rtt},
			wan.Share{System: "ergo", Against: "bbr", Rate: 20e6, Own: 0.27, Other: 0.73, RTT: rtt},
			wan.Share{System: "nginx", Against: "cubic", Rate: 20e6, Own: 0.71, Other: 0.29, RTT: rtt},
		)
	}
	r.Journeys = journeysFixture()
	return r
}

func openPath(loss float64) wan.Path {
	name := map[float64]string{0: "80 ms", 0.001: "80 ms, 0.1 % loss", 0.01: "80 ms, 1 % loss", 0.03: "80 ms, 3 % loss"}[loss]
	return wan.Path{Name: name, RTT: 0.080, Loss: loss, Rate: 200e6, Queue: 0.1, MTU: 1500}
}

var (
	small  = wan.Workload{Name: "1 KiB at 200/s", Bytes: 1 << 10, Rate: 200, Duration: 8, Connections: 64}
	medium = wan.Workload{Name: "100 KiB at 20/s", Bytes: 100 << 10, Rate: 20, Duration: 8, Connections: 32}
	large  = wan.Workload{Name: "2 MB at 2/s", Bytes: 2_000_000, Rate: 2, Duration: 16, Connections: 16}
	single = wan.Workload{Name: "1 MB every 2 s", Bytes: 1_000_000, Rate: 0.5, Duration: 30, Connections: 4}
)

// A measured row is p50, p90, p99, p99.9 and the slowest, in ms, at each loss.
var measuredRows = []struct {
	workload wan.Workload
	system   string
	rows     [4][5]float64 // 0, 0.1, 1 and 3 %; all 0: not measured
}{
	{small, "ergo", [4][5]float64{{81, 82, 83, 87, 90}, {81, 82, 83, 88, 91}, {81, 82, 85, 89, 92}, {81, 82, 86, 90, 96}}},
	{small, "ergo-plain", [4][5]float64{{82, 82, 83, 88, 90}, {82, 83, 151, 170, 180}, {82, 104, 174, 240, 276}, {1519, 4008, 5744, 6400, 6643}}},
	{small, "nginx", [4][5]float64{{82, 83, 248, 330, 332}, {82, 83, 260, 420, 510}, {82, 83, 389, 1100, 1264}, {82, 83, 463, 1600, 1730}}},
	{small, "haproxy-h1", [4][5]float64{{82, 83, 247, 250, 251}, {82, 83, 255, 600, 800}, {82, 83, 392, 1400, 1554}, {82, 84, 602, 1300, 1369}}},
	{small, "haproxy-h2", [4][5]float64{{82, 83, 89, 330, 333}, {}, {82, 165, 261, 1200, 1357}, {113, 213, 285, 1050, 1148}}},
	{medium, "ergo", [4][5]float64{{91, 93, 97, 97, 99}, {91, 93, 97, 97, 99}, {91, 94, 99, 99, 104}, {93, 98, 108, 108, 112}}},
	{medium, "ergo-plain", [4][5]float64{{100, 140, 195, 195, 199}, {130, 220, 410, 410, 470}, {353, 900, 1560, 1560, 1700}, {2100, 5100, 8200, 8200, 8900}}},
	{medium, "nginx", [4][5]float64{{123, 170, 385, 385, 390}, {130, 180, 395, 395, 400}, {180, 270, 541, 541, 560}, {230, 350, 720, 720, 790}}},
	{medium, "haproxy-h1", [4][5]float64{{122, 168, 380, 380, 392}, {131, 179, 398, 398, 410}, {184, 281, 550, 550, 600}, {240, 370, 750, 750, 800}}},
	{medium, "haproxy-h2", [4][5]float64{{170, 190, 240, 240, 260}, {190, 230, 290, 290, 310}, {310, 420, 560, 560, 610}, {520, 800, 1400, 1400, 1500}}},
	{large, "ergo", [4][5]float64{{166, 170, 176, 176, 176}, {168, 172, 178, 178, 178}, {176, 180, 189, 189, 189}, {184, 190, 214, 214, 214}}},
	{large, "ergo-plain", [4][5]float64{{165, 166, 166, 166, 166}, {2015, 6010, 9015, 9015, 9015}, {7398, 12010, 13913, 13913, 13913}, {}}},
	{large, "nginx", [4][5]float64{{168, 169, 170, 170, 170}, {201, 215, 230, 230, 230}, {251, 262, 288, 288, 288}, {330, 380, 450, 450, 450}}},
	{large, "haproxy-h1", [4][5]float64{{168, 169, 170, 170, 170}, {230, 260, 270, 270, 270}, {385, 400, 421, 421, 421}, {610, 700, 810, 810, 810}}},
	{large, "haproxy-h2", [4][5]float64{{2652, 2700, 2770, 2770, 2770}, {2900, 3100, 3300, 3300, 3300}, {4814, 5000, 5148, 5148, 5148}, {9100, 12000, 14000, 14000, 14000}}},
}

func matrixFixture() []wan.Cell {
	var cells []wan.Cell
	for _, m := range measuredRows {
		for i, loss := range []float64{0, 0.001, 0.01, 0.03} {
			row := m.rows[i]
			if row == [5]float64{} {
				continue
			}
			c := wan.Cell{System: m.system, Path: openPath(loss), Workload: m.workload}
			c.Measured = measuredFixture(m.system, m.workload, loss, row)
			if m.system == "ergo-plain" && row[0] > 1500 {
				lost := c.Answered / 8
				c.Answered -= lost
				c.Failures = map[string]int64{"timeout": lost - lost/3, "closed": lost / 3}
				c.Overflow = lost / 4
			}
			if m.system == "haproxy-h2" && m.workload == large && loss == 0.03 {
				c.Failures, c.Overflow = map[string]int64{"timeout": c.Answered}, 3
				c.Answered, c.BodyBytes, c.CPU, c.Latency = 0, 0, 0, wan.Quantiles{}
			}
			cells = append(cells, c)
		}
	}
	return cells
}

func measuredFixture(system string, w wan.Workload, loss float64, row [5]float64) wan.Measured {
	answers := int64(w.Rate * w.Duration)
	perByte := map[string]float64{"ergo": 1.06, "ergo-plain": 1.05, "nginx": 1.08, "haproxy-h1": 1.08, "haproxy-h2": 1.07}[system]
	perAnswer := map[string]float64{"ergo": 190e-6, "ergo-plain": 165e-6, "nginx": 118e-6, "haproxy-h1": 109e-6, "haproxy-h2": 121e-6}[system]
	m := wan.Measured{
		Answered: answers, Latency: quantiles(row[0], row[1], row[2], row[3], row[4]), BodyBytes: answers * w.Bytes,
		CPU: perAnswer * (1 + 2*loss) * (1 + float64(w.Bytes)/(120<<10)),
	}
	parity := 0.0
	if system == "ergo" && loss > 0 {
		parity = 0.02 + 4*loss
	}
	overhead := 420 * float64(answers) // of heads and acknowledgements
	m.WireBytes = int64(float64(m.BodyBytes)*(perByte+loss+parity) + overhead)
	if system == "ergo" {
		m.Link = &wan.Link{LossBefore: loss, LossAfter: loss * loss / 4, ParityShare: parity, Repaired: int64(loss * float64(m.WireBytes) / 1400)}
	}
	return m
}

func bottleneckFixture() []wan.Cell {
	var cells []wan.Cell
	for _, m := range []struct {
		system string
		rows   [2][5]float64
	}{
		{"ergo", [2][5]float64{{498, 502, 505, 505, 505}, {541, 560, 580, 580, 580}}},
		{"ergo-plain", [2][5]float64{{499, 503, 507, 507, 507}, {15826, 19000, 21000, 21000, 21000}}},
		{"nginx", [2][5]float64{{497, 500, 501, 501, 501}, {504, 530, 574, 574, 574}}},
		{"haproxy-h1", [2][5]float64{{497, 500, 502, 502, 502}, {510, 540, 581, 581, 581}}},
	} {
		for i, loss := range []float64{0, 0.01} {
			p := wan.Path{Name: []string{"20 Mbit/s bottleneck", "20 Mbit/s bottleneck, 1 % loss"}[i], RTT: 0.080, Loss: loss, Rate: 20e6, Queue: 0.05, MTU: 1500}
			c := wan.Cell{System: m.system, Path: p, Workload: single, Measured: measuredFixture(m.system, single, loss, m.rows[i])}
			if m.rows[i][0] > 15000 {
				c.Failures = map[string]int64{"timeout": 4}
				c.Answered -= 4
			}
			cells = append(cells, c)
		}
	}
	return cells
}

func oddPathsFixture() []wan.Cell {
	bursts := openPath(0.01)
	bursts.Name, bursts.Burst = "80 ms, bursts", "5 to 20 packets about every 1 s"
	reordering := openPath(0)
	reordering.Name, reordering.Reorder, reordering.Jitter, reordering.Duplicate = "80 ms, reordering", 0.02, 0.004, 0.001
	var cells []wan.Cell
	for _, m := range []struct {
		system string
		rows   [2][5]float64
	}{
		{"ergo", [2][5]float64{{82, 84, 99, 171, 180}, {82, 85, 89, 93, 97}}},
		{"nginx", [2][5]float64{{82, 90, 690, 1700, 1900}, {84, 88, 260, 350, 380}}},
		{"haproxy-h2", [2][5]float64{{82, 250, 820, 1900, 2300}, {84, 91, 190, 340, 360}}},
	} {
		cells = append(cells,
			wan.Cell{System: m.system, Path: bursts, Workload: small, Measured: measuredFixture(m.system, small, 0.01, m.rows[0])},
			wan.Cell{System: m.system, Path: reordering, Workload: small, Measured: measuredFixture(m.system, small, 0, m.rows[1])})
	}
	return cells
}

// timelineFixture loses 5 % from the 10th to the 20th of 30 s.
func timelineFixture(system string) wan.Timeline {
	t := wan.Timeline{System: system, Name: "loss 0 → 5 → 0 %", Workload: small, RTT: 0.080}
	t.Workload.Duration = 30
	for i := range 60 {
		p := wan.Point{At: float64(i+1) / 2}
		wave := math.Abs(math.Sin(float64(7 * i)))
		lossy := p.At > 10 && p.At <= 20
		if lossy {
			p.Loss = 0.05
		}
		top := 83 + 3*wave
		switch {
		case system == "ergo" && lossy:
			p.ParityShare = 0.22 * (1 - math.Exp(-(p.At-10)/0.7))
			top = 86 + 4*wave + 90*math.Exp(-(p.At-10)/0.4)
		case system == "ergo" && p.At > 20:
			p.ParityShare = 0.22 * math.Exp(-(p.At-20)/1.5)
		case system == "ergo-plain" && lossy:
			top = 400 * (p.At - 9)
			if i > 34 {
				p.Failures = int64(i - 30)
			}
		case system == "nginx" && lossy:
			top = 380 + 700*wave
		}
		p.Latency = quantiles(81+wave, 0.6*81+0.4*top, top, top*1.02, top*1.03)
		if system == "ergo-plain" && i >= 37 && i < 40 {
			p.Latency = wan.Quantiles{}
		}
		t.Points = append(t.Points, p)
	}
	return t
}

func journeysFixture() []wan.Journey {
	const cold, restart = "first request of a cold client", "restart of an edge"
	var all []wan.Journey
	for i, loss := range []float64{0, 0.01, 0.03} {
		p := openPath(loss)
		worse := []float64{0, 160, 690}[i]
		all = append(all,
			wan.Journey{Name: cold, System: "ergo", Path: p, Tries: 50, Latency: quantiles(88, 90, 93, 93, 95)},
			wan.Journey{Name: cold, System: "straight to the far backend", Path: p, Tries: 50, Latency: quantiles(243+worse/9, 250, 260+worse, 262+worse, 265+worse), Failures: int64(i)},
		)
	}
	return append(all, wan.Journey{
		Name: restart, System: "ergo", Path: openPath(0), Tries: 5, Latency: quantiles(310, 350, 390, 390, 395), Failures: 12,
		Note: "a client asks 50 times a second and connects again; failures are its requests",
	})
}

func loopFixture() loop.Report {
	r := loop.Report{
		Kind: loop.Kind, Schema: loop.Schema, Date: fixtureDate,
		Machine:  loop.Machine{CPU: "Example CPU at 2.6 GHz", Cores: 2, Memory: 24 << 30, Kernel: "Linux 6.18.5", Go: "go1.27.4"},
		Settings: loop.Settings{Duration: "3s", Warmup: "500ms", Config: loop.Config{Rounds: 3}},
		Chains:   []loop.ChainInfo{{Name: "ergo", Version: "fixture"}, {Name: "nginx", Version: "fixture 1.22.1"}, {Name: "haproxy-h2", Version: "fixture 2.6.12"}, {Name: "backend", Version: "fixture"}},
		Skipped:  []loop.Skipped{{Name: "haproxy-h1", Reason: "haproxy: not installed"}},
	}
	for _, m := range []struct {
		chain              string
		size               config.Bytes
		connections        int
		rate, cpu, p50, p9 float64
		failed             int64
	}{
		{"ergo", 1 << 10, 64, 22520, 78, 2747, 6641, 0}, {"nginx", 1 << 10, 64, 29209, 41, 2079, 4739, 0},
		{"haproxy-h2", 1 << 10, 64, 37752, 31, 1507, 4087, 9}, {"backend", 1 << 10, 64, 104733, 7, 500, 2951, 0},
		{"ergo", 1 << 20, 8, 496, 3016, 16427, 25220, 0}, {"nginx", 1 << 20, 8, 567, 1980, 9273, 30507, 0}, {"backend", 1 << 20, 8, 1900, 420, 3273, 9507, 0},
	} {
		result := loop.Result{Chain: m.chain, Case: loop.Case{Size: m.size, Connections: m.connections}, Spread: 0.14}
		for _, f := range []float64{0.93, 1, 1.07} {
			result.Rounds = append(result.Rounds, loop.Measurement{Rate: f * m.rate, CPU: m.cpu / f, P50: m.p50 / f, P99: m.p9 / f, Max: 2 * m.p9, Answered: int64(3 * f * m.rate), RSS: 60 << 20})
		}
		result.Median = result.Rounds[1]
		result.Median.Answered, result.Median.Failed = int64(9*m.rate), m.failed
		r.Results = append(r.Results, result)
	}
	return r
}

func soakFixture() soak.Report {
	r := soak.Report{
		Kind: soak.Kind, Schema: soak.Schema, Date: fixtureDate, Go: "go1.27.4", CPUs: 2, Verdict: soak.Grows,
		Settings: soak.Settings{Duration: "15m0s", Warmup: "30s", Rate: 60},
		Findings: []soak.Finding{{Where: "clients", What: "websocket", Why: "3 of 4,211 failed"}},
		Mixed: &soak.MixedResult{CPU: 0.41, Skipped: 2, Outcomes: []soak.Outcome{
			{Operation: "get", Done: 31000}, {Operation: "upload", Done: 9000}, {Operation: "websocket", Done: 4208, Failed: 3, Failure: "read frame: connection reset"},
		}},
	}
	for _, tier := range []string{"edge", "core"} {
		level := map[string]float64{"edge": 1, "core": 0.7}[tier]
		c := soak.TierCourse{Tier: tier, Before: sampleFixture(0, 0.6*level), After: sampleFixture(0, 0.61*level)}
		for i := range 20 {
			c.Samples = append(c.Samples, sampleFixture(22.5+45*float64(i), level*(1+0.1*math.Sin(float64(3*i)))))
		}
		r.Mixed.Tiers = append(r.Mixed.Tiers, c)
	}
	for i, protocol := range []load.Protocol{load.H1, load.H1TLS, load.H2, load.H3} {
		f := float64(i + 1)
		r.Idle = append(r.Idle, soak.IdleResult{
			Protocol: protocol, Connections: 10000, OpenSeconds: 2 * f, Before: sampleFixture(0, 0.5), Open: sampleFixture(0, 8*f), Closed: sampleFixture(0, 0.9), ClosedAgain: sampleFixture(0, 0.91),
			RSS: 22 * 1024 * f, Heap: 12 * 1024 * f, Stack: 8192 * f, Goroutines: max(1, f-0.97),
		})
	}
	return r
}

func sampleFixture(at, level float64) soak.Sample {
	return soak.Sample{
		At: at, RSS: int64(level * 48e6), Heap: int64(level * 22e6), Live: int64(level * 15e6), Stack: int64(level * 3e6), Goroutines: int64(level * 410),
		Files: int64(level * 90), Connections: int64(level * 60), Lanes: int64(level * 120), Reserved: int64(level * 2e6), InFlight: int64(level * 25),
	}
}
