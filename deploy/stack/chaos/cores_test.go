//go:build linux

package chaos

import (
	"errors"
	"math/rand/v2"
	"net/http"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
)

// whole is the fleet that most tests run.
var whole = plan{edges: 2, cores: 2, backends: 3}

// proof returns how hard the proof is: 1,000 requests a second for a minute with
// ERGO_LONG=1, less otherwise.
func proof() (rate int, d time.Duration) {
	switch {
	case os.Getenv("ERGO_LONG") == "1":
		return 1000, time.Minute
	case raceEnabled || testing.Short():
		return 200, 10 * time.Second
	}
	return 1000, 15 * time.Second
}

// shorter is for the proofs beside the main one.
func shorter() (rate int, d time.Duration) {
	rate, d = proof()
	return min(rate, 500), min(d, 8*time.Second)
}

// mixed is GETs and POSTs, of which some are under way at every moment.
func mixed(rate int) traffic {
	return traffic{rate: rate, posts: true, slow: 60 * time.Millisecond}
}

// letPass lets traffic run for a while.
func letPass(d time.Duration) { <-time.After(d) }

// between returns a random time.
func between(low, high time.Duration) time.Duration { return low + rand.N(high-low) }

// A cut is the moment at which a core was killed.
type cut struct {
	at       time.Time
	inFlight int // POSTs that waited for an answer
}

// TestKilledCores kills cores in turn with one always up: every GET is answered,
// no POST is executed twice, and those POSTs fail whose core was killed under them.
func TestKilledCores(t *testing.T) {
	f := launch(t, whole)
	rate, d := proof()
	l := f.send(t, mixed(rate))
	var cuts []cut
	for time.Since(l.book.start) < d {
		letPass(between(300*time.Millisecond, time.Second))
		i := rand.IntN(len(f.core))
		c := cut{inFlight: l.book.inFlight(http.MethodPost), at: time.Now()}
		f.core[i].kill(t)
		cuts = append(cuts, c)
		letPass(between(0, 2*time.Second))
		f.core[i].start(t)
		f.awaitBack(t, i)
	}
	b := l.finish()
	b.check(t, f.executed(t))
	none(t, "a GET failed", b.failed(http.MethodGet))
	checkCut(t, b, cuts)
}

// TestDrainedCores stops cores with SIGTERM, one after another: nothing fails.
func TestDrainedCores(t *testing.T) {
	f := launch(t, whole)
	rate, d := shorter()
	l := f.send(t, mixed(rate))
	var longest time.Duration
	stops := 0
	for ; time.Since(l.book.start) < d; stops++ {
		i := stops % len(f.core)
		letPass(between(100*time.Millisecond, 500*time.Millisecond))
		longest = max(longest, f.core[i].drain(t))
		letPass(between(0, 500*time.Millisecond))
		f.core[i].start(t)
		f.awaitBack(t, i)
	}
	b := l.finish()
	b.check(t, f.executed(t))
	none(t, "failed", b.failed(http.MethodGet))
	none(t, "failed", b.failed(http.MethodPost))
	t.Logf("%d drains, the longest took %s", stops, longest.Round(time.Millisecond))
}

// TestAllCoresGone kills every core: clients get 503 at once, with the reason and
// when to ask again, and the first core that is back serves within a second.
func TestAllCoresGone(t *testing.T) {
	f := launch(t, whole)
	for _, c := range f.core {
		c.kill(t)
	}
	for i := range f.edge {
		took := eventually(t, 5*time.Second, f.edge[i].name+" not ready", func() error {
			s, err := f.edgeStatus(i)
			if err == nil && s.Ready {
				err = errors.New("still ready")
			}
			return err
		})
		t.Logf("%s knew after %s", f.edge[i].name, took.Round(time.Millisecond))
	}
	for range 20 {
		f.refusedAtOnce(t)
	}
	f.core[1].start(t)
	f.awaitCore(t, 1)
	served := eventually(t, 5*time.Second, "service", func() error { return f.get(f.nearEdge, f.edgeURL(0)+"/bytes/10", nil) })
	t.Logf("served %s after the core was ready", served.Round(time.Millisecond))
	if served > time.Second {
		t.Errorf("the edge served only %s after the core was ready, want within a second", served)
	}
}

