package report

import (
	"fmt"
	"math"

	"github.com/ergoproxy/ergo/bench/loop"
	"github.com/ergoproxy/ergo/bench/report/plot"
)

// yardsticks are the peers that others are compared with, the first that was
// measured in the plots, all in the tables.
var yardsticks = []string{"nginx", "haproxy-h1", "haproxy-h2"}

func (b *builder) loop(s *section, r *loop.Report) {
	s.Title = "On loopback"
	m := r.Machine
	s.Facts = append(dateFacts(r.Date),
		fact{"Machine", machineText(m.CPU, m.Cores, m.Memory, m.Kernel, m.Go)},
		fact{"Settings", fmt.Sprintf("%s of %s each after %s of warm-up, medians", plural(int64(r.Settings.Rounds), "round"), durationText(r.Settings.Duration), durationText(r.Settings.Warmup))})
	var chains []string
	versions := map[string]string{}
	for _, c := range r.Chains {
		chains = append(chains, c.Name)
		versions[c.Name] = c.Version
	}
	for _, name := range b.looks.order(chains) {
		s.Systems = append(s.Systems, fact{b.title(name), versions[name]})
	}
	for _, skipped := range r.Skipped {
		s.Notes = append(s.Notes, skipped.Name+": "+skipped.Reason)
	}
	var cases []loop.Case
	for _, result := range r.Results {
		chains = append(chains, result.Chain)
		cases = append(cases, result.Case)
	}
	chains = b.looks.order(chains)
	var figures []*figureView
	for _, c := range unique(cases) {
		figures = append(figures, b.loopCase(newLoopCase(c, chains, r)))
	}
	b.group(s, "What two tiers cost", "A closed loop over HTTP/1.1 through two tiers on one machine, whose cores load, tiers and backend share. Lines show the rounds from lowest to highest.", figures)
}

// A loopCase is one load on all chains.
type loopCase struct {
	loop.Case
	chains  []string
	results map[string]*loop.Result // by chain
}

func newLoopCase(of loop.Case, chains []string, r *loop.Report) *loopCase {
	c := &loopCase{Case: of, chains: chains, results: map[string]*loop.Result{}}
	for i := range r.Results {
		if r.Results[i].Case == of {
			c.results[r.Results[i].Chain] = &r.Results[i]
		}
	}
	return c
}

// peers are the yardsticks that this case has.
func (c *loopCase) peers() []string {
	var there []string
	for _, name := range yardsticks {
		if r := c.results[name]; r != nil && r.Median.Rate > 0 {
			there = append(there, name)
		}
	}
	return there
}

// A loopMeasure is a panel of a loopCase.
type loopMeasure struct {
	title, axis string
	of          func(*loop.Measurement) float64
	to          func(*loop.Measurement) float64 // a whisker; nil: over the rounds
	print, tick func(float64) string            // of a value, and of one on the axis, whose title has the unit
}

var loopMeasures = []loopMeasure{
	{
		title: "Requests per second", axis: "answers per second, more is better", print: func(v float64) string { return number(v) + "/s" }, tick: number,
		of: func(m *loop.Measurement) float64 { return m.Rate },
	},
	{
		title: "CPU of both tiers per request", axis: "CPU time per answer, less is better", print: seconds, tick: seconds,
		of: func(m *loop.Measurement) float64 { return m.CPU * 1e-6 },
	},
	{
		title: "Latency: p50, line to p99", axis: "latency: p50 · p99, less is better", print: seconds, tick: seconds,
		of: func(m *loop.Measurement) float64 { return m.P50 * 1e-6 },
		to: func(m *loop.Measurement) float64 { return m.P99 * 1e-6 },
	},
}

