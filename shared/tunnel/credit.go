package tunnel

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// Windows of body bytes that a receiver lets a sender have under way.
const (
	// MinWindow is the least that an exchange gets; without room for it the
	// exchange is refused. It is also what the edge may send for a start after an
	// Upgrade: most upgraded connections are idle for most of their long lives.
	MinWindow = 32 << 10
	// startWindow is what an exchange starts with while budget is plentiful. It
	// covers a path of 80 ms at 200 Mbit/s, so a body of that size needs one
	// round trip.
	startWindow = 2 << 20
	// MaxWindow is what a fast reader may grow to.
	MaxWindow = 8 << 20

	// slowReader is how long half a window may last before the window shrinks:
	// what a slow client holds is memory that a fast one could use.
	slowReader = time.Second
)

// A Budget bounds the body bytes that all peers together may have sent and this
// process not yet passed on. It is safe for concurrent use.
type Budget struct {
	total int64
	free  atomic.Int64
}

// NewBudget returns a Budget of total bytes.
func NewBudget(total int64) *Budget {
	b := &Budget{total: total}
	b.free.Store(total)
	return b
}

// Total returns the size of the budget in bytes.
func (b *Budget) Total() int64 { return b.total }

// Used returns the bytes that are reserved.
func (b *Budget) Used() int64 { return b.total - b.free.Load() }

// reserve takes n bytes, or none.
func (b *Budget) reserve(n int64) bool {
	if b.free.Add(-n) < 0 {
		b.free.Add(n)
		return false
	}
	return true
}

func (b *Budget) release(n int64) { b.free.Add(n) }

// start picks the first window of an exchange. It shrinks with the fourth power
// of what is left: one of a few exchanges gets a window that fills a long path,
// and still thousands of idle ones (256 MiB: 3,800) have room beside each other.
func (b *Budget) start() int64 {
	return max(b.share(startWindow), MinWindow)
}

// plenty reports whether a window of n bytes may be doubled. The rule is that of
// start, since a window that was given cannot be taken back from a reader that
// stops: a hundred of those leave a third of the budget.
func (b *Budget) plenty(n int64) bool { return n <= b.share(MaxWindow) }

// share returns n times the fourth power of the part that is left, and no more
// than a small part of that, which is what counts in a small budget.
func (b *Budget) share(n int64) int64 {
	free := max(b.free.Load(), 0)
	left := float64(free) / float64(b.total)
	return min(int64(float64(n)*left*left*left*left), free/32)
}

// StartCredit returns how many bytes of a request's body an edge may send to a
// core whose HELLO said bodyCredit; 0 means no limit.
func StartCredit(bodyCredit uint64, upgrade bool) uint64 {
	if upgrade {
		return min(bodyCredit, MinWindow)
	}
	return bodyCredit
}

// A receiveWindow is the receiving end of one exchange's body. It belongs to the
// goroutine that reads the body.
type receiveWindow struct {
	budget   *Budget
	window   int64 // how far the limit is kept ahead of what was consumed
	reserved int64 // of budget
	received int64
	consumed int64
	limit    int64 // what the sender may send in all
	granted  time.Time
}

// begin starts the window of an exchange with start bytes, or with what the
// budget has to give if that is 0. It returns the first limit, which is 0 if the
// budget is exhausted.
func (w *receiveWindow) begin(budget *Budget, start int64) int64 {
	n := start
	if n == 0 {
		n = budget.start()
	}
	if !budget.reserve(n) {
		return 0
	}
	*w = receiveWindow{budget: budget, window: n, reserved: n, limit: n}
	return n
}

// arrived accounts for n bytes that the sender has committed to. It fails if the
// sender went past the limit.
func (w *receiveWindow) arrived(n int64) error {
	if w.budget == nil {
		return nil
	}
	if w.received += n; w.received > w.limit {
		return protocolErrorf("%d body bytes, credit was given for %d", w.received, w.limit)
	}
	return nil
}

// consume accounts for n bytes passed on, and returns a new limit when it is
// time to tell the sender. rtt is only called then.
func (w *receiveWindow) consume(n int64, rtt func() time.Duration) (limit int64, tell bool) {
	if w.budget == nil {
		return 0, false
	}
	w.consumed += n
	if w.limit-w.consumed > w.window/2 {
		return 0, false
	}
	now := time.Now()
	if !w.granted.IsZero() {
		w.resize(now.Sub(w.granted), rtt())
	}
	w.granted = now
	w.limit = w.consumed + w.window
	return w.limit, true
}

// resize doubles a window that was used up in about a round trip, since the
// sender must have waited, and halves one that a slow reader hardly uses.
func (w *receiveWindow) resize(lasted, rtt time.Duration) {
	switch {
	case lasted < 2*rtt && w.window < MaxWindow && w.budget.plenty(w.window):
		grow := min(w.window, MaxWindow-w.window)
		if w.budget.reserve(grow) {
			w.reserved += grow
			w.window += grow
		}
	case lasted > slowReader && w.window > MinWindow:
		w.window = max(w.window/2, MinWindow)
	}
	// What is under way may be more than the window for a moment after it
	// shrank; the reservation follows it down.
	if need := max(w.window, w.limit-w.consumed); need < w.reserved {
		w.budget.release(w.reserved - need)
		w.reserved = need
	}
}

// end gives everything back. It may be called more than once.
func (w *receiveWindow) end() {
	if w.budget != nil {
		w.budget.release(w.reserved)
		*w = receiveWindow{}
	}
}

// A sendWindow is the sending end of one exchange's body. take is for the
// goroutine that writes the body; grant may be called from another.
type sendWindow struct {
	grown chan struct{} // buffered by one: limit has moved

	mu       sync.Mutex // guards what follows
	exchange uint64     // number of the exchange on its lane, from 1
	sent     int64
	limit    int64 // negative: none
}

// begin starts the next exchange. A limit of 0 means that there is none.
func (w *sendWindow) begin(limit uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.exchange++
	w.sent, w.limit = 0, int64(min(limit, 1<<62))
	if limit == 0 {
		w.limit = -1
	}
}

// grant raises the limit of an exchange. Grants for an earlier exchange, which
// may arrive late, and lower ones are ignored.
func (w *sendWindow) grant(exchange, limit uint64) {
	w.mu.Lock()
	raised := exchange == w.exchange && w.limit >= 0 && int64(min(limit, 1<<62)) > w.limit
	if raised {
		w.limit = int64(min(limit, 1<<62))
	}
	w.mu.Unlock()
	if raised {
		select {
		case w.grown <- struct{}{}:
		default:
		}
	}
}

// take returns how many of the n bytes may be sent now, 0 if none may.
func (w *sendWindow) take(n int) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.limit >= 0 {
		n = int(min(int64(n), w.limit-w.sent))
	}
	w.sent += int64(n)
	return n
}

// wait returns when take may succeed, or when ctx ends.
func (w *sendWindow) wait(ctx context.Context) error {
	select {
	case <-w.grown:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
