package tunnelclient

import (
	"errors"
	"maps"
	"slices"
	"sync"

	"github.com/ergoproxy/ergo/shared/proxystatus"
	"github.com/ergoproxy/ergo/shared/tunnel"
)

// What happens between the first sign that a core may be gone and the certainty:
//
//	another connection to it was lost ─▶ question ─▶ suspect ─┬▶ heard: as before
//	no answer to a PING ─▶ hurry the others; late ─▶   │      └▶ silent: dead
//	                                                   ▼
//	      new exchanges go elsewhere; those without an answer that may be sent twice
//	      are handed over, the others wait

// question asks every QUIC connection but k, which was lost, whether its core is
// there. TCP is not asked: it learns from the kernel, and its retransmissions take
// too long for a short question.
func (c *Client) question(lost *conn) {
	for _, k := range *c.conns.Load() {
		if k != lost && k.carrier == QUIC {
			signal(k.questioned)
		}
	}
}

// hurry asks every connection but k, which has no answer, for a sign of life: when
// k is late it is then known which of them can take its place.
func (c *Client) hurry(silent *conn) {
	for _, k := range *c.conns.Load() {
		if k != silent {
			signal(k.hurried)
		}
	}
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default: // it stands there already
	}
}

// errLate is why an attempt was handed over.
var errLate = errors.New("core is late to answer")

// waiting holds the attempts that have no answer and may be sent twice.
type waiting struct {
	mu       sync.Mutex // guards attempts
	attempts map[*attempt]struct{}
}

func (w *waiting) add(a *attempt) {
	w.mu.Lock()
	w.attempts[a] = struct{}{}
	w.mu.Unlock()
}

func (w *waiting) remove(a *attempt) {
	w.mu.Lock()
	delete(w.attempts, a)
	w.mu.Unlock()
}

// all returns what waits now.
func (w *waiting) all() []*attempt {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Collect(maps.Keys(w.attempts))
}

// handOver ends the attempts that can as well be made elsewhere, if there is such
// a place: whoever sent them need not wait for the certainty that k is dead.
func (k *conn) handOver() {
	elsewhere := k.client.options.Elsewhere
	if !k.client.Steady() && (elsewhere == nil || !elsewhere()) {
		return
	}
	if k.tcp != nil {
		close(*k.tcp.late.Swap(new(make(chan struct{}))))
	}
	for _, a := range k.waiting.all() {
		a.handOver()
	}
}

func (a *attempt) handOver() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.answered {
		a.late = true
		a.abortLocked(tunnel.NewCode(proxystatus.ConnectionTerminated))
	}
}

// answer notes that the core has answered, and reports whether it came in time.
func (a *attempt) answer() bool {
	a.conn.waiting.remove(a)
	a.mu.Lock()
	defer a.mu.Unlock()
	a.answered = true
	return !a.late
}

func (a *attempt) wasLate() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.late
}
