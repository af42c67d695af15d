package tunnelclient

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ergoproxy/ergo/shared/link"
	"github.com/ergoproxy/ergo/shared/proxystatus"
	"github.com/ergoproxy/ergo/shared/tunnel"
)

// keepTCP keeps a TCP session up until ctx ends. Beside QUIC it is idle, and has
// two uses: it is there when UDP stops getting through, and it ends at once when
// the core's process does, since the kernel there says so. UDP has nobody to say it.
func (c *Client) keepTCP(ctx context.Context) {
	if c.settings.Carrier != string(TCP) && c.awaitQUIC(ctx) != nil {
		return
	}
	k := c.newKeeper(TCP, 0)
	for ctx.Err() == nil {
		start := time.Now()
		up, err := c.useTCP(ctx)
		if ctx.Err() != nil {
			return
		}
		k.ended(up, time.Since(start), err)
		if k.wait(ctx, c.reached.Load()) != nil {
			return
		}
	}
}

// awaitQUIC waits until QUIC has been tried, or FallbackAfter is over: the first
// exchanges should not go over TCP only because it was faster to connect.
func (c *Client) awaitQUIC(ctx context.Context) error {
	limit := time.NewTimer(c.settings.FallbackAfter.Std())
	defer limit.Stop()
	select {
	case <-c.quicTried:
	case <-limit.C:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	return nil
}

// useTCP runs one TCP session.
func (c *Client) useTCP(ctx context.Context) (up bool, err error) {
	outer := ctx
	ctx, cancel := context.WithCancel(ctx)
	lanes := &tcpLanes{client: c, outer: outer, ctx: ctx, turns: make(chan struct{}, maxTurns)}
	lanes.late.Store(new(make(chan struct{})))
	defer lanes.wait()
	defer cancel()
	k, err := lanes.greet()
	if err != nil {
		return false, err
	}
	c.log.Info().Str("carrier", string(TCP)).Str("remote", k.remote).Str("name", k.hello.Name).Msg("tunnel connection up")
	err = c.serve(ctx, k)
	if errors.Is(err, errDead) {
		c.counters.Deaths.Add(1)
	}
	return true, err
}

// tcpLanes opens the lanes of a TCP session, each a TLS connection of its own.
type tcpLanes struct {
	client  *Client
	outer   context.Context // of all sessions: it ends when the edge needs no more of them
	ctx     context.Context // of the session
	session tunnel.SessionID
	count   atomic.Uint64
	turns   chan struct{} // held while dialling, maxTurns of them

	late atomic.Pointer[chan struct{}] // closed and replaced when the core is late

	mu      sync.Mutex // guards closed, and running against Add after Wait
	closed  bool
	running sync.WaitGroup // one for each stream
}

// maxTurns bounds the lanes of a session that are being dialled. When the traffic
// of QUIC comes over all at once, a handshake for each exchange would leave no CPU
// time for the exchanges.
const maxTurns = 16

var errSessionOver = errors.New("the session is over")

// run runs s, the lane of that number, until it ends, or the session does.
func (t *tcpLanes) run(s *tunnel.TCPStream, number uint64) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		s.Close()
		return errSessionOver
	}
	t.running.Go(func() {
		stop := context.AfterFunc(t.ctx, func() {
			if number == 0 && t.outer.Err() != nil {
				s.Abort(tunnel.NewCode(proxystatus.None)) // the core is told that nothing went wrong
				return
			}
			s.Close()
		})
		defer stop()
		s.Run()
	})
	return nil
}

// wait returns when every stream has ended; none is opened any more.
func (t *tcpLanes) wait() {
	t.mu.Lock()
	t.closed = true
	t.mu.Unlock()
	t.running.Wait()
}

// dial connects until ctx or the session ends.
func (t *tcpLanes) dial(ctx context.Context, number uint64) (*tunnel.TCPStream, net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, t.client.settings.ConnectTimeout.Std())
	defer cancel()
	defer context.AfterFunc(t.ctx, cancel)()
	t.client.counters.Dials.Add(1)
	dialer := tls.Dialer{Config: t.client.options.TLS, NetDialer: &net.Dialer{KeepAliveConfig: net.KeepAliveConfig{
		Enable: true, Idle: 5 * time.Second, Interval: 2 * time.Second, Count: 3}}}
	raw, err := dialer.DialContext(ctx, "tcp", t.client.core.Address)
	if err != nil {
		t.client.counters.DialErrors.Add(1)
		return nil, nil, fmt.Errorf("dial tcp %s: %w", t.client.core.Address, err)
	}
	s := tunnel.NewTCPStream(raw.(*tls.Conn), number) // a tls.Dialer returns nothing else
	return s, raw, t.run(s, number)
}

func (t *tcpLanes) greet() (*conn, error) {
	s, raw, err := t.dial(t.ctx, 0)
	if err != nil {
		return nil, err
	}
	control := tunnel.NewControl(tunnel.NewLane(s, nil))
	hello, err := t.client.greet(t.ctx, control, link.Offer{})
	if err != nil {
		s.Close()
		return nil, fmt.Errorf("greet %s: %w", t.client.core.Address, err)
	}
	t.session = hello.Session
	k := t.client.newConn(TCP, control, hello)
	k.tcp, k.local, k.remote = t, raw.LocalAddr().String(), raw.RemoteAddr().String()
	return k, nil
}

// untilLate returns a context that ends with ctx, and when the core is late and
// there is another place to go. The caller cancels it.
func (t *tcpLanes) untilLate(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	late := *t.late.Load()
	go func() { // ends with ctx, which the caller cancels
		select {
		case <-late:
			cancel(errLate)
		case <-ctx.Done():
		}
	}()
	return ctx, func() { cancel(nil) }
}

// open dials a lane. It blocks for a round trip or two: lanes are kept for the
// next exchange, so this is rare.
func (t *tcpLanes) open(ctx context.Context) (tunnel.Stream, error) {
	ctx, cancel := t.untilLate(ctx)
	defer cancel()
	number := t.count.Add(1)
	s, _, err := t.dial(ctx, number)
	if err != nil {
		return nil, err
	}
	if _, err := s.Write(tunnel.AppendAttach(nil, tunnel.Attach{Session: t.session, Lane: number})); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}
