// Package tunnelserver accepts the connections of edges and hands every exchange
// that comes over them to one http.Handler. The request's context carries the
// exchange.Exchange with what the edge said in typed fields: who the client is,
// the deadline, the trace.
//
//	QUIC connection ─▶ control lane ─▶ HELLO, PING, CREDIT, STATE
//	                 └▶ lane ─▶ HEAD ─▶ http.Request ─▶ Handler ─▶ RESPONSE BODY END ─▶ next HEAD
//	TLS connection  ─▶ HELLO: control lane of a session, or ATTACH: lane of one
//
// The ResponseWriter takes 1xx heads, trailers (announced or with
// http.TrailerPrefix), Flush, and Upgrade for protocol changes. A handler may
// read the request's body while it writes the response. It ends an exchange that
// cannot be completed with panic(http.ErrAbortHandler).
//
// Whoever calls Run owns every goroutine. A peer that breaks the protocol loses
// its connection, and nobody else notices.
package tunnelserver

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/rs/zerolog"
	"golang.org/x/sync/errgroup"

	"github.com/ergoproxy/ergo/shared/link"
	"github.com/ergoproxy/ergo/shared/tunnel"
)

// Options are what a Server needs.
type Options struct {
	Core     string // name of this core
	Settings Settings
	// TLS is the configuration of both carriers: server certificate, client
	// CA, the check that the peer is an edge.
	TLS *tls.Config
	// Peer names the edge that a handshake has proved.
	Peer func(tls.ConnectionState) string
	// StatelessResetKey and TokenKey stay the same over restarts, so that edges
	// notice one at once.
	StatelessResetKey [32]byte
	TokenKey          [32]byte
	Handler           http.Handler
	Generation        func() uint64
	Backends          func() int // that are up, for the load report
	Logger            zerolog.Logger
}

// A Server serves the tunnels of one core.
type Server struct {
	options Options
	log     zerolog.Logger
	budget  *tunnel.Budget

	udp       *link.UDPConn
	transport *quic.Transport
	listener  *quic.Listener
	tcp       net.Listener

	headTimeout time.Duration

	inFlight atomic.Int64
	draining atomic.Bool
	refusing atomic.Bool
	counters Counters

	mu       sync.Mutex // guards what follows
	peers    map[*peer]struct{}
	sessions map[tunnel.SessionID]*peer
	links    map[string]*link.Tally // by name of the edge
}

// Counters are totals since the start.
type Counters struct {
	Exchanges   atomic.Uint64
	Refused     atomic.Uint64 // exchanges not begun: draining, or out of memory
	Connections atomic.Uint64
	Violations  atomic.Uint64 // connections closed for breaking the protocol
}

// New returns a Server. Nothing is opened before Listen.
func New(o Options) *Server {
	return &Server{options: o, log: o.Logger, budget: tunnel.NewBudget(int64(o.Settings.ReceiveMemory)),
		headTimeout: tunnel.HeadTimeout, peers: make(map[*peer]struct{}), sessions: make(map[tunnel.SessionID]*peer), links: make(map[string]*link.Tally)}
}

// Listen opens the UDP and the TCP port, both or none.
func (s *Server) Listen() error {
	udp, tcp, err := listenBoth(s.options.Settings.Listen)
	if err != nil {
		return fmt.Errorf("listen for tunnels: %w", err)
	}
	s.udp = link.New(s.options.Settings.Link).UDP(udp)
	reset, token := quic.StatelessResetKey(s.options.StatelessResetKey), quic.TokenGeneratorKey(s.options.TokenKey)
	s.transport = &quic.Transport{Conn: s.udp, StatelessResetKey: &reset, TokenGeneratorKey: &token,
		VerifySourceAddress: s.crowded}
	s.listener, err = s.transport.Listen(s.options.TLS, tunnel.QUICConfig(s.options.Settings.Lanes, s.budget))
	if err != nil {
		udp.Close()
		tcp.Close()
		return fmt.Errorf("listen for tunnels on %s: %w", udp.LocalAddr(), err)
	}
	s.tcp = tcp
	return nil
}

// listenBoth opens the same port for UDP and TCP. With port 0 the TCP port follows
// the one that UDP got, which may be taken: then another one is tried.
func listenBoth(address string) (*net.UDPConn, net.Listener, error) {
	at, err := net.ResolveUDPAddr("udp", address)
	if err != nil {
		return nil, nil, err
	}
	for tries := 1; ; tries++ {
		udp, err := net.ListenUDP("udp", at)
		if err != nil {
			return nil, nil, err
		}
		tcp, err := net.Listen("tcp", udp.LocalAddr().String())
		if err == nil {
			return udp, tcp, nil
		}
		udp.Close()
		if at.Port != 0 || tries == 16 {
			return nil, nil, err
		}
	}
}

// Addr returns the address of the tunnel port, after Listen.
func (s *Server) Addr() net.Addr { return s.udp.LocalAddr() }

// crowded asks for a Retry (RFC 9000, section 8.1.2) once there are many
// connections: handshakes of spoofed addresses then cost next to nothing.
func (s *Server) crowded(net.Addr) bool { return s.connections() > s.options.Settings.Connections/2 }

func (s *Server) connections() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.peers)
}

