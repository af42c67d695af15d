package wan

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/ergoproxy/ergo/bench/load"
	"github.com/ergoproxy/ergo/bench/wan/emulator"
)

// A cell is one system under one workload on one course, over all rounds.
type cell struct {
	system   string
	course   course
	workload Workload

	rounds   int // that were measured
	repeated int // measurements that were taken again
	latency  *hdrhistogram.Histogram
	answered int64
	overflow int64
	failures map[string]int64
	bytes    int64
	used     meter
}

// A meter is what is read at both ends of a measurement: sums since the start of
// the stage.
type meter struct {
	cpu       time.Duration // of both tiers
	wire      int64         // bytes that entered the WAN
	packets   int64
	lost      int64 // at random
	dropped   int64 // by the full queue
	delivered int64
	late      int64
	link      linkCounters
}

func (m *meter) add(o meter, sign int64) {
	m.cpu += time.Duration(sign) * o.cpu
	m.wire += sign * o.wire
	m.packets += sign * o.packets
	m.lost += sign * o.lost
	m.dropped += sign * o.dropped
	m.delivered += sign * o.delivered
	m.late += sign * o.late
	m.link.add(o.link, sign)
}

// begin reads the meter at the start of a measurement. Metrics are read outside of
// the time that CPU and packets are counted in: at the start first, at the end last.
func (s *stage) begin(ctx context.Context) (meter, error) {
	link, linkErr := s.readLink(ctx)
	m, err := s.read()
	m.link = link
	return m, errors.Join(linkErr, err)
}

// end reads the meter at the end of a measurement.
func (s *stage) end(ctx context.Context) (meter, error) {
	m, err := s.read()
	link, linkErr := s.readLink(ctx)
	m.link = link
	return m, errors.Join(err, linkErr)
}

// read returns the meter as it stands, without the link.
func (s *stage) read() (m meter, err error) {
	m.cpu, err = s.chain.CPU()
	out, back := s.wan.Counters()
	for _, c := range []emulator.Counters{out, back} {
		m.wire += c.Bytes
		m.packets += c.Packets
		m.lost += c.Lost
		m.dropped += c.Dropped
		m.delivered += c.Arrived
		m.late += c.Late
	}
	return m, err
}

// measureCells measures all cells of the sets, round by round.
func (b *bench) measureCells(ctx context.Context) error {
	courses, workloads := b.config.courses()
	for i, path := range courses {
		for _, w := range workloads[i] {
			w.Duration = b.length(seconds(w.Duration)).Seconds()
			for _, system := range b.config.Systems {
				b.cells = append(b.cells, &cell{system: system, course: path, workload: w, failures: make(map[string]int64)})
			}
		}
	}
	for round := range b.config.Rounds {
		for i, c := range b.cells {
			if b.out[c.system] {
				continue
			}
			done := fmt.Sprintf("%d/%d  %s, %s, %s", round*len(b.cells)+i+1, b.config.Rounds*len(b.cells), c.course.Name, c.workload.Name, c.system)
			summary, err := b.measureRound(ctx, c, round)
			if err == nil {
				b.say("%s: %s", done, summary)
			} else if err := b.settle(ctx, done, err); err != nil {
				return err
			}
		}
	}
	return nil
}

// still is the share of packets that the machine delivers late, from which on a
// round says more about it than about the system. Some virtual machines stand still
// for tens of milliseconds again and again.
const still = 0.001

// A take is one measurement of a cell.
type take struct {
	result *load.Result
	used   meter
}

func (t *take) late() float64 { return share(t.used.late, t.used.delivered) }

// calmest measures again, at most so often, while the machine stands still too much,
// and returns the calmest take and how often it was taken again.
func calmest(repeats int, measure func() (take, error), say func(late float64)) (best take, repeated int, err error) {
	for {
		t, err := measure()
		if err != nil {
			return take{}, repeated, err
		}
		if repeated == 0 || t.late() < best.late() {
			best = t
		}
		if best.late() <= still || repeated == repeats {
			return best, repeated, nil
		}
		repeated++
		say(t.late())
	}
}

