package report

import (
	"fmt"
	"math"
	"slices"

	"github.com/ergoproxy/ergo/bench/report/plot"
	"github.com/ergoproxy/ergo/bench/wan"
)

// A course is the timelines that saw the same path change under the same load.
type course struct {
	name     string
	workload wan.Workload
	rtt      float64
}

// timelines draws each course as three plots over one time.
func (b *builder) timelines(all []wan.Timeline) []*figureView {
	var courses []course
	bySystem := map[course]map[string]*wan.Timeline{}
	var systems []string
	for i := range all {
		t := &all[i]
		k := course{t.Name, t.Workload, t.RTT}
		if bySystem[k] == nil {
			courses = append(courses, k)
			bySystem[k] = map[string]*wan.Timeline{}
		}
		bySystem[k][t.System] = t
		systems = append(systems, t.System)
	}
	systems = b.looks.order(systems)
	var figures []*figureView
	for _, k := range courses {
		figures = append(figures, b.course(k, systems, bySystem[k]))
	}
	return figures
}

func (b *builder) course(k course, systems []string, lines map[string]*wan.Timeline) *figureView {
	v := &figureView{
		ID:      b.id(),
		Title:   fmt.Sprintf("%s, %s over %s RTT", sentence(k.name), workloadName(k.workload), seconds(k.rtt)),
		Caption: fmt.Sprintf("Workload: %s. Each point is an interval; latency is of the requests that were due in it.", workloadText(k.workload)),
		Legend:  b.legend(systems),
		Table:   b.courseTable(systems, lines),
	}
	var failed int64
	for _, system := range systems {
		t := lines[system]
		if t == nil {
			v.Missing = append(v.Missing, b.looks[system].Name)
			continue
		}
		var own int64
		for _, p := range t.Points {
			own += p.Failures
		}
		if own > 0 {
			v.Troubles = append(v.Troubles, fmt.Sprintf("%s: %s failed", b.looks[system].Name, count(own)))
			failed += own
		}
	}
	v.Sums = sentence(noneOr(failed)) + " failed."
	if failed > 0 {
		v.Legend = append(v.Legend, warningItem())
	}
	plots := b.coursePlots(systems, lines)
	if slices.ContainsFunc(plots[len(plots)-1].Series, func(s plot.Series) bool {
		return slices.ContainsFunc(s.Points, func(q plot.Point) bool { return q.Empty })
	}) {
		v.Legend = append(v.Legend, emptyItem())
	}
	title := "Packet loss, parity and p99 over time"
	last := plots[len(plots)-1]
	desc := describe("Loss of the path, parity of the link and p99 latency over time. p99", last.Series, seconds)
	v.Panels = []panel{{Title: title, Span: true, Pictures: plot.Aligned(plots, b.id, title, desc)}}
	return v
}

// coursePlots are loss, parity if there is any, and p99.
func (b *builder) coursePlots(systems []string, lines map[string]*wan.Timeline) []*plot.Lines {
	var loss, parity, latency []plot.Series
	longest := 0.0
	for _, system := range systems {
		t := lines[system]
		if t == nil || len(t.Points) == 0 {
			continue
		}
		l := b.looks[system]
		longest = max(longest, t.Points[len(t.Points)-1].At)
		loss = append(loss, stepSeries(l, t, "loss", func(p *wan.Point) float64 { return p.Loss }))
		if spent := stepSeries(l, t, "parity", func(p *wan.Point) float64 { return p.ParityShare }); l.Own || highest(spent) > 0 {
			parity = append(parity, spent)
		}
		latency = append(latency, latencySeries(l, t))
	}
	x := plot.DurationAxis(longest)
	plots := []*plot.Lines{{X: x, Y: sharesAxis(loss), Title: "packet loss each way", Series: sameLoss(loss), Steps: true, Bare: true}}
	if len(parity) > 0 {
		plots = append(plots, &plot.Lines{X: x, Y: sharesAxis(parity), Title: "parity per byte of data", Series: parity, Steps: true, Bare: true})
	}
	var values []float64
	for _, s := range latency {
		for _, q := range s.Points {
			values = append(values, q.Y)
		}
	}
	return append(plots, &plot.Lines{X: x, Y: plot.ValueAxis(values, 8, seconds), XTitle: "time since the start of the run", Title: "latency, p99", Series: latency, Bare: true})
}

