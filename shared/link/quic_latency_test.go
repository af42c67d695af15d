package link_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/ergoproxy/ergo/shared/link/linktest"
)

func TestRequestsAreAnsweredAsIfNothingWereLost(t *testing.T) {
	for _, c := range few([]struct {
		name      string
		size      int
		perSecond int
		duration  time.Duration
		loss      float64
		q         float64
		most      time.Duration
	}{
		{"1 KiB, clean", 1 << 10, 200, seconds(5, 2), 0, 0.99, roundTrip * 11 / 10},
		{"1 KiB, 0.1 %", 1 << 10, 200, seconds(10, 3), 0.001, 0.98, roundTrip * 11 / 10},
		{"1 KiB, 1 %", 1 << 10, 200, seconds(10, 3), 0.01, 0.99, roundTrip * 11 / 10},
		{"1 KiB, 3 %", 1 << 10, 200, seconds(10, 3), 0.03, 0.99, roundTrip * 11 / 10},
		{"100 KiB, clean", 100 << 10, 20, seconds(5, 2), 0, 0.9, 95 * time.Millisecond},
		{"2 MB, clean", 2e6, 2, seconds(4, 2), 0, 0.5, 190 * time.Millisecond},
		{"100 KiB, 1 %", 100 << 10, 20, seconds(10, 4), 0.01, 0.99, 130 * time.Millisecond},
		{"2 MB, 1 %", 2e6, 2, seconds(10, 3), 0.01, 0.5, 250 * time.Millisecond},
	}) {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, both(bernoulli(c.loss)))
				w.ask(c.size, c.perSecond, 2*time.Second)
				before := w.far.tally.Counts()
				expectWithin(t, w.ask(c.size, c.perSecond, c.duration), c.q, c.most)
				after := w.far.tally.Counts()
				if c.loss == 0 && c.size >= 1e6 && after.ParityPackets != before.ParityPackets {
					t.Errorf("%d rows of parity on a clean path", after.ParityPackets-before.ParityPackets)
				}
				w.close()
			})
		})
	}
}

// Without the link, a path that loses one packet in a hundred takes its toll: the
// tests above would not pass over plain QUIC.
func TestPlainQUICWaitsForWhatWasLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := both(bernoulli(0.01))
		s.nearPlain, s.farPlain = true, true
		w := newWorld(t, s)
		w.ask(1<<10, 200, 2*time.Second)
		if got := quantile(w.ask(1<<10, 200, 5*time.Second), 0.99); got < roundTrip*3/2 {
			t.Errorf("p99 is %v", got)
		}
		w.close()
	})
}

func TestBurstsOnTopOfRandomLoss(t *testing.T) {
	for _, c := range []struct {
		name                  string
		every                 time.Duration
		size, perSecond       int
		median, p90, p99, max time.Duration
	}{
		{"1 KiB", 2 * time.Second, 1 << 10, 200, roundTrip * 11 / 10, 2 * roundTrip, 4 * roundTrip, 10 * roundTrip},
		{"100 KiB", 5 * time.Second, 100 << 10, 20, roundTrip * 14 / 10, 2 * roundTrip, 4 * roundTrip, 10 * roundTrip},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, both(func() linktest.Loss {
					return &linktest.Bursts{Every: c.every, Min: 5, Max: 20, Single: 0.01}
				}))
				w.ask(c.size, c.perSecond, 2*time.Second)
				samples := w.ask(c.size, c.perSecond, seconds(15, 6))
				expectWithin(t, samples, 0.5, c.median)
				expectWithin(t, samples, 0.9, c.p90)
				expectWithin(t, samples, 0.99, c.p99)
				expectWithin(t, samples, 1, c.max)
				w.close()
			})
		})
	}
}
