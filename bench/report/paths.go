package report

import (
	"fmt"
	"strings"

	"github.com/ergoproxy/ergo/bench/report/plot"
	"github.com/ergoproxy/ergo/bench/wan"
)

// paths draws a workload on paths side by side, one bar a system.
func (b *builder) paths(s *sweep) *figureView {
	v := &figureView{
		ID:      b.id(),
		Title:   pathsTitle(s),
		Caption: fmt.Sprintf("%s Workload: %s. Time counts from when a request was due.", pathsText(s.paths), workloadText(s.workload)),
		Table:   s.table(b, pathName),
	}
	shown := quantilesOf(s.mostAnswers())
	second := shown[len(shown)-1]
	if len(shown) > 2 {
		second = p99
	}
	title := fmt.Sprintf("%s: p50, line to %s", timeName(s.workload), second.name)
	bars := s.timeRows(b.looks, second)
	v.Panels = append(v.Panels, b.panel(title, describeRows(title, bars.Groups), bars))
	v.Notes = s.fewAnswers([]quantile{second})
	v.Panels = append(v.Panels, b.costRows(s, cpuCost), b.costRows(s, wireCost))
	s.summary(b, v, pathName)
	return v
}

func pathsTitle(s *sweep) string {
	rates := map[string]bool{}
	for _, p := range s.paths {
		rates[bits(p.Rate)] = true
	}
	title := workloadName(s.workload)
	if len(rates) == 1 && s.paths[0].Rate > 0 {
		title += ", " + bits(s.paths[0].Rate)
	}
	return title
}

func pathName(p wan.Path) string {
	if p.Name != "" {
		return p.Name
	}
	return pathText(p, true)
}

func pathsText(paths []wan.Path) string {
	var parts []string
	for _, p := range paths {
		text := pathText(p, true)
		if p.Name != "" {
			text = p.Name + " (" + text + ")"
		}
		parts = append(parts, text)
	}
	word := "Paths: "
	if len(parts) == 1 {
		word = "Path: "
	}
	return word + strings.Join(parts, "; ") + "."
}

// rows makes a group of each path and a row of each system. of fills in a row
// that was measured.
func (s *sweep) rows(l looks, of func(*plot.Row, wan.Path, *wan.Cell)) []plot.Group {
	var groups []plot.Group
	for _, p := range s.paths {
		g := plot.Group{Title: pathName(p)}
		for _, system := range s.systems {
			r := plot.Row{Look: l[system], Missing: "not measured", Tip: l[system].Name + ", " + pathName(p) + ": not measured"}
			if c := s.cell(system, p); c != nil {
				r.Missing = ""
				r.Trouble = trouble(c.Failures, c.Overflow)
				of(&r, p, c)
			}
			g.Rows = append(g.Rows, r)
		}
		groups = append(groups, g)
	}
	return groups
}

func (s *sweep) timeRows(l looks, second quantile) *plot.Rows {
	var values []float64
	groups := s.rows(l, func(r *plot.Row, p wan.Path, c *wan.Cell) {
		if c.Answered == 0 {
			r.Missing = "no answer"
			r.Tip = cellTip(r.Look, pathName(p), "no answer", c)
			return
		}
		r.Bar, r.From, r.To = c.Latency.P50, c.Latency.P50, second.of(&c.Latency)
		values = append(values, r.Bar, r.To)
		r.Value = seconds(r.Bar) + " · " + seconds(r.To)
		r.Tip = cellTip(r.Look, pathName(p), fmt.Sprintf("%s p50, %s %s", seconds(r.Bar), seconds(r.To), second.name), c)
	})
	return &plot.Rows{X: plot.BarAxis(values, seconds), XTitle: "time of an answer: p50 · " + second.name, Groups: groups}
}

// costRows is costColumns for paths side by side. What a link spent on parity
// stands beside its bytes.
func (b *builder) costRows(s *sweep, m cost) panel {
	var values []float64
	groups := s.rows(b.looks, func(r *plot.Row, p wan.Path, c *wan.Cell) {
		v, there := m.of(&c.Measured)
		if !there {
			r.Missing = "not measured"
			if c.Answered == 0 {
				r.Missing = "no answer"
			}
			r.Tip = cellTip(r.Look, pathName(p), r.Missing, c)
			return
		}
		values = append(values, v)
		r.Bar, r.Value, r.Trouble = v, m.print(v), ""
		if m.withParity && c.Link != nil {
			r.Value += " · " + percent(c.Link.ParityShare) + " parity"
		}
		r.Tip = cellTip(r.Look, pathName(p), r.Value, c)
	})
	if len(values) == 0 {
		return panel{Title: m.title, Empty: "not measured"}
	}
	bars := &plot.Rows{X: plot.BarAxis(values, m.print), XTitle: m.axis, Groups: groups}
	return b.panel(m.title, describeRows(m.title, groups), bars)
}
