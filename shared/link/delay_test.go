package link

import (
	"math/rand/v2"
	"testing"
	"time"
)

// A journey feeds a delay with packets that are sent at an interval.
type journey struct {
	delay
	now      time.Duration // the sender's clock
	interval time.Duration
	apart    time.Duration // the receiver's clock is ahead by this
	drift    float64       // and gains this share
	rng      *rand.Rand
	jitter   time.Duration
}

// packet sends one that takes so long.
func (j *journey) packet(took time.Duration) {
	j.now += j.interval
	sent := uint32(j.now/tick) & wireMask
	if j.jitter > 0 {
		took += time.Duration(j.rng.Int64N(int64(2*j.jitter))) - j.jitter
	}
	arrives := j.now + took + j.apart
	arrives += time.Duration(j.drift * float64(arrives))
	last := j.value
	j.compare(j.observe(arrives, sent) - last)
}

// fill sends packets while the queue grows or shrinks evenly from one length to
// another.
func (j *journey) fill(from, to time.Duration, packets int) {
	for i := range packets {
		j.packet(40*time.Millisecond + from + (to-from)*time.Duration(i+1)/time.Duration(packets))
	}
}

func TestLongQueuesAreCongestion(t *testing.T) {
	const ms = time.Millisecond
	for _, c := range []struct {
		name   string
		change func(j *journey)
		run    func(j *journey)
		want   bool
	}{
		{"no queue", nil, func(j *journey) {}, false},
		{"a growing one", nil, func(j *journey) { j.fill(0, 50*ms, 200) }, true},
		{"a short one", nil, func(j *journey) { j.fill(0, 4*ms, 200) }, false},
		{"one that is empty again", nil, func(j *journey) { j.fill(0, 50*ms, 200); j.fill(50*ms, 0, 200); j.fill(0, 0, 100) }, false},
		{"one that stays long", nil, func(j *journey) { j.fill(0, 50*ms, 200); j.fill(50*ms, 50*ms, 200) }, true},
		{"one that is short beside what it was", nil, func(j *journey) { j.fill(0, 100*ms, 200); j.fill(100*ms, 20*ms, 200); j.fill(20*ms, 20*ms, 100) }, false},
		{"jitter", func(j *journey) { j.jitter = 20 * ms }, func(j *journey) { j.fill(0, 0, 1000) }, false},
		{"clocks hours apart", func(j *journey) { j.apart = 5 * time.Hour }, func(j *journey) { j.fill(0, 50*ms, 200) }, true},
		{"clocks hours apart, no queue", func(j *journey) { j.apart = -5 * time.Hour; j.now = 9 * time.Hour }, func(j *journey) { j.fill(0, 0, 200) }, false},
		{"a clock that gains 50 ppm", func(j *journey) { j.drift = 50e-6; j.interval = 10 * ms }, func(j *journey) { j.fill(0, 0, 20_000) }, false},
		{"across the end of the numbers", func(j *journey) { j.now = 268 * time.Second }, func(j *journey) { j.fill(0, 50*ms, 1000) }, true},
		{"across the end of the numbers, no queue", func(j *journey) { j.now = 268 * time.Second }, func(j *journey) { j.fill(0, 0, 1000) }, false},
		{"after five idle minutes", nil, func(j *journey) { j.fill(0, 0, 100); j.now += 300 * time.Second; j.fill(0, 0, 5) }, false},
		{"a longer way, at first", nil, func(j *journey) { j.fill(0, 0, 100); j.fill(40*ms, 40*ms, 1000) }, true},
		{"a longer way, after 2 s", nil, func(j *journey) { j.fill(0, 0, 100); j.fill(40*ms, 40*ms, 2100) }, false},
		{"a queue on a longer way", nil, func(j *journey) { j.fill(40*ms, 40*ms, 2500); j.fill(40*ms, 90*ms, 200) }, true},
		{"a queue that stays full", nil, func(j *journey) { j.fill(0, 40*ms, 400); j.fill(40*ms, 40*ms, 5000) }, true},
		{"a longer way with few packets", func(j *journey) { j.interval = 500 * ms }, func(j *journey) { j.fill(40*ms, 40*ms, 18) }, true},
		// Jitter hides it; the shortest delay is remembered for 10 to 20 s.
		{"a longer way with jitter, at first", func(j *journey) { j.jitter = 4 * ms }, func(j *journey) { j.fill(40*ms, 40*ms, 5000) }, true},
		{"a longer way with jitter, later", func(j *journey) { j.jitter = 4 * ms; j.interval = 10 * ms }, func(j *journey) { j.fill(40*ms, 40*ms, 2200) }, false},
		{"a queue that fills and halves for long", nil, func(j *journey) {
			for range 10 {
				j.fill(25*ms, 50*ms, 1000)
				j.fill(50*ms, 25*ms, 80)
			}
			j.fill(25*ms, 50*ms, 1000)
		}, true},
		{"one packet with a forged time", nil, func(j *journey) { j.packet(-time.Second); j.fill(0, 0, 2300) }, false},
	} {
		j := &journey{interval: ms, rng: newRand(1)}
		j.now = time.Minute
		if c.change != nil {
			c.change(j)
		}
		j.fill(0, 0, 100)
		c.run(j)
		if got := j.congested(); got != c.want {
			t.Errorf("%s: congested: %t; queue %v, jitter %v", c.name, got, j.queue, j.delay.jitter)
		}
	}
}
