package l2

import (
	"errors"
	"testing"
	"time"
)

var errTest = errors.New("timeout")

// ready returns a closed breaker that opens at three failures of the last six.
func ready(now time.Time) *breaker {
	b := newBreaker(3, time.Second)
	b.probed(nil, now)
	return b
}

func TestBreakerBeginsOpenWithAProbeDue(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	b := newBreaker(3, time.Second)
	if b.closed() {
		t.Error("closed before anything was answered")
	}
	if wait, open := b.due(now); wait != 0 || !open {
		t.Errorf("probe due in %v, open %v, want at once", wait, open)
	}
	b.probed(nil, now)
	if !b.closed() {
		t.Error("open after a good probe")
	}
}

func TestBreakerOpensAtShareOfFailures(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	for _, tt := range []struct {
		name    string
		results string // x is a failure
		open    bool
	}{
		{"none", "......", false},
		{"two in a row", "xx", false},
		{"three in a row", "xxx", true},
		{"every other", "x.x.x", true},
		{"three in six", "x..x.x", true},
		{"three in seven", "x...x.x", false},
		{"old ones are forgotten", "xx......x", false},
		{"after long success", "..................xxx", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := ready(now)
			var opened bool
			for _, result := range tt.results {
				if opened {
					t.Fatal("opened before the last result")
				}
				if result == 'x' {
					opened = b.failed(errTest, now)
				} else {
					b.succeeded()
				}
			}
			if opened != tt.open || b.closed() == tt.open {
				t.Errorf("opened %v, closed %v, want open %v", opened, b.closed(), tt.open)
			}
		})
	}
}

func TestBreakerProbesAfterCoolDown(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	b := ready(now)
	for range 3 {
		b.failed(errTest, now)
	}
	if wait, open := b.due(now.Add(400 * time.Millisecond)); wait != 600*time.Millisecond || !open {
		t.Errorf("probe due in %v, open %v, want in 600ms", wait, open)
	}
	now = now.Add(2 * time.Second)
	if wait, _ := b.due(now); wait != 0 {
		t.Errorf("probe due in %v, want at once", wait)
	}
	b.probed(errTest, now)
	if wait, open := b.due(now); wait != time.Second || !open || b.closed() {
		t.Errorf("after a bad probe: due in %v, open %v, want another cool-down", wait, open)
	}
	if !errors.Is(b.lastCause(), errTest) {
		t.Errorf("cause is %v, want %v", b.lastCause(), errTest)
	}
	b.probed(nil, now.Add(time.Second))
	if !b.closed() || b.lastCause() != nil {
		t.Errorf("after a good probe: closed %v, cause %v", b.closed(), b.lastCause())
	}
	for i := range 3 {
		if opened := b.failed(errTest, now); opened != (i == 2) {
			t.Errorf("failure %d: opened %v, those from before the probe still count", i+1, opened)
		}
	}
}

func TestBreakerIgnoresResultsWhileOpen(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	b := ready(now)
	for range 3 {
		b.failed(errTest, now)
	}
	if b.failed(errTest, now.Add(900*time.Millisecond)) {
		t.Error("opened twice")
	}
	b.succeeded()
	if wait, open := b.due(now.Add(time.Second)); wait != 0 || !open {
		t.Errorf("probe due in %v, open %v, want at once: late results move nothing", wait, open)
	}
}

func TestBreakerTakesTheMostFailures(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	b := newBreaker(maxFailures, time.Second)
	b.probed(nil, now)
	for i := range maxFailures {
		if opened := b.failed(errTest, now); opened != (i == maxFailures-1) {
			t.Fatalf("failure %d: opened %v", i+1, opened)
		}
	}
}
