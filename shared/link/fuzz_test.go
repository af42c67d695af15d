package link

import (
	"bytes"
	"encoding/binary"
	"math"
	"testing"
	"testing/synctest"
	"time"
)

// cut takes the first n bytes of b, or what there is.
func cut(b []byte, n int) (first, rest []byte) {
	n = min(n, len(b))
	return b[:n], b[n:]
}

// checkBounds fails if an end holds more than it may.
func checkBounds(t *testing.T, e *end) {
	t.Helper()
	r := e.receiver()
	if used, limit := e.conn.shared.Memory(), e.conn.shared.pool.limit; used < 0 || used > limit {
		t.Fatalf("%d bytes taken, limit %d", used, limit)
	}
	if len(r.asks) > maxAsks {
		t.Fatalf("%d packets asked for", len(r.asks))
	}
	if r.started && (r.settled > r.highest+1 || r.highest-min(r.highest, r.settled) > window) {
		t.Fatalf("settled up to %d of %d", r.settled, r.highest)
	}
	if n := len(e.conn.peers.Load().byAddr); n > 2 {
		t.Fatalf("%d addresses", n)
	}
}

// FuzzIncoming gives arbitrary packets to an end that has a peer: an operation, a
// length, and as many bytes, again and again. Bit 0 of the operation puts the flow
// of the peer into the packet, bit 1 lets it come from elsewhere, bit 2 puts a
// number next to the highest into it; the others are milliseconds to wait.
func FuzzIncoming(f *testing.F) {
	f.Fuzz(func(t *testing.T, b []byte) {
		synctest.Test(t, func(t *testing.T) {
			x, e := newEnds(t, Settings{Memory: 1 << 20})
			exchange(t, x, e, 3, 10*time.Millisecond, never)
			e.handed()
			for count := 0; len(b) >= 2 && count < 1000; count++ {
				op := b[0]
				var packet []byte
				packet, b = cut(b[2:], int(b[1]))
				packet = bytes.Clone(packet)
				if op&1 != 0 && len(packet) >= 4 {
					put24(packet[1:], e.peer.Offer().Flow)
				}
				if op&4 != 0 && len(packet) >= 7 {
					put24(packet[4:], uint32(e.receiver().highest+uint64(packet[6])-128)&wireMask)
				}
				from := x.addr
				if op&2 != 0 {
					from = stranger
				}
				<-time.After(time.Duration(op>>3) * time.Millisecond)
				repaired := e.tally.Counts().RepairedPackets
				e.hear(from, packet)
				got := e.handed()
				rebuilt := e.tally.Counts().RepairedPackets - repaired
				if n := len(got); n > maxRows+1 || uint64(n) > rebuilt+1 {
					t.Fatalf("%d packets handed up for %x, %d of them rebuilt", n, packet, rebuilt)
				}
				for _, p := range got {
					if len(p) > max(maxPacket, len(packet)) || rebuilt == 0 && !bytes.HasSuffix(packet, p) {
						t.Fatalf("%x handed up for %x", p, packet)
					}
				}
				checkBounds(t, e)
			}
			e.peer.Close()
			if used := e.conn.shared.Memory(); used != 0 {
				t.Fatalf("%d bytes are still taken", used)
			}
		})
	})
}

// FuzzReport gives a sender reports of arbitrary content, signed as they should be.
func FuzzReport(f *testing.F) {
	f.Fuzz(func(t *testing.T, b []byte) {
		c := newController(Auto)
		now := time.Duration(0)
		for len(b) > 0 {
			var content []byte
			content, b = cut(b, reportSize-4-tagSize)
			packet := make([]byte, reportSize-tagSize, reportSize)
			copy(packet, []byte{kindReport, 0, 0, 1})
			copy(packet[4:], content)
			r, err := parseReport(packet, sampleKey)
			if err == nil {
				t.Fatal("a report without a tag is taken")
			}
			packet = append(packet, sampleKey.tag(packet)...)
			if r, err = parseReport(packet, sampleKey); err != nil {
				t.Fatal(err)
			}
			if again := r.append(nil, 1, sampleKey); !bytes.Equal(again, packet) {
				t.Fatalf("put together again as\n% x, was\n% x", again, packet)
			}
			now += time.Duration(r.held) * tick
			c.report(now, r)
			if c.report(now, r) {
				t.Fatal("the same report is taken twice")
			}
			checkController(t, c)
		}
	})
}

