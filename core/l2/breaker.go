package l2

import (
	"math/bits"
	"sync"
	"sync/atomic"
	"time"
)

// A breaker keeps requests away from a server that does not answer.
//
//	       failures among the last 2 × failures results
//	   ┌──────────────────────────────────────────────────┐
//	   │                                                  ▼
//	closed                                              open ◀──┐ a probe fails:
//	   ▲                                                │  └────┘ wait again
//	   └────────────────────────────────────────────────┘
//	            a probe succeeds, after the cool-down
//
// There is no half-open state: probes are made by the one who runs the breaker, so
// no request is spent on finding out. It begins open, with a probe due at once. The
// share among recent results, and not failures in a row, trips it: a server that
// answers every other time costs too much as well.
type breaker struct {
	failures int
	coolDown time.Duration

	open    atomic.Bool
	history atomic.Uint64 // 1 is a failure, the last result is bit 0; written under mu

	// mu guards the fields below, and changes of those above.
	mu      sync.Mutex
	probeAt time.Time
	cause   error // of the last failure
}

// newBreaker takes at most maxFailures failures.
func newBreaker(failures int, coolDown time.Duration) *breaker {
	b := &breaker{failures: failures, coolDown: coolDown}
	b.open.Store(true)
	return b
}

// closed reports whether operations may be tried.
func (b *breaker) closed() bool { return !b.open.Load() }

// succeeded notes an operation that was answered in time.
func (b *breaker) succeeded() {
	if b.history.Load() == 0 {
		return // the usual case: nothing that could be forgotten
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.history.Store(b.history.Load() << 1)
}

// failed notes one that was not, and why. It reports whether that opened b.
// Results that come in while b is open change nothing: they are of operations
// that began before.
func (b *breaker) failed(cause error, now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.open.Load() {
		return false
	}
	b.cause = cause
	history := b.history.Load()<<1 | 1
	b.history.Store(history)
	recent := history & (1<<(2*b.failures) - 1)
	if bits.OnesCount64(recent) < b.failures {
		return false
	}
	b.probeAt = now.Add(b.coolDown)
	b.open.Store(true)
	return true
}

// due reports whether b is open, and how long until a probe is due.
func (b *breaker) due(now time.Time) (wait time.Duration, open bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return max(b.probeAt.Sub(now), 0), b.open.Load()
}

// probed notes the result of a probe; nil closes b.
func (b *breaker) probed(err error, now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.cause = err
	if err != nil {
		b.probeAt = now.Add(b.coolDown)
		return
	}
	b.history.Store(0)
	b.open.Store(false)
}

// lastCause returns why the last operation or probe failed, nil if a probe has
// succeeded since.
func (b *breaker) lastCause() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.cause
}
