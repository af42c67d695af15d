package link_test

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ergoproxy/ergo/shared/link"
	"github.com/ergoproxy/ergo/shared/link/linktest"
)

// bulk is a size and a rate of packets that make groups full.
const (
	bulkSize = 1200
	bulkRate = 4000
)

// lossOf is the share of packets that did not arrive by themselves.
func lossOf(r result) float64 { return float64(r.MissingPackets) / float64(r.SentPackets) }

func TestParityFollowsRandomLoss(t *testing.T) {
	for _, c := range few([]struct {
		name  string
		loss  float64
		paths uint64 // to take the mean of
		late  float64
	}{
		{"0.1 %", 0.001, 1, 0.0003},
		{"1 %", 0.01, 4, 0.0003},
		{"3 %", 0.03, 1, 0.001},
		{"5 %", 0.05, 1, 0.001},
		{"10 %", 0.1, 1, 0.002},
	}) {
		t.Run(c.name, func(t *testing.T) {
			var parity, loss, late float64
			for seed := range c.paths {
				synctest.Test(t, func(t *testing.T) {
					s := newStream(t, link.Auto, linktest.NewPath(seed, open(linktest.Bernoulli(c.loss))), linktest.NewPath(99, open(linktest.Bernoulli(c.loss))))
					s.run(bulkSize, bulkRate, 2*time.Second)
					r := s.run(bulkSize, bulkRate, 3*time.Second)
					parity += r.parity / float64(c.paths)
					loss += lossOf(r) / float64(c.paths)
					late += r.late / float64(c.paths)
					if r.MissingPackets > 0 && r.shareRepaired < 0.98 {
						t.Errorf("%.1f %% of %d lost packets were repaired", 100*r.shareRepaired, r.MissingPackets)
					}
					s.close()
				})
			}
			if most := 0.02 + 4*loss; parity > most {
				t.Errorf("%.2f %% of parity for %.2f %% of loss, want at most %.2f %%", 100*parity, 100*loss, 100*most)
			}
			if late > c.late {
				t.Errorf("%.3f %% of the packets were late, want at most %.3f %%", 100*late, 100*c.late)
			}
			if loss < c.loss*0.3 || loss > c.loss*1.7 {
				t.Errorf("%.2f %% are reported as lost", 100*loss)
			}
		})
	}
}

func TestNoParityOnACleanPathAfterTheFirstPackets(t *testing.T) {
	for _, size := range []int{300, bulkSize} {
		overStream(t, link.Auto, open(nil), func(t *testing.T, s *stream) {
			first := s.run(size, bulkRate, 600*time.Millisecond)
			if most := 0.1; first.perPacket > most || size < bulkSize && first.ParityPackets > 0 {
				t.Errorf("%d bytes: %.3f rows for each of the first packets", size, first.perPacket)
			}
			if r := s.run(size, bulkRate, 3*time.Second); r.ParityPackets != 0 || r.ResentBytes != 0 || r.MissingPackets != 0 {
				t.Errorf("%d bytes: %d rows, %d bytes sent again, %d missing", size, r.ParityPackets, r.ResentBytes, r.MissingPackets)
			}
		})
	}
}

// Few packets of a stream may wait for a round trip: the groups are small.
func TestSmallPacketsAreRepairedInTime(t *testing.T) {
	for _, c := range few([]struct {
		perSecond int
		loss      float64
		late      float64
	}{
		{50, 0.01, 0.005},
		{500, 0.01, 0.003},
		{500, 0.03, 0.005},
		{2000, 0.03, 0.002},
	}) {
		overStream(t, link.Auto, open(linktest.Bernoulli(c.loss)), func(t *testing.T, s *stream) {
			s.run(300, c.perSecond, time.Duration(2000/c.perSecond)*time.Second)
			r := s.run(300, c.perSecond, time.Duration(6000/c.perSecond)*time.Second)
			if r.late > c.late {
				t.Errorf("%d/s and %.2f lost: %.2f %% late, want at most %.2f %%", c.perSecond, c.loss, 100*r.late, 100*c.late)
			}
			if r.perPacket > 3 {
				t.Errorf("%d/s and %.2f lost: %.2f rows a packet", c.perSecond, c.loss, r.perPacket)
			}
		})
	}
}

