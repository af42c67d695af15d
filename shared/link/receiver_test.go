package link

import (
	"bytes"
	"math"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// seqOf returns the sequence number of a data packet.
func seqOf(packet []byte) uint32 { return get24(packet[4:]) }

func TestLostPacketsAreRebuiltInAnyOrderOfArrival(t *testing.T) {
	for _, c := range []struct {
		name     string
		repaired uint64 // of the packets: the 2 lost ones, and those that came later than as many rows
		order    func(data, parity [][]byte) [][]byte
	}{
		{"parity last", 2, func(data, parity [][]byte) [][]byte { return slices.Concat(data, parity) }},
		{"parity first", 8, func(data, parity [][]byte) [][]byte { return slices.Concat(data[:1], parity, data[1:]) }},
		{"backwards", 8, func(data, parity [][]byte) [][]byte {
			all := slices.Concat(data[1:], parity)
			slices.Reverse(all)
			return slices.Concat(data[:1], all)
		}},
		{"twice", 2, func(data, parity [][]byte) [][]byte { return slices.Concat(data, data, parity, parity) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a, b := newEnds(t, Settings{})
				a.assume(0.05)
				a.sender().group.usual = 30
				all := packets(newRand(1), 30, 50, 1200)
				a.send(all...)
				out := a.flushed()
				data, parity := ofKind(out, kindCoded), ofKind(out, kindParity)
				if len(data) != 30 || len(parity) != 8 {
					t.Fatalf("%d packets and %d rows", len(data), len(parity))
				}
				kept := slices.Delete(slices.Clone(data), 10, 12)
				b.hear(a.addr, c.order(kept, parity)...)
				got := b.handed()
				for i, p := range all {
					if !contains(got, p) {
						t.Errorf("packet %d is missing", i)
					}
				}
				if n := b.tally.Counts().RepairedPackets; n != c.repaired {
					t.Errorf("%d repaired, want %d", n, c.repaired)
				}
			})
		})
	}
}

func TestMorePacketsLostThanRowsStayLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := newEnds(t, Settings{})
		a.assume(0.05)
		all := packets(newRand(1), 8, 50, 1200) // 8 are a group
		a.send(all...)
		out := a.flushed()
		rows := len(ofKind(out, kindParity))
		if rows == 0 || rows > 6 {
			t.Fatalf("%d rows", rows)
		}
		b.hear(a.addr, slices.Concat(out[:1], out[rows+2:])...)
		if got := b.handed(); len(got) != 7-rows {
			t.Errorf("%d packets handed up, %d arrived", len(got), 7-rows)
		}
	})
}

// exchange lets both ends talk for a while, each sending a packet at an interval.
// Lost decides what becomes of what a sends.
func exchange(t *testing.T, a, b *end, n int, interval time.Duration, lost func(packet []byte) bool) {
	t.Helper()
	for range n {
		<-time.After(interval)
		synctest.Wait()
		a.send(packets(newRand(1), 1, 100, 100)...)
		b.send(packets(newRand(2), 1, 100, 100)...)
		for _, p := range a.sent() {
			if !lost(p) {
				b.hear(a.addr, p)
			}
		}
		a.hear(b.addr, b.sent()...)
	}
}

func never([]byte) bool { return false }

// A packet without parity is asked for, the first time twice, and a third time
// when a round trip has passed. The answer to any of them is news.
func TestLostPacketsComeWhenAskedFor(t *testing.T) {
	for _, c := range []struct {
		name    string
		answers int // that are lost
		want    bool
	}{
		{"the first", 0, true},
		{"the second", 1, true},
		{"the third", 2, true},
		{"none", 3, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a, b := newEnds(t, Settings{})
				a.sender().control.total, a.sender().control.rtt = 1<<20, rtt // no parity
				b.sender().control.rtt = rtt
				exchange(t, a, b, 5, 10*time.Millisecond, never)
				b.handed()
				wanted := packets(newRand(7), 1, 500, 500)
				a.send(wanted...)
				a.sent() // is lost
				answers := 0
				exchange(t, a, b, 60, 5*time.Millisecond, func(p []byte) bool {
					if !isKind(p, kindAgain) {
						return false
					}
					answers++
					return answers <= c.answers
				})
				if got := contains(b.handed(), wanted[0]); got != c.want {
					t.Errorf("handed up: %t; %d answers", got, answers)
				}
				if counts := b.tally.Counts(); answers != maxTries && c.answers > 1 || (counts.ResentPackets == 1) != c.want {
					t.Errorf("%d answers, %d packets counted", answers, counts.ResentPackets)
				}
			})
		})
	}
}