// measureRound measures one round of a cell and says in a few words what came of it.
func (b *bench) measureRound(ctx context.Context, c *cell, round int) (summary string, err error) {
	t, repeated, err := calmest(b.config.Repeats, func() (take, error) { return b.measure(ctx, c, round) }, func(late float64) {
		b.say("%.2f %% of the packets were late because the machine stood still: once more", 100*late)
	})
	if err != nil {
		return "", err
	}
	c.repeated += repeated
	c.book(t.result, t.used)
	r := t.result
	summary = fmt.Sprintf("p50 %.1f ms, p99 %.1f ms, %d answered", milli(r.Quantile(0.5)), milli(r.Quantile(0.99)), r.Answered)
	if missed := r.Failed() + r.Overflow; missed > 0 {
		summary += fmt.Sprintf(", %d not", missed)
	}
	return summary, nil
}

// measure measures a cell once.
func (b *bench) measure(ctx context.Context, c *cell, round int) (t take, err error) {
	s, err := b.set(ctx, play{system: c.system, course: c.course, sizes: []int64{c.workload.Bytes}, round: round})
	if err != nil {
		return t, err
	}
	defer func() { err = errors.Join(err, s.strike()) }()
	var before, after meter
	var beforeErr, afterErr error
	o := c.workload.open()
	o.Begin = func() { before, beforeErr = s.begin(ctx) }
	o.End = func() { after, afterErr = s.end(ctx) }
	target := s.target(c.workload.Bytes)
	target.Timeout = c.workload.timeout()
	r, err := load.RunOpen(ctx, target, o)
	if err := errors.Join(err, beforeErr, afterErr); err != nil {
		return t, err
	}
	after.add(before, -1)
	return take{r, after}, nil
}

// open is the load of a workload. What waits for a connection is as much as can
// have become due until the first requests time out, so that a measurement ends
// within twice the timeout.
func (w Workload) open() load.Open {
	return load.Open{
		Closed: load.Closed{Connections: w.Connections, Warmup: w.warmup(), Duration: seconds(w.Duration)},
		Rate:   w.Rate, Queue: w.outstanding() - w.Connections,
	}
}

func (c *cell) book(r *load.Result, used meter) {
	c.rounds++
	if c.latency == nil {
		c.latency = r.Latency
	} else {
		c.latency.Merge(r.Latency)
	}
	c.answered += r.Answered
	c.overflow += r.Overflow
	for failure, n := range r.Failures {
		c.failures[string(failure)] += n
	}
	c.bytes += r.Bytes
	c.used.add(used, 1)
}

// sumUp returns the cell as the Result holds it.
func (c *cell) sumUp() Cell {
	m := Measured{
		Answered: c.answered, Overflow: c.overflow, Latency: quantiles(c.latency),
		WireBytes: c.used.wire, BodyBytes: c.bytes, Link: c.used.link.sumUp(),
		Lost: share(c.used.lost, c.used.packets), Dropped: share(c.used.dropped, c.used.packets), Late: share(c.used.late, c.used.delivered), Repeated: c.repeated,
	}
	if len(c.failures) > 0 {
		m.Failures = c.failures
	}
	if c.answered > 0 {
		m.CPU = c.used.cpu.Seconds() / float64(c.answered)
	}
	return Cell{System: c.system, Path: c.course.Path, Workload: c.workload, Measured: m}
}

func quantiles(h *hdrhistogram.Histogram) Quantiles {
	at := func(q float64) float64 { return time.Duration(h.ValueAtQuantile(q)).Seconds() }
	return Quantiles{P50: at(50), P90: at(90), P99: at(99), P999: at(99.9), Max: at(100)}
}

func share(part, whole int64) float64 {
	if whole == 0 {
		return 0
	}
	return float64(part) / float64(whole)
}
