package tunnel_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/ergoproxy/ergo/shared/tunnel"
)

// stuckStream is a Stream whose peer sends nothing, and takes what is written once
// gate is closed.
type stuckStream struct {
	gate chan struct{}
	over chan struct{}
	once sync.Once

	mu      sync.Mutex // guards what follows
	written bytes.Buffer
	code    tunnel.Code
}

func newStuckStream() *stuckStream {
	return &stuckStream{gate: make(chan struct{}), over: make(chan struct{})}
}

func (s *stuckStream) Read([]byte) (int, error) { <-s.over; return 0, io.ErrClosedPipe }

func (s *stuckStream) Write(p []byte) (int, error) {
	select {
	case <-s.gate:
	case <-s.over:
		return 0, io.ErrClosedPipe
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.written.Write(p)
}

func (s *stuckStream) Number() uint64           { return 0 }
func (s *stuckStream) Context() context.Context { return context.Background() }
func (s *stuckStream) Leave()                   {}

func (s *stuckStream) Abort(c tunnel.Code) {
	s.once.Do(func() {
		s.mu.Lock()
		s.code = c
		s.mu.Unlock()
		close(s.over)
	})
}

func run(ctx context.Context, s *stuckStream) (*tunnel.Control, chan error) {
	c := tunnel.NewControl(tunnel.NewLane(s, nil))
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx, func(any) error { return nil }) }()
	return c, done
}

func TestPeerThatDoesNotReadItsControlLaneLosesIt(t *testing.T) {
	c, done := run(t.Context(), newStuckStream())
	for range 1000 {
		c.Send(tunnel.AppendPing(nil, tunnel.Ping{}))
	}
	if err := <-done; !errors.Is(err, tunnel.ErrControlQueue) {
		t.Errorf("%v", err)
	}
}

func TestCreditsAreKeptByLane(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStuckStream()
		ctx, cancel := context.WithCancel(t.Context())
		c, done := run(ctx, s)
		const lanes, rounds = 1000, 50
		for round := range uint64(rounds) {
			for lane := range uint64(lanes) {
				c.Grant(tunnel.Credit{Lane: lane, Exchange: 1, Limit: round})
			}
		}
		c.Cancel(tunnel.Cancel{Lane: 5})
		synctest.Wait()
		close(s.gate)
		synctest.Wait()
		last, cancels := map[uint64]uint64{}, 0
		lane := tunnel.NewLane(memoryStream{&s.written}, nil)
		for {
			h, err := lane.Next()
			if err != nil {
				break
			}
			payload, _ := lane.Payload(h.Length)
			switch m, _ := tunnel.ParseControl(h.Type, payload); m := m.(type) {
			case tunnel.Credit:
				last[m.Lane] = m.Limit
			case tunnel.Cancel:
				cancels++
			}
		}
		for lane := range uint64(lanes) {
			if last[lane] != rounds-1 {
				t.Errorf("lane %d may send %d, want %d", lane, last[lane], rounds-1)
			}
		}
		if cancels != 1 {
			t.Errorf("%d CANCELs, want 1", cancels)
		}
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("%v", err)
		}
	})
}

func TestEndlessLanesOfCreditAreBounded(t *testing.T) {
	c, done := run(t.Context(), newStuckStream())
	for lane := range uint64(1 << 18) {
		c.Grant(tunnel.Credit{Lane: lane})
	}
	if err := <-done; !errors.Is(err, tunnel.ErrControlQueue) {
		t.Errorf("%v", err)
	}
}

func TestViolationIsToldOnTheControlLane(t *testing.T) {
	s := newStuckStream()
	c, done := run(t.Context(), s)
	c.Fail(tunnel.ErrProtocol)
	if err := <-done; !errors.Is(err, tunnel.ErrProtocol) {
		t.Errorf("%v", err)
	}
	if s.code.Type().String() != "http_protocol_error" {
		t.Errorf("aborted with %v", s.code.Type())
	}
}

func TestHelloEndsWithItsContext(t *testing.T) {
	s := newStuckStream()
	close(s.gate)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := tunnel.NewControl(tunnel.NewLane(s, nil)).Exchange(ctx, &hello); err == nil {
		t.Error("no error")
	}
}
