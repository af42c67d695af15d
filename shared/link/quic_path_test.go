package link_test

import (
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ergoproxy/ergo/shared/link"
	"github.com/ergoproxy/ergo/shared/link/linktest"
)

// outages lose everything for a while, again and again, and one packet in a hundred
// otherwise.
func outages(first, length, every time.Duration, times int) func() linktest.Loss {
	return func() linktest.Loss {
		steps := []linktest.Step{{Loss: linktest.Bernoulli(0.01)}}
		for i := range times {
			at := first + time.Duration(i)*every
			steps = append(steps, linktest.Step{After: at, Loss: linktest.Bernoulli(1)}, linktest.Step{After: at + length, Loss: linktest.Bernoulli(0.01)})
		}
		return &linktest.Steps{Of: steps}
	}
}

func TestLinkGoesOnAfterOutages(t *testing.T) {
	for _, c := range few([]struct {
		name            string
		length, every   time.Duration
		times           int
		size, perSecond int
		back            time.Duration // after the last outage all is as before
	}{
		{"three of a second", time.Second, 4 * time.Second, 3, 1 << 10, 100, 3 * time.Second},
		{"one of three seconds", 3 * time.Second, 0, 1, 1 << 10, 100, 6 * time.Second},
		{"one of three seconds, more packets than the window", 3 * time.Second, 0, 1, 20 << 10, 50, 6 * time.Second},
	}) {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, both(outages(4*time.Second, c.length, c.every, c.times)))
				begin := time.Now()
				calm := 3*time.Second + c.every*time.Duration(c.times-1) + c.length + c.back
				samples := w.ask(c.size, c.perSecond, calm)
				expectWithin(t, from(samples, 0)[:2*c.perSecond], 0.9, 2*roundTrip)
				// Nobody waits for longer than the outage and what QUIC's timers add to it.
				expectWithin(t, samples, 1, 2*c.length+2*time.Second)
				before, sent := w.repaired(), w.far.tally.Counts().SentPackets
				if since := time.Since(begin); since < calm {
					t.Fatalf("answered after %v", since)
				}
				expectWithin(t, w.ask(c.size, c.perSecond, 8*time.Second), 0.98, roundTrip*3/2)
				sent = w.far.tally.Counts().SentPackets - sent
				if got := w.repaired() - before; got < sent/400 {
					t.Errorf("%d packets repaired of %d after the outage", got, sent)
				}
				if w.far.tally.Counts().OutagePackets == 0 && w.near.tally.Counts().OutagePackets == 0 {
					t.Error("no outage counted")
				}
				w.close()
			})
		})
	}
}

// Another way is twice as long and half as wide. For two seconds the link takes its
// length for a queue and leaves loss to QUIC.
func TestLinkFollowsThePathToAnotherWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, both(bernoulli(0.01)))
		w.ask(1<<10, 50, 3*time.Second)
		longer := wan(linktest.Bernoulli(0.01))
		longer.Delay, longer.Rate = 2*longer.Delay, longer.Rate/2
		w.there.Set(longer)
		w.back.Set(longer)
		expectWithin(t, w.ask(1<<10, 50, 5*time.Second), 1, 20*roundTrip)
		before := w.repaired()
		expectWithin(t, w.ask(1<<10, 50, 15*time.Second), 0.99, 2*roundTrip+roundTrip/2)
		if got := w.repaired() - before; got < 6 {
			t.Errorf("%d packets repaired on the other way", got)
		}
		if rtt, err := time.ParseDuration(w.far.peer.Status().RTT); err != nil || rtt < roundTrip*19/10 {
			t.Errorf("the link's round trip is %v (%v)", rtt, err)
		}
		w.close()
	})
}

// The client's address changes in mid-connection, twice, and what is sent to the
// new one is repaired.
func TestLinkFollowsAPeerToAnotherAddress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, both(bernoulli(0.02)))
		w.ask(1<<10, 100, 3*time.Second)
		for i := range 2 {
			w.near.raw.Rebind(&net.UDPAddr{IP: net.IPv4(192, 0, 2, byte(i+1)), Port: 4000 + i})
			expectWithin(t, w.ask(1<<10, 100, 4*time.Second), 1, 25*roundTrip)
			there, back := w.far.tally.Counts().RepairedPackets, w.near.tally.Counts().RepairedPackets
			expectWithin(t, w.ask(1<<10, 100, 8*time.Second), 0.98, roundTrip*12/10)
			there, back = w.far.tally.Counts().RepairedPackets-there, w.near.tally.Counts().RepairedPackets-back
			if there < 3 || back < 3 {
				t.Errorf("address %d: %d packets of the client and %d of the server were repaired", i+1, there, back)
			}
			if got := w.far.quic.RemoteAddr().(*net.UDPAddr).Port; got != 4000+i {
				t.Errorf("the server writes to port %d", got)
			}
		}
		w.close()
	})
}

