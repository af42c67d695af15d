package retry

import (
	"sync/atomic"
	"time"
)

// budgetWindow is the number of past seconds, the current one included, that a
// Budget looks at.
const budgetWindow = 10

// A Budget limits retries to a share of recent requests, so that a failing
// backend meets a little more load and not a multiple of it: in the last ten
// seconds, at most ratio × requests + ten × perSecond retries.
//
// It is safe for concurrent use. The counts are atomic and the slot of a new
// second is cleared by whoever comes first; a count that races with the clearing
// may get lost, which moves the limit by that one request.
type Budget struct {
	ratio     float64
	perSecond float64
	now       func() time.Time
	start     time.Time
	slots     [budgetWindow]slot
}

// slot counts one second.
type slot struct {
	second   atomic.Int64 // since start, plus 1; 0 means never used
	requests atomic.Int64
	retries  atomic.Int64
}

// NewBudget returns a Budget that grants ratio retries for each request, 0.2
// being one for five, and perSecond ones on top, so that a pool with little
// traffic can retry at all. now is the clock, time.Now outside of tests.
func NewBudget(ratio, perSecond float64, now func() time.Time) *Budget {
	return &Budget{ratio: ratio, perSecond: perSecond, now: now, start: now()}
}

// Deposit counts a request, not a retry.
func (b *Budget) Deposit() {
	b.current(b.second()).requests.Add(1)
}

// Withdraw takes one retry out of the budget, or reports that there is none.
func (b *Budget) Withdraw() bool {
	second := b.second()
	here := b.current(second)
	// Counted before it is compared: two callers cannot both take the last one.
	here.retries.Add(1)
	var requests, retries int64
	for i := range b.slots {
		s := &b.slots[i]
		if at := s.second.Load(); at > second-budgetWindow && at <= second {
			requests += s.requests.Load()
			retries += s.retries.Load()
		}
	}
	if float64(retries) > b.ratio*float64(requests)+b.perSecond*budgetWindow {
		here.retries.Add(-1)
		return false
	}
	return true
}

// second is 1 in the first second of b's life.
func (b *Budget) second() int64 {
	return max(int64(b.now().Sub(b.start)/time.Second), 0) + 1
}

// current returns the slot of a second, cleared if it held an older one.
func (b *Budget) current(second int64) *slot {
	s := &b.slots[second%budgetWindow]
	if at := s.second.Load(); at < second && s.second.CompareAndSwap(at, second) {
		s.requests.Store(0)
		s.retries.Store(0)
	}
	return s
}
