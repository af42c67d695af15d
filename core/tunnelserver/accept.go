package tunnelserver

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/quic-go/quic-go"
	"golang.org/x/sync/errgroup"

	"github.com/ergoproxy/ergo/shared/proxystatus"
	"github.com/ergoproxy/ergo/shared/tunnel"
)

func (s *Server) acceptQUIC(ctx context.Context, g *errgroup.Group) error {
	for {
		c, err := s.listener.Accept(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			return fmt.Errorf("accept tunnel connections: %w", err)
		}
		g.Go(func() error { s.serveQUIC(ctx, c); return nil })
	}
}

// serveQUIC serves one QUIC connection until it ends.
func (s *Server) serveQUIC(ctx context.Context, c *quic.Conn) {
	p := s.newPeer(ctx, s.options.Peer(c.ConnectionState().TLS), carrierQUIC, c.RemoteAddr())
	p.quic = c
	// At once, and not when the last handler has noticed: the edge sends elsewhere.
	stop := context.AfterFunc(p.ctx, func() { closeQUIC(c, context.Cause(p.ctx)) })
	defer stop()
	err := p.run(p.acceptControl, p.acceptLanes)
	p.closed(err)
	closeQUIC(c, err)
}

// closeQUIC closes c with the code for err. The first call counts.
func closeQUIC(c *quic.Conn, err error) {
	switch {
	case errors.Is(err, tunnel.ErrProtocol):
		c.CloseWithError(tunnel.CloseProtocol, err.Error())
	case errors.Is(err, errName):
		c.CloseWithError(tunnel.CloseForbidden, err.Error())
	case errors.Is(err, errCrowded), errors.Is(err, errDraining):
		c.CloseWithError(tunnel.CloseNormal, err.Error())
	default:
		c.CloseWithError(tunnel.CloseNormal, "")
	}
}

func (p *peer) acceptControl() (*tunnel.Lane, error) {
	ctx, cancel := context.WithTimeout(p.ctx, tunnel.HelloTimeout)
	defer cancel()
	stream, err := p.quic.AcceptStream(ctx)
	if err != nil {
		return nil, fmt.Errorf("accept control lane: %w", err)
	}
	return tunnel.NewLane(tunnel.QUICStream(stream), nil), nil
}

// acceptLanes serves the lanes of a QUIC connection. QUIC's own stream limit
// bounds their number.
func (p *peer) acceptLanes(ctx context.Context) error {
	for {
		stream, err := p.quic.AcceptStream(ctx)
		if err != nil {
			return err
		}
		lane := tunnel.NewLane(tunnel.QUICStream(stream), p)
		p.mu.Lock()
		p.lanes[lane.Number()] = lane
		p.mu.Unlock()
		p.group.Go(func() error { return p.serveLane(lane) })
	}
}

// handshakeTimeout bounds the TLS handshake of a TCP connection.
const handshakeTimeout = 5 * time.Second

func (s *Server) acceptTCP(ctx context.Context, g *errgroup.Group) error {
	// Lanes are connections here: as many as there may be lanes on a connection,
	// and the control connections.
	slots := make(chan struct{}, s.options.Settings.Lanes+s.options.Settings.Connections)
	for {
		raw, err := s.tcp.Accept()
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, net.ErrClosed):
			return fmt.Errorf("accept tunnel connections: %w", err)
		case err != nil:
			s.log.Warn().Err(err).Msg("accept of a tunnel connection failed")
			select {
			case <-time.After(50 * time.Millisecond): // out of file descriptors, most likely
			case <-ctx.Done():
				return nil
			}
			continue
		}
		select {
		case slots <- struct{}{}:
		default:
			s.log.Warn().Str("remote", raw.RemoteAddr().String()).Int("limit", cap(slots)).Msg("tunnel connection refused, too many")
			raw.Close()
			continue
		}
		g.Go(func() error {
			defer func() { <-slots }()
			s.serveTCP(ctx, tls.Server(raw, s.options.TLS))
			return nil
		})
	}
}

// serveTCP serves one TLS connection: the control lane of a new session, or a
// lane of one that is there.
func (s *Server) serveTCP(ctx context.Context, c *tls.Conn) {
	handshake, cancel := context.WithTimeout(ctx, handshakeTimeout)
	err := c.HandshakeContext(handshake)
	cancel()
	if err != nil {
		c.Close()
		return // the TLS configuration has logged why a certificate was refused
	}
	stream := tunnel.NewTCPStream(c, 0)
	stop := context.AfterFunc(ctx, stream.Close)
	defer stop()
	var g errgroup.Group
	g.Go(stream.Run)
	g.Go(func() error { s.serveStream(ctx, c, stream); return nil })
	g.Wait()
}

// serveStream does what the first frame asks for. The stream is aborted, left or
// closed when it returns.
func (s *Server) serveStream(ctx context.Context, c *tls.Conn, stream *tunnel.TCPStream) {
	first := tunnel.NewLane(stream, nil)
	guard := time.AfterFunc(tunnel.HelloTimeout, stream.Close)
	attach, ok, err := first.Attached()
	guard.Stop()
	edge := s.options.Peer(c.ConnectionState())
	switch {
	case err != nil:
		s.log.Warn().Err(err).Str("edge", edge).Str("remote", c.RemoteAddr().String()).Msg("tunnel connection without HELLO or ATTACH")
		stream.Close()
	case ok:
		s.attach(edge, first, stream, attach)
	default:
		s.serveSession(ctx, edge, c.RemoteAddr(), first)
	}
}

// attach serves a lane of the session that a names, if the edge has one.
func (s *Server) attach(edge string, lane *tunnel.Lane, stream *tunnel.TCPStream, a tunnel.Attach) {
	stream.SetNumber(a.Lane)
	p := s.session(a.Session)
	if p == nil || p.edge != edge {
		s.log.Warn().Str("edge", edge).Bool("other_edge", p != nil).Msg("lane refused: no such session")
		lane.Abort(tunnel.CodeSessionUnknown)
		return
	}
	if !p.register(lane, s.options.Settings.Lanes) {
		p.log.Warn().Uint64("lane", a.Lane).Msg("lane refused: number taken, or too many")
		lane.Abort(tunnel.CodeSessionUnknown)
		return
	}
	if err := p.serveLane(lane); err != nil {
		p.control.Fail(err)
	}
}

func (s *Server) serveSession(ctx context.Context, edge string, remote net.Addr, control *tunnel.Lane) {
	p := s.newPeer(ctx, edge, carrierTCP, remote)
	rand.Read(p.session[:])
	err := p.run(func() (*tunnel.Lane, error) { return control, nil }, func(ctx context.Context) error {
		<-ctx.Done()
		return context.Cause(ctx)
	})
	p.closed(err)
	control.Abort(tunnel.NewCode(proxystatus.ConnectionTerminated)) // if Run did not say more
}
