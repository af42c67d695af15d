package link

import (
	"bytes"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

func TestDataLeavesAtOnceAndUnchanged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := newEnds(t, Settings{})
		all := packets(newRand(1), 50, 5, 1200)
		for i, p := range all {
			a.send(p)
			out := a.sent()
			if len(out) == 0 || len(out[0]) != headerSize+len(p) || !bytes.Equal(out[0][headerSize:], p) {
				t.Fatalf("packet %d left as %x", i, out)
			}
			b.hear(a.addr, out...)
			if got := b.handed(); len(got) != 1 || !bytes.Equal(got[0], p) {
				t.Fatalf("packet %d arrived as %x", i, got)
			}
		}
	})
}

// A path whose MTU has shrunk refuses packet after packet. The group they belong
// to must end all the same: it has room for maxGroup.
func TestWriteErrorsEndTheGroupToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := newEnds(t, Settings{Repair: Always})
		refused := errors.New("message too long")
		a.fail = refused
		for _, p := range packets(newRand(1), 3*maxGroup, 1200, 1200) {
			if err := a.conn.outgoing(p, len(p), b.addr, nil); err != refused {
				t.Fatalf("outgoing: %v, want %v", err, refused)
			}
		}
		a.fail = nil
		all := packets(newRand(2), 10, 1200, 1200)
		a.send(all...)
		b.hear(a.addr, a.flushed()...)
		for i, p := range b.handed() {
			if !contains(all, p) {
				t.Errorf("packet %d was not sent", i)
			}
		}
	})
}

func TestGroupEndsWhenNothingFollows(t *testing.T) {
	for _, c := range []struct {
		name     string
		size     int
		interval time.Duration
		rtt      time.Duration
		packets  int
		want     time.Duration // from the first packet to the parity
	}{
		{"a lone small packet", 300, 0, rtt, 1, idleGap},
		{"two at once", 300, 0, rtt, 2, idleGap},
		{"small ones that go on", 300, time.Millisecond, rtt, 100, 2 * idleGap},
		{"bulk", 1200, 10 * time.Millisecond, rtt, 100, holdMax},
		{"bulk, near", 1200, 5 * time.Millisecond, 20 * time.Millisecond, 100, 10 * time.Millisecond},
		{"bulk, very near", 1200, time.Millisecond, time.Millisecond, 100, idleGap},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a, _ := newEnds(t, Settings{})
				a.assume(0.01)
				a.sender().control.rtt = c.rtt
				begin := time.Now()
				sent := 0
				for len(ofKind(a.sent(), kindParity)) == 0 && time.Since(begin) < time.Second {
					for ; sent < c.packets && time.Since(begin) >= time.Duration(sent)*c.interval; sent++ {
						a.send(packets(newRand(1), 1, c.size, c.size)...)
					}
					time.Sleep(100 * time.Microsecond)
					synctest.Wait()
				}
				if took := time.Since(begin); took < c.want || took > c.want+time.Millisecond/2 {
					t.Errorf("parity after %v, want %v", took, c.want)
				}
			})
		})
	}
}

func TestFullGroupEndsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, _ := newEnds(t, Settings{})
		a.assume(0.01)
		a.sender().group.usual = maxGroup
		a.send(packets(newRand(1), maxGroup-1, 1200, 1200)...)
		if parity := ofKind(a.sent(), kindParity); len(parity) != 0 {
			t.Fatalf("%d rows before the group is full", len(parity))
		}
		a.send(packets(newRand(1), 1, 1200, 1200)...)
		if parity := ofKind(a.sent(), kindParity); len(parity) == 0 {
			t.Error("no parity behind a full group")
		}
	})
}

// QUIC's MTU probes are larger than what the path is known to carry.
func TestProbesAreOutsideTheNumbering(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := newEnds(t, Settings{Repair: Always})
		small, probe := packets(newRand(1), 40, 100, 1200), packets(newRand(2), 1, 1400, 1400)
		a.send(small[:20]...)
		a.send(probe...)
		a.send(small[20:]...)
		out := a.flushed()
		if got := ofKind(out, kindProbe); len(got) != 1 || !bytes.Equal(got[0][headerSize:], probe[0]) {
			t.Fatalf("%d probes left, want one", len(got))
		}
		for _, p := range out {
			if !isKind(p, kindProbe) && len(p) > headerSize+1200 {
				t.Errorf("kind %#x has %d bytes", p[0], len(p))
			}
			if !isKind(p, kindProbe) {
				b.hear(a.addr, p) // the path swallows what is too large
			}
		}
		time.Sleep(time.Second)
		b.hear(a.addr, a.flushed()...)
		if c := b.tally.Counts(); c.MissingPackets != 0 || len(b.handed()) != len(small) {
			t.Errorf("%d packets missing, want none", c.MissingPackets)
		}
		b.hear(a.addr, ofKind(out, kindProbe)...)
		if got := b.handed(); len(got) != 1 || !bytes.Equal(got[0], probe[0]) {
			t.Errorf("the probe was handed up as %d packets", len(got))
		}
	})
}

