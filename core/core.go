package core

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"reflect"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/sync/errgroup"

	"github.com/ergoproxy/ergo/core/backend"
	"github.com/ergoproxy/ergo/core/router"
	"github.com/ergoproxy/ergo/core/tunnelserver"
	"github.com/ergoproxy/ergo/shared/accesslog"
	"github.com/ergoproxy/ergo/shared/admin"
	"github.com/ergoproxy/ergo/shared/forward"
	"github.com/ergoproxy/ergo/shared/proxystatus"
	"github.com/ergoproxy/ergo/shared/telemetry"
	"github.com/ergoproxy/ergo/shared/tlsidentity"
)

// A Server is one core. Listen opens its sockets, Run serves.
type Server struct {
	name       string
	log        zerolog.Logger
	identity   *tlsidentity.Credentials
	accessLog  *accesslog.Log
	tunnels    *tunnelserver.Server
	admin      *admin.Server
	adminSock  net.Listener
	registry   *telemetry.Registry
	metrics    metrics
	config     atomic.Pointer[Config]
	snapshot   atomic.Pointer[snapshot]
	generation atomic.Uint64
	draining   atomic.Bool

	mu    sync.Mutex      // guards what follows, and reloads
	ctx   context.Context // of Run; nil before
	group *errgroup.Group
}

// A snapshot is the routes and pools of one configuration. It never changes.
type snapshot struct {
	table *router.Table
	pools map[string]*runningPool
}

type runningPool struct {
	*backend.Pool
	forwarder forward.Forwarder
	stop      context.CancelFunc // nil until it runs
}

// New returns a core for c, which must be valid. It reads certificates and keys
// and opens nothing but the access log.
func New(c *Config, log zerolog.Logger) (*Server, error) {
	s := &Server{name: c.Name, log: log, registry: telemetry.NewRegistry(telemetry.BuildInfo())}
	s.generation.Store(1)
	s.config.Store(c)
	var err error
	if s.identity, err = identity(c); err != nil {
		return nil, err
	}
	if s.accessLog, err = accesslog.New(c.AccessLog, "core", c.Name, log); err != nil {
		return nil, err
	}
	first, err := s.build(c, nil)
	if err != nil {
		return nil, err
	}
	s.snapshot.Store(first)
	s.metrics = newMetrics(s.registry)
	if s.tunnels, err = s.newTunnels(c); err != nil {
		return nil, err
	}
	s.admin, err = admin.New(c.Admin, admin.Deps{Ready: s.notReady, Status: func() any { return s.Status() },
		Metrics: s.registry.Handler(), Log: log})
	if err != nil {
		return nil, err
	}
	s.observe()
	return s, nil
}

func identity(c *Config) (*tlsidentity.Credentials, error) {
	creds, err := tlsidentity.Load(c.Tunnel.files(), tlsidentity.Core)
	if err != nil {
		return nil, fmt.Errorf("tunnel certificate: %w", err)
	}
	if name := creds.Identity().Name; name != c.Name {
		return nil, fmt.Errorf("tunnel certificate: it names core %q, the config says %q", name, c.Name)
	}
	return creds, nil
}

func (s *Server) newTunnels(c *Config) (*tunnelserver.Server, error) {
	keys, err := s.identity.Keys(c.Tunnel.Secret.Reveal())
	if err != nil {
		return nil, fmt.Errorf("tunnel.secret: %w", err)
	}
	refused := func(remote net.Addr, err error) {
		s.log.Warn().Err(err).Str(telemetry.KeyPeer, remote.String()).Msg("tunnel connection refused")
	}
	return tunnelserver.New(tunnelserver.Options{
		Core: c.Name, Settings: c.Tunnel.Settings, TLS: s.identity.ServerConfig(keys, refused),
		Peer: func(state tls.ConnectionState) string {
			id, err := tlsidentity.Parse(state.PeerCertificates[0])
			if err != nil {
				return "" // cannot be: the handshake has checked it
			}
			return id.Name
		},
		StatelessResetKey: keys.StatelessReset, TokenKey: keys.Token,
		Handler: s.newPipeline(), Generation: s.generation.Load, Backends: s.backendsUp, Logger: s.log,
	}), nil
}

// build makes a snapshot of c. Pools that would be the same as in old are kept,
// with their connections.
func (s *Server) build(c *Config, old *snapshot) (*snapshot, error) {
	table, err := router.New(c.Routes)
	if err != nil {
		return nil, fmt.Errorf("routes: %w", err)
	}
	next := &snapshot{table: table, pools: make(map[string]*runningPool, len(c.Backends))}
	for name, cfg := range c.Backends {
		if old != nil {
			if p := old.pools[name]; p != nil && p.Equal(name, cfg) {
				next.pools[name] = p
				continue
			}
		}
		p, err := backend.New(name, cfg, backend.Deps{Log: s.log})
		if err != nil {
			return nil, fmt.Errorf("backends.%s: %w", name, err)
		}
		next.pools[name] = &runningPool{Pool: p, forwarder: forward.Forwarder{Hop: "core", Name: s.name, Transport: p}}
	}
	return next, nil
}

// start runs the pools of next that do not run yet. The caller holds mu.
func (s *Server) start(next *snapshot) {
	for _, p := range next.pools {
		if p.stop != nil {
			continue
		}
		ctx, stop := context.WithCancel(s.ctx)
		p.stop = stop
		s.group.Go(func() error { return p.Run(ctx) })
	}
}

