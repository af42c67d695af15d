//go:build linux

package chaos

import (
	"math/rand/v2"
	"net/http"
	"testing"
	"time"
)

// TestKilledBackends kills backends in turn, with two of three always up: every
// GET is answered, and those POSTs fail whose backend was killed under them.
func TestKilledBackends(t *testing.T) {
	f := launch(t, whole)
	rate, d := shorter()
	l := f.send(t, mixed(rate))
	var cuts []cut
	for time.Since(l.book.start) < d {
		letPass(between(200*time.Millisecond, 600*time.Millisecond))
		i := rand.IntN(len(f.backend))
		c := cut{inFlight: l.book.inFlight(http.MethodPost), at: time.Now()}
		f.backend[i].kill(t)
		cuts = append(cuts, c)
		letPass(between(0, time.Second))
		f.backend[i].start(t)
		f.awaitBackend(t, i)
	}
	b := l.finish()
	b.check(t, f.executed(t))
	none(t, "a GET failed", b.failed(http.MethodGet))
	checkCut(t, b, cuts)
}
