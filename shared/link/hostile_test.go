package link

import (
	"encoding/binary"
	"net"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

var stranger = &net.UDPAddr{IP: net.IPv4(192, 0, 2, 66), Port: 6666}

// forged returns a data packet for an end, or as many bytes of nothing as parity.
func forged(to *end, kind byte, seq uint64, n int) []byte {
	b := make([]byte, headerSize+n)
	flow := to.peer.Offer().Flow
	if kind == kindParity {
		parityHeader{row: int(seq % maxRows), flow: flow, base: uint32(seq & wireMask), n: maxGroup, length: [2]byte{1, 2}}.put(b)
	} else {
		dataHeader{kind: kind, flow: flow, seq: uint32(seq & wireMask)}.put(b)
	}
	b[headerSize] |= quicBit
	return b
}

func TestForgedAndReplayedReportsAreIgnored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := newEnds(t, Settings{})
		exchange(t, a, b, 20, 30*time.Millisecond, never)
		lossy := b.receiver().sums
		lossy.number += 100
		lossy.received += 1000
		lossy.missing += 100
		lossy.runs[0] += 100
		flow := a.peer.Offer().Flow
		now := a.sender().control.last
		for _, c := range []struct {
			name  string
			bytes []byte
			taken bool
		}{
			{"another key", lossy.append(nil, flow, key{1}), false},
			{"the key of the other direction", lossy.append(nil, flow, key(b.peer.Offer().Key)), false},
			{"another flow", lossy.append(nil, flow^1, key(a.peer.Offer().Key)), false},
			{"cut", lossy.append(nil, flow, key(a.peer.Offer().Key))[:reportSize-1], false},
			{"the last one again", now.append(nil, flow, key(a.peer.Offer().Key)), false},
			{"a true one", lossy.append(nil, flow, key(a.peer.Offer().Key)), true},
			{"a true one again", lossy.append(nil, flow, key(a.peer.Offer().Key)), false},
		} {
			before := a.sender().control.total
			a.hear(b.addr, c.bytes)
			if taken := a.sender().control.total != before; taken != c.taken {
				t.Errorf("%s: taken: %t", c.name, taken)
			}
		}
		if len(a.handed()) != 20 {
			t.Error("a report was handed to QUIC")
		}
	})
}

func TestForgedAndReplayedRequestsAreIgnored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := newEnds(t, Settings{})
		exchange(t, a, b, 20, time.Millisecond, never)
		flow, k := a.peer.Offer().Flow, key(a.peer.Offer().Key)
		sent := uint32(a.sender().next-1) & wireMask
		for _, c := range []struct {
			name  string
			bytes []byte
			sent  int
		}{
			{"another key", appendRequest(nil, flow, 1, []uint32{sent}, key{1}), 0},
			{"another flow", appendRequest(nil, flow^1, 1, []uint32{sent}, k), 0},
			{"a true one", appendRequest(nil, flow, 1, []uint32{sent, sent - 1}, k), 2},
			{"the same again", appendRequest(nil, flow, 1, []uint32{sent, sent - 1}, k), 0},
			{"what was not sent yet", appendRequest(nil, flow, 2, []uint32{sent + 5}, k), 0},
			{"what is long gone", appendRequest(nil, flow, 3, []uint32{sent + 1<<23}, k), 0},
			{"an older number", appendRequest(nil, flow, 2, []uint32{sent}, k), 0},
			{"cut", appendRequest(nil, flow, 4, []uint32{sent}, k)[:10], 0},
		} {
			a.hear(b.addr, c.bytes)
			out := a.sent()
			if len(out) != c.sent || len(ofKind(out, kindAgain)) != c.sent {
				t.Errorf("%s: %d packets sent, want %d", c.name, len(out), c.sent)
			}
		}
	})
}

// Even a peer that asks for everything, again and again, gets a tenth.
func TestRequestsCannotMakeTheSenderExceedItsShare(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := newEnds(t, Settings{})
		flow, k := a.peer.Offer().Flow, key(a.peer.Offer().Key)
		const rounds, each = 200, 10
		sent, again := 0, 0
		for round := range rounds {
			a.send(packets(newRand(1), each, 1200, 1200)...)
			for _, p := range a.flushed() {
				if !isKind(p, kindParity) {
					sent++
				}
			}
			var wanted []uint32
			for i := range uint32(maxWanted) {
				wanted = append(wanted, (uint32(a.sender().next)-1-i%each)&wireMask)
			}
			for i := range uint32(5) {
				a.hear(b.addr, appendRequest(nil, flow, uint32(5*round)+i+1, wanted, k))
			}
			again += len(a.sent())
		}
		if most := int(resendShare*rounds*each) + resendBurst; sent != rounds*each || again > most || again < most-1 {
			t.Errorf("%d packets sent again of %d, want %d", again, sent, most)
		}
	})
}

