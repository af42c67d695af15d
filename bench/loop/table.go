package loop

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

// yardsticks are the peers that a table gives ratios to, as far as they were
// measured.
var yardsticks = []string{"nginx", "haproxy-h1", "haproxy-h2"}

// WriteTable prints a table for each case. A ratio is requests per second
// divided by the peer's in the same run: 1.20 is a fifth faster.
func (r *Report) WriteTable(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s, %d cores, %s, %s\n", r.Machine.CPU, r.Machine.Cores, r.Machine.Kernel, r.Machine.Go)
	fmt.Fprintf(&b, "%d rounds of %s each, medians; CPU of both tiers per request\n", r.Settings.Rounds, r.Settings.Duration)
	for _, chain := range r.Chains {
		fmt.Fprintf(&b, "  %s: %s\n", chain.Name, chain.Version)
	}
	for _, s := range r.Skipped {
		fmt.Fprintf(&b, "  %s: left out: %s\n", s.Name, s.Reason)
	}
	for _, c := range r.cases() {
		fmt.Fprintf(&b, "\n%s\n", c)
		r.writeCase(&b, c)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// cases returns the cases in the order of their first measurement.
func (r *Report) cases() []Case {
	var all []Case
	seen := make(map[Case]bool)
	for _, result := range r.Results {
		if !seen[result.Case] {
			seen[result.Case] = true
			all = append(all, result.Case)
		}
	}
	return all
}

func (r *Report) writeCase(b *strings.Builder, c Case) {
	var against []*Result
	for _, name := range yardsticks {
		if result := r.find(name, c); result != nil {
			against = append(against, result)
		}
	}
	t := tabwriter.NewWriter(b, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprint(t, "chain\treq/s\tspread\tCPU µs\tp50 µs\tp99 µs\tRSS MiB\tfailed\t")
	for _, peer := range against {
		fmt.Fprintf(t, "vs %s\t", peer.Chain)
	}
	fmt.Fprintln(t)
	for i := range r.Results {
		result := &r.Results[i]
		if result.Case != c {
			continue
		}
		m := result.Median
		fmt.Fprintf(t, "%s\t%.0f\t%.0f%%\t%.1f\t%.0f\t%.0f\t%.0f\t%d\t",
			result.Chain, m.Rate, 100*result.Spread, m.CPU, m.P50, m.P99, float64(m.RSS)/(1<<20), m.Failed)
		for _, peer := range against {
			fmt.Fprintf(t, "%.2f\t", m.Rate/peer.Median.Rate)
		}
		fmt.Fprintln(t)
	}
	t.Flush() // a strings.Builder takes everything
}
