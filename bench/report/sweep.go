package report

import (
	"fmt"
	"slices"

	"github.com/ergoproxy/ergo/bench/report/plot"
	"github.com/ergoproxy/ergo/bench/wan"
)

// largeBody is the size in bytes from which a body takes several round trips,
// and latency is called completion time.
const largeBody = 64 << 10

// A quantile is a measure of the time of answers.
type quantile struct {
	name string
	need int64 // answers that it takes
	of   func(*wan.Quantiles) float64
}

var (
	median    = quantile{"p50", 1, func(q *wan.Quantiles) float64 { return q.P50 }}
	p99       = quantile{"p99", 100, func(q *wan.Quantiles) float64 { return q.P99 }}
	p999      = quantile{"p99.9", 1000, func(q *wan.Quantiles) float64 { return q.P999 }}
	theLatest = quantile{"slowest", 1, func(q *wan.Quantiles) float64 { return q.Max }}
)

// quantilesOf returns what so many answers can tell: a p99 of fewer than 100 is
// the slowest of them by another name.
func quantilesOf(answers int64) []quantile {
	switch {
	case answers >= p999.need:
		return []quantile{median, p99, p999}
	case answers >= p99.need:
		return []quantile{median, p99}
	default:
		return []quantile{median, theLatest}
	}
}

// mostAnswers is the largest number of answers in a cell.
func (s *sweep) mostAnswers() int64 {
	var most int64
	for _, c := range s.cells {
		most = max(most, c.Answered)
	}
	return most
}

// fewAnswers tells the reader which quantiles are none.
func (s *sweep) fewAnswers(shown []quantile) []string {
	var notes []string
	for _, q := range shown {
		for _, c := range s.cells {
			if c.Answered > 0 && c.Answered < q.need {
				notes = append(notes, fmt.Sprintf("Where fewer than %s requests were answered, %s is close to the slowest of them.", count(q.need), q.name))
				break
			}
		}
	}
	return notes
}

// timeName is what the time of an answer is called.
func timeName(w wan.Workload) string {
	if w.Bytes >= largeBody {
		return "Completion time"
	}
	return "Latency"
}

// sweep draws a workload over loss.
func (b *builder) sweep(s *sweep) *figureView {
	path := s.paths[0]
	v := &figureView{
		ID:    b.id(),
		Title: fmt.Sprintf("%s over %s RTT", workloadName(s.workload), seconds(path.RTT)),
		Caption: fmt.Sprintf("Path: %s, loss on the axis, the same each way. Workload: %s. Time counts from when a request was due.",
			pathText(path, false), workloadText(s.workload)),
		Legend: b.legend(s.systems),
		Table:  s.table(b, lossName),
	}
	shown := quantilesOf(s.mostAnswers())
	v.Notes = s.fewAnswers(shown)
	y := s.timeAxis(shown)
	for _, q := range shown {
		title := fmt.Sprintf("%s, %s", timeName(s.workload), q.name)
		lines := &plot.Lines{X: s.lossAxis(), Y: y, XTitle: lossTitle, Spread: true, Series: s.lossSeries(b.looks, q)}
		v.Panels = append(v.Panels, b.panel(title, describe(title+" of each system over packet loss", lines.Series, seconds), lines))
	}
	for _, m := range []cost{cpuCost, wireCost, parityCost} {
		if p, ok := b.costColumns(s, m); ok {
			v.Panels = append(v.Panels, p)
		}
	}
	s.summary(b, v, lossName)
	return v
}

const lossTitle = "packet loss each way, %"

func lossName(p wan.Path) string { return percent(p.Loss) + " loss" }

// timeAxis fits all quantiles that are shown beside each other.
func (s *sweep) timeAxis(shown []quantile) plot.Axis {
	var values []float64
	for _, q := range shown {
		values = append(values, s.values(func(c *wan.Cell) float64 { return q.of(&c.Latency) })...)
	}
	return plot.ValueAxis(values, 8, seconds)
}

func (s *sweep) lossAxis() plot.Axis {
	var labels []string
	for _, p := range s.paths {
		labels = append(labels, number(100*p.Loss))
	}
	return plot.OrdinalAxis(labels)
}

// lossSeries are the lines of a quantile. Ergo's comes last, above the others.
func (s *sweep) lossSeries(l looks, q quantile) []plot.Series {
	return s.series(l, func(look plot.Look, p wan.Path, c *wan.Cell) plot.Point {
		v := q.of(&c.Latency)
		return plot.Point{
			Y: v, Empty: c.Answered == 0, Gap: c.Answered > 0 && v <= 0, Warn: trouble(c.Failures, c.Overflow) != "",
			Tip: cellTip(look, lossName(p), seconds(v)+" "+q.name, c),
		}
	})
}

// series calls of for each cell that was measured, and leaves a gap for the
// others.
func (s *sweep) series(l looks, of func(plot.Look, wan.Path, *wan.Cell) plot.Point) []plot.Series {
	var all []plot.Series
	for _, system := range s.systems {
		line := plot.Series{Look: l[system]}
		for i, p := range s.paths {
			q := plot.Point{Gap: true}
			if c := s.cell(system, p); c != nil {
				q = of(line.Look, p, c)
			}
			q.X = float64(i)
			line.Points = append(line.Points, q)
		}
		all = append(all, line)
	}
	return all
}

// A cost is what an answer took besides time.
type cost struct {
	title, axis string
	of          func(*wan.Measured) (float64, bool)
	print       func(float64) string
	linkOnly    bool // systems without a link have none, and are not missed
	withParity  bool // parity explains a part of it
}

var (
	cpuCost = cost{
		title: "CPU of both tiers per answer", axis: "CPU time per answer", print: seconds,
		of: func(m *wan.Measured) (float64, bool) { return m.CPU, m.CPU > 0 && m.Answered > 0 },
	}
	wireCost = cost{
		title: "Bytes on the WAN per byte of body", axis: "bytes in both directions per byte of body", print: number, withParity: true,
		of: wireRatio,
	}
	parityCost = cost{
		title: "Parity per byte of data, core to edge", axis: "parity per byte of data", print: percent, linkOnly: true,
		of: func(m *wan.Measured) (float64, bool) {
			if m.Link == nil {
				return 0, false
			}
			return m.Link.ParityShare, true
		},
	}
)

// costColumns draws a cost over loss. It reports false if no system of the sweep
// can have it.
func (b *builder) costColumns(s *sweep, m cost) (panel, bool) {
	all := s.series(b.looks, func(look plot.Look, p wan.Path, c *wan.Cell) plot.Point {
		v, there := m.of(&c.Measured)
		return plot.Point{
			Y: v, Gap: !there, Empty: c.Answered == 0 && !m.linkOnly, Warn: trouble(c.Failures, c.Overflow) != "",
			Tip: cellTip(look, lossName(p), m.print(v), c),
		}
	})
	var with []plot.Series
	var values []float64
	for _, line := range all {
		measured := false
		for _, q := range line.Points {
			if !q.Gap && !q.Empty {
				measured = true
				values = append(values, q.Y)
			}
		}
		if measured || !m.linkOnly {
			with = append(with, line)
		}
	}
	if len(values) == 0 {
		return panel{Title: m.title, Empty: "not measured"}, !m.linkOnly
	}
	columns := &plot.Columns{X: s.lossAxis(), Y: plot.LinearAxis(slices.Max(values), 6, m.print), XTitle: lossTitle, Label: m.print, Series: with}
	return b.panel(m.title, describe(m.title+", over packet loss", with, m.print), columns), true
}
