package wan

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
)

// WriteTable prints what was found for people. A ratio is a latency divided by Ergo's
// in the same table: 2.00 takes twice as long.
func (r *Result) WriteTable(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s, %d cores, %s, %s, TCP with %s\n", r.Machine.CPU, r.Machine.Cores, r.Machine.Kernel, r.Machine.Go, r.Machine.TCP)
	for _, name := range slices.Sorted(maps.Keys(r.Systems)) {
		fmt.Fprintf(&b, "  %s: %s\n", name, r.Systems[name])
	}
	for _, group := range r.groups() {
		writeCells(&b, group)
	}
	writeShares(&b, r.Shares)
	writeTimelines(&b, r.Timelines)
	writeJourneys(&b, r.Journeys)
	writeSoaks(&b, r.Soaks)
	if len(r.Notes) > 0 {
		b.WriteString("\n")
	}
	for _, note := range r.Notes {
		fmt.Fprintf(&b, "note: %s\n", note)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// groups returns the cells that are to be compared with each other, in the order
// of the first of each.
func (r *Result) groups() [][]Cell {
	var groups [][]Cell
	for _, c := range r.Cells {
		i := slices.IndexFunc(groups, func(g []Cell) bool { return g[0].Path == c.Path && g[0].Workload == c.Workload })
		if i < 0 {
			groups = append(groups, nil)
			i = len(groups) - 1
		}
		groups[i] = append(groups[i], c)
	}
	return groups
}

func newTable(b *strings.Builder, head string) *tabwriter.Writer {
	t := tabwriter.NewWriter(b, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, head)
	return t
}

func writeCells(b *strings.Builder, cells []Cell) {
	path, w := cells[0].Path, cells[0].Workload
	fmt.Fprintf(b, "\n%s: %s for %s s\n", path.Name, w.Name, number(w.Duration))
	ergo := slices.IndexFunc(cells, func(c Cell) bool { return c.System == Ergo })
	t := newTable(b, "system\tp50 ms\tp90\tp99\tp99.9\tmax\tanswered\tfailed\toverflow\tCPU µs\twire/body\tp50 × ergo\tp99 × ergo\t")
	for _, c := range cells {
		var failed int64
		for _, n := range c.Failures {
			failed += n
		}
		fmt.Fprintf(t, "%s\t%s\t%d\t%d\t%d\t%.0f\t%s\t", c.System, c.Latency, c.Answered, failed, c.Overflow, 1e6*c.CPU, ratio(float64(c.WireBytes), float64(c.BodyBytes)))
		if ergo < 0 {
			fmt.Fprint(t, "-\t-\t\n")
			continue
		}
		fmt.Fprintf(t, "%s\t%s\t\n", ratio(c.Latency.P50, cells[ergo].Latency.P50), ratio(c.Latency.P99, cells[ergo].Latency.P99))
	}
	t.Flush() // a strings.Builder takes everything
	for _, c := range cells {
		if l := c.Link; l != nil {
			fmt.Fprintf(b, "  link of %s: %.2f %% lost before and %.2f %% after repair, %d packets rebuilt, parity is %.1f %% of the data\n",
				c.System, 100*l.LossBefore, 100*l.LossAfter, l.Repaired, 100*l.ParityShare)
		}
	}
}

// String returns the quantiles in milliseconds, as cells of a table; without
// answers there are none.
func (q Quantiles) String() string {
	if q == (Quantiles{}) {
		return strings.Repeat("-\t", 4) + "-"
	}
	var columns []string
	for _, s := range []float64{q.P50, q.P90, q.P99, q.P999, q.Max} {
		columns = append(columns, fmt.Sprintf("%.1f", 1000*s))
	}
	return strings.Join(columns, "\t")
}

func ratio(of, to float64) string {
	if of == 0 || to == 0 {
		return "-"
	}
	return fmt.Sprintf("%.2f", of/to)
}

func writeShares(b *strings.Builder, shares []Share) {
	if len(shares) == 0 {
		return
	}
	b.WriteString("\nshares of a bottleneck\n")
	t := newTable(b, "system\tits share\tbeside\tits share\tRTT ms\tMbit/s\t")
	for _, s := range shares {
		fmt.Fprintf(t, "%s\t%.0f %%\t%s\t%.0f %%\t%.0f\t%d\t\n", s.System, 100*s.Own, s.Against, 100*s.Other, 1000*s.RTT, s.Rate/1e6)
	}
	t.Flush()
}

// writeTimelines prints those of one name and length beside each other.
func writeTimelines(b *strings.Builder, lines []Timeline) {
	for len(lines) > 0 {
		first := lines[0]
		same := func(t Timeline) bool { return t.Name == first.Name && len(t.Points) == len(first.Points) }
		var beside []Timeline
		for _, line := range lines {
			if same(line) {
				beside = append(beside, line)
			}
		}
		writeTimeline(b, beside)
		lines = slices.DeleteFunc(slices.Clone(lines), same)
	}
}

func writeTimeline(b *strings.Builder, beside []Timeline) {
	fmt.Fprintf(b, "\n%s: %s; p50 / max ms of what was due in each interval, + failed\n", beside[0].Name, beside[0].Workload.Name)
	head := "until s\tloss\t"
	for _, line := range beside {
		head += line.System + "\t"
		if line.repairs() {
			head += "parity\t"
		}
	}
	t := newTable(b, head)
	for i, point := range beside[0].Points {
		fmt.Fprintf(t, "%.1f\t%s\t", point.At, percent(point.Loss))
		for _, line := range beside {
			p := line.Points[i]
			fmt.Fprintf(t, "%.0f / %.0f", 1000*p.Latency.P50, 1000*p.Latency.Max)
			if p.Failures > 0 {
				fmt.Fprintf(t, " + %d", p.Failures)
			}
			fmt.Fprint(t, "\t")
			if line.repairs() {
				fmt.Fprintf(t, "%.0f %%\t", 100*p.ParityShare)
			}
		}
		fmt.Fprintln(t)
	}
	t.Flush()
}

// repairs reports whether any parity was sent.
func (t Timeline) repairs() bool {
	return slices.ContainsFunc(t.Points, func(p Point) bool { return p.ParityShare > 0 })
}

func writeJourneys(b *strings.Builder, journeys []Journey) {
	if len(journeys) == 0 {
		return
	}
	b.WriteString("\njourneys, in ms\n")
	t := newTable(b, "what\tsystem\tpath\tp50\tp90\tmax\ttries\tfailed\t")
	for _, j := range journeys {
		fmt.Fprintf(t, "%s\t%s\t%s\t%.0f\t%.0f\t%.0f\t%d\t%d\t\n", j.Name, j.System, j.Path.Name,
			1000*j.Latency.P50, 1000*j.Latency.P90, 1000*j.Latency.Max, j.Tries, j.Failures)
	}
	t.Flush()
	for _, j := range journeys {
		if j.Note != "" {
			fmt.Fprintf(b, "  %s: %s\n", j.Name, j.Note)
		}
	}
}
