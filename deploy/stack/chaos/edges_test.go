//go:build linux

package chaos

import (
	"errors"
	"net/http"
	"slices"
	"syscall"
	"testing"
	"time"
)

// TestDrainedEdges stops an edge with SIGTERM, and kills it, while clients use the
// other one: they see nothing of it.
func TestDrainedEdges(t *testing.T) {
	f := launch(t, whole)
	rate, d := shorter()
	l := f.send(t, traffic{rate: rate, posts: true, slow: 60 * time.Millisecond, edges: []int{0}})
	idle := f.send(t, traffic{rate: rate / 5, edges: []int{1}}) // that others use too
	var longest time.Duration
	for kill := false; time.Since(l.book.start) < d; kill = !kill {
		letPass(300 * time.Millisecond)
		if kill {
			f.edge[1].kill(t)
		} else {
			longest = max(longest, f.edge[1].drain(t))
		}
		f.edge[1].start(t)
		f.awaitEdge(t, 1)
	}
	idle.finish()
	b := l.finish()
	executed := f.executed(t)
	for id := range executed {
		if !slices.ContainsFunc(b.entries, func(e *entry) bool { return e.id == id }) {
			delete(executed, id)
		}
	}
	b.check(t, executed)
	none(t, "failed", b.failed(http.MethodGet))
	none(t, "failed", b.failed(http.MethodPost))
	t.Logf("the longest drain took %s", longest.Round(time.Millisecond))
}

var errOld = errors.New("the generation is the same")

// TestReloadStorm reloads every edge and core 50 times under traffic: nothing
// fails, and no tunnel is cut.
func TestReloadStorm(t *testing.T) {
	const reloads = 50
	f := launch(t, whole)
	rate, _ := shorter()
	l := f.send(t, mixed(rate))
	tiers := slices.Concat(f.edge, f.core)
	generation := func(i int) uint64 {
		if i < len(f.edge) {
			s, err := f.edgeStatus(i)
			if err != nil {
				t.Fatal(err)
			}
			return s.Generation
		}
		s, err := f.coreStatus(i - len(f.edge))
		if err != nil {
			t.Fatal(err)
		}
		return s.Generation
	}
	start := time.Now()
	for range reloads {
		for i, tier := range tiers {
			before := generation(i)
			tier.signal(t, syscall.SIGHUP)
			eventually(t, 5*time.Second, tier.name+" reloaded", func() error {
				if generation(i) == before {
					return errOld
				}
				return nil
			})
		}
	}
	took := time.Since(start)
	b := l.finish()
	b.check(t, f.executed(t))
	none(t, "failed", b.failed(http.MethodGet))
	none(t, "failed", b.failed(http.MethodPost))
	for _, tier := range tiers {
		if lost := tier.said(t, "tunnel connection lost", start); len(lost) > 0 {
			t.Errorf("%s lost %d tunnel connections", tier.name, len(lost))
		}
	}
	t.Logf("%d reloads of %d tiers in %s", reloads, len(tiers), took.Round(time.Millisecond))
}
