package link

import (
	"fmt"
	"math/bits"
	"math/rand/v2"
	"testing"
)

// encode returns the rows of parity over packets.
func encode(packets [][]byte, rows int) []row {
	all := make([]row, rows)
	for r := range all {
		all[r].symbol = make([]byte, 0, maxPacket)
		for c, p := range packets {
			all[r].add(coefficients[r][c], p)
		}
	}
	return all
}

// A decoder is a receiver that is fed one group after the other.
type decoder struct {
	*receiver
	next uint64
	got  [][]byte
}

func newDecoder() *decoder {
	return &decoder{receiver: newReceiver(newPool(1<<30), new(counters))}
}

// group feeds a group of packets without those that are lost, then the given rows
// of parity, and returns what was rebuilt. The bits of lost and rows are numbers of
// packets and rows.
func (d *decoder) group(packets [][]byte, parity []row, lost [2]uint64, rows uint32) [][]byte {
	d.got = nil
	deliver := func(p []byte) { d.got = append(d.got, append([]byte(nil), p...)) }
	header := func(seq uint64) dataHeader { return dataHeader{kind: kindCoded, seq: uint32(seq & wireMask)} }
	d.data(header(d.next), []byte{quicBit}, 0, deliver) // no part of the group, so that it has a beginning
	base := d.next + 1
	d.next = base + uint64(len(packets))
	for c, p := range packets {
		if lost[c/64]&(1<<(c%64)) == 0 {
			d.data(header(base+uint64(c)), p, 0, deliver)
		}
	}
	for r := range parity {
		if rows&(1<<r) != 0 {
			h := parityHeader{row: r, base: uint32(base & wireMask), n: len(packets), length: parity[r].length}
			d.parity(h, parity[r].symbol, 0, deliver)
		}
	}
	return d.got
}

// expectRebuilt checks that exactly the lost packets have been rebuilt.
func expectRebuilt(t *testing.T, name string, got, packets [][]byte, lost [2]uint64) {
	t.Helper()
	count := 0
	for c, p := range packets {
		if lost[c/64]&(1<<(c%64)) == 0 {
			continue
		}
		count++
		if !contains(got, p) {
			t.Fatalf("%s: packet %d of %d bytes was not rebuilt", name, c, len(p))
		}
	}
	if len(got) != count {
		t.Fatalf("%s: %d packets rebuilt, %d were lost", name, len(got), count)
	}
}

func TestAnyRowsRepairAsManyLosses(t *testing.T) {
	const rows = 5
	rng := newRand(1)
	d := newDecoder()
	for n := 1; n <= 7; n++ {
		packets := packets(rng, n, 5, 60)
		parity := encode(packets, rows)
		for lost := range uint64(1) << n {
			e := bits.OnesCount64(lost)
			for have := range uint32(1) << rows {
				name := fmt.Sprintf("%d packets without %b, rows %b", n, lost, have)
				got := d.group(packets, parity, [2]uint64{lost}, have)
				if bits.OnesCount32(have) < e {
					if len(got) != 0 {
						t.Fatalf("%s: %d packets rebuilt from too few rows", name, len(got))
					}
					continue
				}
				expectRebuilt(t, name, got, packets, [2]uint64{lost})
			}
		}
	}
}

func TestLargeGroupsAreRepaired(t *testing.T) {
	rng := newRand(2)
	d := newDecoder()
	for i := range 60 {
		n := 1 + rng.IntN(maxGroup)
		if i < 3 {
			n = maxGroup
		}
		packets := packets(rng, n, 5, 1462)
		parity := encode(packets, maxRows)
		e := 1 + rng.IntN(min(n, maxRows))
		if i < 3 {
			e = maxRows
		}
		lost := pick(rng, n, e)
		some := pick(rng, maxRows, e)
		name := fmt.Sprintf("%d packets without %x, rows %x", n, lost, some)
		expectRebuilt(t, name, d.group(packets, parity, lost, uint32(some[0])), packets, lost)
	}
}

// pick returns e numbers below n as bits.
func pick(rng *rand.Rand, n, e int) (bits [2]uint64) {
	for _, c := range rng.Perm(n)[:e] {
		bits[c/64] |= 1 << (c % 64)
	}
	return bits
}

func TestPacketsOfAllLengthsAreRebuilt(t *testing.T) {
	d := newDecoder()
	for _, lengths := range [][]int{{1, maxPacket}, {maxPacket, 1}, {1, 1}, {maxPacket, maxPacket}, {3, 700, 2}} {
		packets := make([][]byte, len(lengths))
		for i, n := range lengths {
			packets[i] = make([]byte, n)
			packets[i][0] = quicBit | byte(i) // the rest are zeros, and must come back
		}
		parity := encode(packets, len(packets))
		for c := range packets {
			lost := [2]uint64{1 << c}
			expectRebuilt(t, fmt.Sprintf("lengths %v without the one at %d", lengths, c), d.group(packets, parity, lost, 1), packets, lost)
		}
		all := [2]uint64{1<<len(packets) - 1}
		expectRebuilt(t, fmt.Sprintf("lengths %v, all lost", lengths), d.group(packets, parity, all, uint32(all[0])), packets, all)
	}
}

func TestParityIsAsLongAsTheLongestPacket(t *testing.T) {
	parity := encode([][]byte{make([]byte, 20), make([]byte, 100), make([]byte, 50)}, 2)
	for r, p := range parity {
		if len(p.symbol) != 100 {
			t.Errorf("row %d has %d bytes, want 100", r, len(p.symbol))
		}
	}
}

func TestImpossibleLengthsAreNoPackets(t *testing.T) {
	for _, c := range []struct {
		name   string
		length [2]byte
		symbol int
		ok     bool
	}{
		{"shorter than the symbol", [2]byte{0, 3}, 9, true},
		{"as long", [2]byte{0, 9}, 9, true},
		{"longer", [2]byte{0, 10}, 9, false},
		{"much longer", [2]byte{255, 255}, 1500, false},
		{"empty", [2]byte{}, 9, false},
		{"nothing", [2]byte{}, 0, false},
	} {
		r := row{length: c.length, symbol: make([]byte, c.symbol)}
		if packet, ok := r.packet(); ok != c.ok || len(packet) > c.symbol {
			t.Errorf("%s: %d bytes, %t", c.name, len(packet), ok)
		}
	}
}

func TestInverseTimesMatrixIsIdentity(t *testing.T) {
	rng := newRand(3)
	for range 200 {
		n := 1 + rng.IntN(maxRows)
		rows, columns := rng.Perm(maxRows)[:n], rng.Perm(maxGroup)[:n]
		inverse := invert(rows, columns)
		for i := range n {
			product := make([]byte, n)
			for j := range n {
				line := make([]byte, n)
				for k, c := range columns {
					line[k] = coefficients[rows[j]][c]
				}
				field.GalMulSliceXor(inverse[i][j], line, product)
			}
			for k, v := range product {
				want := byte(0)
				if k == i {
					want = 1
				}
				if v != want {
					t.Fatalf("rows %v, columns %v: product at %d, %d is %d", rows, columns, i, k, v)
				}
			}
		}
	}
}