func checkController(t *testing.T, c *controller) {
	t.Helper()
	if share := c.losses.share(); share < 0 || math.IsNaN(share) || math.IsInf(share, 0) {
		t.Fatalf("loss %v", share)
	}
	for _, n := range []int{1, 2, 7, 60, maxGroup} {
		for _, bulk := range []bool{false, true} {
			if rows := c.rows(n, bulk); rows < 0 || rows > maxRows || rows > max(smallRows, n/2) {
				t.Fatalf("%d rows for %d packets", rows, n)
			}
		}
	}
	if c.rtt < 0 || c.memory() < 0 || c.hold() < idleGap || c.hold() > holdMax {
		t.Fatalf("round trip %v, memory %v, hold %v", c.rtt, c.memory(), c.hold())
	}
}

// FuzzRequest gives a sender requests for arbitrary packets, signed as they should
// be: a number and three bytes for each packet.
func FuzzRequest(f *testing.F) {
	f.Fuzz(func(t *testing.T, b []byte) {
		synctest.Test(t, func(t *testing.T) {
			x, e := newEnds(t, Settings{})
			all := packets(newRand(1), 100, 50, 1300) // some are probes
			x.send(all...)
			sent := x.flushed()
			for i, p := range sent {
				sent[i] = p[1:] // but for the kind
			}
			again := 0
			for len(b) >= 4 {
				packet := append([]byte{kindRequest, 0, 0, 0}, b[:4]...)
				put24(packet[1:], x.peer.Offer().Flow)
				var wanted []byte
				wanted, b = cut(b[4:], 3*(1+int(b[3])%(maxWanted+2)))
				packet = append(packet, wanted...)
				x.hear(e.addr, packet) // not signed
				if len(x.sent()) != 0 {
					t.Fatal("a request without a tag is answered")
				}
				x.hear(e.addr, append(packet, key(x.peer.own.Key).tag(packet)...))
				answers := x.sent()
				if again += len(answers); len(answers) > len(wanted)/3 || len(answers) > maxWanted {
					t.Fatalf("%d packets for %d that are asked for", len(answers), len(wanted)/3)
				}
				for _, p := range answers {
					if !isKind(p, kindAgain) || !contains(sent, p[1:]) {
						t.Fatalf("%x was never sent", p)
					}
				}
			}
			if again > resendBurst {
				t.Fatalf("%d packets sent again", again)
			}
		})
	})
}

// What FuzzParity does to a packet on its way.
const (
	mangleDrop = iota
	mangleTwice
	mangleLater // by as many packets as the next byte says
	mangleForge // a byte of it
	mangles
)

// FuzzParity lets a sender's packets be lost, repeated, reordered and forged: a byte
// says how many pass untouched, and the next what becomes of the one after them.
// What is handed up was sent, unless it was forged.
func FuzzParity(f *testing.F) {
	f.Fuzz(func(t *testing.T, b []byte) {
		synctest.Test(t, func(t *testing.T) {
			x, e := newEnds(t, Settings{Memory: 4 << 20})
			x.assume(0.05)
			rng := newRand(1)
			var all, wire [][]byte
			for _, n := range []int{1, 30, 2, 100, 7, 60} {
				some := packets(rng, n, 20, 200)
				all = append(all, some...)
				x.send(some...)
				wire = append(wire, x.flushed()...)
			}
			delivered, forged := mangled(wire, b)
			for _, p := range delivered {
				e.hear(x.addr, p)
				checkBounds(t, e)
			}
			got := e.handed()
			unknown := 0
			for _, p := range got {
				if !contains(all, p) {
					unknown++
				}
			}
			if unknown > 0 && forged == 0 {
				t.Fatalf("%d packets handed up that were never sent", unknown)
			}
			if most := 2*len(delivered) + len(all); len(got) > most {
				t.Fatalf("%d packets handed up, %d came in", len(got), len(delivered))
			}
		})
	})
}

// mangled returns what is left of packets, and how many of them are forged.
func mangled(packets [][]byte, ops []byte) (out [][]byte, forged int) {
	later := make(map[int][][]byte)
	pass := 0
	for i, p := range packets {
		out = append(out, later[i]...)
		if pass > 0 || len(ops) < 3 {
			pass--
			out = append(out, p)
			continue
		}
		op, argument := ops[1]%mangles, ops[2]
		pass, ops = int(ops[0]), ops[2:]
		switch op {
		case mangleTwice:
			out = append(out, p, p)
		case mangleLater:
			at := min(len(packets)-1, i+1+int(argument))
			later[at] = append(later[at], p)
		case mangleForge:
			forged++
			p = bytes.Clone(p)
			p[int(binary.BigEndian.Uint16([]byte{argument, byte(i)}))%len(p)] ^= argument | 1
			out = append(out, p)
		}
	}
	return out, forged
}
