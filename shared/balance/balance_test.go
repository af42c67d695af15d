package balance

import (
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

type member struct{ busy atomic.Int64 }

func (m *member) InFlight() int64 { return m.busy.Load() }

func idle(n int) []*member {
	members := make([]*member, n)
	for i := range members {
		members[i] = new(member)
	}
	return members
}

// seeded returns pickers whose draws are the same in each run.
func seeded() map[string]Picker[*member] {
	below := rand.New(rand.NewPCG(1, 2)).Uint32N
	return map[string]Picker[*member]{
		RoundRobin:    &roundRobin[*member]{},
		Random:        random[*member]{below},
		LeastRequests: leastRequests[*member]{below},
		PowerOfTwo:    powerOfTwo[*member]{below},
	}
}

func TestNewKnowsEveryName(t *testing.T) {
	for _, name := range Names() {
		p, err := New[*member](name)
		if err != nil {
			t.Fatalf("New(%q): %v", name, err)
		}
		if got := p.Pick(nil); got != -1 {
			t.Errorf("%s: Pick of no members = %d, want -1", name, got)
		}
		if got := p.Pick(idle(1)); got != 0 {
			t.Errorf("%s: Pick of one member = %d, want 0", name, got)
		}
	}
	_, err := New[*member]("fastest")
	if err == nil || !strings.Contains(err.Error(), "least_requests") {
		t.Errorf("New(fastest) = %v, want an error that lists the names", err)
	}
}

// chi2 is the statistic of counts against an equal share each.
func chi2(counts []int) float64 {
	total := 0
	for _, c := range counts {
		total += c
	}
	want, sum := float64(total)/float64(len(counts)), 0.0
	for _, c := range counts {
		d := float64(c) - want
		sum += d * d / want
	}
	return sum
}

func TestEqualMembersShareEqually(t *testing.T) {
	// The 99.9 % quantile of chi-squared with 6 degrees of freedom.
	const members, picks, bound = 7, 70_000, 22.46
	for name, p := range seeded() {
		pool, counts := idle(members), make([]int, members)
		for range picks {
			counts[p.Pick(pool)]++
		}
		if got := chi2(counts); got > bound {
			t.Errorf("%s: chi-squared of %v is %.1f, want at most %.2f", name, counts, got, bound)
		}
	}
}

func TestIdleMembersShareWhatBusyOnesDoNotGet(t *testing.T) {
	pool, counts := idle(5), make([]int, 5)
	pool[0].busy.Store(9)
	pool[3].busy.Store(9)
	p := seeded()[LeastRequests]
	for range 30_000 {
		counts[p.Pick(pool)]++
	}
	if counts[0] != 0 || counts[3] != 0 {
		t.Errorf("busy members were picked: %v", counts)
	}
	// 99.9 % quantile, 2 degrees of freedom.
	if got := chi2([]int{counts[1], counts[2], counts[4]}); got > 13.82 {
		t.Errorf("chi-squared of %v is %.1f, want at most 13.82", counts, got)
	}
}

func TestPowerOfTwoNeverTakesTheBusiest(t *testing.T) {
	pool := idle(4)
	for i, m := range pool {
		m.busy.Store(int64(i))
	}
	counts := make([]int, 4)
	p := seeded()[PowerOfTwo]
	for range 10_000 {
		counts[p.Pick(pool)]++
	}
	if counts[3] != 0 {
		t.Errorf("the busiest of four won %d draws against a less busy one", counts[3])
	}
	for i := range 3 {
		if counts[i] == 0 {
			t.Errorf("member %d starved: %v", i, counts)
		}
	}
}

// While goroutines pick at once, one that is held up makes its member look busy for
// as long, so how picks spread then is the scheduler's business. What they leave
// behind is not: all members are idle, and each is picked again.
func TestConcurrentPicksLeaveEveryMemberToBePicked(t *testing.T) {
	for _, name := range Names() {
		p, err := New[*member](name)
		if err != nil {
			t.Fatal(err)
		}
		pool := idle(5)
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				for range 2_000 {
					i := p.Pick(pool)
					pool[i].busy.Add(1)
					pool[i].busy.Add(-1)
				}
			})
		}
		wg.Wait()
		counts := make([]int, len(pool))
		for range 16_000 {
			counts[p.Pick(pool)]++
		}
		for i, n := range counts {
			if n < 16_000/5/2 {
				t.Errorf("%s: member %d was picked %d times of 16000, want about 3200", name, i, n)
			}
		}
	}
}

func TestPickDoesNotAllocate(t *testing.T) {
	pool := idle(10)
	for _, name := range Names() {
		p, err := New[*member](name)
		if err != nil {
			t.Fatal(err)
		}
		if n := testing.AllocsPerRun(1000, func() { p.Pick(pool) }); n != 0 {
			t.Errorf("%s: %v allocations per pick, want 0", name, n)
		}
	}
}

func BenchmarkPick(b *testing.B) {
	pool := idle(10)
	for _, name := range Names() {
		p, err := New[*member](name)
		if err != nil {
			b.Fatal(err)
		}
		b.Run(name, func(b *testing.B) {
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					p.Pick(pool)
				}
			})
		})
	}
}
