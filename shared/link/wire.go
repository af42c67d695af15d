package link

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"time"
)

// Version is the version of what this package sends. Both ends say theirs in an
// Offer; the link is used where they agree.
const Version = 1

// headerSize is the size of what stands before each data packet, and before each
// parity. They are equal, so that a parity is never larger than the largest packet
// it protects.
const headerSize = 10

// The first byte says what a packet is. QUIC has its bit 0x40 set (RFC 9000,
// section 17.2; RFC 8999): a packet with that bit is passed on as it is.
//
//	0 1 x x x x x x, 1 1 x x x x x x   QUIC, not ours
//	0 0 0 0 0 0 0 1                    data
//	0 0 0 0 0 0 1 0                    data that parity follows for
//	0 0 0 0 0 0 1 1                    data outside the numbering
//	0 0 0 0 0 1 0 0                    data sent once more
//	0 0 0 0 0 1 0 1                    report
//	0 0 0 0 0 1 1 0                    request to send packets once more
//	0 0 1 r r r r r                    parity, row r
const (
	kindData    = 0x01
	kindCoded   = 0x02
	kindProbe   = 0x03
	kindAgain   = 0x04
	kindReport  = 0x05
	kindRequest = 0x06
	kindParity  = 0x20

	rowMask = 0x1f
	quicBit = 0x40
)

// Sequence numbers and times are 24 bits wide on the wire; flows too.
const (
	wireBits = 24
	wireMask = 1<<wireBits - 1
)

// tick is the unit of a time on the wire. 24 bits of it last 268 s.
const tick = 16 * time.Microsecond

var errMalformed = errors.New("malformed link packet")

// A dataHeader stands before a packet of QUIC.
//
//	+---------+---------+-------------+---------+
//	| kind: 1 | flow: 3 | sequence: 3 | time: 3 |
//	+---------+---------+-------------+---------+
//
// Sizes are bytes, numbers big endian. Flow is the receiver's name for the peer.
// Sequence counts data packets; in kindProbe it has no meaning. Time is when it was
// sent, in ticks of the sender's clock.
type dataHeader struct {
	kind byte
	flow uint32
	seq  uint32
	time uint32
}

// A parityHeader stands before one row of parity over the packets base to base+n-1.
//
//	+-------------------+---------+---------+------+-----------+------------+
//	| kind and row: 1   | flow: 3 | base: 3 | n: 1 | length: 2 | symbol ... |
//	+-------------------+---------+---------+------+-----------+------------+
//
// N is the number of packets less one. Length is the parity of their lengths, the
// symbol that of their bytes; each packet is taken as if zeros followed it.
type parityHeader struct {
	row    int
	flow   uint32
	base   uint32
	n      int
	length [2]byte
}

func put24(b []byte, v uint32) { b[0], b[1], b[2] = byte(v>>16), byte(v>>8), byte(v) }

func get24(b []byte) uint32 { return uint32(b[0])<<16 | uint32(b[1])<<8 | uint32(b[2]) }

// put writes h to b, which has at least headerSize bytes.
func (h dataHeader) put(b []byte) {
	b[0] = h.kind
	put24(b[1:], h.flow)
	put24(b[4:], h.seq)
	put24(b[7:], h.time)
}

func (h parityHeader) put(b []byte) {
	b[0] = kindParity | byte(h.row)
	put24(b[1:], h.flow)
	put24(b[4:], h.base)
	b[7] = byte(h.n - 1)
	b[8], b[9] = h.length[0], h.length[1]
}

func parseData(b []byte) (dataHeader, error) {
	if len(b) <= headerSize {
		return dataHeader{}, errMalformed
	}
	return dataHeader{kind: b[0], flow: get24(b[1:]), seq: get24(b[4:]), time: get24(b[7:])}, nil
}

func parseParity(b []byte) (parityHeader, error) {
	if len(b) <= headerSize || b[0]&^rowMask != kindParity {
		return parityHeader{}, errMalformed
	}
	h := parityHeader{row: int(b[0] & rowMask), flow: get24(b[1:]), base: get24(b[4:]), n: int(b[7]) + 1, length: [2]byte(b[8:])}
	if h.n > maxGroup {
		return parityHeader{}, errMalformed
	}
	return h, nil
}

// flowOf returns the flow that a link packet names.
func flowOf(b []byte) (uint32, bool) {
	if len(b) < 4 {
		return 0, false
	}
	return get24(b[1:]), true
}

// expand returns the number closest to near whose low bits are wire.
func expand(wire uint32, near uint64) uint64 {
	const half, full = 1 << (wireBits - 1), 1 << wireBits
	n := near&^wireMask | uint64(wire)
	switch {
	case n+half < near:
		return n + full
	case n > near+half && n >= full:
		return n - full
	default:
		return n
	}
}

// Runs of lost packets are counted by their length, in these classes.
const runClasses = 6

// runLength is the length that a class stands for, its longest: 1, 2, 3 to 4, 5 to
// 8, 9 to 16, 17 to 32. Longer runs are outages, which parity cannot repair.
var runLength = [runClasses]int{1, 2, 4, 8, 16, 32}