func stepSeries(l plot.Look, t *wan.Timeline, what string, of func(*wan.Point) float64) plot.Series {
	s := plot.Series{Look: l}
	for i := range t.Points {
		p := &t.Points[i]
		s.Points = append(s.Points, plot.Point{X: p.At, Y: of(p), Tip: fmt.Sprintf("%s, %s: %s %s", l.Name, seconds(p.At), percent(of(p)), what)})
	}
	return s
}

// latencySeries puts a point into the middle of each interval.
func latencySeries(l plot.Look, t *wan.Timeline) plot.Series {
	s := plot.Series{Look: l}
	before := 0.0
	for _, p := range t.Points {
		q := plot.Point{X: (before + p.At) / 2, Y: p.Latency.P99, Empty: p.Latency.P99 <= 0, Warn: p.Failures > 0}
		q.Tip = fmt.Sprintf("%s, %s to %s: %s p99", l.Name, seconds(before), seconds(p.At), seconds(p.Latency.P99))
		if q.Empty {
			q.Tip = fmt.Sprintf("%s, %s to %s: nothing answered", l.Name, seconds(before), seconds(p.At))
		}
		if p.Failures > 0 {
			q.Tip += fmt.Sprintf(", %s failed", count(p.Failures))
		}
		s.Points = append(s.Points, q)
		before = p.At
	}
	return s
}

func highest(s plot.Series) float64 {
	top := 0.0
	for _, q := range s.Points {
		top = max(top, q.Y)
	}
	return top
}

// sameLoss makes one line of those that agree: it belongs to the path, and not
// to a system.
func sameLoss(all []plot.Series) []plot.Series {
	for _, s := range all[min(1, len(all)):] {
		same := slices.EqualFunc(s.Points, all[0].Points, func(a, b plot.Point) bool {
			return math.Abs(a.X-b.X) < 0.05 && math.Abs(a.Y-b.Y) < 1e-9
		})
		if !same {
			return all
		}
	}
	if len(all) == 0 {
		return nil
	}
	one := all[0]
	one.Look = plot.Look{Name: "the path", Class: "ink"}
	one.Points = slices.Clone(one.Points)
	for i := range one.Points {
		q := &one.Points[i]
		q.Tip = fmt.Sprintf("%s: %s loss", seconds(q.X), percent(q.Y))
	}
	return []plot.Series{one}
}

func sharesAxis(all []plot.Series) plot.Axis {
	top := 0.0
	for i := range all {
		top = max(top, highest(all[i]))
	}
	if top == 0 {
		top = 0.01
	}
	return plot.LinearAxis(top, 4, percent)
}

// courseTable has a row for each interval of each system.
func (b *builder) courseTable(systems []string, lines map[string]*wan.Timeline) table {
	t := table{Head: []string{"System", "Until, s", "Loss, %", "Parity, %", "p50, ms", "p90, ms", "p99, ms", "p99.9, ms", "max, ms", "Failed"}, Text: 1}
	for _, system := range systems {
		l := b.looks[system]
		if lines[system] == nil {
			t.Rows = append(t.Rows, tableRow{Own: l.Own, Cells: []string{l.Name}, Note: "not measured"})
			continue
		}
		for _, p := range lines[system].Points {
			cells := []string{l.Name, figure(p.At), figure(100 * p.Loss), figure(100 * p.ParityShare)}
			cells = append(cells, quantileFigures(p.Latency.Max > 0 || p.Latency.P50 > 0, p.Latency)...)
			t.Rows = append(t.Rows, tableRow{Own: l.Own, Cells: append(cells, count(p.Failures))})
		}
	}
	return t
}
