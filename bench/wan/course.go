package wan

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ergoproxy/ergo/shared/link/linktest"
)

// The WAN of numbers that are compared.
const (
	usualRTT   = 80 * time.Millisecond
	usualRate  = 200_000_000
	usualQueue = 100 * time.Millisecond
	usualMTU   = 1500

	narrowRate  = 20_000_000
	narrowQueue = 50 * time.Millisecond
)

// A course is a Path and how to make it.
type course struct {
	Path
	loss func() linktest.Loss // for one direction; nil: evenly random
}

func newCourse(rtt time.Duration, loss float64) course {
	return course{Path: Path{
		Name: fmt.Sprintf("%s ms, %s loss", number(milli(rtt)), percent(loss)),
		RTT:  rtt.Seconds(), Loss: loss, Rate: usualRate, Queue: usualQueue.Seconds(), MTU: usualMTU,
	}}
}

// narrow makes the course a bottleneck.
func (c course) narrow() course {
	c.Rate, c.Queue = narrowRate, narrowQueue.Seconds()
	c.Name += ", 20 Mbit/s"
	return c
}

// calm are the conditions of one direction without what goes wrong at random.
func (c course) calm() linktest.Conditions {
	return linktest.Conditions{Delay: seconds(c.RTT) / 2, Rate: c.Rate, Queue: seconds(c.Queue), MTU: c.MTU}
}

// conditions are those of one direction. A loss has a state: they are made anew for
// each.
func (c course) conditions() linktest.Conditions {
	all := c.calm()
	all.Jitter, all.Reorder, all.Duplicate = seconds(c.Jitter), c.Reorder, c.Duplicate
	all.Loss = linktest.Bernoulli(c.Loss)
	if c.loss != nil {
		all.Loss = c.loss()
	}
	return all
}

// courses of the sets that are made of cells, in their order, each with its
// workloads.
func (c *Config) courses() (courses []course, workloads [][]Workload) {
	add := func(path course, of ...Workload) {
		courses, workloads = append(courses, path), append(workloads, of)
	}
	if slices.Contains(c.Sets, "matrix") {
		for _, rtt := range c.RTTs {
			for _, loss := range c.Losses {
				add(newCourse(rtt, loss), c.Workloads...)
			}
		}
	}
	if slices.Contains(c.Sets, "bottleneck") {
		for _, loss := range []float64{0, 0.01} {
			add(newCourse(usualRTT, loss).narrow(), NewWorkload(1_000_000, 0.5))
		}
	}
	if slices.Contains(c.Sets, "burst") {
		add(bursts(), c.Workloads...)
	}
	if slices.Contains(c.Sets, "reorder") {
		held := newCourse(usualRTT, 0)
		held.Reorder, held.Name = 0.1, "80 ms, 10 % reordered by 5 ms"
		add(held, c.Workloads...)
		jitter := newCourse(usualRTT, 0)
		jitter.Jitter, jitter.Name = 0.02, "80 ms, jitter of ±20 ms each way, out of order"
		add(jitter, c.Workloads...)
	}
	return courses, workloads
}

func bursts() course {
	c := newCourse(usualRTT, 0.01)
	c.Burst = "5 to 20 packets about every 1 s"
	c.Name += ", bursts"
	c.loss = func() linktest.Loss {
		return &linktest.Bursts{Every: time.Second, Min: 5, Max: 20, Single: c.Loss}
	}
	return c
}

// maxConnections is what an edge takes from one address, with some room.
const maxConnections = 1000

// NewWorkload returns bodies of that size at that many requests per second. Large
// and rare ones are measured for longer.
func NewWorkload(bytes int64, rate float64) Workload {
	w := Workload{Name: size(bytes) + " at " + number(rate) + "/s", Bytes: bytes, Rate: rate, Duration: 8}
	switch {
	case rate < 1:
		w.Duration, w.Name = 24, size(bytes)+" every "+number(1/rate)+" s"
	case rate < 10:
		w.Duration = 16
	}
	w.Connections = min(w.outstanding(), maxConnections)
	return w
}

// timeout is how long a request may take.
func (w Workload) timeout() time.Duration {
	if w.Bytes <= 64<<10 {
		return 10 * time.Second
	}
	return 30 * time.Second
}

// outstanding is how many requests there can be until the first times out.
func (w Workload) outstanding() int { return 1 + int(math.Ceil(w.Rate*w.timeout().Seconds())) }

// warmup is long enough for six requests, within reason, and not longer than what
// it is for.
func (w Workload) warmup() time.Duration {
	return min(max(seconds(6/w.Rate), 2*time.Second), 4*time.Second, seconds(w.Duration))
}

// size prints bytes with the unit that makes them a whole number.
func size(bytes int64) string {
	for _, unit := range []struct {
		name   string
		factor int64
	}{{"MiB", 1 << 20}, {"MB", 1e6}, {"KiB", 1 << 10}, {"kB", 1e3}} {
		if bytes >= unit.factor && bytes%unit.factor == 0 {
			return strconv.FormatInt(bytes/unit.factor, 10) + " " + unit.name
		}
	}
	return strconv.FormatInt(bytes, 10) + " bytes"
}

// percent prints a share.
func percent(share float64) string { return number(100*share) + " %" }

// number prints at most two digits after the point.
func number(x float64) string {
	return strings.TrimSuffix(strings.TrimRight(strconv.FormatFloat(x, 'f', 2, 64), "0"), ".")
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

func milli(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