// How soon that is depends on when the first losses fall, and on how many there
// were when they end: the median counts.
func TestParityComesAndGoesWithTheLossWithinTenRoundTrips(t *testing.T) {
	const settle = 10 * roundTrip
	for _, c := range []struct {
		perSecond           int
		paths               uint64
		clean, lossy, after time.Duration
	}{
		{500, 9, 5 * time.Second, 2 * time.Second, 3 * settle},
		{17000, 1, 500 * time.Millisecond, settle + roundTrip/2, settle + roundTrip/2},
	} {
		var comes, goes []time.Duration
		for seed := range c.paths {
			loss := &linktest.Steps{Of: []linktest.Step{{After: c.clean, Loss: linktest.Bernoulli(0.05)}, {After: c.clean + c.lossy}}}
			synctest.Test(t, func(t *testing.T) {
				s := newStream(t, link.Auto, linktest.NewPath(seed, open(loss)), linktest.NewPath(99, open(nil)))
				s.pace(bulkSize, c.perSecond, c.clean)
				comes = append(comes, s.until(c.perSecond, c.lossy, func() bool { return s.nearPeer.Status().Loss > 0.015 }))
				goes = append(goes, s.until(c.perSecond, c.after, func() bool { return s.nearPeer.Status().Loss == 0 }))
				gone := s.nearPeer.Status().Loss == 0
				if r := s.run(bulkSize, c.perSecond, roundTrip); gone && r.ParityPackets > 0 || r.MissingPackets > 0 {
					t.Errorf("%d/s: %d rows of parity after %v although %d packets are lost", c.perSecond, r.ParityPackets, c.after, r.MissingPackets)
				}
				s.close()
			})
		}
		slices.Sort(comes)
		slices.Sort(goes)
		if comes[c.paths/2] > settle || goes[c.paths/2] > settle {
			t.Errorf("%d/s: parity is there after %v, and gone after %v, want %v", c.perSecond, comes, goes, settle)
		}
	}
}

// until sends packets for that time and returns when it was that what has become
// true stayed so.
func (s *stream) until(perSecond int, d time.Duration, is func() bool) time.Duration {
	begin := time.Now()
	var since time.Duration
	for time.Since(begin) < d {
		s.pace(bulkSize, perSecond, roundTrip/4)
		if !is() {
			since = time.Since(begin)
		}
	}
	return since
}

func TestParityForBurstsIsBounded(t *testing.T) {
	for _, c := range few([]struct {
		name     string
		loss     linktest.Loss
		repaired float64 // at least
	}{
		{"bursts of four", &linktest.GilbertElliott{ToBad: 0.0025, ToGood: 0.25, LossBad: 1}, 0.3},
		{"5 to 20 in a row and 1 %", &linktest.Bursts{Every: time.Second / 2, Min: 5, Max: 20, Single: 0.01}, 0.4},
		{"a trace of linecard", readTrace(t, "linecard"), 0.6},
		{"a trace of rain", readTrace(t, "rain"), 0.6},
		{"a trace of wifi", readTrace(t, "wifi"), 0.05},
		{"every second packet", linktest.Bernoulli(0.5), 0},
		{"a trace of mobile", readTrace(t, "mobile"), 0.02},
	}) {
		t.Run(c.name, func(t *testing.T) {
			overStream(t, link.Auto, open(c.loss), func(t *testing.T, s *stream) {
				s.run(bulkSize, bulkRate, seconds(2, 1))
				r := s.run(bulkSize, bulkRate, seconds(4, 3))
				// What is reported now has been paid for a little later, and the estimate may
				// be half as high again.
				most := min(0.5, 0.04+6*1.5*lossOf(r))
				if r.parity > most {
					t.Errorf("%.1f %% of parity for %.2f %% of loss, want at most %.1f %%", 100*r.parity, 100*lossOf(r), 100*most)
				}
				if r.shareRepaired < c.repaired {
					t.Errorf("%.1f %% of what was lost is repaired, want %.1f %%", 100*r.shareRepaired, 100*c.repaired)
				}
				if r.late > lossOf(r)+0.002 {
					t.Errorf("%.2f %% were late although %.2f %% were lost", 100*r.late, 100*lossOf(r))
				}
				if most := 0.1*float64(r.SentPackets) + 64; float64(r.ResentBytes) > most*(bulkSize+10) {
					t.Errorf("%d bytes sent again for %d packets", r.ResentBytes, r.SentPackets)
				}
			})
		})
	}
}

