package report

import (
	"fmt"
	"html/template"
	"strings"

	"github.com/ergoproxy/ergo/bench/report/plot"
	"github.com/ergoproxy/ergo/bench/wan"
)

// A builder makes the sections of a page.
type builder struct {
	looks  looks
	prefix string // of all ids in the section
	ids    int
}

// id returns a name that is not yet on the page.
func (b *builder) id() string {
	b.ids++
	return fmt.Sprintf("%s-%d", b.prefix, b.ids)
}

func (b *builder) section(f *File) *section {
	s := &section{ID: b.prefix}
	switch {
	case f.wan != nil:
		b.wan(s, f.wan)
	case f.loop != nil:
		b.loop(s, f.loop)
	case f.soak != nil:
		b.soak(s, f.soak)
	}
	s.Facts = append([]fact{{"File", f.name}}, s.Facts...)
	return s
}

// group adds figures to a section under one title; none: no group.
func (b *builder) group(s *section, title, text string, figures []*figureView) {
	if len(figures) == 0 {
		return
	}
	s.Groups = append(s.Groups, &group{ID: b.id(), Title: title, Text: text, Figures: figures})
}

// A picture can be drawn.
type picture interface {
	Picture(id, title, desc string) template.HTML
}

// panel draws a picture.
func (b *builder) panel(title, desc string, p picture) panel {
	return panel{Title: title, Pictures: []template.HTML{p.Picture(b.id(), title, desc)}}
}

// legend explains systems and the marks that a figure has.
func (b *builder) legend(systems []string, marks ...legendItem) []legendItem {
	var items []legendItem
	for _, system := range systems {
		items = append(items, systemItem(b.looks[system]))
	}
	return append(items, marks...)
}

func systemItem(l plot.Look) legendItem {
	name := l.Name
	if name == known["ergo-plain"].Name {
		name += " (repair off)"
	}
	return legendItem{Swatch: l.Swatch(), Name: name, Own: l.Own}
}

func absentItem() legendItem { return legendItem{Swatch: plot.AbsentSwatch(), Name: "not measured"} }
func warningItem() legendItem {
	return legendItem{Swatch: plot.WarningSwatch(), Name: "some failed or were not sent"}
}
func emptyItem() legendItem {
	return legendItem{Swatch: plot.EmptySwatch(), Name: "nothing was answered"}
}

// describe says in words what lines or columns show, for those who do not see
// them.
func describe(kind string, all []plot.Series, print func(float64) string) string {
	var b strings.Builder
	b.WriteString(kind + ".")
	for _, s := range all {
		var with []plot.Point
		for _, q := range s.Points {
			if !q.Gap && !q.Empty && !q.Alone {
				with = append(with, q)
			}
		}
		switch len(with) {
		case 0:
			fmt.Fprintf(&b, " %s: no value.", s.Name)
		case 1:
			fmt.Fprintf(&b, " %s: %s.", s.Name, print(with[0].Y))
		default:
			fmt.Fprintf(&b, " %s: from %s to %s.", s.Name, print(with[0].Y), print(with[len(with)-1].Y))
		}
	}
	b.WriteString(" All figures are in the table.")
	return b.String()
}

// describeRows is describe for a rowPlot.
func describeRows(kind string, groups []plot.Group) string {
	var b strings.Builder
	b.WriteString(kind + ".")
	for _, g := range groups {
		if g.Title != "" {
			b.WriteString(" " + g.Title + ":")
		}
		for _, r := range g.Rows {
			value := r.Value
			if r.Missing != "" {
				value = r.Missing
			}
			fmt.Fprintf(&b, " %s: %s.", r.Name, value)
		}
	}
	b.WriteString(" All figures are in the table.")
	return b.String()
}

// machineText is the line of a section's head about a machine.
func machineText(cpu string, cores int, memory int64, kernel, goVersion string) string {
	parts := []string{}
	for _, part := range []string{cpu, plural(int64(cores), "core"), kibibytes(memory), kernel, goVersion} {
		if part != "" && part != "0 bytes" && part != "0 cores" {
			parts = append(parts, part)
		}
	}
	return strings.Join(parts, ", ")
}

// pathText says what a path does. Loss is left out of what is drawn over loss.
func pathText(p wan.Path, loss bool) string {
	parts := []string{seconds(p.RTT) + " RTT"}
	add := func(there bool, format string, args ...any) {
		if there {
			parts = append(parts, fmt.Sprintf(format, args...))
		}
	}
	add(p.Jitter > 0, "%s jitter", seconds(p.Jitter))
	add(loss && p.Burst == "", "%s loss each way", percent(p.Loss))
	add(p.Burst != "", "%s loss each way in bursts: %s", percent(p.Loss), p.Burst)
	add(p.Reorder > 0, "%s reordered", percent(p.Reorder))
	add(p.Duplicate > 0, "%s duplicated", percent(p.Duplicate))
	add(p.Rate > 0, "%s", bits(p.Rate))
	add(p.Queue > 0, "queue of %s", seconds(p.Queue))
	add(p.MTU > 0, "MTU %d", p.MTU)
	return strings.Join(parts, ", ")
}

// workloadName is how a load is called.
func workloadName(w wan.Workload) string {
	if w.Name != "" {
		return w.Name
	}
	return fmt.Sprintf("%s at %s/s", kibibytes(w.Bytes), number(w.Rate))
}

func workloadText(w wan.Workload) string {
	return fmt.Sprintf("bodies of %s bytes, %s requests/s for %s over %s",
		count(w.Bytes), number(w.Rate), seconds(w.Duration), plural(int64(w.Connections), "connection"))
}
