package link_test

import (
	"errors"
	"net"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quic-go/quic-go"

	"github.com/ergoproxy/ergo/shared/link"
	"github.com/ergoproxy/ergo/shared/link/linktest"
)

// Whatever the two ends think of links, the connection works.
func TestEndsNeedNotAgree(t *testing.T) {
	settings := func(r link.Repair) link.Settings { return link.Settings{Repair: r} }
	for _, c := range few([]struct {
		name   string
		change func(s *setup)
		linked bool
	}{
		{"both auto", func(s *setup) {}, true},
		{"both always", func(s *setup) { s.near, s.far = settings(link.Always), settings(link.Always) }, true},
		{"auto and always", func(s *setup) { s.far = settings(link.Always) }, true},
		{"off and auto", func(s *setup) { s.near = settings(link.Off) }, false},
		{"always and off", func(s *setup) { s.near, s.far = settings(link.Always), settings(link.Off) }, false},
		{"both off", func(s *setup) { s.near, s.far = settings(link.Off), settings(link.Off) }, false},
		{"the client without a link", func(s *setup) { s.nearPlain = true }, false},
		{"the server without a link", func(s *setup) { s.farPlain = true }, false},
	}) {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := both(bernoulli(0.01))
				c.change(&s)
				w := newWorld(t, s)
				if linked := w.near.peer != nil && w.far.peer != nil; linked != c.linked || !linked && (w.near.peer != nil || w.far.peer != nil) {
					t.Errorf("links: %t and %t", w.near.peer != nil, w.far.peer != nil)
				}
				w.ask(1<<10, 50, 3*time.Second)
				w.ask(50<<10, 5, 3*time.Second)
				if got := w.repaired(); (got > 0) != c.linked {
					t.Errorf("%d packets repaired", got)
				}
				w.close()
			})
		})
	}
}

func TestEndsOfOtherVersionsSpeakPlainQUIC(t *testing.T) {
	for _, version := range []uint8{0, link.Version + 1, 255} {
		synctest.Test(t, func(t *testing.T) {
			s := both(bernoulli(0.01))
			// The server says another version; in its turn it would see ours as another.
			s.change = func(o *link.Offer) { o.Version = version }
			w := newWorld(t, s)
			if w.near.peer != nil {
				t.Errorf("version %d: the client uses the link", version)
			}
			// What QUIC sent of itself since the peer began was counted.
			w.far.peer.Close()
			before := w.far.tally.Counts()
			w.ask(1<<10, 50, 3*time.Second)
			near, far := w.near.tally.Counts(), w.far.tally.Counts()
			if near != (link.Counts{}) || far != before {
				t.Errorf("version %d: counted %+v, and %+v after %+v", version, near, far, before)
			}
			w.close()
		})
	}
}

// One end begins to use the link some round trips before the other.
func TestEndsNeedNotBeginTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := both(bernoulli(0.01))
		var offer link.Offer
		s.change = func(o *link.Offer) { offer = *o; o.Version = 0 }
		w := newWorld(t, s)
		w.ask(1<<10, 50, time.Second) // only the server sends link packets, to a client that has closed its peer
		var err error
		if w.near.peer, err = w.near.link.NewPeer(w.near.quic.RemoteAddr(), &w.near.tally); err != nil {
			t.Fatal(err)
		}
		w.near.peer.Start(offer)
		w.ask(1<<10, 50, 5*time.Second)
		if w.far.tally.Counts().ReceivedPackets == 0 {
			t.Error("the server has received nothing over the link")
		}
		w.close()
	})
}

