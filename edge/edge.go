package edge

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"reflect"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/sync/errgroup"

	"github.com/ergoproxy/ergo/edge/auth"
	"github.com/ergoproxy/ergo/edge/corepool"
	"github.com/ergoproxy/ergo/edge/filter"
	"github.com/ergoproxy/ergo/edge/listener"
	"github.com/ergoproxy/ergo/shared/accesslog"
	"github.com/ergoproxy/ergo/shared/admin"
	"github.com/ergoproxy/ergo/shared/exchange"
	"github.com/ergoproxy/ergo/shared/proxystatus"
	"github.com/ergoproxy/ergo/shared/telemetry"
	"github.com/ergoproxy/ergo/shared/tlsidentity"
	"github.com/ergoproxy/ergo/shared/tunnel"
)

// A Server is one edge. Listen opens its sockets, Run serves.
type Server struct {
	log        zerolog.Logger
	identity   *tlsidentity.Credentials
	accessLog  *accesslog.Log
	listener   *listener.Server
	pool       *corepool.Pool
	budget     *tunnel.Budget
	admin      *admin.Server
	adminSock  net.Listener
	registry   *telemetry.Registry
	metrics    metrics
	chain      atomic.Pointer[http.Handler]
	config     atomic.Pointer[Config]
	generation atomic.Uint64
	draining   atomic.Bool
	exchanges  atomic.Int64 // whose log line may not be written yet

	mu    sync.Mutex // guards what follows
	cores coreSet
}

// New returns an edge for c, which must be valid. It reads certificates and keys
// and opens nothing but the access log.
func New(c *Config, log zerolog.Logger) (*Server, error) {
	s := &Server{log: log, registry: telemetry.NewRegistry(telemetry.BuildInfo()),
		budget: tunnel.NewBudget(int64(c.Tunnel.ReceiveMemory))}
	s.generation.Store(1)
	s.config.Store(c)
	var err error
	if s.identity, err = identity(c); err != nil {
		return nil, err
	}
	if s.accessLog, err = accesslog.New(c.AccessLog, "edge", c.Name, log); err != nil {
		return nil, err
	}
	if s.pool, err = corepool.New(c.Tunnel.Config, log); err != nil {
		return nil, err
	}
	s.metrics = newMetrics(s.registry)
	handler, err := s.build(c)
	if err != nil {
		return nil, err
	}
	s.chain.Store(&handler)
	s.listener, err = listener.New(c.Listen, c.Limits, http.HandlerFunc(s.serve), listener.Deps{
		Logger: log, Name: c.Name, Refused: s.refused, Secret: s.secret()})
	if err != nil {
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
	creds, err := tlsidentity.Load(c.Tunnel.files(), tlsidentity.Edge)
	if err != nil {
		return nil, fmt.Errorf("tunnel certificate: %w", err)
	}
	if name := creds.Identity().Name; name != c.Name {
		return nil, fmt.Errorf("tunnel certificate: it names edge %q, the config says %q", name, c.Name)
	}
	return creds, nil
}

// secret makes what HTTP/3 clients need to notice a restart at once. It comes
// from the tunnel's key, so it is the same after the restart.
func (s *Server) secret() []byte {
	keys, err := s.identity.Keys(nil)
	if err != nil {
		return nil // the listener then draws one
	}
	return keys.Token[:]
}

// build makes the steps of the chain out of c.
func (s *Server) build(c *Config) (http.Handler, error) {
	rules, err := filter.Compile(c.Filter, c.Name)
	if err != nil {
		return nil, err
	}
	verifier, err := auth.New(c.Auth, c.Name)
	if err != nil {
		return nil, fmt.Errorf("auth: %w", err)
	}
	return s.newChain(c, rules, verifier), nil
}

// serve is what the listeners hand every request to: the chain of the current
// configuration.
func (s *Server) serve(w http.ResponseWriter, r *http.Request) { (*s.chain.Load()).ServeHTTP(w, r) }

func (s *Server) refused(client exchange.Client, status int, reason string) {
	now := time.Now()
	s.accessLog.Refused(accesslog.Refusal{Time: now, Exchange: exchange.NewID(now), Client: client.Addr.Addr(), Peer: client.Peer,
		Proto: client.Proto, Status: status, Reason: proxystatus.HTTPRequestError, Detail: reason})
}

// Listen opens every socket, or none: a port that is taken stops the start.
func (s *Server) Listen() error {
	sock, err := s.admin.Listen()
	if err != nil {
		return err
	}
	if err := s.listener.Listen(); err != nil {
		if sock != nil {
			sock.Close()
		}
		return err
	}
	s.adminSock = sock
	return nil
}

// Addrs returns the addresses of the listeners, and AdminAddr that of the admin
// server or nil, after Listen.
func (s *Server) Addrs() []net.Addr { return s.listener.Addrs() }

// AdminAddr returns the address of the admin server, or nil if there is none.
func (s *Server) AdminAddr() net.Addr {
	if s.adminSock == nil {
		return nil
	}
	return s.adminSock.Addr()
}

// Run serves until ctx ends, then drains: not ready, no new connections, requests
// under way finish within the grace, tunnels closed. It returns nil after a clean
// drain.
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
	s.startCores(inner, g)
	g.Go(func() error { return s.admin.Serve(inner, s.adminSock) })
	drained := make(chan struct{})
	g.Go(func() error {
		defer close(drained)
		err := s.listener.Run(inner)
		if inner.Err() != nil {
			return nil
		}
		return err
	})
	g.Go(func() error {
		defer stop()
		select {
		case <-ctx.Done():
		case <-inner.Done():
			return nil
		}
		return s.drain(drained)
	})
	return g.Wait()
}

