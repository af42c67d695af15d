package report

import (
	"fmt"

	"github.com/ergoproxy/ergo/bench/report/plot"
	"github.com/ergoproxy/ergo/bench/wan"
)

// journeys draws what a person waits for, one figure for each thing.
func (b *builder) journeys(all []wan.Journey) []*figureView {
	var names []string
	byName := map[string][]wan.Journey{}
	for _, j := range all {
		names = append(names, j.Name)
		byName[j.Name] = append(byName[j.Name], j)
	}
	var figures []*figureView
	for _, name := range unique(names) {
		figures = append(figures, b.journey(name, byName[name]))
	}
	return figures
}

// journey draws one thing, a panel for each path, all with the same axis.
func (b *builder) journey(name string, all []wan.Journey) *figureView {
	var systems []string
	var paths []wan.Path
	var values []float64
	var tries, failed int64
	for _, j := range all {
		systems, paths = append(systems, j.System), append(paths, j.Path)
		values = append(values, j.Latency.P50, j.Latency.P99)
		tries, failed = tries+int64(j.Tries), failed+j.Failures
	}
	systems, paths = b.looks.order(systems), unique(paths)
	v := &figureView{
		ID: b.id(), Title: sentence(name), Caption: pathsText(paths), Sums: fmt.Sprintf("%s in all, %s failed.", tryCount(tries), noneOr(failed)),
		Table: table{Head: []string{"Path", "System", "Tries", "Failed", "p50, ms", "p90, ms", "p99, ms", "p99.9, ms", "max, ms", "Note"}, Text: 2, Note: true},
	}
	x := plot.BarAxis(values, seconds)
	for _, p := range paths {
		var g plot.Group
		for _, system := range systems {
			g.Rows = append(g.Rows, b.journeyRow(v, system, p, findJourney(all, system, p)))
		}
		title := pathName(p)
		bars := &plot.Rows{X: x, XTitle: "time: p50 · p99", Groups: []plot.Group{g}}
		v.Panels = append(v.Panels, b.panel(title, describeRows(sentence(name)+", "+title+", p50 and p99", bars.Groups), bars))
	}
	return v
}

func findJourney(all []wan.Journey, system string, p wan.Path) *wan.Journey {
	for i := range all {
		if all[i].System == system && all[i].Path == p {
			return &all[i]
		}
	}
	return nil
}

// journeyRow returns the bar of one system on one path, and tells v of it.
func (b *builder) journeyRow(v *figureView, system string, p wan.Path, j *wan.Journey) plot.Row {
	l := b.looks[system]
	where := l.Name + " at " + pathName(p)
	cells := tableRow{Own: l.Own, Cells: []string{pathName(p), l.Name}}
	r := plot.Row{Look: l}
	switch {
	case j == nil:
		r.Missing, cells.Note = "not measured", "not measured"
		v.Missing = append(v.Missing, where)
	case j.Latency.Max <= 0 && j.Latency.P50 <= 0:
		r.Missing = "no answer"
	default:
		r.Bar, r.From, r.To = j.Latency.P50, j.Latency.P50, j.Latency.P99
		r.Value = seconds(r.Bar) + " · " + seconds(r.To)
	}
	r.Tip = where + ": " + r.Value + r.Missing
	if j != nil {
		r.Tip += "; " + tryCount(int64(j.Tries))
		if j.Failures > 0 {
			r.Trouble = count(j.Failures) + " failed"
			r.Tip += ", " + r.Trouble
			v.Troubles = append(v.Troubles, where+": "+r.Trouble+", "+tryCount(int64(j.Tries)))
		}
		if j.Note != "" {
			v.Notes = append(v.Notes, where+": "+j.Note)
		}
		cells.Cells = append(cells.Cells, count(int64(j.Tries)), count(j.Failures))
		cells.Cells = append(cells.Cells, quantileFigures(r.Missing == "", j.Latency)...)
		cells.Cells = append(cells.Cells, j.Note)
	}
	v.Table.Rows = append(v.Table.Rows, cells)
	return r
}

func tryCount(n int64) string {
	if n == 1 {
		return "1 try"
	}
	return count(n) + " tries"
}