// Run serves until ctx ends and then closes everything at once; call Drain before
// to let exchanges finish. It returns nil then, and an error if a port fails.
func (s *Server) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	stop := context.AfterFunc(ctx, func() {
		s.listener.Close()
		s.tcp.Close()
	})
	defer stop()
	g.Go(func() error { return s.acceptQUIC(ctx, g) })
	g.Go(func() error { return s.acceptTCP(ctx, g) })
	g.Go(func() error { s.report(ctx); return nil })
	err := g.Wait()
	// Only now: it would cut off the words with which connections are closed.
	s.transport.Close()
	s.udp.Close()
	return err
}

// enter registers p, unless there are too many connections or this core goes away.
func (s *Server) enter(p *peer) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if limit := s.options.Settings.Connections; len(s.peers) >= limit {
		return fmt.Errorf("%w: limit %d", errCrowded, limit)
	}
	if s.draining.Load() {
		return errDraining
	}
	s.counters.Connections.Add(1)
	s.peers[p] = struct{}{}
	if p.session != (tunnel.SessionID{}) {
		s.sessions[p.session] = p
	}
	return nil
}

func (s *Server) leave(p *peer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.peers, p)
	delete(s.sessions, p.session)
}

func (s *Server) session(id tunnel.SessionID) *peer {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sessions[id]
}

// state is what edges are told.
func (s *Server) state() tunnel.State {
	return tunnel.State{Ready: !s.draining.Load(), Draining: s.draining.Load(),
		InFlight: uint64(s.inFlight.Load()), Backends: uint64(s.options.Backends())}
}

// broadcast sends the state to every edge.
func (s *Server) broadcast() {
	frame := tunnel.AppendState(nil, s.state())
	s.mu.Lock()
	defer s.mu.Unlock()
	for p := range s.peers {
		p.control.Send(frame)
	}
}

// reportInterval is the time between two unasked load reports.
const reportInterval = time.Second

func (s *Server) report(ctx context.Context) {
	ticker := time.NewTicker(reportInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			s.broadcast()
		}
	}
}

// Drain tells every edge to send elsewhere, lets the exchanges under way finish,
// and returns when the edges have closed their connections, or when ctx ends. New
// exchanges that edges still send are served until the last moment, then refused
// in a way that lets them be sent elsewhere.
func (s *Server) Drain(ctx context.Context) error {
	s.draining.Store(true)
	s.broadcast()
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for {
		// An edge that has nothing under way closes its connection by itself:
		// closing it here could cut off the end of a response.
		if s.connections() == 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			s.refusing.Store(true)
			return errors.New("drain: edges are still connected at the end of the grace")
		case <-ticker.C:
		}
	}
}

// InFlight returns the exchanges being served.
func (s *Server) InFlight() int64 { return s.inFlight.Load() }

// Counters returns the totals; they may be read at any time.
func (s *Server) Counters() *Counters { return &s.counters }

// Budget returns what bounds the request bodies under way.
func (s *Server) Budget() *tunnel.Budget { return s.budget }

// maxTallies is how many edges are counted by name.
const maxTallies = 1024

// tally returns what counts the links of an edge. Its sums outlive its connections;
// when there are too many names, those of edges that have gone are forgotten.
func (s *Server) tally(edge string) *link.Tally {
	s.mu.Lock()
	defer s.mu.Unlock()
	if t := s.links[edge]; t != nil {
		return t
	}
	if len(s.links) >= maxTallies {
		here := make(map[string]bool, len(s.peers))
		for p := range s.peers {
			here[p.edge] = true
		}
		maps.DeleteFunc(s.links, func(name string, _ *link.Tally) bool { return !here[name] })
	}
	t := new(link.Tally)
	s.links[edge] = t
	return t
}

// Links returns what the links below the QUIC connections of each edge have
// counted.
func (s *Server) Links() map[string]link.Counts {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make(map[string]link.Counts, len(s.links))
	for name, t := range s.links {
		all[name] = t.Counts()
	}
	return all
}

// TunnelStatus describes one connection for /status.
type TunnelStatus struct {
	Edge     string    `json:"edge"`
	Carrier  string    `json:"carrier"`
	Remote   string    `json:"remote"`
	Since    time.Time `json:"since"`
	Lanes    int       `json:"lanes"`
	InFlight int64     `json:"in_flight"`
	RTT      string    `json:"rtt,omitempty"`

	// Window is QUIC's congestion window in bytes, Link how the link below it does.
	Window uint64       `json:"congestion_window,omitempty"`
	Link   *link.Status `json:"link,omitempty"`
}

// Status lists the connections.
func (s *Server) Status() []TunnelStatus {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make([]TunnelStatus, 0, len(s.peers))
	for p := range s.peers {
		t := TunnelStatus{Edge: p.edge, Carrier: p.carrier, Remote: p.remote, Since: p.since,
			Lanes: p.laneCount(), InFlight: p.inFlight.Load()}
		if p.quic != nil {
			t.RTT = p.RTT().Round(time.Microsecond).String()
			t.Window, t.Link = p.quic.ConnectionStats().CongestionWindow, p.link.Load().Status()
		}
		all = append(all, t)
	}
	return all
}
