package soak

import (
	"fmt"
	"math"
	"time"
)

// A Finding is something that grew, or that went wrong.
type Finding struct {
	Where string `json:"where"` // "edge", "core", "idle h2", "clients"
	What  string `json:"what"`
	Why   string `json:"why"`
}

func (f Finding) String() string { return f.Where + ": " + f.What + ": " + f.Why }

// A measure is one column of the samples, and by how much it may differ. What is
// below either bound is no growth.
type measure struct {
	name  string
	of    func(*Sample) int64
	share float64 // of the mean
	least float64 // bytes, or a number
	bytes bool
}

// measures are the columns of the table that are watched under load.
func measures() []measure {
	return []measure{
		{"RSS", func(s *Sample) int64 { return s.RSS }, 0.10, 8 << 20, true},
		{"heap in use", func(s *Sample) int64 { return s.Heap }, 0.20, 4 << 20, true},
		{"goroutines", func(s *Sample) int64 { return s.Goroutines }, 0.20, 30, false},
		{"open files", func(s *Sample) int64 { return s.Files }, 0.20, 20, false},
		{"connections", func(s *Sample) int64 { return s.Connections }, 0.20, 20, false},
		{"lanes", func(s *Sample) int64 { return s.Lanes }, 0.20, 20, false},
		{"receive_reserved", func(s *Sample) int64 { return s.Reserved }, 0.50, 4 << 20, true},
		{"in flight", func(s *Sample) int64 { return s.InFlight }, 0.50, 20, false},
	}
}

func (m *measure) print(v float64) string {
	if m.bytes {
		return fmt.Sprintf("%.1f MiB", v/(1<<20))
	}
	return fmt.Sprintf("%.0f", v)
}

// Bounds of the differences between two rests.
const (
	moreGoroutines = 10
	moreFiles      = 10
	moreHeapShare  = 0.20
	moreHeap       = 4 << 20
)

// maxFailedShare is the part of the operations that may fail. It is above 0
// because on a busy machine one may run into a timeout.
const maxFailedShare = 0.001

// judge finds out what grew. Under load a value grows if the line through the
// last two thirds of its samples (least squares; the first third is still
// filling pools) rises by more than the measure's bounds and by more than three
// times its standard error. At rest nothing may be left of any request, and
// goroutines, files and heap must be about what they were.
func (r *Report) judge() {
	for i := range r.Idle {
		r.Findings = append(r.Findings, r.Idle[i].judge()...)
	}
	if r.Mixed != nil {
		r.Findings = append(r.Findings, r.Mixed.judge()...)
	}
	r.Verdict = Flat
	if len(r.Findings) > 0 {
		r.Verdict = Grows
	}
}

// judge compares with what was left of the same number of connections before,
// and not with a new process: Go's runtime keeps what goroutines are made of for
// the next ones, and lets pages go slowly.
func (r *IdleResult) judge() []Finding {
	where := fmt.Sprintf("idle %s", r.Protocol)
	return findings(where, append(busy("edge", r.ClosedAgain), more(r.Closed, r.ClosedAgain)...))
}

func (r *MixedResult) judge() []Finding {
	var all []Finding
	for i := range r.Tiers {
		t := &r.Tiers[i]
		all = append(all, t.rising()...)
		all = append(all, findings(t.Tier, leftover(t.Tier, &t.Before, t.After))...)
	}
	var done, failed int64
	for _, o := range r.Outcomes {
		done += o.Done
		failed += o.Failed
	}
	if done == 0 || float64(failed) > maxFailedShare*float64(done+failed) {
		all = append(all, Finding{"clients", "failures", fmt.Sprintf("%d of %d operations failed", failed, done+failed)})
	}
	return all
}

// A difference is what is wrong with a sample taken at rest.
type difference struct{ what, why string }

func findings(where string, differences []difference) []Finding {
	var all []Finding
	for _, d := range differences {
		all = append(all, Finding{where, d.what, d.why})
	}
	return all
}

// busy returns what a tier without clients should not hold.
func busy(tier string, s Sample) []difference {
	var all []difference
	zero := func(what string, v int64) {
		if v != 0 {
			all = append(all, difference{what, fmt.Sprintf("%d at rest, want 0", v)})
		}
	}
	zero("in flight", s.InFlight)
	zero("receive_reserved", s.Reserved)
	if tier == "edge" { // those of a core are the edges' and stay
		zero("connections", s.Connections)
	}
	return all
}

// more returns what a tier holds at rest beyond what it held at rest before.
func more(before, after Sample) []difference {
	var all []difference
	at := func(what string, was, is, bound int64) {
		if is > was+bound {
			all = append(all, difference{what, fmt.Sprintf("%d at rest, %d before, want at most %d more", is, was, bound)})
		}
	}
	at("goroutines", before.Goroutines, after.Goroutines, moreGoroutines)
	at("open files", before.Files, after.Files, moreFiles)
	at("heap in use", before.Heap, after.Heap, max(moreHeap, int64(moreHeapShare*float64(before.Heap))))
	return all
}

// leftover returns what a tier holds after a load that it should not: before is
// nil if there is nothing to compare it with. Lanes have had the time to idle
// away.
func leftover(tier string, before *Sample, after Sample) []difference {
	all := busy(tier, after)
	if after.Lanes != 0 {
		all = append(all, difference{"lanes", fmt.Sprintf("%d at rest, want 0", after.Lanes)})
	}
	if before != nil {
		all = append(all, more(*before, after)...)
	}
	return all
}

// rising returns what grew under load.
func (t *TierCourse) rising() []Finding {
	late := t.Samples[len(t.Samples)/3:]
	var all []Finding
	for _, m := range measures() {
		at, values := make([]float64, len(late)), make([]float64, len(late))
		for i := range late {
			at[i], values[i] = late[i].At, float64(m.of(&late[i]))
		}
		l, ok := fit(at, values)
		if !ok {
			continue
		}
		bound := max(m.least, m.share*l.mean)
		if l.rise > bound && l.rise > 3*l.uncertain {
			all = append(all, Finding{t.Tier, m.name, fmt.Sprintf("rises by %s (± %s) in %s under load, want at most %s",
				m.print(l.rise), m.print(l.uncertain), seconds(at[len(at)-1]-at[0]), m.print(bound))})
		}
	}
	return all
}

// A line through values.
type line struct {
	mean      float64
	rise      float64 // from the first to the last
	uncertain float64 // standard error of rise
}

// fit draws the line of least squares. It needs three values at different times.
func fit(at, values []float64) (line, bool) {
	n := float64(len(at))
	if n < 3 {
		return line{}, false
	}
	meanAt, mean := average(at), average(values)
	var sxx, sxy float64
	for i := range at {
		sxx += (at[i] - meanAt) * (at[i] - meanAt)
		sxy += (at[i] - meanAt) * (values[i] - mean)
	}
	if sxx == 0 {
		return line{}, false
	}
	slope := sxy / sxx
	var residual float64
	for i := range at {
		off := values[i] - mean - slope*(at[i]-meanAt)
		residual += off * off
	}
	span := at[len(at)-1] - at[0]
	return line{mean: mean, rise: slope * span, uncertain: span * math.Sqrt(residual/(n-2)/sxx)}, true
}

func average(of []float64) float64 {
	var sum float64
	for _, v := range of {
		sum += v
	}
	return sum / float64(len(of))
}

func seconds(s float64) string {
	return time.Duration(s * float64(time.Second)).Round(time.Second).String()
}