// Once a probe has arrived, packets of its size are data like any other.
func TestLargerPacketsAreRepairedOnceThePathIsKnownToCarryThem(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := newEnds(t, Settings{Repair: Always})
		b.send(packets(newRand(9), 1, 50, 50)...) // reports leave the way that data went
		a.hear(b.addr, b.flushed()...)
		large := packets(newRand(1), 3, 1400, 1400)
		a.send(packets(newRand(2), 1, 50, 50)...)
		a.send(large[0])
		time.Sleep(time.Second)
		a.send(packets(newRand(3), 1, 50, 50)...)
		b.hear(a.addr, a.flushed()...)
		time.Sleep(reportSoon)
		a.send(packets(newRand(4), 1, 50, 50)...)
		b.hear(a.addr, a.flushed()...)
		a.hear(b.addr, b.sent()...)
		if got := a.peer.Status().MaxPacket; got != headerSize+1400 {
			t.Fatalf("largest packet %d, want %d", got, headerSize+1400)
		}
		b.handed()
		a.send(large[1:]...)
		out := a.flushed()
		b.hear(a.addr, out[1:]...) // without the first
		if got := b.handed(); len(got) != 2 || !contains(got, large[1]) {
			t.Errorf("%d packets handed up, the lost one among them: %t", len(got), contains(got, large[1]))
		}
	})
}

func TestNothingIsKeptAfterClose(t *testing.T) {
	for _, c := range []struct {
		name string
		late func(a, b *end, old [][]byte) // what still happens
	}{
		{"nothing more", func(a, b *end, old [][]byte) {}},
		{"closed twice", func(a, b *end, old [][]byte) { a.peer.Close(); b.peer.Close() }},
		// Somebody has looked the peer up just before.
		{"a packet is sent", func(a, b *end, old [][]byte) {
			p := packets(newRand(1), 1, 1200, 1200)[0]
			if err := a.sender().send(p, len(p), b.addr, nil); err != nil {
				t.Error(err)
			}
		}},
		{"packets arrive", func(a, b *end, old [][]byte) {
			for _, p := range old {
				if h, err := parseData(p); err == nil && h.kind == kindCoded {
					b.receiver().data(h, p[headerSize:], 0, func([]byte) {})
				} else if h, err := parseParity(p); err == nil {
					b.receiver().parity(h, p[headerSize:], 0, func([]byte) {})
				}
			}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a, b := newEnds(t, Settings{Repair: Always})
				a.send(packets(newRand(1), 100, 1200, 1200)...)
				out := a.flushed()
				b.hear(a.addr, out[:50]...) // some are missing, groups are open
				a.send(packets(newRand(2), 5, 1200, 1200)...)
				if a.conn.shared.Memory() == 0 || b.conn.shared.Memory() == 0 {
					t.Fatal("nothing to give back")
				}
				a.peer.Close()
				b.peer.Close()
				c.late(a, b, out)
				if x, y := a.conn.shared.Memory(), b.conn.shared.Memory(); x != 0 || y != 0 {
					t.Errorf("%d and %d bytes are still taken", x, y)
				}
				if timer := a.sender().timer; timer != nil && timer.Stop() {
					t.Error("a timer is left")
				}
				if table := a.conn.peers.Load(); len(table.byAddr) != 0 || len(table.byFlow) != 0 {
					t.Errorf("the peer can still be found: %v", table)
				}
			})
		})
	}
}

func TestPacketsToOthersPassAsTheyAre(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := newEnds(t, Settings{Repair: Always})
		p := packets(newRand(1), 1, 100, 100)[0]
		if err := a.conn.outgoing(p, len(p), a.addr, nil); err != nil {
			t.Fatal(err)
		}
		a.peer.Close()
		if err := a.conn.outgoing(p, len(p), b.addr, nil); err != nil {
			t.Fatal(err)
		}
		out := a.sent()
		if len(out) != 2 || !bytes.Equal(out[0], p) || !bytes.Equal(out[1], p) {
			t.Fatalf("sent %x", out)
		}
		b.hear(a.addr, out...)
		if got := b.handed(); len(got) != 2 || !bytes.Equal(got[0], p) {
			t.Errorf("handed up %x", got)
		}
	})
}
