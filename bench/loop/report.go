package loop

import (
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Kind tells a result apart from those of other commands. Files written before
// it was there have the Schema alone.
const Kind = "loop"

// Schema names the form of the JSON. Fields may be added to it; a change that
// breaks a reader gets the next number.
const Schema = "ergo-bench/loop/1"

// A Report is all that a run found. Times are in microseconds.
type Report struct {
	Kind     string      `json:"kind"`
	Schema   string      `json:"schema"`
	Date     time.Time   `json:"date"`
	Machine  Machine     `json:"machine"`
	Settings Settings    `json:"settings"`
	Chains   []ChainInfo `json:"chains"`
	Skipped  []Skipped   `json:"skipped,omitempty"`
	Results  []Result    `json:"results"`
}

// Machine is where the run was made.
type Machine struct {
	CPU    string `json:"cpu"`
	Cores  int    `json:"cores"`
	Memory int64  `json:"memory"` // bytes; 0: unknown
	Kernel string `json:"kernel"`
	Go     string `json:"go"`
}

// Settings are a Config with its times as text.
type Settings struct {
	Duration string `json:"duration"`
	Warmup   string `json:"warmup"`
	Config
}

// ChainInfo is a chain that was measured.
type ChainInfo struct {
	Name    string `json:"name"`
	Version string `json:"version"`
}

// Skipped is a chain that was not.
type Skipped struct {
	Name   string `json:"name"`
	Reason string `json:"reason"`
}

// A Result is one case on one chain.
type Result struct {
	Chain string `json:"chain"`
	Case
	Median Measurement   `json:"median"`
	Spread float64       `json:"spread"` // of the rate: (largest − smallest) / median
	Rounds []Measurement `json:"rounds"`
}

// A Measurement is one round of a case on a chain, or the median of each value
// over all rounds. Answered and Failed are then sums.
type Measurement struct {
	Rate     float64 `json:"rate"` // answers per second
	CPU      float64 `json:"cpu_us"`
	P50      float64 `json:"p50_us"`
	P99      float64 `json:"p99_us"`
	Max      float64 `json:"max_us"`
	Answered int64   `json:"answered"`
	Failed   int64   `json:"failed"`
	RSS      int64   `json:"rss"` // bytes, right after the round
}

func newReport(c Config) *Report {
	return &Report{
		Kind: Kind, Schema: Schema, Date: time.Now().UTC().Truncate(time.Second), Machine: machine(),
		Settings: Settings{Duration: c.Duration.String(), Warmup: c.Warmup.String(), Config: c},
	}
}

func (r *Report) skip(name string, reason error) {
	r.Skipped = append(r.Skipped, Skipped{name, reason.Error()})
}

func (r *Report) add(chain string, c Case, m Measurement) {
	result := r.find(chain, c)
	if result == nil {
		r.Results = append(r.Results, Result{Chain: chain, Case: c})
		result = &r.Results[len(r.Results)-1]
	}
	result.Rounds = append(result.Rounds, m)
}

// find returns the result of a case on a chain, or nil.
func (r *Report) find(chain string, c Case) *Result {
	for i := range r.Results {
		if r.Results[i].Chain == chain && r.Results[i].Case == c {
			return &r.Results[i]
		}
	}
	return nil
}

// sumUp fills in the medians and spreads.
func (r *Report) sumUp() {
	for i := range r.Results {
		result := &r.Results[i]
		rates := values(result.Rounds, func(m Measurement) float64 { return m.Rate })
		m := Measurement{
			Rate: median(rates),
			CPU:  median(values(result.Rounds, func(m Measurement) float64 { return m.CPU })),
			P50:  median(values(result.Rounds, func(m Measurement) float64 { return m.P50 })),
			P99:  median(values(result.Rounds, func(m Measurement) float64 { return m.P99 })),
			Max:  median(values(result.Rounds, func(m Measurement) float64 { return m.Max })),
			RSS:  median(values(result.Rounds, func(m Measurement) int64 { return m.RSS })),
		}
		for _, round := range result.Rounds {
			m.Answered += round.Answered
			m.Failed += round.Failed
		}
		result.Median = m
		if m.Rate > 0 {
			result.Spread = (slices.Max(rates) - slices.Min(rates)) / m.Rate
		}
	}
}

func values[T int64 | float64](rounds []Measurement, of func(Measurement) T) []T {
	all := make([]T, len(rounds))
	for i, m := range rounds {
		all[i] = of(m)
	}
	return all
}

// median returns the middle value; of an even number, the mean of the two in
// the middle.
func median[T int64 | float64](of []T) T {
	sorted := slices.Sorted(slices.Values(of))
	half := len(sorted) / 2
	if len(sorted)%2 == 1 {
		return sorted[half]
	}
	return (sorted[half-1] + sorted[half]) / 2
}

func machine() Machine {
	m := Machine{CPU: runtime.GOARCH, Cores: runtime.NumCPU(), Kernel: runtime.GOOS, Go: runtime.Version()}
	if content, err := os.ReadFile("/proc/sys/kernel/osrelease"); err == nil {
		m.Kernel = "Linux " + strings.TrimSpace(string(content))
	}
	if model := procField("/proc/cpuinfo", "model name"); model != "" {
		m.CPU = model
	}
	if kib, err := strconv.ParseInt(strings.TrimSuffix(procField("/proc/meminfo", "MemTotal"), " kB"), 10, 64); err == nil {
		m.Memory = kib << 10
	}
	return m
}

// procField returns the value of the first "name : value" line in a file.
func procField(path, name string) string {
	content, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(content)) {
		if key, value, found := strings.Cut(line, ":"); found && strings.TrimSpace(key) == name {
			return strings.TrimSpace(value)
		}
	}
	return ""
}
