package report

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/ergoproxy/ergo/bench/report/plot"
	"github.com/ergoproxy/ergo/bench/wan"
)

func (b *builder) wan(s *section, r *wan.Result) {
	s.Title = "Across a WAN"
	m := r.Machine
	s.Facts = append(dateFacts(r.Date), fact{"Machine", machineText(m.CPU, m.Cores, m.Memory, m.Kernel, m.Go)})
	if m.TCP != "" {
		s.Facts = append(s.Facts, fact{"TCP congestion control", m.TCP})
	}
	if r.Command != "" {
		s.Facts = append(s.Facts, fact{"Command", r.Command})
	}
	for _, name := range b.looks.order(sortedKeys(r.Systems)) {
		s.Systems = append(s.Systems, fact{b.title(name), r.Systems[name]})
	}
	s.Notes = r.Notes
	sweeps, rest := sortCells(r.Cells, b.looks)
	var overLoss, beside []*figureView
	for i := range sweeps {
		overLoss = append(overLoss, b.sweep(&sweeps[i]))
	}
	for i := range rest {
		beside = append(beside, b.paths(&rest[i]))
	}
	b.group(s, "Over loss", "One load on a path that loses more and more packets. Lines end where nothing was measured; the axis of the losses is not to scale.", overLoss)
	b.group(s, "Path by path", "Paths that differ in more than their loss: bottlenecks, bursts, reordering.", beside)
	b.group(s, "Shares of a bottleneck", "A download that never ends beside one TCP flow that does the same.", b.shares(r.Shares))
	b.group(s, "While the loss changes", "One run on a path that changes under it.", b.timelines(r.Timelines))
	b.group(s, "What a person waits for", "First requests and restarts, seen by a client.", b.journeys(r.Journeys))
}

// title is the name of a system in a list, with what ergo-bench calls it.
func (b *builder) title(system string) string {
	if l, ok := b.looks[system]; ok && l.Name != system {
		return l.Name + " (" + system + ")"
	}
	return system
}

func dateFacts(date time.Time) []fact {
	if date.IsZero() {
		return []fact{{"Date", "unknown"}}
	}
	return []fact{{"Date", date.UTC().Format("2 January 2006, 15:04 UTC")}}
}

// A sweep is the cells of one workload on paths that differ in nothing but their
// loss, or of one workload on paths that differ in anything.
type sweep struct {
	workload wan.Workload
	paths    []wan.Path // in the order in which they are shown
	systems  []string
	cells    map[sweepKey]*wan.Cell
}

type sweepKey struct {
	system string
	path   wan.Path
}

// enoughLosses is how many losses make a line.
const enoughLosses = 3

// sortCells puts cells together that belong into one figure. Every figure knows
// all systems of the file, so that one that was left out is missed.
func sortCells(cells []wan.Cell, l looks) (sweeps, rest []sweep) {
	type family struct {
		workload wan.Workload
		path     wan.Path
	}
	familyOf := func(c *wan.Cell) family {
		p := c.Path
		p.Name, p.Loss = "", 0
		return family{c.Workload, p}
	}
	losses := map[family][]float64{}
	var systems []string
	for i := range cells {
		f := familyOf(&cells[i])
		losses[f] = append(losses[f], cells[i].Path.Loss)
		systems = append(systems, cells[i].System)
	}
	systems = l.order(systems)
	at := map[family]int{}
	restAt := map[wan.Workload]int{}
	for i := range cells {
		c := &cells[i]
		f := familyOf(c)
		if len(unique(losses[f])) >= enoughLosses {
			sweeps = addCell(sweeps, at, f, c, systems)
		} else {
			rest = addCell(rest, restAt, c.Workload, c, systems)
		}
	}
	for i := range sweeps {
		slices.SortStableFunc(sweeps[i].paths, func(a, b wan.Path) int { return cmp.Compare(a.Loss, b.Loss) })
	}
	return sweeps, rest
}

// addCell puts a cell into the sweep of a key, and makes that if there is none.
func addCell[K comparable](sweeps []sweep, at map[K]int, key K, c *wan.Cell, systems []string) []sweep {
	i, there := at[key]
	if !there {
		i = len(sweeps)
		at[key] = i
		sweeps = append(sweeps, sweep{workload: c.Workload, systems: systems, cells: map[sweepKey]*wan.Cell{}})
	}
	s := &sweeps[i]
	if !slices.Contains(s.paths, c.Path) {
		s.paths = append(s.paths, c.Path)
	}
	s.cells[sweepKey{c.System, c.Path}] = c
	return sweeps
}

