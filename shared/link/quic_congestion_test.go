package link_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/ergoproxy/ergo/shared/link"
	"github.com/ergoproxy/ergo/shared/link/linktest"
)

// narrow is a bottleneck that its users fill: 20 Mbit/s with a queue of 50 ms.
func narrow() linktest.Conditions {
	return linktest.Conditions{Delay: roundTrip / 2, Rate: 20e6, Queue: 50 * time.Millisecond}
}

// download asks for one answer after the other, each of that size, and returns how
// many bytes have come until the time is over.
func (w *world) download(size int, d time.Duration) (n int) {
	begin := time.Now()
	for time.Since(begin) < d {
		if err := w.exchange(size); err != nil {
			w.t.Error(err)
			return n
		}
		n += size
	}
	return n
}

func TestLossByCongestionIsLeftToQUIC(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, setup{there: narrow(), back: narrow()})
		w.download(1<<20, 3*time.Second)
		near, far, lost := w.near.tally.Counts(), w.far.tally.Counts(), w.far.quic.ConnectionStats().PacketsLost
		window, least, cuts := w.watch(seconds(25, 15), func(d time.Duration) { w.download(1<<20, d) })
		n, f := w.near.tally.Counts(), w.far.tally.Counts()
		missing, congested := n.MissingPackets-near.MissingPackets, n.CongestedPackets-near.CongestedPackets
		if missing == 0 || float64(congested) < 0.9*float64(missing) {
			t.Errorf("%d of %d lost packets are called congested", congested, missing)
		}
		if parity := float64(f.ParityBytes-far.ParityBytes) / float64(f.SentBytes-far.SentBytes); parity > 0.01 {
			t.Errorf("%.2f %% of parity", 100*parity)
		}
		if again := float64(f.ResentBytes-far.ResentBytes) / float64(f.SentBytes-far.SentBytes); again > 0.01 {
			t.Errorf("%.2f %% were sent again", 100*again)
		}
		if w.far.quic.ConnectionStats().PacketsLost == lost || cuts == 0 || least > window*8/10 {
			t.Errorf("QUIC's window was cut %d times, from %d to %d bytes at least", cuts, window, least)
		}
		w.close()
	})
}

// watch runs f and returns the largest and the least window of the server
// meanwhile, and how often it was cut.
func (w *world) watch(d time.Duration, f func(time.Duration)) (most, least, cuts int) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		f(d)
	}()
	least = 1 << 30
	last := 0
	for {
		window := int(w.far.quic.ConnectionStats().CongestionWindow)
		most, least = max(most, window), min(least, window)
		if window < last*9/10 {
			cuts++
		}
		last = window
		select {
		case <-done:
			return most, least, cuts
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// Two downloads share a bottleneck, one of them over a link.
func TestLinkedConnectionTakesItsShareOfABottleneck(t *testing.T) {
	for _, c := range few([]struct {
		name          string
		linked, plain link.Repair
		least, most   float64 // share of the first
	}{
		{"beside plain QUIC", link.Auto, link.Off, 0.3, 0.7},
		{"plain QUIC beside plain QUIC", link.Off, link.Off, 0.3, 0.7},
		{"beside another link", link.Auto, link.Auto, 0.3, 0.7},
	}) {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				paths := [2]*linktest.Path{linktest.NewPath(1, narrow()), linktest.NewPath(2, narrow())}
				first := newWorld(t, setup{paths: paths, near: link.Settings{Repair: c.linked}, far: link.Settings{Repair: c.linked}})
				second := newWorld(t, setup{paths: paths, near: link.Settings{Repair: c.plain}, far: link.Settings{Repair: c.plain}})
				got := make(chan int)
				d := seconds(25, 8)
				go func() { got <- first.download(1<<20, d) }()
				b := second.download(1<<20, d)
				a := <-got
				if share := float64(a) / float64(a+b); share < c.least || share > c.most {
					t.Errorf("%d and %d bytes: %.0f %%, want %.0f to %.0f %%", a, b, 100*share, 100*c.least, 100*c.most)
				}
				// Together they fill it.
				if rate := float64(a+b) * 8 / d.Seconds(); rate < 0.75*20e6 {
					t.Errorf("%.1f Mbit/s in all", rate/1e6)
				}
				first.close()
				second.close()
			})
		})
	}
}
