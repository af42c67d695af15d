package linktest

import (
	"math/rand/v2"
	"time"
)

// A Loss says which packets are lost at random. It belongs to one Path.
type Loss interface {
	Lost(now time.Time, rng *rand.Rand) bool
}

// Bernoulli loses each packet with this probability, 0 to 1.
type Bernoulli float64

func (p Bernoulli) Lost(_ time.Time, rng *rand.Rand) bool { return p > 0 && rng.Float64() < float64(p) }

// A GilbertElliott path is in one of two states and may change it with each
// packet (E. N. Gilbert 1960, E. O. Elliott 1963). A burst has 1/ToGood packets on
// average.
type GilbertElliott struct {
	ToBad, ToGood     float64 // probability that the state changes with a packet
	LossGood, LossBad float64 // probability that a packet is lost in a state

	bad bool
}

func (g *GilbertElliott) Lost(_ time.Time, rng *rand.Rand) bool {
	change := g.ToBad
	if g.bad {
		change = g.ToGood
	}
	if rng.Float64() < change {
		g.bad = !g.bad
	}
	if g.bad {
		return rng.Float64() < g.LossBad
	}
	return rng.Float64() < g.LossGood
}

// Bursts lose Min to Max packets in a row, about Every apart, and single ones with
// probability Single in between. A burst that has not found its packets within a
// tenth of Every is over: otherwise those who send little would lose all of it.
type Bursts struct {
	Every    time.Duration
	Min, Max int
	Single   float64

	next, end time.Time
	left      int
}

func (b *Bursts) Lost(now time.Time, rng *rand.Rand) bool {
	if b.next.IsZero() {
		b.next = now.Add(b.gap(rng))
	}
	if now.After(b.end) {
		b.left = 0
	}
	if b.left == 0 && !now.Before(b.next) {
		b.left = b.Min + rng.IntN(b.Max-b.Min+1)
		b.next, b.end = now.Add(b.gap(rng)), now.Add(b.Every/10)
	}
	if b.left > 0 {
		b.left--
		return true
	}
	return rng.Float64() < b.Single
}

// gap is evenly spread over half to one and a half of Every.
func (b *Bursts) gap(rng *rand.Rand) time.Duration {
	return b.Every/2 + time.Duration(rng.Int64N(int64(b.Every)+1))
}

// A Pattern loses the packets that are true in it, again and again from the start:
// a recorded trace.
type Pattern struct {
	Losses []bool
	next   int
}

func (p *Pattern) Lost(time.Time, *rand.Rand) bool {
	lost := p.Losses[p.next]
	p.next = (p.next + 1) % len(p.Losses)
	return lost
}

// Steps change the model as time goes by, counted from the first packet.
type Steps struct {
	Of    []Step
	start time.Time
}

// A Step holds from After on, until the next one.
type Step struct {
	After time.Duration
	Loss  Loss // nil: none
}

func (s *Steps) Lost(now time.Time, rng *rand.Rand) bool {
	if s.start.IsZero() {
		s.start = now
	}
	var current Loss
	for _, step := range s.Of {
		if now.Sub(s.start) >= step.After {
			current = step.Loss
		}
	}
	return current != nil && current.Lost(now, rng)
}
