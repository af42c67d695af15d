package soak

import (
	"fmt"
	"io"
	"runtime"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/ergoproxy/ergo/bench/load"
)

// Kind tells a result apart from those of other commands. Files written before
// it was there have the Schema alone.
const Kind = "soak"

// Schema names the form of the JSON. Fields may be added to it; a change that
// breaks a reader gets the next number.
const Schema = "ergo-bench/soak/1"

// Verdicts.
const (
	Flat  = "flat"
	Grows = "grows"
)

// A Report is all that a run found.
type Report struct {
	Kind     string       `json:"kind"`
	Schema   string       `json:"schema"`
	Date     time.Time    `json:"date"`
	Go       string       `json:"go"`
	CPUs     int          `json:"cpus"`
	Settings Settings     `json:"settings"`
	Idle     []IdleResult `json:"idle,omitempty"`
	Mixed    *MixedResult `json:"mixed,omitempty"`
	Verdict  string       `json:"verdict"`
	Findings []Finding    `json:"findings,omitempty"` // what makes it grows
}

// Settings are a Config as it is printed.
type Settings struct {
	Idle          int             `json:"idle"`
	IdleProtocols []load.Protocol `json:"idle_protocols"`
	Duration      string          `json:"duration"`
	Warmup        string          `json:"warmup"`
	Rate          float64         `json:"rate"`
	IdleTimeout   string          `json:"idle_timeout"`
}

func newReport(c Config) *Report {
	return &Report{
		Kind: Kind, Schema: Schema, Date: time.Now().UTC().Truncate(time.Second), Go: runtime.Version(), CPUs: runtime.NumCPU(),
		Settings: Settings{
			Idle: c.Idle, IdleProtocols: c.IdleProtocols, Duration: c.Duration.String(), Warmup: c.Warmup.String(),
			Rate: c.Rate, IdleTimeout: c.IdleTimeout.String(),
		},
	}
}

// WriteTable prints what was found for people.
func (r *Report) WriteTable(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s, %d CPUs\n", r.Go, r.CPUs)
	if len(r.Idle) > 0 {
		r.writeIdle(&b)
	}
	if r.Mixed != nil {
		r.Mixed.write(&b, &r.Settings)
	}
	fmt.Fprintf(&b, "\nverdict: %s\n", r.Verdict)
	for _, f := range r.Findings {
		fmt.Fprintf(&b, "  %s\n", f)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func (r *Report) writeIdle(b *strings.Builder) {
	b.WriteString("\nwhat one idle connection costs the edge\n")
	t := newTable(b)
	fmt.Fprintln(t, "protocol\tconnections\topened in\tRSS KiB\theap KiB\tstack KiB\tgoroutines\t")
	for _, i := range r.Idle {
		fmt.Fprintf(t, "%s\t%d\t%s\t%.1f\t%.1f\t%.1f\t%.2f\t\n", i.Protocol, i.Connections, seconds(i.OpenSeconds), i.RSS/1024, i.Heap/1024, i.Stack/1024, i.Goroutines)
	}
	t.Flush() // a strings.Builder takes everything
	b.WriteString("\nwhat the edge held\n")
	t = newTable(b)
	fmt.Fprintln(t, "protocol\t\tRSS MiB\theap MiB\tgoroutines\tfiles\tconnections\t")
	for i := range r.Idle {
		held := &r.Idle[i]
		for _, row := range []struct {
			when string
			s    *Sample
		}{{"before", &held.Before}, {"open", &held.Open}, {"closed", &held.Closed}, {"closed again", &held.ClosedAgain}} {
			fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%d\t%d\t%d\t\n", held.Protocol, row.when, mib(row.s.RSS), mib(row.s.Heap), row.s.Goroutines, row.s.Files, row.s.Connections)
		}
	}
	t.Flush() // a strings.Builder takes everything
}

func (r *MixedResult) write(b *strings.Builder, s *Settings) {
	fmt.Fprintf(b, "\nmixed load of %g operations/s for %s after a warm-up of %s; both tiers used %.2f of a CPU\n", s.Rate, s.Duration, s.Warmup, r.CPU)
	for i := range r.Tiers {
		r.Tiers[i].write(b)
	}
	t := newTable(b)
	b.WriteString("\n")
	fmt.Fprintln(t, "operation\tdone\tfailed\t")
	for _, o := range r.Outcomes {
		fmt.Fprintf(t, "%s\t%d\t%d\t\n", o.Operation, o.Done, o.Failed)
	}
	t.Flush() // a strings.Builder takes everything
	for _, o := range r.Outcomes {
		if o.Failed > 0 {
			fmt.Fprintf(b, "  first failure of %s: %s\n", o.Operation, o.Failure)
		}
	}
	if r.Skipped > 0 {
		fmt.Fprintf(b, "  %d operations were skipped since %d were under way\n", r.Skipped, maxUnderWay)
	}
}

func (c *TierCourse) write(b *strings.Builder) {
	fmt.Fprintf(b, "\n%s\n", c.Tier)
	t := newTable(b)
	fmt.Fprintln(t, "time\tRSS MiB\theap MiB\tlive MiB\tgoroutines\tfiles\tconnections\tlanes\treserved KiB\tin flight\t")
	row := func(at string, s *Sample) {
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%d\t%d\t%d\t%d\t%d\t%d\t\n", at, mib(s.RSS), mib(s.Heap), mib(s.Live), s.Goroutines, s.Files, s.Connections, s.Lanes, s.Reserved>>10, s.InFlight)
	}
	row("rest", &c.Before)
	for i := range c.Samples {
		row(seconds(c.Samples[i].At), &c.Samples[i])
	}
	row("rest", &c.After)
	t.Flush() // a strings.Builder takes everything
}

func newTable(b *strings.Builder) *tabwriter.Writer {
	return tabwriter.NewWriter(b, 0, 0, 2, ' ', tabwriter.AlignRight)
}

func mib(bytes int64) string { return fmt.Sprintf("%.1f", float64(bytes)/(1<<20)) }