func (s *sweep) cell(system string, p wan.Path) *wan.Cell { return s.cells[sweepKey{system, p}] }

// values returns what of finds in all cells.
func (s *sweep) values(of func(*wan.Cell) float64) []float64 {
	var all []float64
	for _, c := range s.cells {
		all = append(all, of(c))
	}
	return all
}

// summary fills in what a figure says below its panels: totals, and what is
// wrong or missing. name says which path a cell is on.
func (s *sweep) summary(b *builder, v *figureView, name func(wan.Path) string) {
	var answered, failed, overflow int64
	for _, p := range s.paths {
		for _, system := range s.systems {
			c := s.cell(system, p)
			where := b.looks[system].Name + " at " + name(p)
			if c == nil {
				v.Missing = append(v.Missing, where)
				continue
			}
			answered += c.Answered
			failed += sum(c.Failures)
			overflow += c.Overflow
			if t := trouble(c.Failures, c.Overflow); t != "" {
				v.Troubles = append(v.Troubles, fmt.Sprintf("%s: %s, %s", where, t, plural(c.Answered, "answer")))
			}
		}
	}
	v.Sums = sums(answered, failed, overflow)
	if len(v.Missing) > 0 && len(v.Legend) > 0 {
		v.Legend = append(v.Legend, absentItem())
	}
	if failed+overflow > 0 {
		v.Legend = append(v.Legend, warningItem())
	}
	for _, c := range s.cells {
		if c.Answered == 0 {
			v.Legend = append(v.Legend, emptyItem())
			return
		}
	}
}

// sums is the line that no figure goes without.
func sums(answered, failed, overflow int64) string {
	return fmt.Sprintf("%s in all, %s failed, %s left unsent since the system was too slow.", plural(answered, "answer"), noneOr(failed), noneOr(overflow))
}

// cellHead is the columns of the table of cells.
var cellHead = []string{"Path", "System", "Answers", "Failed", "Not sent", "p50, ms", "p90, ms", "p99, ms", "p99.9, ms", "max, ms",
	"CPU per answer, µs", "WAN bytes per body byte", "Parity, %", "Loss before repair, %", "after, %", "Repaired"}

// table lists all cells of the sweep, and those that are missing.
func (s *sweep) table(b *builder, name func(wan.Path) string) table {
	t := table{Head: cellHead, Text: 2}
	for _, p := range s.paths {
		for _, system := range s.systems {
			l := b.looks[system]
			row := tableRow{Own: l.Own, Cells: []string{name(p), l.Name}}
			if c := s.cell(system, p); c == nil {
				row.Note = "not measured"
			} else {
				row.Cells = append(row.Cells, cellFigures(&c.Measured)...)
			}
			t.Rows = append(t.Rows, row)
		}
	}
	return t
}

// none stands where a figure has no meaning.
const none = "–"

func cellFigures(m *wan.Measured) []string {
	cells := []string{count(m.Answered), count(sum(m.Failures)), count(m.Overflow)}
	cells = append(cells, quantileFigures(m.Answered > 0, m.Latency)...)
	optional := func(there bool, text string) {
		if !there {
			text = none
		}
		cells = append(cells, text)
	}
	optional(m.CPU > 0, figure(m.CPU*1e6))
	ratio, there := wireRatio(m)
	optional(there, figure(ratio))
	l := m.Link
	if l == nil {
		return append(cells, none, none, none, none)
	}
	return append(cells, figure(100*l.ParityShare), figure(100*l.LossBefore), figure(100*l.LossAfter), count(l.Repaired))
}

// quantileFigures are five columns, in ms.
func quantileFigures(answered bool, q wan.Quantiles) []string {
	if !answered {
		return []string{none, none, none, none, none}
	}
	var cells []string
	for _, v := range []float64{q.P50, q.P90, q.P99, q.P999, q.Max} {
		cells = append(cells, figure(v*1e3))
	}
	return cells
}

// wireRatio is what entered the WAN for each byte of a body.
func wireRatio(m *wan.Measured) (float64, bool) {
	if m.WireBytes == 0 || m.BodyBytes == 0 {
		return 0, false
	}
	return float64(m.WireBytes) / float64(m.BodyBytes), true
}

// cellTip is what a mark says when it is pointed at.
func cellTip(l plot.Look, where, what string, c *wan.Cell) string {
	text := fmt.Sprintf("%s, %s: %s; %s", l.Name, where, what, plural(c.Answered, "answer"))
	if t := trouble(c.Failures, c.Overflow); t != "" {
		text += ", " + t
	}
	return text
}
