package link_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quic-go/quic-go"

	"github.com/ergoproxy/ergo/shared/link"
	"github.com/ergoproxy/ergo/shared/link/linktest"
)

func TestMain(m *testing.M) {
	// The ends of linktest have no buffers to be set.
	os.Setenv("QUIC_GO_DISABLE_RECEIVE_BUFFER_WARNING", "true")
	os.Exit(m.Run())
}

// A setup says what the ends of a world are like, and the path between them. The
// zero value is two ends with links that repair what is lost, and a path that takes
// no time.
type setup struct {
	near, far         link.Settings
	nearPlain         bool // no link below QUIC
	farPlain          bool
	there, back       linktest.Conditions
	paths             [2]*linktest.Path // where others already are; overrides there and back
	shared            [2]*link.Shared   // overrides near and far
	change            func(o *link.Offer)
	resetKey          *quic.StatelessResetKey
	initialPacketSize uint16
}

// A world is two ends that speak QUIC over a path, in a synctest bubble: near has
// dialed, far serves.
type world struct {
	t           *testing.T
	there, back *linktest.Path
	near, far   *side
	listener    *quic.Listener
	serving     sync.WaitGroup

	mu   sync.Mutex // guards all below
	idle []*quic.Stream
	next uint32 // number of the next request
}

// A side is one end of a world.
type side struct {
	raw       *linktest.Conn
	link      *link.PacketConn // nil: plain
	shared    *link.Shared
	transport *quic.Transport
	quic      *quic.Conn
	peer      *link.Peer
	tally     link.Tally
}

func newSide(raw *linktest.Conn, s link.Settings, shared *link.Shared, plain bool) *side {
	e := &side{raw: raw, shared: shared, transport: &quic.Transport{Conn: raw}}
	if plain {
		return e
	}
	if e.shared == nil {
		if s.Memory == 0 {
			s.Memory = 64 << 20
		}
		if s.Repair == "" {
			s.Repair = link.Auto
		}
		e.shared = link.New(s)
	}
	e.link = e.shared.Over(raw)
	e.transport.Conn = e.link
	return e
}

func newWorld(t *testing.T, s setup) *world {
	t.Helper()
	w := &world{t: t, there: s.paths[0], back: s.paths[1]}
	if w.there == nil {
		w.there, w.back = linktest.NewPath(1, s.there), linktest.NewPath(2, s.back)
	}
	a, b := linktest.Pair(w.there, w.back)
	w.near, w.far = newSide(a, s.near, s.shared[0], s.nearPlain), newSide(b, s.far, s.shared[1], s.farPlain)
	w.far.transport.StatelessResetKey = s.resetKey
	server, client, err := linktest.TLS()
	if err != nil {
		t.Fatal(err)
	}
	config := quicConfig(s.initialPacketSize)
	if w.listener, err = w.far.transport.Listen(server, config); err != nil {
		t.Fatal(err)
	}
	w.dial(client, config)
	w.start(s.change)
	w.serving.Go(w.serve)
	return w
}

// quicConfig is that of a tunnel: wide windows, many streams.
func quicConfig(packet uint16) *quic.Config {
	if packet == 0 {
		packet = 1200
	}
	return &quic.Config{InitialPacketSize: packet, MaxIdleTimeout: time.Minute,
		InitialStreamReceiveWindow: 16 << 20, MaxStreamReceiveWindow: 16 << 20,
		InitialConnectionReceiveWindow: 64 << 20, MaxConnectionReceiveWindow: 64 << 20, MaxIncomingStreams: 10_000}
}

func (w *world) dial(client *tls.Config, config *quic.Config) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), 20*time.Second)
	defer cancel()
	var err error
	if w.near.quic, err = w.near.transport.Dial(ctx, w.far.raw.LocalAddr(), client, config); err != nil {
		w.t.Fatal(err)
	}
	if w.far.quic, err = w.listener.Accept(ctx); err != nil {
		w.t.Fatal(err)
	}
}

// start is what the HELLOs do for a tunnel.
func (w *world) start(change func(o *link.Offer)) {
	w.t.Helper()
	for _, e := range []*side{w.near, w.far} {
		if e.link == nil {
			continue
		}
		var err error
		if e.peer, err = e.link.NewPeer(e.quic.RemoteAddr(), &e.tally); err != nil && !errors.Is(err, link.ErrOff) {
			w.t.Fatal(err)
		}
	}
	near, far := w.near.peer.Offer(), w.far.peer.Offer()
	if change != nil {
		change(&far)
	}
	w.far.peer = w.far.peer.Start(near)
	w.near.peer = w.near.peer.Start(far)
}

// close ends everything, and checks that nothing is left.
func (w *world) close() {
	w.t.Helper()
	w.near.quic.CloseWithError(0, "")
	w.far.quic.CloseWithError(0, "")
	w.listener.Close()
	for _, e := range []*side{w.near, w.far} {
		e.peer.Close()
		e.transport.Close()
		e.raw.Close()
	}
	w.serving.Wait()
	synctest.Wait()
}

// request is the size of one in bytes: its number, the size of the answer, content.
const request = 300

