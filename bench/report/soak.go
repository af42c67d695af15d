package report

import (
	"fmt"
	"time"

	"github.com/ergoproxy/ergo/bench/report/plot"
	"github.com/ergoproxy/ergo/bench/soak"
)

func (b *builder) soak(s *section, r *soak.Report) {
	s.Title = "Over time"
	set := r.Settings
	s.Facts = append(dateFacts(r.Date), fact{"Machine", machineText("", r.CPUs, 0, "", r.Go)})
	if r.Mixed != nil {
		s.Facts = append(s.Facts, fact{"Mixed load", fmt.Sprintf("%s operations/s for %s after a warm-up of %s", number(set.Rate), durationText(set.Duration), durationText(set.Warmup))})
	}
	s.Verdict = &verdict{Good: r.Verdict == soak.Flat, Text: "Verdict: " + r.Verdict}
	for _, f := range r.Findings {
		s.Verdict.Findings = append(s.Verdict.Findings, f.String())
	}
	b.group(s, "What is held in the course of a mixed load", "Each sample follows a garbage collection. Single marks at the ends are the tiers at rest, before and after the load.", b.mixed(r))
	b.group(s, "What an idle connection costs the edge", "The difference between all open and none, divided by their number.", b.idle(r.Idle))
}

// A holding is something that a tier holds.
type holding struct {
	title string
	of    func(*soak.Sample) float64
	print func(float64) string
}

const mebibyte = 1 << 20

func mebibytes(v float64) string { return number(v) + " MiB" }

var holdings = []holding{
	{"Resident memory", func(s *soak.Sample) float64 { return float64(s.RSS) / mebibyte }, mebibytes},
	{"Heap in use", func(s *soak.Sample) float64 { return float64(s.Heap) / mebibyte }, mebibytes},
	{"Goroutines", func(s *soak.Sample) float64 { return float64(s.Goroutines) }, number},
	{"Open files", func(s *soak.Sample) float64 { return float64(s.Files) }, number},
	{"Connections", func(s *soak.Sample) float64 { return float64(s.Connections) }, number},
	{"Lanes", func(s *soak.Sample) float64 { return float64(s.Lanes) }, number},
	{"Memory reserved to receive", func(s *soak.Sample) float64 { return float64(s.Reserved) / mebibyte }, mebibytes},
	{"Requests in flight", func(s *soak.Sample) float64 { return float64(s.InFlight) }, number},
}

// mixed draws what the tiers held, and lists what the clients did.
func (b *builder) mixed(whole *soak.Report) []*figureView {
	r := whole.Mixed
	if r == nil {
		return nil
	}
	longest := loadLength(whole)
	var tiers []string
	for _, t := range r.Tiers {
		tiers = append(tiers, t.Tier)
	}
	held := &figureView{ID: b.id(), Title: "What the tiers hold", Caption: fmt.Sprintf("Both tiers used %s of a CPU.", figure(r.CPU)), Legend: b.legend(tiers), Table: b.courseOfTiers(r)}
	for _, h := range holdings {
		lines := h.plot(b.looks, r, longest)
		held.Panels = append(held.Panels, b.panel(h.title, describe(h.title+" of each tier over time", lines.Series, h.print), lines))
	}
	done := &figureView{ID: b.id(), Title: "What the clients did", Table: table{Open: true, Head: []string{"Operation", "Done", "Failed", "First failure"}, Text: 1, Note: true}}
	var all, failed int64
	for _, o := range r.Outcomes {
		all, failed = all+o.Done, failed+o.Failed
		done.Table.Rows = append(done.Table.Rows, tableRow{Cells: []string{o.Operation, count(o.Done), count(o.Failed), o.Failure}})
		if o.Failed > 0 {
			done.Troubles = append(done.Troubles, fmt.Sprintf("%s: %s failed, first: %s", o.Operation, count(o.Failed), o.Failure))
		}
	}
	done.Sums = fmt.Sprintf("%s done, %s failed, %s left out since too many were under way.", plural(all, "operation"), noneOr(failed), noneOr(r.Skipped))
	return []*figureView{held, done}
}

// restMargin is how far beyond the load its rests are drawn, as a part of it.
const restMargin = 0.05

// loadLength is how long the load was, in seconds.
func loadLength(r *soak.Report) float64 {
	longest := 1.0
	if d, err := time.ParseDuration(r.Settings.Duration); err == nil {
		longest = max(longest, d.Seconds())
	}
	for i := range r.Mixed.Tiers {
		for _, s := range r.Mixed.Tiers[i].Samples {
			longest = max(longest, s.At)
		}
	}
	return longest
}

