package retry_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"testing"
	"time"

	"github.com/ergoproxy/ergo/shared/retry"
)

// clock is a time that moves when told to.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func newClock() *clock { return &clock{now: time.Unix(1_700_000_000, 0)} }

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

func TestAllowed(t *testing.T) {
	gone, cancel := context.WithCancel(context.Background())
	cancel()
	alive := context.Background()
	tests := []struct {
		name   string
		ctx    context.Context
		failed retry.Failed
		empty  bool // budget
		want   retry.Verdict
	}{
		{"GET that may have run", alive, retry.Failed{Method: "GET", Replayable: true, Tries: 1, MaxTries: 2}, false, retry.Again},
		{"PUT that may have run", alive, retry.Failed{Method: "PUT", Replayable: true, Tries: 1, MaxTries: 2}, false, retry.Again},
		{"POST that may have run", alive, retry.Failed{Method: "POST", Replayable: true, Tries: 1, MaxTries: 2}, false, retry.MayHaveRun},
		{"PATCH that may have run", alive, retry.Failed{Method: "PATCH", Replayable: true, Tries: 1, MaxTries: 2}, false, retry.MayHaveRun},
		{"unknown method in lower case", alive, retry.Failed{Method: "get", Replayable: true, Tries: 1, MaxTries: 2}, false, retry.MayHaveRun},
		{"POST never sent", alive, retry.Failed{Method: "POST", Stage: retry.Unsent, Replayable: true, Tries: 1, MaxTries: 2}, false, retry.Again},
		{"POST refused", alive, retry.Failed{Method: "POST", Stage: retry.Refused, Replayable: true, Tries: 1, MaxTries: 2}, false, retry.Again},
		{"POST never sent, body gone", alive, retry.Failed{Method: "POST", Stage: retry.Unsent, Tries: 1, MaxTries: 2}, false, retry.BodyGone},
		{"GET with body gone", alive, retry.Failed{Method: "GET", Tries: 1, MaxTries: 2}, false, retry.BodyGone},
		{"response passed on", alive, retry.Failed{Method: "GET", Stage: retry.Refused, Replayable: true, Begun: true, Tries: 1, MaxTries: 2}, false, retry.ResponseBegun},
		{"client gone", gone, retry.Failed{Method: "GET", Replayable: true, Tries: 1, MaxTries: 2}, false, retry.Canceled},
		{"last try", alive, retry.Failed{Method: "GET", Replayable: true, Tries: 2, MaxTries: 2}, false, retry.NoTriesLeft},
		{"budget empty, never sent", alive, retry.Failed{Method: "POST", Stage: retry.Unsent, Replayable: true, Tries: 1, MaxTries: 2}, true, retry.Again},
		{"budget empty, refused", alive, retry.Failed{Method: "POST", Stage: retry.Refused, Replayable: true, Tries: 1, MaxTries: 2}, true, retry.NoBudget},
		{"late answer to a POST", alive, retry.Failed{Method: "POST", Stage: retry.Late, Replayable: true, Tries: 1, MaxTries: 2}, false, retry.MayHaveRun},
		{"late answer to a GET", alive, retry.Failed{Method: "GET", Stage: retry.Late, Replayable: true, Tries: 1, MaxTries: 2}, false, retry.Again},
		{"budget empty", alive, retry.Failed{Method: "GET", Replayable: true, Tries: 1, MaxTries: 2}, true, retry.NoBudget},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			perSecond := 1.0
			if tt.empty {
				perSecond = 0
			}
			budget := retry.NewBudget(0, perSecond, newClock().Now)
			if got := retry.Allowed(tt.ctx, tt.failed, budget); got != tt.want {
				t.Errorf("Allowed = %v, want %v", got, tt.want)
			}
		})
	}
}