// works reports whether a packet that is lost now comes back.
func works(t *testing.T, a, b *end) bool {
	t.Helper()
	a.assume(0.01)
	lost := packets(newRand(5), 1, 300, 300)
	rest := packets(newRand(6), 3, 300, 300)
	b.handed()
	a.sent()
	a.send(lost...)
	a.send(rest...)
	b.hear(a.addr, a.flushed()[1:]...)
	got := b.handed()
	for _, p := range rest {
		if !contains(got, p) {
			t.Error("a packet that arrived was not handed up")
		}
	}
	return contains(got, lost[0])
}

// Somebody who guesses or sees the flow can forge numbers. Wherever they lead, the
// link is back after a few true packets.
func TestForgedNumbersDoNotStopRepairForLong(t *testing.T) {
	for _, c := range []struct {
		name   string
		forged func(to *end, highest uint64) [][]byte
	}{
		{"one far ahead", func(to *end, h uint64) [][]byte {
			return [][]byte{forged(to, kindData, h+100_000, 50)}
		}},
		{"two far ahead", func(to *end, h uint64) [][]byte {
			return [][]byte{forged(to, kindData, h+100_000, 50), forged(to, kindData, h+100_001, 50)}
		}},
		{"two as far ahead as can be", func(to *end, h uint64) [][]byte {
			return [][]byte{forged(to, kindCoded, h+1<<23-2, 50), forged(to, kindCoded, h+1<<23-1, 50)}
		}},
		{"many, each a window ahead of the last", func(to *end, h uint64) (all [][]byte) {
			for i := range uint64(100) {
				all = append(all, forged(to, kindData, h+(i+1)*(window-1), 50))
			}
			return all
		}},
		{"many parities, each a group ahead of the last", func(to *end, h uint64) (all [][]byte) {
			for i := range uint64(500) {
				all = append(all, forged(to, kindParity, h+1+i*maxGroup, 50))
			}
			return all
		}},
		{"two far behind", func(to *end, h uint64) [][]byte {
			return [][]byte{forged(to, kindData, h-100_000, 50), forged(to, kindData, h-100_001, 50)}
		}},
		{"many far behind", func(to *end, h uint64) (all [][]byte) {
			for i := range uint64(100) {
				all = append(all, forged(to, kindData, h-100_000+i, 50))
			}
			return all
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a, b := newEnds(t, Settings{})
				exchange(t, a, b, 20, 10*time.Millisecond, never)
				if !works(t, a, b) {
					t.Fatal("no repair before the attack")
				}
				b.hear(a.addr, c.forged(b, b.receiver().highest)...)
				exchange(t, a, b, 50, 10*time.Millisecond, never)
				if !works(t, a, b) {
					t.Error("no repair after 50 true packets")
				}
			})
		})
	}
}

func TestFloodFromElsewhereIsBounded(t *testing.T) {
	for _, kind := range []byte{kindData, kindCoded, kindProbe, kindAgain, kindParity} {
		synctest.Test(t, func(t *testing.T) {
			s := Settings{Memory: 1 << 20}
			a, b := newEnds(t, s)
			exchange(t, a, b, 20, 10*time.Millisecond, never)
			changes := 0
			table := b.conn.peers.Load()
			begin := time.Now()
			for i := range 2000 {
				from := &net.UDPAddr{IP: net.IPv4(192, 0, 2, byte(i)), Port: 1 + i}
				b.hear(from, forged(b, kind, b.receiver().highest+uint64(i%700), 1400))
				if now := b.conn.peers.Load(); now != table {
					table = now
					changes++
				}
				if i%10 == 0 {
					time.Sleep(time.Millisecond)
				}
			}
			if most := 1 + int(time.Since(begin)/moveInterval); changes == 0 || changes > most {
				t.Errorf("kind %#x: %d changes of the table in %v, want 1 to %d", kind, changes, time.Since(begin), most)
			}
			if n := len(b.conn.peers.Load().byAddr); n > 2 {
				t.Errorf("kind %#x: %d addresses of one peer", kind, n)
			}
			if used := b.conn.shared.Memory(); used > int64(s.Memory) {
				t.Errorf("kind %#x: %d bytes taken, limit %d", kind, used, s.Memory)
			}
			if n := len(b.receiver().asks); n > maxAsks {
				t.Errorf("kind %#x: %d packets asked for", kind, n)
			}
			b.sent()
			exchange(t, a, b, 50, 10*time.Millisecond, never)
			if !works(t, a, b) {
				t.Errorf("kind %#x: no repair after the flood", kind)
			}
		})
	}
}

