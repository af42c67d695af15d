package tunnelserver

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/rs/zerolog"
	"golang.org/x/sync/errgroup"

	"github.com/ergoproxy/ergo/shared/link"
	"github.com/ergoproxy/ergo/shared/proxystatus"
	"github.com/ergoproxy/ergo/shared/tunnel"
)

// The carriers, as logs and /status name them.
const (
	carrierQUIC = "quic"
	carrierTCP  = "tcp"
)

// A peer is one connection of an edge: a QUIC connection, or a TCP session.
type peer struct {
	server  *Server
	log     zerolog.Logger
	edge    string
	carrier string
	remote  string
	since   time.Time
	session tunnel.SessionID // TCP only
	control *tunnel.Control
	quic    *quic.Conn // nil for TCP
	link    atomic.Pointer[link.Peer]
	group   *errgroup.Group
	ctx     context.Context

	inFlight atomic.Int64

	mu    sync.Mutex // guards lanes
	lanes map[uint64]*tunnel.Lane
}

func (s *Server) newPeer(ctx context.Context, edge, carrier string, remote net.Addr) *peer {
	p := &peer{server: s, edge: edge, carrier: carrier, remote: remote.String(), since: time.Now(),
		lanes: make(map[uint64]*tunnel.Lane)}
	p.log = s.log.With().Str("edge", edge).Str("carrier", carrier).Str("remote", p.remote).Logger()
	p.group, p.ctx = errgroup.WithContext(ctx)
	return p
}

// RTT is the smoothed round-trip time to the edge; only lanes over QUIC ask.
func (p *peer) RTT() time.Duration { return p.quic.ConnectionStats().SmoothedRTT }

// GrantCredit tells the edge that it may send more of a request's body.
func (p *peer) GrantCredit(lane, exchange, limit uint64) {
	p.control.Grant(tunnel.Credit{Lane: lane, Exchange: exchange, Limit: limit})
}

// Why a connection is turned away before it carries anything.
var (
	errName     = errors.New("HELLO does not say the name of the certificate")
	errCrowded  = errors.New("too many connections")
	errDraining = errors.New("draining")
)

// run serves the connection until it ends: it greets the edge on the control lane
// that open returns, and then runs accept beside that lane.
func (p *peer) run(open func() (*tunnel.Lane, error), accept func(context.Context) error) error {
	defer func() {
		p.server.leave(p)
		p.link.Load().Close()
	}()
	if err := p.greet(open()); err != nil {
		p.group.Go(func() error { return err }) // ends p.ctx
		return p.group.Wait()
	}
	p.log.Info().Msg("tunnel connection up")
	p.group.Go(func() error { return p.control.Run(p.ctx, p.handle) })
	p.group.Go(func() error { return accept(p.ctx) })
	return p.group.Wait()
}

// greet exchanges HELLOs.
func (p *peer) greet(control *tunnel.Lane, err error) error {
	if err != nil {
		return err
	}
	p.control = tunnel.NewControl(control)
	_, err = p.control.Answer(p.ctx, func(theirs tunnel.Hello) (*tunnel.Hello, error) {
		if theirs.Name != p.edge {
			return nil, fmt.Errorf("%w: %q", errName, theirs.Name)
		}
		if err := p.server.enter(p); err != nil {
			return nil, err
		}
		offer, err := p.connect(theirs.Link)
		if err != nil {
			return nil, err
		}
		return p.hello(offer), nil
	})
	return err
}

// connect puts the link that the edge offers below the QUIC connection, and returns
// our own offer. It comes before our HELLO: the edge uses the link from then on.
func (p *peer) connect(theirs tunnel.LinkOffer) (link.Offer, error) {
	if p.quic == nil || theirs.Version == 0 {
		return link.Offer{}, nil
	}
	l, err := p.server.udp.NewPeer(p.quic.RemoteAddr(), p.server.tally(p.edge))
	if errors.Is(err, link.ErrOff) {
		return link.Offer{}, nil
	}
	if err != nil {
		return link.Offer{}, err
	}
	l = l.Start(link.Offer(theirs))
	p.link.Store(l)
	return l.Offer(), nil
}

