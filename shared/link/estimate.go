package link

import "math"

const (
	// history is how many events an estimate looks back at most.
	history = 64
	// forgetAfter ends a history: so many events had been due and none came. The
	// estimate may be half as high again as the truth: with events at random this
	// then happens by chance after one event in 3,000.
	forgetAfter = 12
	// minSpan is the number of packets that a first event is taken to stand for at
	// least.
	minSpan = 32
)

// atLeast[i] is what the number of events within a given number of packets is to
// be taken for if 2^i were seen, so that the truth is lower only one time in ten:
// the tenth percentile of a gamma distribution of that shape.
var atLeast = [...]float64{0.105, 0.532, 1.745, 4.656, 11.135, 24.610}

// A rate estimates how often a thing happens per packet, from when it happened.
// Recent events count for more as soon as they are too many to be chance; when
// events stay away for long, all are forgotten. The intervals between events are
// what TFRC measures loss by (RFC 5348, section 5), for the same reason: they tell
// as much as there is to know, be the rate 0.01 % or 10 %.
type rate struct {
	start  uint64 // where counting began
	events [history]uint64
	n      int // of events that are kept
	next   int // where the next one goes
}

// observe adds a number of events among packets from to to.
func (r *rate) observe(from, to uint64, events int) {
	events = min(events, history)
	for i := range events {
		r.events[r.next] = from + (to-from)*uint64(i+1)/uint64(events)
		r.next = (r.next + 1) % history
		r.n = min(r.n+1, history)
	}
}

// back returns where the i-th event before the newest was, or the start of the
// history.
func (r *rate) back(i int) uint64 {
	if i >= r.n {
		return r.start
	}
	return r.events[(r.next-1-i+2*history)%history]
}

// perPacket returns the estimate when now packets have been counted.
func (r *rate) perPacket(now uint64) float64 {
	if r.n == 0 {
		return 0
	}
	newest := r.back(0)
	if float64(now-newest)*r.at(newest) > forgetAfter {
		*r = rate{start: now}
		return 0
	}
	return r.at(now)
}

// at returns the estimate as of a number of packets, no event having come since.
func (r *rate) at(now uint64) float64 {
	best := 0.0
	if r.n >= 4 {
		oldest, events := r.start, r.n
		if r.n == history {
			oldest, events = r.back(history-1), history-1
		}
		best = float64(events) / float64(max(now-oldest, minSpan))
	}
	for i, events := range atLeast {
		n := 1 << i
		if n > r.n {
			break
		}
		best = max(best, events/float64(max(now-r.back(n), minSpan)))
	}
	return best
}

// A losses says how packets get lost: runs of each class begin this often.
type losses [runClasses]float64

// share is the share of packets that are lost.
func (l *losses) share() (share float64) {
	for class, perPacket := range l {
		share += perPacket * float64(runLength[class])
	}
	return share
}

// tail returns how many of n packets, their rows of parity included, are lost
// without repair on average: all that are lost where more are than there are rows.
// Runs begin at random and independently (a compound Poisson process, by Panjer's
// recursion).
func (l *losses) tail(n, rows int) float64 {
	var begin, mean float64
	for class, perPacket := range l {
		begin += perPacket * float64(n)
		mean += perPacket * float64(n) * float64(runLength[class])
	}
	if begin == 0 {
		return 0
	}
	// exactly[x] is the probability that x packets are lost.
	var exactly [maxRows + 1]float64
	exactly[0] = math.Exp(-begin)
	repaired := 0.0
	for x := 1; x <= rows; x++ {
		for class, perPacket := range l {
			if run := runLength[class]; run <= x {
				exactly[x] += perPacket * float64(n) * float64(run) / float64(x) * exactly[x-run]
			}
		}
		repaired += float64(x) * exactly[x]
	}
	return max(0, mean-repaired)
}