// The link of a stranger's address ends with the next one, and what is sent to
// the true address is never affected.
func TestStrangersDoNotTakeThePlaceOfThePeer(t *testing.T) {
	at := func(e *end, a *net.UDPAddr) *Peer {
		addr, err := addrPort(a)
		if err != nil {
			t.Fatal(err)
		}
		return e.conn.peers.Load().byAddr[addr]
	}
	synctest.Test(t, func(t *testing.T) {
		a, b := newEnds(t, Settings{Repair: Always})
		exchange(t, a, b, 5, 10*time.Millisecond, never)
		b.hear(stranger, forged(b, kindData, 5, 50))
		p := packets(newRand(1), 1, 100, 100)[0]
		if err := b.conn.outgoing(p, len(p), a.addr, nil); err != nil {
			t.Fatal(err)
		}
		out := b.sent()
		if len(out) == 0 || !isKind(out[len(out)-1], kindCoded) {
			t.Errorf("sent %x to the peer", out)
		}
		if at(b, a.addr) != b.peer || at(b, stranger) != b.peer {
			t.Error("the peer is not found at both addresses")
		}
		time.Sleep(moveInterval)
		other := &net.UDPAddr{IP: net.IPv4(192, 0, 2, 67), Port: 1}
		b.hear(other, forged(b, kindData, 5, 50))
		if at(b, a.addr) != b.peer || at(b, stranger) != nil || at(b, other) != b.peer {
			t.Error("the next stranger has not taken the place of the first")
		}
	})
}

func TestPeersDoNotTakeEachOthersAddresses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := newEnds(t, Settings{})
		other, err := b.conn.NewPeer(stranger, new(Tally))
		if err != nil {
			t.Fatal(err)
		}
		defer other.Close()
		b.hear(stranger, forged(b, kindCoded, 5, 50))
		if addr, _ := addrPort(stranger); b.conn.peers.Load().byAddr[addr] != other {
			t.Error("the other peer has lost its address")
		}
		if b.tally.Counts().ReceivedPackets != 0 {
			t.Error("a packet from the address of one peer is taken for another")
		}
		_ = a
	})
}

// A connection that this end knows nothing of any more: QUIC's answer to its
// packets is a stateless reset.
func TestDataOfUnknownFlowsIsHandedUpAsItIs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := newEnds(t, Settings{})
		p := packets(newRand(1), 2, 100, 100)
		a.send(p...)
		out := a.flushed()
		b.peer.Close()
		b.hear(a.addr, out...)
		b.hear(a.addr, forged(b, kindAgain, 5, 50), forged(b, kindParity, 5, 50))
		if got := b.handed(); len(got) != 2 || !slices.Equal(got[0], p[0]) || !slices.Equal(got[1], p[1]) {
			t.Errorf("handed up %x", got)
		}
	})
}

func TestWhatIsNoPacketOfTheLinkIsNotHandedUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := newEnds(t, Settings{})
		flow := binary.BigEndian.AppendUint32(nil, b.peer.Offer().Flow)[1:]
		for first := range 256 {
			packet := slices.Concat([]byte{byte(first)}, flow, make([]byte, 60))
			b.hear(a.addr, nil, packet[:1], packet[:4], packet)
			want := 0
			switch {
			case first&quicBit != 0:
				want = 3 // as they are
			case first >= kindData && first <= kindProbe:
				want = 1 // without the header
			}
			if got := b.handed(); len(got) != want {
				t.Errorf("first byte %#x: %d packets handed up, want %d", first, len(got), want)
			}
		}
	})
}
