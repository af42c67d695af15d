package health

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/ergoproxy/ergo/shared/config"
)

// clock is a time that moves when told to.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// newGroup returns a group without jitter: three failures eject for 1s, 2s,
// 4s, at most 5s, at most half of the members.
func newGroup() (*Group, *clock) {
	c := &clock{now: time.Unix(1_700_000_000, 0)}
	g := NewGroup(Passive{
		Failures:          3,
		Ejection:          config.Duration(time.Second),
		MaxEjection:       config.Duration(5 * time.Second),
		MaxEjectedPercent: 50,
	}, c.Now)
	g.jitter = func() float64 { return 0 }
	return g, c
}

func begin(t *testing.T, m *Member) Permit {
	t.Helper()
	p, ok := m.Begin()
	if !ok {
		t.Fatalf("Begin refused in state %v", m.State())
	}
	return p
}

func fail(t *testing.T, m *Member, n int) {
	t.Helper()
	for range n {
		begin(t, m).Failure()
	}
}

func wantState(t *testing.T, m *Member, state State, eligible bool) {
	t.Helper()
	if m.State() != state || m.Eligible() != eligible {
		t.Fatalf("state %v, eligible %v; want %v, %v", m.State(), m.Eligible(), state, eligible)
	}
}

func TestFailuresInARowEject(t *testing.T) {
	g, _ := newGroup()
	m := g.Add(1, 1, nil)
	fail(t, m, 2)
	begin(t, m).Success()
	fail(t, m, 2)
	begin(t, m).Cancel() // no verdict: the row goes on
	wantState(t, m, Up, true)
	fail(t, m, 1)
	wantState(t, m, Down, false)
	if m.Ejections() != 1 {
		t.Errorf("%d ejections, want 1", m.Ejections())
	}
}

func TestBackOffDoublesUpToItsMaximum(t *testing.T) {
	g, c := newGroup()
	m := g.Add(1, 1, nil)
	fail(t, m, 3)
	for _, d := range []time.Duration{1, 2, 4, 5, 5} {
		c.Advance(d*time.Second - 1)
		wantState(t, m, Down, false)
		c.Advance(1)
		wantState(t, m, Down, true)
		fail(t, m, 1)
		wantState(t, m, Down, false)
	}
	c.Advance(5 * time.Second)
	begin(t, m).Success()
	wantState(t, m, Up, true)
	fail(t, m, 3)
	c.Advance(time.Second)
	wantState(t, m, Down, true) // from the base time again
}

func TestJitterShortensTheBackOff(t *testing.T) {
	g, c := newGroup()
	g.jitter = func() float64 { return 0.9999 }
	m := g.Add(1, 1, nil)
	fail(t, m, 3)
	c.Advance(749 * time.Millisecond)
	wantState(t, m, Down, false)
	c.Advance(2 * time.Millisecond)
	wantState(t, m, Down, true)
}

func TestOneRequestIsOnTrial(t *testing.T) {
	g, c := newGroup()
	m := g.Add(1, 1, nil)
	fail(t, m, 3)
	if _, ok := m.Begin(); ok {
		t.Fatal("Begin let a request through during the back-off")
	}
	c.Advance(time.Second)
	trial := begin(t, m)
	wantState(t, m, Probing, false)
	if _, ok := m.Begin(); ok {
		t.Fatal("a second request was let through while one is on trial")
	}
	trial.Cancel()
	wantState(t, m, Down, true) // the next one is the trial
	begin(t, m).Success()
	wantState(t, m, Up, true)
}

func TestFailuresUnderWayDoNotCountTwice(t *testing.T) {
	g, c := newGroup()
	m := g.Add(1, 1, nil)
	var permits []Permit
	for range 20 {
		permits = append(permits, begin(t, m))
	}
	for _, p := range permits {
		p.Failure()
	}
	c.Advance(time.Second)
	wantState(t, m, Down, true)
	if m.Ejections() != 1 {
		t.Errorf("%d ejections, want 1", m.Ejections())
	}
}

func TestShareOfEjectedIsLimited(t *testing.T) {
	tests := []struct{ members, want int }{{1, 1}, {2, 1}, {3, 1}, {4, 2}, {5, 2}, {10, 5}}
	for _, tt := range tests {
		g, _ := newGroup()
		down := 0
		members := make([]*Member, tt.members)
		for i := range members {
			members[i] = g.Add(1, 1, nil)
		}
		for _, m := range members {
			fail(t, m, 3)
			if m.State() == Down {
				down++
			}
		}
		if down != tt.want {
			t.Errorf("%d of %d members ejected, want %d", down, tt.members, tt.want)
		}
	}
}

