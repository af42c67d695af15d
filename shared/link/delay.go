package link

import "time"

const (
	// span is how long the shortest and the longest delay are remembered, at least.
	span = 10 * time.Second
	// longQueue is the least waiting that is called a long queue.
	longQueue = 5 * time.Millisecond
	// A wait that came with one step, and then stays within steadyRange for steadySpan,
	// over steadyPackets, is the length of another way: queues grow and shrink.
	steadySpan    = 2 * time.Second
	steadyRange   = 2 * time.Millisecond
	steadyPackets = 64
	// smoothing is how many packets after a step the smoothed wait has followed it.
	smoothing = 64
)

// A delay watches how long packets take, to tell loss by congestion from loss at
// random: a queue is long before it overflows. The clocks of the two ends need not
// agree, nor run alike for longer than a span.
type delay struct {
	known   bool
	taken   uint32        // by the last packet, in ticks, up to the range of a time
	value   time.Duration // the same, compared with the first packet
	lowest  extreme       // value
	longest extreme       // queue
	queue   time.Duration // smoothed: beyond the lowest
	jitter  time.Duration // smoothed difference of packets that were sent one after the other
	steady  steady        // queue
	step    step
}

// A step is the last large change from one packet to the next.
type step struct {
	size time.Duration
	ago  int // packets
}

// A steady tells for how long a value has hardly changed.
type steady struct {
	low, high time.Duration
	since     time.Duration
	packets   int
}

// observe reports whether the value has been the same for long enough.
func (s *steady) observe(now, value time.Duration) bool {
	s.low, s.high = min(s.low, value), max(s.high, value)
	if s.high-s.low > steadyRange {
		*s = steady{low: value, high: value, since: now}
	}
	s.packets++
	return s.packets >= steadyPackets && now-s.since >= steadySpan
}

// An extreme keeps the extreme of the current span and of the one before.
type extreme struct {
	current, before time.Duration
	until           time.Duration
}

// observe takes a value, and returns the extreme; better says which of two it is.
func (e *extreme) observe(now, value time.Duration, better func(a, b time.Duration) time.Duration) time.Duration {
	if now >= e.until {
		if e.until == 0 {
			e.current = value
		}
		e.before, e.current, e.until = e.current, value, now+span
	}
	e.current = better(e.current, value)
	return better(e.current, e.before)
}

func shorter(a, b time.Duration) time.Duration { return min(a, b) }
func longer(a, b time.Duration) time.Duration  { return max(a, b) }

// observe takes a packet that arrived at now and was sent at the given time of the
// sender's clock. It returns how long the packet took, compared with the first one.
func (d *delay) observe(now time.Duration, sent uint32) time.Duration {
	// The difference of the clocks is known up to multiples of their range: the
	// value next to the last one is meant.
	taken := (uint32(now/tick) - sent) & wireMask
	if !d.known {
		d.known, d.taken = true, taken
	}
	change := time.Duration(int32((taken-d.taken)<<(32-wireBits))>>(32-wireBits)) * tick
	d.taken = taken
	d.value += change
	if d.step.ago++; change > longQueue {
		d.step = step{size: change}
	}
	d.queue += (d.value - d.lowest.observe(now, d.value, shorter) - d.queue) / 8
	d.longest.observe(now, d.queue, longer)
	if d.steady.observe(now, d.queue) && d.anotherWay() {
		d.rebase(now)
	}
	return d.value
}

// compare takes the difference of two packets that were sent one after the other.
// Those that arrive one after the other would not do: of a burst whose packets take
// different times the quick ones come first, one like the next, and then ever later
// ones, as if a queue grew.
func (d *delay) compare(difference time.Duration) {
	d.jitter += (max(difference, -difference) - d.jitter) / 16
}

// anotherWay reports whether the steady wait came with a step.
func (d *delay) anotherWay() bool {
	return d.steady.low > longQueue && d.step.size > d.steady.low*3/4 && d.step.ago <= d.steady.packets+smoothing
}

// rebase takes what was a queue so far for the length of the way.
func (d *delay) rebase(now time.Duration) {
	base := min(d.lowest.current, d.lowest.before) + d.steady.low
	d.queue -= d.steady.low
	d.lowest = extreme{current: base, before: base, until: now + span}
	d.longest = extreme{current: d.queue, before: d.queue, until: now + span}
	d.steady = steady{low: d.queue, high: d.queue, since: now}
}

// congested reports whether a packet that is lost now is lost to a full queue: the
// wait is long, is no mere jitter, and is near the longest that was seen.
func (d *delay) congested() bool {
	wait := d.queue - 2*d.jitter
	return wait > longQueue && d.queue > max(d.longest.current, d.longest.before)*3/4
}