func TestRefusalLeavesTheBudgetAlone(t *testing.T) {
	budget := retry.NewBudget(0, 0.1, newClock().Now) // one retry in ten seconds
	post := retry.Failed{Method: "POST", Replayable: true, Tries: 1, MaxTries: 2}
	for range 5 {
		if got := retry.Allowed(context.Background(), post, budget); got != retry.MayHaveRun {
			t.Fatalf("Allowed = %v, want %v", got, retry.MayHaveRun)
		}
	}
	if !budget.Withdraw() {
		t.Error("the budget was used by retries that were not allowed")
	}
}

func TestStageOf(t *testing.T) {
	refused := &retry.Failure{Stage: retry.Refused, Err: io.ErrUnexpectedEOF}
	tests := []struct {
		name string
		err  error
		want retry.Stage
	}{
		{"nil", nil, retry.Unknown},
		{"plain", io.EOF, retry.Unknown},
		{"failure", refused, retry.Refused},
		{"wrapped failure", fmt.Errorf("core-1: %w", refused), retry.Refused},
	}
	for _, tt := range tests {
		if got := retry.StageOf(tt.err); got != tt.want {
			t.Errorf("%s: StageOf = %v, want %v", tt.name, got, tt.want)
		}
	}
	if !errors.Is(refused, io.ErrUnexpectedEOF) {
		t.Error("a Failure hides its cause")
	}
}

func TestBudgetGrantsItsShareOfRecentRequests(t *testing.T) {
	c := newClock()
	b := retry.NewBudget(0.2, 0, c.Now)
	withdraw := func() (n int) {
		for b.Withdraw() {
			n++
		}
		return n
	}
	if got := withdraw(); got != 0 {
		t.Errorf("%d retries without any request", got)
	}
	for range 100 {
		b.Deposit()
	}
	if got := withdraw(); got != 20 {
		t.Errorf("%d retries for 100 requests, want 20", got)
	}
	c.Advance(5 * time.Second)
	if got := withdraw(); got != 0 {
		t.Errorf("%d more retries for the same requests", got)
	}
	for range 50 {
		b.Deposit()
	}
	if got := withdraw(); got != 10 {
		t.Errorf("%d retries for 50 more requests, want 10", got)
	}
	c.Advance(6 * time.Second) // the first hundred are too old, the fifty are not
	if got := withdraw(); got != 0 {
		t.Errorf("%d retries after the old ones were forgotten, want 0", got)
	}
	c.Advance(time.Hour)
	if got := withdraw(); got != 0 {
		t.Errorf("%d retries after an idle hour, want 0", got)
	}
}

func TestBudgetFloorServesQuietPools(t *testing.T) {
	c := newClock()
	b := retry.NewBudget(0.2, 1, c.Now)
	granted := 0
	for range 60 {
		if b.Withdraw() {
			granted++
		}
		c.Advance(time.Second / 2)
	}
	// 30 seconds: the window's ten at once, then about one a second.
	if granted < 29 || granted > 40 {
		t.Errorf("%d retries in 30 s at 1 per second", granted)
	}
}

func TestBudgetHoldsUnderConcurrency(t *testing.T) {
	b := retry.NewBudget(0.1, 0, newClock().Now)
	var mu sync.Mutex
	granted := 0
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 1000 {
				b.Deposit()
				if b.Withdraw() {
					mu.Lock()
					granted++
					mu.Unlock()
				}
			}
		})
	}
	wg.Wait()
	if granted > 800 || granted < 400 {
		t.Errorf("%d retries for 8000 requests at 10 %%", granted)
	}
}

func TestBudgetDoesNotAllocate(t *testing.T) {
	b := retry.NewBudget(0.2, 1, time.Now)
	if n := testing.AllocsPerRun(100, func() { b.Deposit(); b.Withdraw() }); n != 0 {
		t.Errorf("%v allocations, want 0", n)
	}
}

func BenchmarkBudgetDeposit(b *testing.B) {
	budget := retry.NewBudget(0.2, 1, time.Now)
	for b.Loop() {
		budget.Deposit()
	}
}