// Listen opens every socket, or none: a port that is taken stops the start.
func (s *Server) Listen() error {
	sock, err := s.admin.Listen()
	if err != nil {
		return err
	}
	if err := s.tunnels.Listen(); err != nil {
		if sock != nil {
			sock.Close()
		}
		return err
	}
	s.adminSock = sock
	return nil
}

// Addr returns the address of the tunnel port, after Listen.
func (s *Server) Addr() net.Addr { return s.tunnels.Addr() }

// AdminAddr returns the address of the admin server, or nil if there is none.
func (s *Server) AdminAddr() net.Addr {
	if s.adminSock == nil {
		return nil
	}
	return s.adminSock.Addr()
}

// Run serves until ctx ends, then drains: edges are told to send elsewhere,
// exchanges under way finish within the grace, everything is closed. It returns
// nil after a drain.
func (s *Server) Run(ctx context.Context) error {
	logs, stopLogs := context.WithCancel(context.WithoutCancel(ctx))
	defer stopLogs()
	var last errgroup.Group
	last.Go(func() error { return s.accessLog.Run(logs) })

	err := s.run(ctx)
	stopLogs()
	return errors.Join(err, last.Wait())
}

func (s *Server) run(ctx context.Context) error {
	inner, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	g, inner := errgroup.WithContext(inner)
	s.mu.Lock()
	s.ctx, s.group = inner, g
	s.start(s.snapshot.Load())
	s.mu.Unlock()
	g.Go(func() error { return s.admin.Serve(inner, s.adminSock) })
	g.Go(func() error { return s.tunnels.Run(inner) })
	g.Go(func() error {
		defer stop()
		select {
		case <-ctx.Done():
			s.drain()
		case <-inner.Done():
		}
		return nil
	})
	return g.Wait()
}

func (s *Server) drain() {
	grace := s.config.Load().Shutdown.Grace
	s.log.Info().Stringer("grace", grace).Msg("draining")
	s.draining.Store(true)
	ctx, cancel := context.WithTimeout(context.Background(), grace.Std())
	defer cancel()
	if err := s.tunnels.Drain(ctx); err != nil {
		s.log.Warn().Err(err).Int64("in_flight", s.tunnels.InFlight()).Msg("drain cut exchanges short")
		return
	}
	s.log.Info().Msg("drained")
}

// Reload puts c into force. Pools that did not change keep their connections,
// tunnels are not touched, exchanges under way end as they began. After an error
// everything is as it was.
func (s *Server) Reload(c *Config) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	old := s.snapshot.Load()
	if err := fixed(s.config.Load(), c); err != nil {
		return err
	}
	next, err := s.build(c, old)
	if err != nil {
		return err
	}
	if err := s.identity.Reload(); err != nil {
		return fmt.Errorf("tunnel certificate: %w", err)
	}
	if s.ctx != nil {
		s.start(next)
	}
	s.config.Store(c)
	s.generation.Add(1)
	s.snapshot.Store(next)
	for name, p := range old.pools {
		if next.pools[name] != p {
			s.retire(p, c.Shutdown.Grace.Std())
		}
	}
	return nil
}

// retire ends a pool that gets no new exchanges, once its last one is over.
func (s *Server) retire(p *runningPool, grace time.Duration) {
	if s.group == nil {
		p.Close()
		return
	}
	run := s.ctx
	s.group.Go(func() error {
		ctx, cancel := context.WithTimeout(run, grace)
		defer cancel()
		if err := p.Drain(ctx); err != nil {
			s.log.Warn().Err(err).Msg("removed pool still has exchanges under way")
		}
		p.stop()
		return nil
	})
}

// Reopen opens the access log's file anew, after it was moved away.
func (s *Server) Reopen() error { return s.accessLog.Reopen() }

// fixed reports the keys that need a restart and differ between the two.
func fixed(old, c *Config) error {
	var errs []error
	differ := func(key string, same bool) {
		if !same {
			errs = append(errs, fmt.Errorf("%s cannot change while the core runs, restart it", key))
		}
	}
	differ("name", old.Name == c.Name)
	differ("admin", reflect.DeepEqual(old.Admin, c.Admin))
	differ("log", old.Log == c.Log)
	differ("memory", old.Memory == c.Memory)
	differ("tunnel.ca, tunnel.cert and tunnel.key", old.Tunnel.CA == c.Tunnel.CA && old.Tunnel.Cert == c.Tunnel.Cert && old.Tunnel.Key == c.Tunnel.Key)
	differ("tunnel.listen, tunnel.lanes, tunnel.max_connections, tunnel.body_credit, tunnel.receive_memory and tunnel.link", old.Tunnel.Settings == c.Tunnel.Settings)
	differ("tunnel.secret", bytes.Equal(old.Tunnel.Secret.Reveal(), c.Tunnel.Secret.Reveal()))
	differ("access_log", old.AccessLog.Same(c.AccessLog))
	return errors.Join(errs...)
}

// notReady lists why requests cannot be served now.
func (s *Server) notReady() []string {
	var why []string
	if s.draining.Load() {
		why = append(why, "draining")
	}
	for name, p := range s.snapshot.Load().pools {
		if up, all := p.Up(); up == 0 && all > 0 {
			why = append(why, fmt.Sprintf("pool %s: none of %d backends is up", name, all))
		}
	}
	return why
}

func (s *Server) backendsUp() int {
	total := 0
	for _, p := range s.snapshot.Load().pools {
		up, _ := p.Up()
		total += up
	}
	return total
}

func asProxyError(err error) *proxystatus.Error { return proxystatus.From("core", err) }
