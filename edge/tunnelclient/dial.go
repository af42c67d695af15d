package tunnelclient

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/rs/zerolog"
	"golang.org/x/sync/errgroup"

	"github.com/ergoproxy/ergo/shared/link"
	"github.com/ergoproxy/ergo/shared/tunnel"
)

// reconnectMin is the first pause between two attempts to reach a core.
const reconnectMin = 50 * time.Millisecond

// backoff is the pause before the next attempt: it doubles up to limit, and up to
// half of it is taken off at random, so that the edges of a restarted core do not
// all come at once.
type backoff struct {
	limit, next time.Duration
}

func (b *backoff) reset() { b.next = 0 }

// wait returns after the pause, or when early is closed.
func (b *backoff) wait(ctx context.Context, early <-chan struct{}) error {
	b.next = min(max(2*b.next, reconnectMin), b.limit)
	timer := time.NewTimer(b.next - rand.N(max(b.next/2, 1)))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-early:
		b.reset()
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// stableAfter is how long a connection must have been up for the next attempt to
// be made at once. One that ends sooner says that the core is there and does not
// want us: it is full, or goes away.
const stableAfter = time.Second

// A keeper remembers how the attempts to keep one connection went.
type keeper struct {
	log      zerolog.Logger
	pause    backoff
	failures int // attempts since the last one that got a connection up
}

func (c *Client) newKeeper(carrier Carrier, slot int) *keeper {
	return &keeper{log: c.log.With().Str("carrier", string(carrier)).Int("slot", slot).Logger(),
		pause: backoff{limit: c.settings.ReconnectMax.Std()}}
}

// ended logs how an attempt went, which got a connection up or not and ended after
// lasted with err. Of the failures in a row only the first is news.
func (k *keeper) ended(up bool, lasted time.Duration, err error) {
	switch {
	case errors.Is(err, tunnel.ErrProtocol):
		k.log.Error().Err(err).Msg("core broke the tunnel protocol")
	case up && (err == nil || tunnel.Closed(err)):
		k.log.Info().Msg("tunnel connection closed")
	case up:
		k.log.Warn().Err(err).Msg("tunnel connection lost")
	case k.failures == 0:
		k.log.Warn().Err(err).Msg("core not reached")
	default:
		k.log.Debug().Err(err).Int("failures", k.failures+1).Msg("core not reached")
	}
	if k.failures++; up {
		k.failures = 0
	}
	if up && lasted > stableAfter {
		k.pause.reset()
	}
}

// wait pauses before the next attempt. Where the core was not even reached, another
// connection that gets up ends the pause: reached is closed then.
func (k *keeper) wait(ctx context.Context, reached *chan struct{}) error {
	if k.failures == 0 {
		return k.pause.wait(ctx, nil)
	}
	return k.pause.wait(ctx, *reached)
}

// keepQUIC keeps one QUIC connection up until ctx ends.
func (c *Client) keepQUIC(ctx context.Context, slot int) {
	k := c.newKeeper(QUIC, slot)
	for ctx.Err() == nil {
		start := time.Now()
		up, err := c.useQUIC(ctx)
		if ctx.Err() != nil {
			return
		}
		if !up {
			c.counters.DialErrors.Add(1)
		}
		k.ended(up, time.Since(start), err)
		if k.wait(ctx, c.reached.Load()) != nil {
			return
		}
	}
}

// useQUIC dials the core and serves the connection until it ends. It reports
// whether it was ever up.
func (c *Client) useQUIC(ctx context.Context) (up bool, err error) {
	socket, err := net.ListenUDP("udp", nil)
	if err != nil {
		return false, err
	}
	defer socket.Close()
	below := c.options.Link.UDP(socket)
	transport := &quic.Transport{Conn: below}
	defer transport.Close()
	connection, k, err := c.dialQUIC(ctx, transport, below)
	c.tryQUIC.Do(func() { close(c.quicTried) })
	if err != nil {
		return false, err
	}
	defer k.link.Close()
	c.log.Info().Str("carrier", string(QUIC)).Str("remote", k.remote).Str("name", k.hello.Name).Bool("link", k.link != nil).Msg("tunnel connection up")
	err = c.serve(ctx, k)
	code, text := tunnel.CloseNormal, "done"
	switch {
	case errors.Is(err, errDead):
		c.counters.Deaths.Add(1)
		code, text = tunnel.CloseDead, "no answer"
	case errors.Is(err, tunnel.ErrProtocol):
		code, text = tunnel.CloseProtocol, err.Error()
	}
	connection.CloseWithError(code, text)
	return true, err
}

func (c *Client) dialQUIC(ctx context.Context, transport *quic.Transport, below *link.UDPConn) (*quic.Conn, *conn, error) {
	ctx, cancel := context.WithTimeout(ctx, c.settings.ConnectTimeout.Std())
	defer cancel()
	c.counters.Dials.Add(1)
	addr, err := resolve(ctx, c.core.Address)
	if err != nil {
		return nil, nil, err
	}
	connection, err := transport.Dial(ctx, net.UDPAddrFromAddrPort(addr), c.options.TLS, tunnel.QUICConfig(0, c.options.Budget))
	if err != nil {
		return nil, nil, fmt.Errorf("dial %s: %w", addr, err)
	}
	stream, err := connection.OpenStreamSync(ctx)
	if err != nil {
		connection.CloseWithError(tunnel.CloseProtocol, "no control lane")
		return nil, nil, fmt.Errorf("open control lane to %s: %w", addr, err)
	}
	control := tunnel.NewControl(tunnel.NewLane(tunnel.QUICStream(stream), nil))
	peer, err := below.NewPeer(connection.RemoteAddr(), &c.links)
	if err != nil && !errors.Is(err, link.ErrOff) {
		connection.CloseWithError(tunnel.CloseProtocol, "no link")
		return nil, nil, fmt.Errorf("link to %s: %w", addr, err)
	}
	hello, err := c.greet(ctx, control, peer.Offer())
	if err != nil {
		peer.Close()
		connection.CloseWithError(tunnel.CloseProtocol, "no HELLO")
		return nil, nil, fmt.Errorf("greet %s: %w", addr, err)
	}
	k := c.newConn(QUIC, control, hello)
	k.link = peer.Start(link.Offer(hello.Link))
	k.quic, k.local, k.remote = connection, transport.Conn.LocalAddr().String(), addr.String()
	return connection, k, nil
}

// greet exchanges HELLOs. The certificate has been checked in the handshake; a
// HELLO that says otherwise than the configuration is a mix-up all the same.
func (c *Client) greet(ctx context.Context, control *tunnel.Control, offer link.Offer) (tunnel.Hello, error) {
	ours := &tunnel.Hello{Version: tunnel.Version, Name: c.options.Edge, Generation: c.options.Generation(), Link: tunnel.LinkOffer(offer)}
	hello, err := control.Exchange(ctx, ours)
	if err == nil && c.core.Name != "" && hello.Name != c.core.Name {
		err = fmt.Errorf("HELLO says %q, want %q", hello.Name, c.core.Name)
	}
	return hello, err
}

// resolve looks the address up and chooses one of the answers at random, so that
// connections spread over the addresses of a name.
func resolve(ctx context.Context, address string) (addr netip.AddrPort, err error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return addr, err
	}
	number, err := net.DefaultResolver.LookupPort(ctx, "udp", port)
	if err != nil {
		return addr, err
	}
	addrs, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return addr, err
	}
	return netip.AddrPortFrom(addrs[rand.IntN(len(addrs))].Unmap(), uint16(number)), nil
}

// serve puts a connection to use until it ends. It returns nil when the core goes
// away and nothing is under way.
func (c *Client) serve(run context.Context, k *conn) error {
	c.add(k)
	defer c.remove(k)
	ctx, cancel := context.WithCancelCause(run)
	defer cancel(nil)
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return k.control.Run(ctx, k.handle) })
	g.Go(func() error {
		err := k.watch(ctx)
		if err == nil {
			err = errRetired
		}
		return err
	})
	err := g.Wait()
	switch {
	case errors.Is(err, errRetired):
		return nil
	case run.Err() == nil:
		c.question(k)
	}
	return err
}

var errRetired = errors.New("connection retired")