// Parity takes a while. It is not waited for where it cannot be enough: the sooner
// the packets come, the more likely QUIC takes the cut of its window back.
func TestRunsBeyondTheParityAreAskedForAtOnce(t *testing.T) {
	for _, c := range []struct {
		name   string
		lost   int // more than there are rows
		atOnce bool
	}{
		{"as many as there are rows", 0, false},
		{"one more", 1, true},
		{"many more", 20, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a, b := newEnds(t, Settings{})
				a.assume(0.02)
				a.sender().group.usual = 60
				b.send(packets(newRand(9), 1, 50, 50)...)
				a.hear(b.addr, b.flushed()...)
				rng := newRand(1)
				a.send(packets(rng, 60, 1200, 1200)...)
				out := a.flushed()
				rows := len(ofKind(out, kindParity))
				b.hear(a.addr, out...)
				b.sent()
				time.Sleep(time.Millisecond)
				a.send(packets(rng, 10, 1200, 1200)...)
				b.hear(a.addr, a.sent()...)
				a.send(packets(rng, rows+c.lost, 1200, 1200)...)
				a.sent()
				a.send(packets(rng, 1, 1200, 1200)...)
				b.hear(a.addr, a.sent()...)
				if asked := len(ofKind(b.sent(), kindRequest)) > 0; asked != c.atOnce {
					t.Errorf("%d packets lost in a row, parity for %d: asked at once: %t", rows+c.lost, rows, asked)
				}
				if asks := len(b.receiver().asks); asks != rows+c.lost {
					t.Errorf("%d packets are wished for", asks)
				}
			})
		})
	}
}

func TestPacketsSentOnceMoreAreHandedUpOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := newEnds(t, Settings{})
		a.sender().control.total = 1 << 20
		exchange(t, a, b, 5, 10*time.Millisecond, never)
		lost := packets(newRand(7), 1, 500, 500)
		a.send(lost...)
		again := a.sent()[0]
		again[0] = kindAgain
		b.handed()
		b.hear(a.addr, again) // nobody knows yet that it is missing
		exchange(t, a, b, 1, time.Millisecond, never)
		b.hear(a.addr, again, again)
		if got := b.handed(); len(got) != 2 || !contains(got, lost[0]) {
			t.Errorf("%d packets handed up, want the one that was sent and the lost one", len(got))
		}
	})
}

func TestReorderedPacketsAreNotCalledLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := newEnds(t, Settings{})
		exchange(t, a, b, 5, 10*time.Millisecond, never)
		for range 100 {
			a.send(packets(newRand(1), 10, 100, 100)...)
			out := a.sent()
			b.hear(a.addr, slices.Concat(out[5:], out[:5])...)
			time.Sleep(10 * time.Millisecond)
		}
		if c := b.tally.Counts(); c.MissingPackets != 0 {
			t.Errorf("%d of %d packets called lost", c.MissingPackets, c.ReceivedPackets)
		}
	})
}

// A missing packet is waited for as long as others were late of late.
func TestLateSeconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := newEnds(t, Settings{})
		exchange(t, a, b, 5, 10*time.Millisecond, never)
		late := func(by time.Duration) uint64 {
			before := b.tally.Counts().MissingPackets
			a.send(packets(newRand(1), 2, 100, 100)...)
			out := a.sent()
			b.hear(a.addr, out[1])
			<-time.After(by)
			exchange(t, a, b, 1, 0, never)
			b.hear(a.addr, out[0])
			return b.tally.Counts().MissingPackets - before
		}
		if n := late(lateMin + time.Millisecond); n != 1 {
			t.Errorf("%d called lost for the first late packet, want 1", n)
		}
		if n := late(lateMin + time.Millisecond/2); n != 0 {
			t.Errorf("%d called lost although the one before was as late", n)
		}
		late(10 * lateMax)
		if got := b.receiver().late; got > lateMax {
			t.Errorf("packets may be late by %v, want at most %v", got, lateMax)
		}
	})
}

func TestRunsOfLossesAreReported(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := newEnds(t, Settings{})
		exchange(t, a, b, 5, 10*time.Millisecond, never)
		for _, run := range []int{1, 1, 2, 3, 4, 5, 32, 33, 100} {
			a.send(packets(newRand(1), run, 100, 100)...)
			a.sent()
			exchange(t, a, b, 2, 20*time.Millisecond, never)
		}
		got := a.sender().control.last
		want := report{missing: 181, outages: 133, runs: [runClasses]uint32{2, 1, 2, 1, 0, 1}}
		if got.missing != want.missing || got.outages != want.outages || got.runs != want.runs || got.congested != 0 {
			t.Errorf("reported %+v, want %+v", got, want)
		}
	})
}