// maxRun is the longest run that counts as loss.
const maxRun = 32

func classOf(run int) int {
	for class, longest := range runLength {
		if run <= longest {
			return class
		}
	}
	panic("link: a run longer than maxRun has no class")
}

// A report is what a receiver tells the sender, as sums since the start, so that a
// lost report takes nothing with it. Sums wrap around.
//
//	+---------+---------+-----------+-------------+------------+--------------+
//	| kind: 1 | flow: 3 | number: 4 | received: 4 | missing: 4 | congested: 4 |
//	+---------+---------+-----------+-------------+------------+--------------+
//	| outages: 4 | runs: 6 × 4 | largest: 2 | queueing: 2 | echo: 3 | held: 2 |
//	+------------+-------------+------------+-------------+---------+---------+
//	| tag: 8 |
//	+--------+
//
// Tag is the start of the HMAC-SHA256 of all before it, keyed by the one it goes
// to; an older number than the last is ignored. So nobody else steers a sender.
type report struct {
	number    uint32 // counts reports
	received  uint32 // data packets that arrived by themselves
	missing   uint32 // data packets that did not
	congested uint32 // missing ones while the queue of the path was long
	outages   uint32 // missing ones in runs over maxRun
	runs      [runClasses]uint32
	largest   uint16 // bytes of the largest link packet that arrived
	queueing  uint16 // how long packets wait in queues now, in ticks
	echo      uint32 // time of the newest data packet
	held      uint16 // how long ago it arrived, in ticks; the maximum if longer
}

const (
	tagSize    = 8
	reportSize = 4 + 5*4 + runClasses*4 + 2 + 2 + 3 + 2 + tagSize
)

// A key signs reports.
type key [16]byte

func (k key) tag(b []byte) []byte {
	mac := hmac.New(sha256.New, k[:])
	mac.Write(b)
	return mac.Sum(nil)[:tagSize]
}

// append appends the whole packet to b.
func (r *report) append(b []byte, flow uint32, k key) []byte {
	start := len(b)
	b = append(b, kindReport, byte(flow>>16), byte(flow>>8), byte(flow))
	for _, v := range [...]uint32{r.number, r.received, r.missing, r.congested, r.outages} {
		b = binary.BigEndian.AppendUint32(b, v)
	}
	for _, v := range r.runs {
		b = binary.BigEndian.AppendUint32(b, v)
	}
	b = binary.BigEndian.AppendUint16(b, r.largest)
	b = binary.BigEndian.AppendUint16(b, r.queueing)
	b = append(b, byte(r.echo>>16), byte(r.echo>>8), byte(r.echo))
	b = binary.BigEndian.AppendUint16(b, r.held)
	return append(b, k.tag(b[start:])...)
}

// parseReport reads a whole packet and checks its tag.
func parseReport(b []byte, k key) (report, error) {
	if len(b) != reportSize || b[0] != kindReport || !hmac.Equal(b[reportSize-tagSize:], k.tag(b[:reportSize-tagSize])) {
		return report{}, errMalformed
	}
	var r report
	rest := b[4:]
	for _, v := range [...]*uint32{&r.number, &r.received, &r.missing, &r.congested, &r.outages} {
		*v, rest = binary.BigEndian.Uint32(rest), rest[4:]
	}
	for i := range r.runs {
		r.runs[i], rest = binary.BigEndian.Uint32(rest), rest[4:]
	}
	r.largest = binary.BigEndian.Uint16(rest)
	r.queueing = binary.BigEndian.Uint16(rest[2:])
	r.echo = get24(rest[4:])
	r.held = binary.BigEndian.Uint16(rest[7:])
	return r, nil
}

// maxWanted is how many packets one request names at most.
const maxWanted = 64

// appendRequest appends a request for packets to b.
//
//	+---------+---------+-----------+----------------------+--------+
//	| kind: 1 | flow: 3 | number: 4 | sequence: 3, n times | tag: 8 |
//	+---------+---------+-----------+----------------------+--------+
//
// Number and tag are as in a report; requests count by themselves.
func appendRequest(b []byte, flow, number uint32, wanted []uint32, k key) []byte {
	start := len(b)
	b = append(b, kindRequest, byte(flow>>16), byte(flow>>8), byte(flow))
	b = binary.BigEndian.AppendUint32(b, number)
	for _, seq := range wanted {
		b = append(b, byte(seq>>16), byte(seq>>8), byte(seq))
	}
	return append(b, k.tag(b[start:])...)
}

// parseRequest reads a whole packet, checks its tag, and returns the number and the
// sequence numbers, three bytes each.
func parseRequest(b []byte, k key) (number uint32, wanted []byte, err error) {
	n := len(b) - 8 - tagSize
	if n < 0 || n > 3*maxWanted || n%3 != 0 || b[0] != kindRequest || !hmac.Equal(b[8+n:], k.tag(b[:8+n])) {
		return 0, nil, errMalformed
	}
	return binary.BigEndian.Uint32(b[4:]), b[8 : 8+n], nil
}
