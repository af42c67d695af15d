//go:build linux

package chaos

import (
	"fmt"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// An entry is one request in a client's book.
type entry struct {
	id, method  string
	edge        int
	slow        time.Duration // at the backend, on purpose
	began       time.Time
	connections int // that it was sent on

	took   time.Duration // 0: not answered yet
	status int           // 0: none came
	why    string        // Proxy-Status of an answer that is not 200
	err    error
}

func (e *entry) answered() bool { return e.status == http.StatusOK && e.err == nil }

func (e *entry) String() string {
	return fmt.Sprintf("%s at edge %d, after %s: status %d, %q, %v, %d connections", e.id, e.edge+1, e.took.Round(time.Millisecond),
		e.status, e.why, e.err, e.connections)
}

// A book is what the clients know: each request, and how it was answered.
type book struct {
	start    time.Time
	overflow atomic.Int64 // requests that were due and not sent: too many waited

	mu      sync.Mutex // guards entries, and of each what close sets
	entries []*entry
}

func (b *book) open(e *entry) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.entries = append(b.entries, e)
}

func (b *book) close(e *entry, status int, why string, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	e.took, e.status, e.why, e.err = max(time.Since(e.began), 1), status, why, err
}

// inFlight returns how many requests of method wait for an answer.
func (b *book) inFlight(method string) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	n := 0
	for _, e := range b.entries {
		if e.took == 0 && e.method == method {
			n++
		}
	}
	return n
}

// of returns the entries that want says yes to. The clients must have finished.
func (b *book) of(want func(*entry) bool) []*entry {
	var found []*entry
	for _, e := range b.entries {
		if want(e) {
			found = append(found, e)
		}
	}
	return found
}

// failed returns the requests of method that did not get the answer of a backend.
func (b *book) failed(method string) []*entry {
	return b.of(func(e *entry) bool { return e.method == method && !e.answered() })
}

// check compares the book with what the backends executed: all that was answered
// was executed, no POST was executed twice, nothing was executed that was never
// sent, and what failed was told so by a proxy that says why.
func (b *book) check(t *testing.T, executed map[string]int) {
	t.Helper()
	if n := b.overflow.Load(); n > 0 {
		t.Errorf("%d requests were not sent, since %d were waiting", n, maxInFlight)
	}
	for _, e := range b.entries {
		n := executed[e.id]
		switch {
		case e.answered() && n == 0:
			t.Errorf("answered and not executed: %v", e)
		case e.method == http.MethodPost && n > 1:
			t.Errorf("executed %d times: %v", n, e)
		case !e.answered() && !honest(e):
			t.Errorf("failed without an honest answer: %v", e)
		case e.connections > 1:
			t.Errorf("the client had to send it again: %v", e)
		}
		delete(executed, e.id)
	}
	for id, n := range executed {
		t.Errorf("executed %d times and never sent: %s", n, id)
	}
	b.report(t)
}

// honest reports whether a failure was told as one: by a gateway's status, and
// the reason.
func honest(e *entry) bool {
	switch e.status {
	case http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return e.err == nil && e.why != ""
	}
	return false
}

// none fails the test for every entry there is.
func none(t *testing.T, what string, entries []*entry) {
	t.Helper()
	for i, e := range entries {
		if i == 10 {
			t.Errorf("%s: and %d more", what, len(entries)-i)
			return
		}
		t.Errorf("%s: %v", what, e)
	}
}

// report logs how long the answers took, without what was asked of the backend.
func (b *book) report(t *testing.T) {
	t.Helper()
	for _, method := range []string{http.MethodGet, http.MethodPost} {
		var took []time.Duration
		for _, e := range b.entries {
			if e.method == method && e.answered() {
				took = append(took, e.took-e.slow)
			}
		}
		if len(took) == 0 {
			continue
		}
		slices.Sort(took)
		at := func(q float64) time.Duration {
			return took[min(int(q*float64(len(took))), len(took)-1)].Round(100 * time.Microsecond)
		}
		t.Logf("%s: %d answered, %d failed; p50 %s, p99 %s, p99.9 %s, longest %s", method, len(took), len(b.failed(method)),
			at(.5), at(.99), at(.999), at(1))
	}
}