// refusedAtOnce sends a request that no core can take.
func (f *fleet) refusedAtOnce(t *testing.T) {
	t.Helper()
	start := time.Now()
	res, err := f.nearEdge.Post(f.edgeURL(0)+"/count?id=nobody", "text/plain", strings.NewReader("x"))
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	took := time.Since(start)
	h := res.Header
	if res.StatusCode != http.StatusServiceUnavailable || h.Get("Retry-After") == "" || h.Get("X-Request-Id") == "" ||
		!strings.Contains(h.Get("Proxy-Status"), "destination_unavailable") {
		t.Fatalf("status %d, header %v", res.StatusCode, h)
	}
	if took > 500*time.Millisecond {
		t.Errorf("the refusal took %s", took)
	}
}

// TestRestartIsNoticed kills a core that idle and busy edges are connected to, and
// starts it again within 300 ms: the edges are back at once, and not when the old
// connections time out.
func TestRestartIsNoticed(t *testing.T) {
	for name, rate := range map[string]int{"idle": 0, "busy": 200} {
		t.Run(name, func(t *testing.T) {
			f := launch(t, whole)
			l := f.send(t, traffic{rate: rate})
			letPass(time.Second)
			f.core[0].kill(t)
			letPass(between(50*time.Millisecond, 150*time.Millisecond))
			f.core[0].start(t)
			f.awaitCore(t, 0)
			took := f.awaitBack(t, 0)
			t.Logf("back %s after the core was ready", took.Round(time.Millisecond))
			if took > 2*time.Second {
				t.Errorf("back only after %s", took)
			}
			b := l.finish()
			b.check(t, f.executed(t))
			none(t, "a GET failed", b.failed(http.MethodGet))
		})
	}
}

// TestFrozenCore stops a core in mid-breath: GETs go on by way of the other one,
// POSTs that were under way are answered honestly, and when it breathes again it
// is used again.
func TestFrozenCore(t *testing.T) {
	f := launch(t, whole)
	l := f.send(t, mixed(200))
	letPass(time.Second)
	frozen := cut{inFlight: l.book.inFlight(http.MethodPost), at: time.Now()}
	f.core[0].signal(t, syscall.SIGSTOP)
	letPass(3 * time.Second)
	f.core[0].signal(t, syscall.SIGCONT)
	thawed := time.Now()
	for i := range f.edge {
		took := f.awaitSteady(t, i, 0, 10*time.Second)
		t.Logf("%s uses it again after %s", f.edge[i].name, took.Round(time.Millisecond))
	}
	letPass(500 * time.Millisecond)
	b := l.finish()
	b.check(t, f.executed(t))
	none(t, "a GET failed", b.failed(http.MethodGet))
	checkCut(t, b, []cut{frozen})
	if s, err := f.coreStatus(0); err != nil || len(s.Tunnels) == 0 {
		t.Errorf("tunnels of the core that came back: %v, %v", s.Tunnels, err)
	}
	if len(f.edge[0].said(t, "tunnel connection lost", frozen.at)) == 0 || len(f.edge[0].said(t, "tunnel connection up", thawed)) == 0 {
		t.Errorf("the log of edge-1 does not tell of it:\n%s", tail(f.edge[0].log()))
	}
}

// noticeLimit is how long after a core's death an edge may still send it requests:
// dead_after, and the time between two questions.
const noticeLimit = 1500 * time.Millisecond

// checkCut demands that every POST that failed was under way when a core died, or
// sent before the edge could know of it.
func checkCut(t *testing.T, b *book, cuts []cut) {
	t.Helper()
	failed := b.failed(http.MethodPost)
	allowed, blind := 0, 0
	for _, c := range cuts {
		allowed += c.inFlight
	}
	for _, e := range failed {
		excused := false
		for _, c := range cuts {
			if e.began.Before(c.at.Add(noticeLimit)) && e.began.Add(e.took).After(c.at) {
				excused = true
				if e.began.After(c.at) {
					blind++
				}
				break
			}
		}
		if !excused {
			t.Errorf("a POST failed while no core was being killed: %v", e)
		}
	}
	t.Logf("%d kills; POSTs: %d in flight then, %d failed, %d of them sent between the death and its discovery",
		len(cuts), allowed, len(failed), blind)
	if len(failed)-blind > allowed {
		t.Errorf("%d POSTs failed that were sent before a kill, but only %d were in flight", len(failed)-blind, allowed)
	}
}