// Many connections share what two tiers may take for repairs. None of them stops,
// and nothing of it is left when they have ended.
func TestMemoryIsNeverExceeded(t *testing.T) {
	const limit = 1 << 20
	connections := 12
	if link.UnderRace {
		connections = 4
	}
	synctest.Test(t, func(t *testing.T) {
		settings := link.Settings{Repair: link.Always, Memory: limit}
		shared := [2]*link.Shared{link.New(settings), link.New(settings)}
		var worlds []*world
		for range connections {
			s := both(bernoulli(0.03))
			s.shared = shared
			worlds = append(worlds, newWorld(t, s))
		}
		var most atomic.Int64
		stop := make(chan struct{})
		watched := make(chan struct{})
		go func() {
			defer close(watched)
			for {
				for _, s := range shared {
					most.Store(max(most.Load(), s.Memory()))
				}
				select {
				case <-stop:
					return
				case <-time.After(time.Millisecond):
				}
			}
		}()
		done := make(chan []sample)
		for _, w := range worlds {
			go func() { done <- w.ask(50<<10, 10, 3*time.Second) }()
		}
		for range worlds {
			expectWithin(t, <-done, 1, 20*time.Second)
		}
		close(stop)
		<-watched
		if got := most.Load(); got > limit || got < limit/2 {
			t.Errorf("%d bytes were taken, limit %d", got, limit)
		}
		for _, w := range worlds {
			w.close()
		}
		for i, s := range shared {
			if s.Memory() != 0 {
				t.Errorf("tier %d: %d bytes are still taken", i, s.Memory())
			}
		}
	})
}

// Less memory than a connection could use means less repair, and nothing worse.
func TestMemoryIsTakenOnlyWherePacketsAreLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, both(bernoulli(0)))
		w.ask(20<<10, 50, 4*time.Second)
		before := w.near.shared.Memory()
		w.ask(100<<10, 20, 2*time.Second)
		if got := w.near.shared.Memory(); got > before+64<<10 {
			t.Errorf("the receiving end of a clean path took %d bytes more", got-before)
		}
		w.close()
		if a, b := w.near.shared.Memory(), w.far.shared.Memory(); a != 0 || b != 0 {
			t.Errorf("%d and %d bytes are still taken", a, b)
		}
	})
}

// A server that has restarted knows nothing of the connection nor of its link. Its
// answer, a stateless reset, has to be for packets without their header.
func TestRestartedServerResetsTheConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := both(bernoulli(0))
		s.resetKey = &quic.StatelessResetKey{1, 2, 3}
		w := newWorld(t, s)
		w.ask(1<<10, 50, time.Second)
		// The process is gone: nothing is said.
		there, back := w.there, w.back
		silence := wan(linktest.Bernoulli(1))
		there.Set(silence)
		back.Set(silence)
		w.far.peer.Close()
		w.far.quic.CloseWithError(0, "")
		w.listener.Close()
		w.far.transport.Close()
		w.far.raw.Close()
		there.Set(wan(nil))
		back.Set(wan(nil))
		restarted := newSide(w.near.raw.Replace(back), link.Settings{}, nil, false)
		restarted.transport.StatelessResetKey = s.resetKey
		server, _, err := linktest.TLS()
		if err != nil {
			t.Fatal(err)
		}
		listener, err := restarted.transport.Listen(server, quicConfig(0))
		if err != nil {
			t.Fatal(err)
		}
		begin := time.Now()
		asked := w.exchange(1 << 10)
		var reset *quic.StatelessResetError
		if !errors.As(asked, &reset) || time.Since(begin) > 2*time.Second {
			t.Errorf("after %v: %v", time.Since(begin), asked)
		}
		listener.Close()
		restarted.transport.Close()
		restarted.raw.Close()
		w.close()
	})
}

func TestOnlyUDPAddressesHaveLinks(t *testing.T) {
	a, b := linktest.Pair(linktest.NewPath(1, linktest.Conditions{}), linktest.NewPath(2, linktest.Conditions{}))
	defer a.Close()
	defer b.Close()
	conn := link.New(link.Settings{Repair: link.Auto, Memory: 1 << 20}).Over(a)
	if peer, err := conn.NewPeer(&net.TCPAddr{IP: net.IPv4(10, 0, 0, 1), Port: 1}, new(link.Tally)); err == nil || peer != nil {
		t.Errorf("NewPeer: %v, %v", peer, err)
	}
}
