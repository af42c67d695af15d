package link

import (
	"math"
	"time"
)

// alwaysLoss is the loss that Always assumes without having seen any.
const alwaysLoss = 0.01

// What may be left unrepaired. A group that the sender has nothing more to add to
// is somebody's request or the end of an answer: one in 2,500 of its packets may
// be late. In bulk a lost packet is not late but a sign of congestion, and NewReno
// can fill a window of W packets only if less than about 3 in W² are lost.
const (
	lateShare = 4e-4
	bulkShare = 1e-5
	// bulkGroup is the size of a group that counts as bulk. The share that may be
	// left falls evenly up to it.
	bulkGroup = 64
	// worthwhile is the loss below which nothing is repaired: QUIC copes.
	worthwhile = 2e-5
)

const (
	// priorPackets is how many packets a path has to be clean for to be called clean.
	priorPackets = 2000
	// near is the round trip below which QUIC repairs a loss before anybody waits.
	near = 5 * time.Millisecond
)

const (
	// A packet gets fixedParity rows at most, and lossParity for each that is lost,
	// but maxParity in all; a small group may have smallRows all the same. Long runs
	// of losses would ask for more. Where they come from a queue that is too short for
	// our own bursts, more would only make more of them.
	fixedParity = 0.04
	lossParity  = 6
	maxParity   = 0.5
	smallRows   = 3

	// A group is closed when nothing was added for idleGap, or for holdMax (and half
	// a round trip) if its last packet was a full one, which others follow.
	idleGap = 3 * time.Millisecond
	holdMax = 40 * time.Millisecond
)

// A controller decides how much parity to send. It is a function of the reports it
// was given and of their times, and has no clock of its own.
type controller struct {
	repair Repair

	seen   bool
	last   report
	total  uint64 // packets that reports have accounted for
	rates  [runClasses]rate
	losses losses
	rtt    time.Duration // smoothed; 0: not known

	small, bulk [maxGroup + 1]int8 // what rows has found for these losses, and one more; 0: not yet
}

func newController(repair Repair) *controller {
	c := &controller{repair: repair}
	c.settle()
	return c
}

// report takes a report that arrived when the sender's clock was at now. It
// returns false for one that is older than the last.
func (c *controller) report(now time.Duration, r report) bool {
	if c.seen && int32(r.number-c.last.number) <= 0 {
		return false
	}
	last := c.last
	c.seen, c.last = true, r
	from := c.total
	c.total += uint64(r.received-last.received) + uint64(r.missing-last.missing)
	for class := range c.rates {
		c.rates[class].observe(from, c.total, int(min(r.runs[class]-last.runs[class], history)))
	}
	c.measure(now, r)
	c.settle()
	return true
}

// measure updates the round trip.
func (c *controller) measure(now time.Duration, r report) {
	if r.held == math.MaxUint16 {
		return
	}
	elapsed := (uint32(now/tick) - r.echo) & wireMask
	if elapsed > wireMask/2 || elapsed < uint32(r.held) {
		return
	}
	sample := max(time.Duration(elapsed-uint32(r.held))*tick, tick)
	if c.rtt == 0 {
		c.rtt = sample
		return
	}
	c.rtt += (sample - c.rtt) / 8
}

// settle works out the losses anew.
func (c *controller) settle() {
	c.forget()
	for class := range c.rates {
		c.losses[class] = c.rates[class].perPacket(c.total)
	}
	if c.repair == Always {
		c.losses[0] = max(c.losses[0], alwaysLoss)
	}
	if c.repair == Off || c.losses.share() < worthwhile {
		c.losses = losses{}
	}
	c.small, c.bulk = [maxGroup + 1]int8{}, [maxGroup + 1]int8{}
}

// forget ends all histories when no loss of any kind has come for long. By itself
// that of long runs, which are rare, would end much later than the loss they came
// with.
func (c *controller) forget() {
	var newest uint64
	var perPacket float64
	for class := range c.rates {
		if r := &c.rates[class]; r.n > 0 {
			newest = max(newest, r.back(0))
			perPacket += r.at(r.back(0))
		}
	}
	if float64(c.total-newest)*perPacket <= forgetAfter {
		return
	}
	for class := range c.rates {
		c.rates[class] = rate{start: c.total}
	}
}

// prior is the loss to assume of a path that little is known of: what may be true
// although none was lost yet. QUIC's window grows in these first round trips as it
// never does again, and a loss that it sees ends that. A near peer has no need of
// it.
func (c *controller) prior() float64 {
	if c.repair == Off || c.total >= priorPackets || c.rtt > 0 && c.rtt < near {
		return 0
	}
	return 2 / (200 + float64(c.total))
}

// rows returns how many rows of parity n packets get. Bulk says that some of them
// are full: QUIC's window is in use. For others, nothing is assumed that was not
// seen.
func (c *controller) rows(n int, bulk bool) int {
	known := &c.small[n]
	if bulk {
		known = &c.bulk[n]
	}
	if *known > 0 {
		return int(*known) - 1
	}
	l := c.losses
	if bulk {
		l[0] = max(l[0], c.prior())
	}
	rows := 0
	if l != (losses{}) {
		rows = l.rows(n)
	}
	*known = int8(rows + 1)
	return rows
}

// rows returns how many rows of parity leave no more of n packets unrepaired than
// they may.
func (l *losses) rows(n int) int {
	left := lateShare
	if n > 1 {
		left = lateShare * math.Pow(bulkShare/lateShare, min(1, float64(n-1)/(bulkGroup-1)))
	}
	limit := min(maxRows, max(smallRows, int(min(maxParity, fixedParity+lossParity*l.share())*float64(n))))
	rows := 0
	for rows < limit && l.tail(n+rows, rows) > left*float64(n+rows) {
		rows++
	}
	return rows
}

// hold returns how long a group may stay open while full packets are added.
func (c *controller) hold() time.Duration {
	return max(idleGap, min(holdMax, c.rtt/2))
}

// memory returns how long a packet may be asked for after it was sent: a round trip
// and the time that parity may take. For a near peer it is not worth while.
func (c *controller) memory() time.Duration {
	switch {
	case c.rtt == 0:
		return 2 * holdMax
	case c.rtt < near:
		return 0
	default:
		return c.rtt + c.rtt/4 + c.hold()
	}
}
