package link

import (
	"math"
	"slices"
	"testing"
)

// observed returns a rate that has seen n packets of which each was an event with
// probability p, in reports of 20 packets, and all its estimates from a quarter on.
func observed(seed uint64, p float64, n int) (r rate, estimates []float64) {
	rng := newRand(seed)
	for at := uint64(0); at < uint64(n); at += 20 {
		events := 0
		for range 20 {
			if rng.Float64() < p {
				events++
			}
		}
		r.observe(at, at+20, events)
		if estimate := r.perPacket(at + 20); at > uint64(n)/4 {
			estimates = append(estimates, estimate)
		}
	}
	return r, estimates
}

func TestEstimateIsNearTheTruth(t *testing.T) {
	for _, p := range []float64{0.0005, 0.001, 0.01, 0.03, 0.1} {
		_, estimates := observed(1, p, int(2000/p))
		slices.Sort(estimates)
		at := func(q float64) float64 { return estimates[int(q*float64(len(estimates)-1))] }
		if at(0.05) < 0.7*p || at(0.5) < 0.9*p || at(0.5) > 1.4*p || at(0.95) > 2*p {
			t.Errorf("%v: estimates are %.5f, %.5f and %.5f (5 %%, 50 %% and 95 %% of them)", p, at(0.05), at(0.5), at(0.95))
		}
		if p >= 0.001 && at(0.001) == 0 {
			t.Errorf("%v: forgotten more often than one time in 1000", p)
		}
	}
}

func TestNothingIsEstimatedFromNothing(t *testing.T) {
	r, _ := observed(1, 0, 1_000_000)
	if got := r.perPacket(1_000_000); got != 0 {
		t.Errorf("estimate %v without an event", got)
	}
}

func TestEstimateRisesAtOnceAndEndsAfterAWhile(t *testing.T) {
	r, _ := observed(1, 0.001, 20_000)
	r.observe(20_000, 20_100, 5)
	if got := r.perPacket(20_100); got < 0.02 {
		t.Errorf("%v after five events in 100 packets", got)
	}
	r = rate{}
	for at := uint64(0); at < 10_000; at += 1000 {
		r.observe(at, at+1000, 10)
	}
	for _, c := range []struct {
		after uint64
		none  bool
	}{{100, false}, {500, false}, {1000, false}, {1300, true}, {1e9, true}} {
		copied := r
		if got := copied.perPacket(10_000 + c.after); (got == 0) != c.none {
			t.Errorf("%v when nothing came for %d packets", got, c.after)
		}
	}
}

func TestOneEventIsNotTakenForMuch(t *testing.T) {
	for _, c := range []struct {
		clean uint64
		most  float64
	}{{0, 0.02}, {1000, 0.001}, {100_000, 0.00001}} {
		var r rate
		r.observe(c.clean, c.clean+1, 1)
		if got := r.perPacket(c.clean + 1); got <= 0 || got > c.most {
			t.Errorf("%v after one event in %d packets, want at most %v", got, c.clean+1, c.most)
		}
	}
}

func TestMoreEventsThanAHistoryAreNotTooMany(t *testing.T) {
	var r rate
	r.observe(0, 1000, 1_000_000)
	if got := r.perPacket(1000); got <= 0 || got > 1 || math.IsNaN(got) {
		t.Errorf("estimate %v", got)
	}
	r.observe(1000, 1000, 5) // a report without packets
	if got := r.perPacket(1000); got <= 0 || math.IsInf(got, 0) || math.IsNaN(got) {
		t.Errorf("estimate %v", got)
	}
}

// lostAt is the loss of runs that begin so often, by length.
func lostAt(single, four float64) losses { return losses{single, 0, four} }

func TestTailIsWhatSimulationSays(t *testing.T) {
	rng := newRand(1)
	for _, c := range []struct {
		losses  losses
		n, rows int
	}{
		{lostAt(0.01, 0), 10, 1},
		{lostAt(0.01, 0), 128, 3},
		{lostAt(0.05, 0), 64, 4},
		{lostAt(0.1, 0), 128, 16},
		{lostAt(0, 0.005), 128, 4},
		{lostAt(0.01, 0.003), 128, 6},
	} {
		const rounds = 40_000
		sum := 0.0
		for range rounds {
			lost := poisson(rng.Float64, c.losses[0]*float64(c.n)) + 4*poisson(rng.Float64, c.losses[2]*float64(c.n))
			if lost > c.rows {
				sum += float64(lost)
			}
		}
		want := sum / rounds
		if got := c.losses.tail(c.n, c.rows); math.Abs(got-want) > 0.1*want+0.005 {
			t.Errorf("%v, %d packets, %d rows: %.4f stay lost, want %.4f", c.losses[:3], c.n, c.rows, got, want)
		}
	}
}

// poisson draws a number of events of which there are mean on average.
func poisson(uniform func() float64, mean float64) int {
	n := 0
	for p := uniform(); p > math.Exp(-mean); p *= uniform() {
		n++
	}
	return n
}

func TestTailWithoutRowsIsAllThatIsLost(t *testing.T) {
	l := losses{0.01, 0.001, 0, 0, 0.0001, 0}
	if got, want := l.tail(100, 0), 100*(0.01+0.002+0.0016); math.Abs(got-want) > 1e-9 {
		t.Errorf("%v, want %v", got, want)
	}
	if got := (&losses{}).tail(100, 0); got != 0 {
		t.Errorf("%v although nothing is lost", got)
	}
}