func TestRemovedMemberMakesRoom(t *testing.T) {
	g, _ := newGroup()
	a, b, c, d := g.Add(1, 1, nil), g.Add(1, 1, nil), g.Add(1, 1, nil), g.Add(1, 1, nil)
	fail(t, a, 3)
	fail(t, b, 3)
	fail(t, c, 3)
	wantState(t, c, Up, true)
	a.Remove()
	a.Remove() // counts once
	fail(t, c, 1)
	wantState(t, c, Up, true) // 2 of 3 would be too many
	b.Remove()
	fail(t, c, 1)
	wantState(t, c, Down, false)
	wantState(t, d, Up, true)
}

func TestNoEjectionWhenTurnedOff(t *testing.T) {
	g, _ := newGroup()
	g.passive.Failures = 0
	m := g.Add(1, 1, nil)
	fail(t, m, 100)
	wantState(t, m, Up, true)
}

func TestProbesHaveHysteresis(t *testing.T) {
	g, _ := newGroup()
	m := g.Add(2, 3, nil)
	for _, step := range []struct {
		ok   bool
		want State
	}{
		{false, Up}, {false, Up}, {true, Up}, {false, Up}, {false, Up}, {false, Down},
		{true, Down}, {false, Down}, {true, Down}, {true, Up},
	} {
		m.Probed(step.ok)
		wantState(t, m, step.want, step.want == Up)
	}
}

func TestBothVerdictsMustBeGood(t *testing.T) {
	g, c := newGroup()
	m := g.Add(1, 1, nil)
	fail(t, m, 3)
	m.Probed(false)
	c.Advance(time.Minute)
	wantState(t, m, Down, false) // no trial while probes fail
	m.Probed(true)
	wantState(t, m, Down, true)
	begin(t, m).Success()
	wantState(t, m, Up, true)
}

func TestForcedRequestBringsAMemberBack(t *testing.T) {
	g, _ := newGroup()
	m := g.Add(1, 1, nil)
	fail(t, m, 3)
	if !m.Usable() {
		t.Fatal("a down member is not usable")
	}
	first, second := m.Force(), m.Force()
	second.Success() // not the trial
	wantState(t, m, Probing, false)
	first.Success()
	wantState(t, m, Up, true)
}

func TestDrainingHasNoWayBack(t *testing.T) {
	g, c := newGroup()
	m := g.Add(1, 1, nil)
	p := begin(t, m)
	m.Drain()
	wantState(t, m, Draining, false)
	if m.Usable() {
		t.Error("a draining member is usable")
	}
	p.Success()
	m.Probed(true)
	c.Advance(time.Hour)
	wantState(t, m, Draining, false)
}

func TestChangesAreTold(t *testing.T) {
	g, c := newGroup()
	var got []string
	m := g.Add(1, 1, func(from, to State) { got = append(got, fmt.Sprint(from, " ", to)) })
	fail(t, m, 3)
	c.Advance(time.Second)
	begin(t, m).Failure()
	c.Advance(2 * time.Second)
	begin(t, m).Success()
	m.Drain()
	want := []string{"up down", "down probing", "probing down", "down probing", "probing up", "up draining"}
	if !slices.Equal(got, want) {
		t.Errorf("told %v, want %v", got, want)
	}
}

func TestConcurrentVerdicts(t *testing.T) {
	g, _ := newGroup()
	g.now = time.Now
	g.passive.Ejection, g.passive.MaxEjection = 1, 1 // back at once
	members := []*Member{g.Add(1, 1, nil), g.Add(1, 1, nil), g.Add(1, 1, nil)}
	var wg sync.WaitGroup
	for w := range 8 {
		wg.Go(func() {
			for i := range 3000 {
				m := members[(w+i)%len(members)]
				p, ok := m.Begin()
				if !ok {
					p = m.Force()
				}
				switch i % 5 {
				case 0:
					p.Success()
				case 1:
					p.Cancel()
				default:
					p.Failure()
				}
			}
		})
	}
	wg.Wait()
	ejectedNow := 0
	for _, m := range members {
		ejectedNow += btoi(m.bits.Load()&ejected != 0)
		if m.bits.Load()&onTrial != 0 {
			t.Error("a trial is left although all requests have ended")
		}
	}
	if g.ejected != ejectedNow {
		t.Errorf("the group counts %d ejected members, there are %d", g.ejected, ejectedNow)
	}
}

func TestHotPathDoesNotAllocate(t *testing.T) {
	g, _ := newGroup()
	m := g.Add(1, 1, nil)
	if n := testing.AllocsPerRun(1000, func() {
		if m.Eligible() {
			p, _ := m.Begin()
			p.Success()
		}
	}); n != 0 {
		t.Errorf("%v allocations, want 0", n)
	}
}
