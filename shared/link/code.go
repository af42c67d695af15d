package link

import (
	"encoding/binary"

	"github.com/klauspost/reedsolomon"
)

const (
	// maxGroup is how many packets share their parity at most.
	maxGroup = 128
	// maxRows is how many rows of parity a group has at most.
	maxRows = 32
	// maxPacket is the largest packet that parity is made for, in bytes. quic-go
	// sends up to 1,452.
	maxPacket = 1500
)

// The code is a systematic Reed-Solomon code over GF(2^8) with a Cauchy matrix:
// row r of the parity is the sum of coefficient(r, c) times packet c. Rows and
// columns are named by different elements of the field, so that every square part
// of the matrix can be inverted: any e rows repair any e lost packets. Unlike the
// encoder of reedsolomon, whose multiplication is used here, it needs no packet
// again once it has been added, knows the size of a group only at its end, and
// solves for what is lost alone.
var field reedsolomon.LowLevel

var coefficients = func() (table [maxRows][maxGroup]byte) {
	for r := range table {
		for c := range table[r] {
			table[r][c] = reedsolomon.Inv(byte(maxGroup+r) ^ byte(c))
		}
	}
	return table
}()

// A row is a parity in the making, or a syndrome: what is left of a parity when
// the packets that are there have been taken out of it again.
type row struct {
	length [2]byte
	symbol []byte // as long as the longest packet in it; its capacity is maxPacket
}

// reset empties r and keeps its memory.
func (r *row) reset() {
	r.length = [2]byte{}
	r.symbol = r.symbol[:0]
}

// grow lengthens the symbol with zeros to n bytes.
func (r *row) grow(n int) {
	if old := len(r.symbol); n > old {
		r.symbol = r.symbol[:n]
		clear(r.symbol[old:])
	}
}

// add adds coefficient times packet.
func (r *row) add(coefficient byte, packet []byte) {
	r.grow(len(packet))
	field.GalMulSliceXor(coefficient, packet, r.symbol[:len(packet)])
	var length [2]byte
	binary.BigEndian.PutUint16(length[:], uint16(len(packet)))
	field.GalMulSliceXor(coefficient, length[:], r.length[:])
}

// addRow adds coefficient times other.
func (r *row) addRow(coefficient byte, other *row) {
	r.grow(len(other.symbol))
	field.GalMulSliceXor(coefficient, other.symbol, r.symbol[:len(other.symbol)])
	field.GalMulSliceXor(coefficient, other.length[:], r.length[:])
}

// packet returns the packet that r is now, or false if its length is impossible:
// something in it was not what the sender had.
func (r *row) packet() ([]byte, bool) {
	length := int(binary.BigEndian.Uint16(r.length[:]))
	if length == 0 || length > len(r.symbol) {
		return nil, false
	}
	return r.symbol[:length], true
}

// invert returns the inverse of the square part of the matrix with these rows and
// columns. Their number is equal, and at most maxRows.
func invert(rows, columns []int) [][]byte {
	n := len(rows)
	left, right := make([][]byte, n), make([][]byte, n)
	for i := range n {
		left[i], right[i] = make([]byte, n), make([]byte, n)
		for j, c := range columns {
			left[i][j] = coefficients[rows[i]][c]
		}
		right[i][i] = 1
	}
	// Gauss and Jordan. A pivot is never zero for long: the matrix is regular.
	for i := range n {
		pivot := i
		for left[pivot][i] == 0 {
			pivot++
		}
		left[i], left[pivot] = left[pivot], left[i]
		right[i], right[pivot] = right[pivot], right[i]
		scale := reedsolomon.Inv(left[i][i])
		field.GalMulSlice(scale, left[i], left[i])
		field.GalMulSlice(scale, right[i], right[i])
		for j := range n {
			if factor := left[j][i]; j != i && factor != 0 {
				field.GalMulSliceXor(factor, left[i], left[j])
				field.GalMulSliceXor(factor, right[i], right[j])
			}
		}
	}
	return right
}