func TestParityIsSentOnlyWhereItIsNeeded(t *testing.T) {
	for _, c := range few([]struct {
		name        string
		there, back float64
	}{
		{"requests are lost", 0.03, 0},
		{"answers are lost", 0, 0.03},
	}) {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, setup{there: wan(linktest.Bernoulli(c.there)), back: wan(linktest.Bernoulli(c.back))})
				w.ask(4<<10, 200, 3*time.Second)
				near, far := w.near.tally.Counts(), w.far.tally.Counts()
				expectWithin(t, w.ask(4<<10, 200, 5*time.Second), 0.99, roundTrip*11/10)
				parity := [2]uint64{w.near.tally.Counts().ParityPackets - near.ParityPackets, w.far.tally.Counts().ParityPackets - far.ParityPackets}
				repaired := [2]uint64{w.far.tally.Counts().RepairedPackets - far.RepairedPackets, w.near.tally.Counts().RepairedPackets - near.RepairedPackets}
				for i, loss := range []float64{c.there, c.back} {
					if loss == 0 && (parity[i] != 0 || repaired[i] != 0) || loss > 0 && (parity[i] < 100 || repaired[i] < 10) {
						t.Errorf("direction %d, %v lost: %d rows of parity, %d packets repaired", i, loss, parity[i], repaired[i])
					}
				}
				w.close()
			})
		})
	}
}

func TestDisorderIsNotLoss(t *testing.T) {
	// Few large answers are asked for, and one in some hundreds is 25 ms late with
	// quic-go alone: without GSO its send queue is often full, and what empties it
	// just before the loop looks again wakes nobody (docs/link.md).
	const mostOf = 0.9
	for _, c := range few([]struct {
		name            string
		change          func(c *linktest.Conditions)
		size, perSecond int
		q               float64
		most            time.Duration
		missing         float64 // share of the packets, at most
	}{
		{"one in ten 5 ms late", func(c *linktest.Conditions) { c.Reorder, c.ReorderBy = 0.1, 5*time.Millisecond }, 1 << 10, 200, 0.99, roundTrip + 11*time.Millisecond, 0.01},
		{"one in ten 5 ms late, large answers", func(c *linktest.Conditions) { c.Reorder, c.ReorderBy = 0.1, 5*time.Millisecond }, 100 << 10, 20, mostOf, roundTrip + 30*time.Millisecond, 0.01},
		{"one in ten twice", func(c *linktest.Conditions) { c.Duplicate = 0.1 }, 1 << 10, 200, 0.99, roundTrip * 11 / 10, 0},
		{"one in ten twice, large answers", func(c *linktest.Conditions) { c.Duplicate = 0.1 }, 100 << 10, 20, mostOf, roundTrip * 12 / 10, 0},
		{"20 ms of jitter", func(c *linktest.Conditions) { c.Jitter = 20 * time.Millisecond }, 1 << 10, 200, 0.99, roundTrip + 45*time.Millisecond, 0.03},
		{"20 ms of jitter, large answers", func(c *linktest.Conditions) { c.Jitter = 20 * time.Millisecond }, 100 << 10, 20, mostOf, roundTrip * 2, 0.03},
		{"all of it and loss", func(c *linktest.Conditions) {
			c.Jitter, c.Reorder, c.Duplicate, c.Loss = 20*time.Millisecond, 0.1, 0.1, linktest.Bernoulli(0.01)
		}, 1 << 10, 200, 0.99, roundTrip * 2, 0.05},
	}) {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				conditions := wan(nil)
				c.change(&conditions)
				w := newWorld(t, setup{there: conditions, back: conditions})
				w.ask(c.size, c.perSecond, 3*time.Second)
				before := w.near.tally.Counts()
				expectWithin(t, w.ask(c.size, c.perSecond, seconds(6, 3)), c.q, c.most)
				after := w.near.tally.Counts()
				missing, received := after.MissingPackets-before.MissingPackets, after.ReceivedPackets-before.ReceivedPackets
				if float64(missing) > c.missing*float64(received) {
					t.Errorf("%d of %d packets were called missing", missing, received)
				}
				w.close()
			})
		})
	}
}

// On a path that carries no more than 1252 bytes, nothing is sent that it does not
// carry: a parity is as long as the longest packet.
func TestNothingIsLargerThanASmallPathCarries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := both(bernoulli(0.02))
		s.there.MTU, s.back.MTU = 1280-28, 1280-28
		w := newWorld(t, s)
		w.ask(100<<10, 10, 2*time.Second)
		expectWithin(t, w.ask(100<<10, 10, 4*time.Second), 0.9, 2*roundTrip)
		if there, back := w.there.Counters(), w.back.Counters(); there.TooLarge != 0 || back.TooLarge != 0 {
			t.Errorf("%d and %d packets were too large", there.TooLarge, back.TooLarge)
		}
		if w.repaired() < 20 {
			t.Errorf("%d packets repaired", w.repaired())
		}
		w.close()
	})
}

// Packets that the path swallows for their size are no loss: they may be QUIC's
// probes. Here there are no others.
func TestSwallowedPacketsAreNotCalledLost(t *testing.T) {
	small := open(nil)
	small.MTU = 1280
	overStream(t, link.Auto, small, func(t *testing.T, s *stream) {
		s.run(1200, 1000, 3*time.Second)
		r := s.run(1400, 100, time.Second)
		if r.late != 1 {
			t.Fatalf("%.2f of the large packets were swallowed, the test shows nothing", r.late)
		}
		after := s.run(1200, 1000, 3*time.Second)
		if r.MissingPackets != 0 || after.MissingPackets != 0 || after.ParityPackets != 0 {
			t.Errorf("%d called lost, and %d afterwards, with %d rows of parity", r.MissingPackets, after.MissingPackets, after.ParityPackets)
		}
		if got := s.nearPeer.Status().MaxPacket; got != 1210 {
			t.Errorf("the path is believed to carry %d bytes", got)
		}
	})
}