func (b *builder) loopCase(c *loopCase) *figureView {
	v := &figureView{
		ID: b.id(), Title: fmt.Sprintf("%s, %s", kibibytes(int64(c.Size)), plural(int64(c.Connections), "connection")),
		Caption: fmt.Sprintf("GET of %s over %s, %s.", kibibytes(int64(c.Size)), plural(int64(c.Connections), "keep-alive connection"), ratioText(b, c.peers())),
		Table:   b.loopTable(c),
	}
	for _, m := range loopMeasures {
		bars := c.plot(b.looks, m)
		v.Panels = append(v.Panels, b.panel(m.title, describeRows(m.title, bars.Groups), bars))
	}
	var answered, failed int64
	for _, chain := range c.chains {
		r := c.results[chain]
		if r == nil {
			v.Missing = append(v.Missing, b.looks[chain].Name)
			continue
		}
		answered, failed = answered+r.Median.Answered, failed+r.Median.Failed
		if r.Median.Failed > 0 {
			v.Troubles = append(v.Troubles, fmt.Sprintf("%s: %s failed, %s", b.looks[chain].Name, count(r.Median.Failed), plural(r.Median.Answered, "answer")))
		}
	}
	v.Sums = fmt.Sprintf("%s in all, %s failed.", plural(answered, "answer"), noneOr(failed))
	return v
}

func ratioText(b *builder, peers []string) string {
	if len(peers) == 0 {
		return "no peer was measured to compare with"
	}
	return "× is beside " + b.looks[peers[0]].Name
}

func (c *loopCase) plot(l looks, m loopMeasure) *plot.Rows {
	base := 0.0
	if peers := c.peers(); len(peers) > 0 {
		base = m.of(&c.results[peers[0]].Median)
	}
	var values []float64
	g := plot.Group{}
	for _, chain := range c.chains {
		r := plot.Row{Look: l[chain], Missing: "not measured", Tip: l[chain].Name + ": not measured"}
		if result := c.results[chain]; result != nil {
			r = m.row(l[chain], result, base)
			values = append(values, r.Bar, r.To)
		}
		g.Rows = append(g.Rows, r)
	}
	return &plot.Rows{X: plot.BarAxis(values, m.tick), XTitle: m.axis, Groups: []plot.Group{g}}
}

func (m *loopMeasure) row(l plot.Look, result *loop.Result, base float64) plot.Row {
	r := plot.Row{Look: l, Bar: m.of(&result.Median)}
	r.Value = m.print(r.Bar)
	if m.to != nil {
		r.From, r.To = r.Bar, m.to(&result.Median)
		r.Value += " · " + m.print(r.To)
	} else {
		r.From = math.Inf(1)
		for i := range result.Rounds {
			v := m.of(&result.Rounds[i])
			r.From, r.To = min(r.From, v), max(r.To, v)
		}
		if base > 0 {
			r.Value += " · " + factor(r.Bar/base) + " ×"
		}
	}
	if result.Median.Failed > 0 {
		r.Trouble = count(result.Median.Failed) + " failed"
	}
	r.Tip = fmt.Sprintf("%s: %s; %s, spread of the rate %s", l.Name, r.Value, plural(result.Median.Answered, "answer"), percent(result.Spread))
	return r
}

func (b *builder) loopTable(c *loopCase) table {
	t := table{Head: []string{"System", "Requests/s", "Spread, %", "CPU, µs", "p50, µs", "p99, µs", "max, µs", "Resident, MiB", "Answers", "Failed"}, Text: 1}
	peers := c.peers()
	for _, name := range peers {
		t.Head = append(t.Head, "Requests/s beside "+b.looks[name].Name)
	}
	for _, chain := range c.chains {
		l := b.looks[chain]
		row := tableRow{Own: l.Own, Cells: []string{l.Name}}
		result := c.results[chain]
		if result == nil {
			row.Note = "not measured"
			t.Rows = append(t.Rows, row)
			continue
		}
		m := &result.Median
		row.Cells = append(row.Cells, number(m.Rate), figure(100*result.Spread), figure(m.CPU), figure(m.P50), figure(m.P99), figure(m.Max),
			figure(float64(m.RSS)/(1<<20)), count(m.Answered), count(m.Failed))
		for _, name := range peers {
			row.Cells = append(row.Cells, factor(m.Rate/c.results[name].Median.Rate))
		}
		t.Rows = append(t.Rows, row)
	}
	return t
}
