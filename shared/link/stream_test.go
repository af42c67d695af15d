package link_test

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ergoproxy/ergo/shared/link"
	"github.com/ergoproxy/ergo/shared/link/linktest"
)

// roundTrip is that of most tests.
const roundTrip = 80 * time.Millisecond

// content is what packets and answers are made of, so that it costs little to check
// them.
var content = func() []byte {
	rng := rand.New(rand.NewPCG(1, 1))
	b := make([]byte, 1<<16)
	for i := range b {
		b[i] = byte(rng.Uint32())
	}
	return b
}()

// A stream is a flow of packets over a link, without QUIC: as many as it is told
// to, whatever is lost. The far end answers every other one with a small packet. It
// lives in a synctest bubble.
type stream struct {
	t                   *testing.T
	near, far           *link.PacketConn
	nearPeer, farPeer   *link.Peer
	nearTally, farTally link.Tally
	closers             []func()

	mu   sync.Mutex // guards all below
	sent []time.Time
	took []time.Duration // by number; 0: not arrived
}

func newStream(t *testing.T, repair link.Repair, there, back *linktest.Path) *stream {
	t.Helper()
	a, b := linktest.Pair(there, back)
	settings := link.Settings{Repair: repair, Memory: 64 << 20}
	s := &stream{t: t, near: link.New(settings).Over(a), far: link.New(settings).Over(b)}
	var err error
	if s.nearPeer, err = s.near.NewPeer(b.LocalAddr(), &s.nearTally); err != nil {
		t.Fatal(err)
	}
	if s.farPeer, err = s.far.NewPeer(a.LocalAddr(), &s.farTally); err != nil {
		t.Fatal(err)
	}
	s.nearPeer.Start(s.farPeer.Offer())
	s.farPeer.Start(s.nearPeer.Offer())
	var readers sync.WaitGroup
	readers.Go(s.receive)
	readers.Go(func() {
		var b [1500]byte
		for {
			if _, _, err := s.near.ReadFrom(b[:]); err != nil {
				return
			}
		}
	})
	s.closers = []func(){s.nearPeer.Close, s.farPeer.Close, func() { a.Close() }, func() { b.Close() }, readers.Wait}
	return s
}

func (s *stream) close() {
	for _, f := range s.closers {
		f()
	}
}

// receive checks and answers what arrives at the far end.
func (s *stream) receive() {
	var b [1500]byte
	for i := 0; ; i++ {
		n, from, err := s.far.ReadFrom(b[:])
		if err != nil {
			return
		}
		number := binary.BigEndian.Uint64(b[1:])
		s.mu.Lock()
		if number >= uint64(len(s.sent)) || !bytes.Equal(b[9:n], content[number%1000:][:n-9]) {
			s.t.Errorf("packet %d is not what was sent", number)
		} else if s.took[number] == 0 {
			s.took[number] = time.Since(s.sent[number])
		}
		s.mu.Unlock()
		if i%2 == 0 {
			s.far.WriteTo(append([]byte{0x40}, content[:50]...), from)
		}
	}
}

// send sends one packet.
func (s *stream) send(size int) {
	s.mu.Lock()
	number := uint64(len(s.sent))
	s.sent = append(s.sent, time.Now())
	s.took = append(s.took, 0)
	s.mu.Unlock()
	b := binary.BigEndian.AppendUint64([]byte{0x40}, number)
	if _, err := s.near.WriteTo(append(b, content[number%1000:][:size-9]...), s.far.LocalAddr()); err != nil {
		s.t.Error(err)
	}
}

// A result is what became of the packets of some time.
type result struct {
	link.Counts           // of both ends: what was sent by the near one, and what arrived at the far one
	late          float64 // share of the packets that came later than parity may, or never
	parity        float64 // bytes of parity for each byte of data
	perPacket     float64 // packets of parity for each packet
	shareRepaired float64 // of those that were missing
}

// pace sends packets of that size at a steady rate, once a millisecond at most.
func (s *stream) pace(size, perSecond int, d time.Duration) {
	begin := time.Now()
	due := 0
	for elapsed := time.Duration(0); elapsed < d; elapsed = time.Since(begin) {
		for ; due <= int(elapsed*time.Duration(perSecond)/time.Second); due++ {
			s.send(size)
		}
		<-time.After(max(time.Millisecond, time.Second/time.Duration(perSecond)))
	}
}

// run sends packets as pace does, and returns what became of them.
func (s *stream) run(size, perSecond int, d time.Duration) result {
	nearBefore, farBefore := s.nearTally.Counts(), s.farTally.Counts()
	first := len(s.sent)
	s.pace(size, perSecond, d)
	last := len(s.sent)
	<-time.After(roundTrip) // until the last of them has arrived, or its repair
	synctest.Wait()
	near, far := s.nearTally.Counts(), s.farTally.Counts()
	r := result{Counts: link.Counts{
		SentPackets: near.SentPackets - nearBefore.SentPackets, SentBytes: near.SentBytes - nearBefore.SentBytes,
		ParityPackets: near.ParityPackets - nearBefore.ParityPackets, ParityBytes: near.ParityBytes - nearBefore.ParityBytes,
		ResentBytes:      near.ResentBytes - nearBefore.ResentBytes,
		MissingPackets:   far.MissingPackets - farBefore.MissingPackets,
		RepairedPackets:  far.RepairedPackets - farBefore.RepairedPackets,
		CongestedPackets: far.CongestedPackets - farBefore.CongestedPackets,
		OutagePackets:    far.OutagePackets - farBefore.OutagePackets,
	}}
	late := 0
	for _, took := range s.took[first:last] {
		if took == 0 || took >= roundTrip+roundTrip/2 {
			late++
		}
	}
	r.late = float64(late) / float64(last-first)
	r.parity = float64(r.ParityBytes) / float64(r.SentBytes)
	r.perPacket = float64(r.ParityPackets) / float64(r.SentPackets)
	if r.MissingPackets > 0 {
		r.shareRepaired = float64(r.RepairedPackets) / float64(r.MissingPackets)
	}
	return r
}

// open is a path that is wide enough.
func open(loss linktest.Loss) linktest.Conditions {
	return linktest.Conditions{Delay: roundTrip / 2, Loss: loss, Rate: 200e6}
}

// overStream runs f with a new stream in a bubble. What the far end sends is lost
// as rarely as one in a hundred packets.
func overStream(t *testing.T, repair link.Repair, there linktest.Conditions, f func(t *testing.T, s *stream)) {
	synctest.Test(t, func(t *testing.T) {
		s := newStream(t, repair, linktest.NewPath(1, there), linktest.NewPath(2, open(linktest.Bernoulli(0.01))))
		f(t, s)
		s.close()
	})
}