func (h *holding) plot(l looks, r *soak.MixedResult, longest float64) *plot.Lines {
	p := &plot.Lines{XTitle: "time under load"}
	top := 0.0
	for i := range r.Tiers {
		t := &r.Tiers[i]
		s := plot.Series{Look: l[t.Tier]}
		add := func(at float64, sample *soak.Sample, rest string) {
			q := plot.Point{X: at, Y: h.of(sample), Alone: rest != ""}
			q.Tip = fmt.Sprintf("%s, %s: %s", s.Name, seconds(sample.At), h.print(q.Y))
			if q.Alone {
				q.Tip = fmt.Sprintf("%s, at rest %s the load: %s", s.Name, rest, h.print(q.Y))
			}
			top = max(top, q.Y)
			s.Points = append(s.Points, q)
		}
		add(-restMargin*longest, &t.Before, "before")
		for j := range t.Samples {
			add(t.Samples[j].At, &t.Samples[j], "")
		}
		add((1+restMargin)*longest, &t.After, "after")
		p.Series = append(p.Series, s)
	}
	p.X = plot.DurationAxis(longest)
	p.X.Min, p.X.Max = -2*restMargin*longest, (1+2*restMargin)*longest
	p.Y = plot.LinearAxis(top, 6, h.print)
	return p
}

func (b *builder) courseOfTiers(r *soak.MixedResult) table {
	t := table{Head: []string{"Tier", "At", "Resident, MiB", "Heap, MiB", "Live, MiB", "Stack, MiB", "Goroutines", "Files", "Connections", "Lanes", "Reserved, KiB", "In flight"}, Text: 2}
	for i := range r.Tiers {
		tier := &r.Tiers[i]
		add := func(at string, s *soak.Sample) {
			t.Rows = append(t.Rows, tableRow{Cells: append([]string{b.looks[tier.Tier].Name, at}, sampleFigures(s)...)})
		}
		add("rest before", &tier.Before)
		for j := range tier.Samples {
			add(seconds(tier.Samples[j].At), &tier.Samples[j])
		}
		add("rest after", &tier.After)
	}
	return t
}

func sampleFigures(s *soak.Sample) []string {
	mib := func(bytes int64) string { return figure(float64(bytes) / mebibyte) }
	return []string{
		mib(s.RSS), mib(s.Heap), mib(s.Live), mib(s.Stack), count(s.Goroutines), count(s.Files), count(s.Connections), count(s.Lanes),
		figure(float64(s.Reserved) / 1024), count(s.InFlight),
	}
}

// idle draws what one connection of each protocol costs.
func (b *builder) idle(all []soak.IdleResult) []*figureView {
	if len(all) == 0 {
		return nil
	}
	kib := func(v float64) string { return number(v) + " KiB" }
	v := &figureView{ID: b.id(), Title: "One idle connection", Caption: "Memory that the kernel keeps for sockets is in no figure.", Table: idleTable(all)}
	for _, m := range []struct {
		title string
		of    func(*soak.IdleResult) float64
		print func(float64) string
	}{
		{"Resident memory", func(r *soak.IdleResult) float64 { return r.RSS / 1024 }, kib},
		{"Heap", func(r *soak.IdleResult) float64 { return r.Heap / 1024 }, kib},
		{"Goroutines", func(r *soak.IdleResult) float64 { return r.Goroutines }, number},
	} {
		var g plot.Group
		var values []float64
		for i := range all {
			value := m.of(&all[i])
			name := string(all[i].Protocol)
			g.Rows = append(g.Rows, plot.Row{
				Look: plot.Look{Name: name, Class: "s0"}, Bar: max(0, value), Value: m.print(value),
				Tip: fmt.Sprintf("%s: %s; %s", name, m.print(value), plural(int64(all[i].Connections), "connection")),
			})
			values = append(values, value)
		}
		title := m.title + " per connection"
		bars := &plot.Rows{X: plot.BarAxis(values, m.print), XTitle: "of the edge, for one more connection", Groups: []plot.Group{g}}
		v.Panels = append(v.Panels, b.panel(title, describeRows(title, bars.Groups), bars))
	}
	return []*figureView{v}
}

func idleTable(all []soak.IdleResult) table {
	t := table{Head: []string{"Protocol", "Connections", "Opened in, s", "Resident, KiB", "Heap, KiB", "Stack, KiB", "Goroutines",
		"Edge before, MiB", "open, MiB", "closed, MiB", "closed again, MiB"}, Text: 1}
	for _, r := range all {
		mib := func(s soak.Sample) string { return figure(float64(s.RSS) / mebibyte) }
		t.Rows = append(t.Rows, tableRow{Cells: []string{
			string(r.Protocol), count(int64(r.Connections)), figure(r.OpenSeconds), figure(r.RSS / 1024), figure(r.Heap / 1024), figure(r.Stack / 1024), figure(r.Goroutines),
			mib(r.Before), mib(r.Open), mib(r.Closed), mib(r.ClosedAgain),
		}})
	}
	return t
}