func (p *peer) hello(offer link.Offer) *tunnel.Hello {
	o := p.server.options
	h := &tunnel.Hello{Version: tunnel.Version, Name: o.Core, Session: p.session, MaxLanes: uint64(o.Settings.Lanes),
		Generation: o.Generation(), State: p.server.state(), Link: tunnel.LinkOffer(offer)}
	if p.quic != nil {
		h.BodyCredit = uint64(o.Settings.BodyCredit)
	}
	return h
}

// closed logs why the connection ended.
func (p *peer) closed(err error) {
	switch {
	case errors.Is(err, tunnel.ErrProtocol):
		p.server.counters.Violations.Add(1)
		p.log.Error().Err(err).Msg("edge broke the tunnel protocol")
	case errors.Is(err, errName):
		p.log.Error().Err(err).Msg("edge turned away")
	case errors.Is(err, errCrowded), errors.Is(err, errDraining):
		p.log.Warn().Err(err).Msg("edge turned away")
	case tunnel.Closed(err), errors.Is(err, context.Canceled):
		p.log.Info().Msg("tunnel connection closed")
	default:
		p.log.Warn().Err(err).Msg("tunnel connection lost")
	}
}

// handle takes a message of the control lane.
func (p *peer) handle(m any) error {
	switch m := m.(type) {
	case tunnel.Ping:
		p.control.Send(tunnel.AppendPong(nil, tunnel.Pong{Nonce: m.Nonce, State: p.server.state()}))
	case tunnel.Pong: // nothing was asked, nothing is wrong
	case tunnel.Credit:
		// A lane that is not there has ended since; its credit comes late.
		if l := p.lane(m.Lane); l != nil {
			l.Grant(m.Exchange, m.Limit)
		}
	case tunnel.Cancel:
		if l := p.lane(m.Lane); l != nil && p.quic == nil {
			l.Abort(m.Code)
		}
	default:
		return fmt.Errorf("%w: %T in mid-connection", tunnel.ErrProtocol, m)
	}
	return nil
}

func (p *peer) lane(number uint64) *tunnel.Lane {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.lanes[number]
}

// register makes l known, unless its number is taken or there are limit lanes.
func (p *peer) register(l *tunnel.Lane, limit int) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.lanes[l.Number()] != nil || len(p.lanes) >= limit {
		return false
	}
	p.lanes[l.Number()] = l
	return true
}

func (p *peer) unregister(l *tunnel.Lane) {
	p.mu.Lock()
	delete(p.lanes, l.Number())
	p.mu.Unlock()
}

func (p *peer) laneCount() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.lanes)
}

// serveLane serves the exchanges of one lane that is registered. It returns an
// error only for a violation, which ends the connection.
func (p *peer) serveLane(l *tunnel.Lane) error {
	defer p.unregister(l)
	stop := context.AfterFunc(p.ctx, func() { l.Abort(tunnel.NewCode(proxystatus.ConnectionTerminated)) })
	defer stop()
	idle := time.AfterFunc(p.server.headTimeout, func() {
		p.log.Warn().Uint64("lane", l.Number()).Msg("lane given up: no HEAD came")
		l.Abort(tunnel.RefusedCode(proxystatus.ConnectionReadTimeout))
	})
	defer idle.Stop()
	for {
		if err := l.WaitReadable(); err != nil {
			l.Abort(tunnel.RefusedCode(proxystatus.ConnectionTerminated))
			return nil
		}
		if !idle.Stop() {
			return nil // given up in the same moment
		}
		again, err := p.serveExchange(l)
		if err != nil {
			l.Abort(tunnel.NewCode(proxystatus.HTTPProtocolError))
			return err
		}
		if !again {
			return nil
		}
		idle.Reset(tunnel.MaxLaneIdle)
	}
}
