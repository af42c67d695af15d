// Package linktest is a network path that delays, loses, reorders, repeats and
// queues packets the way a given set of Conditions says: for the tests of the
// link, in memory and in virtual time, and for the emulated WAN of the bench.
//
//	Send(now, size) ─▶ MTU ─▶ loss ─▶ rate and queue ─▶ delay, jitter, reordering ─▶ arrival times
//
// A Path is one direction. It decides and does not carry: it holds no packet, no
// goroutine and no timer. Pair carries packets over two of them.
package linktest

import (
	"math/rand/v2"
	"sync"
	"time"
)

// Conditions say what a Path does to packets. The zero value delivers all of them
// at once.
type Conditions struct {
	Delay  time.Duration // one way
	Jitter time.Duration // each packet's delay is changed by up to this, up or down, evenly
	// InOrder keeps packets in their order despite Jitter.
	InOrder bool

	Loss Loss // nil: no packet is lost at random

	Rate int64 // bits per second, of whole packets; 0: no limit
	// Queue is how long a packet may wait for Rate. One that would wait longer is
	// dropped. 0: 100 ms.
	Queue time.Duration

	Reorder   float64       // share of packets that are held back, 0 to 1
	ReorderBy time.Duration // for how long; 0: 5 ms
	Duplicate float64       // share of packets that arrive twice, 0 to 1

	MTU int // bytes; a larger packet vanishes. 0: no limit
}

const (
	defaultQueue     = 100 * time.Millisecond
	defaultReorderBy = 5 * time.Millisecond
)

// Counters say what a Path did so far.
type Counters struct {
	Packets, Bytes int64 // that came in
	Lost           int64 // by the Loss model
	Dropped        int64 // by the full queue
	TooLarge       int64 // by MTU
	Delivered      int64 // packets, repeated ones once
	DeliveredBytes int64
}

// A Path is one direction between two ends. Its methods may be called
// concurrently.
type Path struct {
	mu sync.Mutex // guards all below
	Conditions
	rng      *rand.Rand
	busy     time.Time // until when Rate is taken by earlier packets
	latest   time.Time // the last arrival, for InOrder
	counters Counters
}

// NewPath returns a Path. The same seed and calls give the same fates.
func NewPath(seed uint64, c Conditions) *Path {
	return &Path{Conditions: c, rng: rand.New(rand.NewPCG(seed, seed^0x9e3779b97f4a7c15))}
}

// Set changes the conditions for packets sent from now on. What waits for the rate
// goes on waiting.
func (p *Path) Set(c Conditions) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.Conditions = c
}

// Counters returns what happened so far.
func (p *Path) Counters() Counters {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.counters
}

// Send decides when a packet of size bytes, sent at now, arrives: never (n is 0),
// once, or twice. Now does not go back between calls.
func (p *Path) Send(now time.Time, size int) (at [2]time.Time, n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.counters.Packets++
	p.counters.Bytes += int64(size)
	if p.MTU > 0 && size > p.MTU {
		p.counters.TooLarge++
		return at, 0
	}
	if p.Loss != nil && p.Loss.Lost(now, p.rng) {
		p.counters.Lost++
		return at, 0
	}
	leaves := now
	if p.Rate > 0 {
		leaves = later(now, p.busy)
		if leaves.Sub(now) > orElse(p.Queue, defaultQueue) {
			p.counters.Dropped++
			return at, 0
		}
		leaves = leaves.Add(time.Duration(int64(size) * 8 * int64(time.Second) / p.Rate))
		p.busy = leaves
	}
	p.counters.Delivered++
	p.counters.DeliveredBytes += int64(size)
	at[0] = p.arrival(leaves)
	if p.Duplicate > 0 && p.rng.Float64() < p.Duplicate {
		at[1] = p.arrival(leaves)
		return at, 2
	}
	return at, 1
}

func (p *Path) arrival(leaves time.Time) time.Time {
	delay := p.Delay
	if p.Jitter > 0 {
		delay = max(0, delay+time.Duration(p.rng.Int64N(int64(2*p.Jitter)+1))-p.Jitter)
	}
	if p.Reorder > 0 && p.rng.Float64() < p.Reorder {
		return leaves.Add(delay + orElse(p.ReorderBy, defaultReorderBy))
	}
	at := leaves.Add(delay)
	if p.InOrder {
		at = later(at, p.latest)
		p.latest = at
	}
	return at
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func orElse(d, otherwise time.Duration) time.Duration {
	if d == 0 {
		return otherwise
	}
	return d
}