// After an outage of more packets than the window has, the link goes on where the
// sender is.
func TestWindowFollowsTheSenderAfterAnOutage(t *testing.T) {
	for _, gone := range []int{window - 2, window - 1, window, window + 1, 10 * window, 1 << 15} {
		synctest.Test(t, func(t *testing.T) {
			a, b := newEnds(t, Settings{})
			exchange(t, a, b, 5, 10*time.Millisecond, never)
			s := a.sender()
			s.mu.Lock()
			s.next += uint64(gone)
			s.mu.Unlock()
			exchange(t, a, b, 3, 10*time.Millisecond, never)
			a.assume(0.01)
			lost := packets(newRand(1), 3, 500, 500)
			a.sent()
			b.handed()
			a.send(lost...)
			b.hear(a.addr, a.flushed()[1:]...)
			if got := b.handed(); !contains(got, lost[0]) {
				t.Errorf("after %d lost packets no repair", gone)
			}
			if c := b.tally.Counts(); c.OutagePackets < uint64(gone)-2 || c.OutagePackets > uint64(gone)+2 {
				t.Errorf("%d lost packets are an outage of %d", gone, c.OutagePackets)
			}
		})
	}
}

func TestSequenceNumbersWrapAround(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := newEnds(t, Settings{})
		a.assume(0.02)
		a.sender().next = 2<<wireBits - 300
		rng := newRand(1)
		got := 0
		for round := range 60 {
			all := packets(rng, 10, 100, 1200)
			a.send(all...)
			out := a.flushed()
			drop := 1 + rng.IntN(9)
			if round == 0 {
				drop = len(out) - 1 // a parity: before the first data packet there is nothing
			}
			b.hear(a.addr, slices.Concat(out[:drop], out[drop+1:])...)
			for _, p := range all {
				if contains(b.got, p) {
					got++
				}
			}
			b.handed()
			time.Sleep(time.Millisecond)
		}
		if next := a.sender().next; next <= 2<<wireBits {
			t.Fatalf("sequence numbers stand at %#x", next)
		}
		if got != 600 {
			t.Errorf("%d of 600 packets arrived or were rebuilt", got)
		}
		c := b.tally.Counts()
		if c.OutagePackets != 0 || c.RepairedPackets != 59 {
			t.Errorf("%d repaired, %d in outages", c.RepairedPackets, c.OutagePackets)
		}
	})
}

func TestReportTellsTheRoundTrip(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := newEnds(t, Settings{})
		for range 100 {
			<-time.After(10 * time.Millisecond)
			a.send(packets(newRand(1), 1, 100, 100)...)
			out := a.flushed()
			<-time.After(30 * time.Millisecond)
			b.hear(a.addr, out...)
			b.send(packets(newRand(1), 1, 100, 100)...)
			back := b.flushed()
			<-time.After(40 * time.Millisecond)
			a.hear(b.addr, back...)
		}
		if got := a.sender().rtt(); math.Abs(float64(got-70*time.Millisecond)) > float64(time.Millisecond) {
			t.Errorf("a's round trip is %v, want 70ms", got)
		}
		// What b sends is answered 10 ms after it has arrived, held by a.
		if got := b.sender().rtt(); math.Abs(float64(got-80*time.Millisecond)) > float64(time.Millisecond) {
			t.Errorf("b's round trip is %v, want 80ms", got)
		}
	})
}

func TestHeardPacketsAreNotKeptByReference(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := newEnds(t, Settings{})
		a.assume(0.05)
		all := packets(newRand(1), 8, 900, 900)
		a.send(all...)
		out := a.flushed()
		want := bytes.Clone(all[3])
		for _, p := range all {
			clear(p) // what was sent belongs to QUIC again
		}
		b.hear(a.addr, slices.Concat(out[:3], out[4:])...)
		if !contains(b.handed(), want) {
			t.Error("the lost packet was not rebuilt")
		}
	})
}

// What is lost while the queue is long stays lost, so that QUIC slows down. On the
// same path without a queue it is rebuilt.
func TestLossByCongestionIsNotRebuilt(t *testing.T) {
	for _, c := range []struct {
		name    string
		slower  time.Duration // the path than the sender, for each packet
		rebuilt bool
	}{
		{"a queue grows", 500 * time.Microsecond, false},
		{"no queue", 0, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a, b := newEnds(t, Settings{Repair: Always})
				all := packets(newRand(1), 200, 1200, 1200)
				var out [][]byte
				var at []int // which packet had been sent last
				for i, p := range all {
					a.send(p)
					<-time.After(time.Millisecond)
					for _, o := range a.sent() {
						out, at = append(out, o), append(at, i)
					}
				}
				lost := all[len(all)-20]
				last := 0
				for i, o := range out {
					<-time.After(time.Duration(at[i]-last) * (time.Millisecond + c.slower))
					last = at[i]
					if !bytes.HasSuffix(o, lost) {
						b.hear(a.addr, o)
					}
				}
				if got := contains(b.handed(), lost); got != c.rebuilt {
					t.Errorf("rebuilt: %t", got)
				}
				if got := b.tally.Counts().CongestedPackets > 0; got == c.rebuilt {
					t.Errorf("counted as congested: %t", got)
				}
			})
		})
	}
}
