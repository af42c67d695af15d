package wan

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/ergoproxy/ergo/bench/load"
	"github.com/ergoproxy/ergo/shared/link/linktest"
)

const (
	changingLength = 30 * time.Second
	// changingStep is the time between two points of a Timeline.
	changingStep = 500 * time.Millisecond
)

// changingLosses are those of the thirds of the run.
var changingLosses = [3]float64{0, 0.05, 0}

// measureChanging lets a path get bad and good again under each system.
func (b *bench) measureChanging(ctx context.Context) error {
	for _, system := range b.config.Systems {
		t, err := b.measureTimeline(ctx, system)
		if err != nil {
			if err := b.settle(ctx, "changing, "+system, err); err != nil {
				return err
			}
			continue
		}
		b.result.Timelines = append(b.result.Timelines, t)
		worst := slices.MaxFunc(t.Points, func(x, y Point) int { return cmp.Compare(x.Latency.Max, y.Latency.Max) })
		b.say("changing, %s: worst answer %.1f ms, due before %.1f s", system, 1000*worst.Latency.Max, worst.At)
	}
	return nil
}

func (b *bench) measureTimeline(ctx context.Context, system string) (t Timeline, err error) {
	w := NewWorkload(1<<10, 200)
	w.Duration = b.length(changingLength).Seconds()
	path := newCourse(usualRTT, 0)
	s, err := b.set(ctx, play{system: system, course: path, sizes: []int64{w.Bytes}})
	if err != nil {
		return t, err
	}
	defer func() { err = errors.Join(err, s.strike()) }()
	var mu sync.Mutex
	var exchanges []load.Exchange // guarded by mu
	o := w.open()
	o.Each = func(x load.Exchange) {
		mu.Lock()
		defer mu.Unlock()
		exchanges = append(exchanges, x)
	}
	c := change{stage: s, course: path, length: seconds(w.Duration)}
	var changing sync.WaitGroup
	defer changing.Wait()
	o.Begin = func() { changing.Go(func() { c.err = c.run(ctx) }) }
	target := s.target(w.Bytes)
	target.Timeout = w.timeout()
	if _, err := load.RunOpen(ctx, target, o); err != nil {
		return t, err
	}
	changing.Wait()
	if c.err != nil {
		return t, c.err
	}
	for _, x := range exchanges {
		c.point(x.Due).book(x)
	}
	t = Timeline{System: system, Name: changingName(), Workload: w, RTT: path.RTT}
	for i := range c.steps {
		t.Points = append(t.Points, c.steps[i].sumUp())
	}
	return t, nil
}

func changingName() string {
	text := "loss"
	for i, loss := range changingLosses {
		if i > 0 {
			text += " →"
		}
		text += " " + number(100*loss)
	}
	return text + " %"
}

// A change makes the path of a stage bad and good again.
type change struct {
	stage  *stage
	course course
	length time.Duration

	begin time.Time
	steps []step
	err   error // of run
}

// A step is the time between two points.
type step struct {
	end       time.Duration // from the begin
	loss      float64
	link      linkCounters // what was counted in it
	latencies []time.Duration
	failures  int64
}

// run goes through the steps in real time.
func (c *change) run(ctx context.Context) error {
	c.begin = time.Now()
	before, err := c.stage.readLink(ctx)
	if err != nil {
		return err
	}
	for end := time.Duration(0); end < c.length; {
		loss := changingLosses[int(end*time.Duration(len(changingLosses))/c.length)]
		c.set(loss)
		end = min(end+changingStep, c.length)
		if err := wait(ctx, time.Until(c.begin.Add(end))); err != nil {
			return err
		}
		now, err := c.stage.readLink(ctx)
		if err != nil {
			return err
		}
		counted := now
		counted.add(before, -1)
		before = now
		c.steps = append(c.steps, step{end: end, loss: loss, link: counted})
	}
	return nil
}

// set has the path lose that share both ways.
func (c *change) set(loss float64) {
	conditions := c.course.conditions()
	conditions.Loss = linktest.Bernoulli(loss)
	c.stage.wan.Set(conditions, conditions)
}

// point returns the step that a request belongs to that was due then.
func (c *change) point(due time.Time) *step {
	for i := range c.steps {
		if due.Before(c.begin.Add(c.steps[i].end)) {
			return &c.steps[i]
		}
	}
	return &c.steps[len(c.steps)-1]
}

func (s *step) book(x load.Exchange) {
	if x.Failure != "" {
		s.failures++
		return
	}
	s.latencies = append(s.latencies, x.Done.Sub(x.Due))
}

func (s *step) sumUp() Point {
	p := Point{At: s.end.Seconds(), Loss: s.loss, Failures: s.failures, Latency: exactQuantiles(s.latencies)}
	if link := s.link.sumUp(); link != nil {
		p.ParityShare = link.ParityShare
	}
	return p
}

// exactQuantiles are those of a few values; they are sorted in place.
func exactQuantiles(of []time.Duration) Quantiles {
	if len(of) == 0 {
		return Quantiles{}
	}
	slices.Sort(of)
	at := func(q float64) float64 { return of[min(int(q*float64(len(of))), len(of)-1)].Seconds() }
	return Quantiles{P50: at(0.5), P90: at(0.9), P99: at(0.99), P999: at(0.999), Max: of[len(of)-1].Seconds()}
}