// drain takes the edge out of service step by step.
func (s *Server) drain(done <-chan struct{}) error {
	c := s.config.Load()
	s.log.Info().Stringer("grace", c.Shutdown.Grace).Msg("draining")
	s.draining.Store(true)
	time.Sleep(c.Shutdown.Delay.Std())
	ctx, cancel := context.WithTimeout(context.Background(), c.Shutdown.Grace.Std())
	defer cancel()
	err := s.listener.Drain(ctx)
	<-done
	s.awaitExchanges(ctx)
	if err != nil {
		s.log.Warn().Err(err).Msg("drain cut exchanges short")
		return nil
	}
	s.log.Info().Msg("drained")
	return nil
}

// awaitExchanges returns when every exchange has written its log line, or ctx ends.
// A connection that was taken over, a WebSocket's, is closed before that.
func (s *Server) awaitExchanges(ctx context.Context) {
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for s.exchanges.Load() > 0 {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// notReady lists why requests cannot be served now.
func (s *Server) notReady() []string {
	var why []string
	if s.draining.Load() {
		why = append(why, "draining")
	}
	if !s.pool.Usable() {
		why = append(why, "no core is reachable")
	}
	return why
}

// Reload puts c into force. What did not change is not touched: listeners whose
// address stays keep their connections, cores that stay keep their tunnels,
// exchanges under way end under the configuration they began with. After an error
// everything is as it was.
func (s *Server) Reload(c *Config) error {
	old := s.config.Load()
	if err := fixed(old, c); err != nil {
		return err
	}
	handler, err := s.build(c)
	if err != nil {
		return err
	}
	if err := s.identity.Reload(); err != nil {
		return fmt.Errorf("tunnel certificate: %w", err)
	}
	if err := s.listener.Reload(c.Listen, c.Limits); err != nil {
		return err
	}
	s.config.Store(c)
	s.generation.Add(1)
	s.chain.Store(&handler)
	return s.setCores(c)
}

// Reopen opens the access log's file anew, after it was moved away.
func (s *Server) Reopen() error { return s.accessLog.Reopen() }

// fixed reports the keys that need a restart and differ between the two.
func fixed(old, c *Config) error {
	var errs []error
	differ := func(key string, same bool) {
		if !same {
			errs = append(errs, fmt.Errorf("%s cannot change while the edge runs, restart it", key))
		}
	}
	differ("name", old.Name == c.Name)
	differ("admin", reflect.DeepEqual(old.Admin, c.Admin))
	differ("log", old.Log == c.Log)
	differ("memory", old.Memory == c.Memory)
	differ("tunnel.ca, tunnel.cert and tunnel.key", old.Tunnel.CA == c.Tunnel.CA && old.Tunnel.Cert == c.Tunnel.Cert && old.Tunnel.Key == c.Tunnel.Key)
	differ("tunnel.receive_memory", old.Tunnel.ReceiveMemory == c.Tunnel.ReceiveMemory)
	differ("tunnel.retry, tunnel.balance and tunnel.health", old.Tunnel.Config == c.Tunnel.Config)
	differ("access_log", old.AccessLog.Same(c.AccessLog))
	return errors.Join(errs...)
}