func TestCongestionBringsNoParity(t *testing.T) {
	narrow := func(share int64, queue time.Duration) linktest.Conditions {
		return linktest.Conditions{Delay: roundTrip / 2, Rate: bulkRate * (bulkSize + 10) * 8 * share / 100, Queue: queue}
	}
	for _, c := range few([]struct {
		name string
		path linktest.Conditions
	}{
		{"a tenth too much", narrow(90, 50*time.Millisecond)},
		{"a little too much", narrow(97, 50*time.Millisecond)},
		{"twice too much", narrow(50, 100*time.Millisecond)},
		{"a short queue", narrow(90, 20*time.Millisecond)},
	}) {
		t.Run(c.name, func(t *testing.T) {
			overStream(t, link.Auto, c.path, func(t *testing.T, s *stream) {
				s.run(bulkSize, bulkRate, 2*time.Second)
				r := s.run(bulkSize, bulkRate, 3*time.Second)
				if r.MissingPackets == 0 || float64(r.CongestedPackets) < 0.95*float64(r.MissingPackets) {
					t.Errorf("%d of %d lost packets are called congested", r.CongestedPackets, r.MissingPackets)
				}
				if r.parity > 0.01 || r.ResentBytes > r.SentBytes/100 {
					t.Errorf("%.2f %% of parity, %d bytes sent again", 100*r.parity, r.ResentBytes)
				}
			})
		})
	}
}

func TestAlwaysSendsParityForOnePercent(t *testing.T) {
	overStream(t, link.Always, open(nil), func(t *testing.T, s *stream) {
		s.run(bulkSize, bulkRate, time.Second)
		r := s.run(bulkSize, bulkRate, 2*time.Second)
		if r.parity < 0.01 || r.parity > 0.065 {
			t.Errorf("%.2f %% of parity, want what 1 %% of loss asks for", 100*r.parity)
		}
	})
}

func TestWithoutALinkPacketsAreThoseOfQUIC(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := linktest.Pair(linktest.NewPath(1, open(nil)), linktest.NewPath(2, open(nil)))
		shared := link.New(link.Settings{Repair: link.Off, Memory: 1 << 20})
		near, far := shared.Over(a), shared.Over(b)
		peer, err := near.NewPeer(b.LocalAddr(), new(link.Tally))
		if err != link.ErrOff || peer != nil || peer.Offer() != (link.Offer{}) || peer.Start(link.Offer{Version: link.Version}) != nil || peer.Status() != nil {
			t.Errorf("NewPeer: %v, %v", peer, err)
		}
		peer.Close()
		near.WriteTo([]byte("@QUIC"), b.LocalAddr())
		var packet [100]byte
		if n, _, err := b.ReadFrom(packet[:]); err != nil || string(packet[:n]) != "@QUIC" {
			t.Errorf("read %q, %v", packet[:n], err)
		}
		far.WriteTo([]byte("@QUIC"), a.LocalAddr())
		if n, _, err := near.ReadFrom(packet[:]); err != nil || string(packet[:n]) != "@QUIC" {
			t.Errorf("read %q, %v", packet[:n], err)
		}
		near.Close()
		far.Close()
	})
}
