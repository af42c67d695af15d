package tunnel

import (
	"context"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func rtt(d time.Duration) func() time.Duration { return func() time.Duration { return d } }

// pass lets the sender use the whole limit, again and again, and the reader take
// it in pieces of a quarter of the smallest window with a pause between two.
func pass(t *testing.T, w *receiveWindow, total int64, pause, rtt time.Duration) {
	t.Helper()
	for passed := int64(0); passed < total; passed += MinWindow / 4 {
		if err := w.arrived(MinWindow / 4); err != nil {
			t.Fatal(err)
		}
		<-time.After(pause) // synctest's clock
		w.consume(MinWindow/4, func() time.Duration { return rtt })
		if w.reserved < w.limit-w.consumed {
			t.Fatalf("%d bytes reserved, the sender may send %d", w.reserved, w.limit-w.consumed)
		}
	}
}

func TestSlowReaderGivesItsWindowBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		budget := NewBudget(64 << 20)
		var w receiveWindow
		if n := w.begin(budget, 0); n != startWindow {
			t.Fatalf("first window %d, want %d", n, startWindow)
		}
		pass(t, &w, 4*startWindow, 2*time.Second, 10*time.Millisecond)
		if w.window != MinWindow || budget.Used() != MinWindow {
			t.Errorf("window %d, used %d, want %d for both", w.window, budget.Used(), MinWindow)
		}
		w.end()
		w.end()
		if budget.Used() != 0 {
			t.Errorf("%d bytes are reserved after the end", budget.Used())
		}
	})
}

func TestFastReaderGrowsToTheMaximum(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		budget := NewBudget(256 << 20)
		var w receiveWindow
		w.begin(budget, 0)
		pass(t, &w, 64<<20, time.Microsecond, 100*time.Millisecond)
		if w.window != MaxWindow || budget.Used() != MaxWindow {
			t.Errorf("window %d, used %d, want %d", w.window, budget.Used(), MaxWindow)
		}
		w.end()
		if budget.Used() != 0 {
			t.Errorf("%d bytes are reserved after the end", budget.Used())
		}
	})
}

func TestReadersThatStopCannotTakeEverything(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		budget := NewBudget(256 << 20)
		windows := make([]receiveWindow, 100)
		for i := range windows { // each reads fast until its window is as large as it gets, and stops
			windows[i].begin(budget, 0)
			pass(t, &windows[i], 32<<20, 0, 100*time.Millisecond)
		}
		if free := budget.Total() - budget.Used(); free < budget.Total()/3 {
			t.Errorf("100 readers that stopped left %d bytes of %d", free, budget.Total())
		}
	})
}

func TestThousandsOfIdleExchangesHaveRoom(t *testing.T) {
	budget := NewBudget(256 << 20)
	n := 0
	for ; ; n++ {
		var w receiveWindow
		if w.begin(budget, 0) == 0 {
			break
		}
	}
	if n < 3500 {
		t.Errorf("%d exchanges fit into 256 MiB, want 3500", n)
	}
	if budget.Used() > budget.Total() {
		t.Errorf("%d bytes reserved of %d", budget.Used(), budget.Total())
	}
}

func TestWindowRefusesWhatHasNoCredit(t *testing.T) {
	var w receiveWindow
	w.begin(NewBudget(1<<20), 1000)
	if err := w.arrived(1000); err != nil {
		t.Error(err)
	}
	if err := w.arrived(1); err == nil {
		t.Error("a byte beyond the limit was taken")
	}
}

func TestLimitNeverFalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var w receiveWindow
		limit := w.begin(NewBudget(64<<20), 0)
		random := rand.New(rand.NewPCG(1, 2))
		for range 20_000 {
			n := min(random.Int64N(64<<10)+1, w.limit-w.consumed)
			<-time.After(time.Duration(random.Int64N(int64(50 * time.Millisecond))))
			if next, tell := w.consume(n, rtt(20*time.Millisecond)); tell {
				if next < limit {
					t.Fatalf("limit fell from %d to %d", limit, next)
				}
				limit = next
			}
			if w.limit == w.consumed {
				t.Fatal("the sender may not send and is not told anything")
			}
		}
	})
}

func TestBudgetHoldsUnderStress(t *testing.T) {
	budget := NewBudget(8 << 20)
	var g sync.WaitGroup
	for i := range 16 {
		g.Go(func() {
			random := rand.New(rand.NewPCG(uint64(i), 0))
			for range 500 {
				var w receiveWindow
				if w.begin(budget, random.Int64N(2<<20)) == 0 {
					continue
				}
				for range 20 {
					w.consume(min(random.Int64N(256<<10), w.limit-w.consumed), rtt(time.Second))
					if used := budget.free.Load(); used < -64<<20 {
						t.Error("budget overdrawn")
					}
				}
				w.end()
			}
		})
	}
	g.Wait()
	if budget.Used() != 0 {
		t.Errorf("%d bytes are reserved after the end", budget.Used())
	}
}

func TestGrantOfAnEarlierExchangeIsIgnored(t *testing.T) {
	w := sendWindow{grown: make(chan struct{}, 1)}
	w.begin(10)
	w.grant(1, 20)
	w.grant(1, 15) // overtaken
	if n := w.take(100); n != 20 {
		t.Errorf("took %d, want 20", n)
	}
	w.begin(5)
	w.grant(1, 1000)
	w.grant(3, 1000)
	if n := w.take(100); n != 5 {
		t.Errorf("took %d after late grants, want 5", n)
	}
	w.begin(0)
	w.grant(3, 7)
	if n := w.take(1 << 20); n != 1<<20 {
		t.Errorf("took %d without a limit", n)
	}
}

func TestSenderWaitsForCredit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := sendWindow{grown: make(chan struct{}, 1)}
		w.begin(1)
		w.take(1)
		ctx, cancel := context.WithCancel(t.Context())
		got := make(chan error, 1)
		go func() { got <- w.wait(ctx) }()
		synctest.Wait()
		w.grant(1, 2)
		if err := <-got; err != nil || w.take(5) != 1 {
			t.Errorf("after a grant: %v", err)
		}
		go func() { got <- w.wait(ctx) }()
		synctest.Wait()
		cancel()
		if err := <-got; err != context.Canceled {
			t.Errorf("after cancel: %v", err)
		}
	})
}