// part returns n bytes of content from a position of an exchange, at most 64 KiB.
func part(number uint32, at, n int) []byte {
	return twice[(int(number)*131+at)%len(content):][:n]
}

var twice = slices.Concat(content, content)

// serve answers every request, on streams that are used again and again.
func (w *world) serve() {
	for {
		s, err := w.far.quic.AcceptStream(context.Background())
		if err != nil {
			return
		}
		w.serving.Go(func() {
			defer s.Close()
			for w.answer(s) == nil {
			}
		})
	}
}

func (w *world) answer(s *quic.Stream) error {
	var b [request]byte
	if _, err := io.ReadFull(s, b[:]); err != nil {
		return err
	}
	number, size := binary.BigEndian.Uint32(b[:]), int(binary.BigEndian.Uint32(b[4:]))
	if !bytes.Equal(b[8:], part(number, 0, request-8)) {
		w.t.Errorf("request %d is not what was sent", number)
	}
	for at := 0; at < size; at += 1 << 15 {
		if _, err := s.Write(part(number, at, min(1<<15, size-at))); err != nil {
			return err
		}
	}
	return nil
}

// exchange sends a request and checks the answer.
func (w *world) exchange(size int) error {
	w.mu.Lock()
	var s *quic.Stream
	if n := len(w.idle); n > 0 {
		s, w.idle = w.idle[n-1], w.idle[:n-1]
	}
	number := w.next
	w.next++
	w.mu.Unlock()
	if s == nil {
		var err error
		if s, err = w.near.quic.OpenStreamSync(w.t.Context()); err != nil {
			return err
		}
	}
	b := binary.BigEndian.AppendUint32(nil, number)
	b = binary.BigEndian.AppendUint32(b, uint32(size))
	if _, err := s.Write(append(b, part(number, 0, request-8)...)); err != nil {
		return err
	}
	var piece [1 << 15]byte
	for at := 0; at < size; {
		n, err := s.Read(piece[:min(len(piece), size-at)])
		if !bytes.Equal(piece[:n], part(number, at, n)) {
			return fmt.Errorf("answer %d is not what was sent, around byte %d", number, at)
		}
		if at += n; err != nil {
			return err
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.idle = append(w.idle, s)
	return nil
}

// A sample is how long a request took that was due at a time.
type sample struct {
	due, took time.Duration
}

// ask sends requests at a fixed rate, in an open loop, waits for all answers, and
// returns how long each took, in the order of their times.
func (w *world) ask(size, perSecond int, duration time.Duration) []sample {
	interval := time.Second / time.Duration(perSecond)
	samples := make([]sample, (duration+interval-1)/interval)
	var wait sync.WaitGroup
	begin := time.Now()
	for i := range samples {
		due := time.Duration(i) * interval
		<-time.After(time.Until(begin.Add(due)))
		wait.Go(func() {
			if err := w.exchange(size); err != nil {
				w.t.Errorf("request due at %v: %v", due, err)
			}
			samples[i] = sample{due, time.Since(begin) - due}
		})
	}
	wait.Wait()
	return samples
}

// from returns the samples that were due at a time or later.
func from(samples []sample, at time.Duration) []sample {
	for i, s := range samples {
		if s.due >= at {
			return samples[i:]
		}
	}
	return nil
}

func quantile(samples []sample, q float64) time.Duration {
	took := make([]time.Duration, len(samples))
	for i, s := range samples {
		took[i] = s.took
	}
	slices.Sort(took)
	return took[min(len(took)-1, int(q*float64(len(took))))]
}

// expectWithin fails the test if a quantile of the samples took longer.
func expectWithin(t *testing.T, samples []sample, q float64, most time.Duration) {
	t.Helper()
	if got := quantile(samples, q); got > most {
		t.Errorf("p%g of %d requests is %v, want at most %v (p50 %v, max %v)", 100*q, len(samples), got, most, quantile(samples, 0.5), quantile(samples, 1))
	}
}

// repaired returns how many packets both ends have rebuilt.
func (w *world) repaired() uint64 {
	return w.near.tally.Counts().RepairedPackets + w.far.tally.Counts().RepairedPackets
}

// wan is the path of the page's figures.
func wan(loss linktest.Loss) linktest.Conditions {
	return linktest.Conditions{Delay: roundTrip / 2, Loss: loss, Rate: 200e6, Queue: 100 * time.Millisecond}
}

// both is a setup whose path is the same in both directions. What is lost is up to
// each direction by itself.
func both(loss func() linktest.Loss) setup {
	return setup{there: wan(loss()), back: wan(loss())}
}

func bernoulli(p float64) func() linktest.Loss {
	return func() linktest.Loss { return linktest.Bernoulli(p) }
}

// few returns all rows of a table, or one in three under the race detector.
func few[T any](rows []T) (some []T) {
	for i, row := range rows {
		if !link.UnderRace || i%3 == 0 {
			some = append(some, row)
		}
	}
	return some
}

// seconds is a time that is shorter under the race detector, where everything
// costs ten times as much.
func seconds(n, underRace int) time.Duration {
	if link.UnderRace {
		n = underRace
	}
	return time.Duration(n) * time.Second
}
