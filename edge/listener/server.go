package listener

import (
	"context"
	"crypto/hkdf"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/ergoproxy/ergo/shared/exchange"
	"github.com/rs/zerolog"
)

// Deps is what a Server needs from the edge.
type Deps struct {
	Logger zerolog.Logger

	// Name is the edge's name, for Proxy-Status (RFC 9209). A token.
	Name string

	// Refused, if set, is called once for each request that is refused before
	// the handler sees it, and for each connection that is closed for a fault.
	// It must not block.
	Refused func(client exchange.Client, status int, reason string)

	// AllowConnect passes CONNECT to the handler instead of answering 405.
	AllowConnect bool

	// Secret, of 32 bytes or more, makes QUIC clients notice a restart at once
	// and lets their address tokens outlive it. Empty: random for each start.
	Secret []byte

	// RemovedGrace is how long the connections of a listener that a Reload
	// removes may go on. 0: 30 s.
	RemovedGrace time.Duration
}

// Server owns all listeners of an edge.
type Server struct {
	handler   http.Handler
	deps      Deps
	admission *admission
	resetKey  *[32]byte // of QUIC stateless resets; nil: random
	tokenKey  *[32]byte // of QUIC address tokens; nil: random
	drained   chan struct{}
	tasks     sync.WaitGroup // goroutines of the endpoints

	// mu guards the fields below it and is held during Listen, Reload and the
	// start of Drain.
	mu        sync.Mutex
	phase     phase
	plan      []*settings // as configured
	endpoints map[string]endpoint
	retired   map[endpoint]struct{} // removed by a Reload, not yet empty
	ctx       context.Context       // ends when everything has to stop; set by Run
	drain     error                 // outcome of Drain
}

type phase uint8

const (
	made phase = iota
	bound
	running
	draining
	stopped
)

// An endpoint is one socket and the connections that came through it.
type endpoint interface {
	addr() net.Addr
	// use replaces the settings for connections that are accepted from now on.
	use(*settings)
	// serve accepts connections until drain or close.
	serve(ctx context.Context)
	// drain stops accepting and waits for the connections to end by themselves;
	// when ctx ends it closes what is left and returns the cause.
	drain(ctx context.Context) error
	close()
}

// New returns a Server for configs, all of which share limits. It reads the
// certificates and opens nothing. The error names the entry and what is wrong.
func New(configs []Config, limits Limits, handler http.Handler, deps Deps) (*Server, error) {
	if deps.RemovedGrace <= 0 {
		deps.RemovedGrace = 30 * time.Second
	}
	s := &Server{
		handler: handler, deps: deps, admission: newAdmission(),
		drained: make(chan struct{}), endpoints: map[string]endpoint{}, retired: map[endpoint]struct{}{},
	}
	if len(deps.Secret) > 0 {
		var err error
		if s.resetKey, err = deriveKey(deps.Secret, "ergo edge quic stateless reset"); err != nil {
			return nil, err
		}
		if s.tokenKey, err = deriveKey(deps.Secret, "ergo edge quic token"); err != nil {
			return nil, err
		}
	}
	var err error
	if s.plan, err = newSettings(configs, limits, deps.AllowConnect); err != nil {
		return nil, err
	}
	return s, nil
}

func deriveKey(secret []byte, use string) (*[32]byte, error) {
	if len(secret) < 32 {
		return nil, fmt.Errorf("listener secret of %d bytes, want 32 or more", len(secret))
	}
	b, err := hkdf.Key(sha256.New, secret, nil, use, 32)
	if err != nil {
		return nil, fmt.Errorf("derive the key for %s: %w", use, err)
	}
	return (*[32]byte)(b), nil
}

// Listen binds all sockets or none. It must come before Run. The error of a port
// that is taken says so and what to do.
func (s *Server) Listen() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.phase != made {
		return errors.New("listen: called twice")
	}
	opened, err := s.open(s.plan)
	if err != nil {
		return err
	}
	s.endpoints = opened
	s.phase = bound
	return nil
}

// Addrs returns the bound addresses in the order of the config: for each entry
// its TCP address, if it has one, then its UDP address, if it has one.
func (s *Server) Addrs() []net.Addr {
	s.mu.Lock()
	defer s.mu.Unlock()
	var addrs []net.Addr
	for _, st := range s.plan {
		for _, key := range st.sockets() {
			if e, ok := s.endpoints[key]; ok {
				addrs = append(addrs, e.addr())
			}
		}
	}
	return addrs
}

// Connections returns how many client connections are open, and how many were
// refused by a limit since the start.
func (s *Server) Connections() (open, refused int64) {
	return s.admission.total.Load(), s.admission.denied.Load()
}

// Run serves until Drain is done, and returns what Drain returned; or until ctx
// ends, when it closes everything at once and returns the cause.
func (s *Server) Run(ctx context.Context) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	s.mu.Lock()
	if s.phase != bound {
		s.mu.Unlock()
		return errors.New("run: Listen has to come first, and Run only once")
	}
	s.phase, s.ctx = running, ctx
	for _, e := range s.endpoints {
		s.start(e)
	}
	s.mu.Unlock()

	err := s.await(ctx)
	s.mu.Lock()
	s.phase = stopped
	endpoints := s.allEndpoints()
	s.mu.Unlock()
	for _, e := range endpoints {
		e.close()
	}
	stop()
	if !s.settle() {
		err = errors.Join(err, errors.New("run: handlers did not return after their connections were closed"))
	}
	return err
}

// settleTime is how long Run waits for handlers whose connection is closed.
const settleTime = 5 * time.Second

// settle reports whether all goroutines have ended.
func (s *Server) settle() bool {
	done := make(chan struct{})
	go func() { s.tasks.Wait(); close(done) }()
	timer := time.NewTimer(settleTime)
	defer timer.Stop()
	select {
	case <-done:
		return true
	case <-timer.C:
		return false
	}
}

func (s *Server) await(ctx context.Context) error {
	select {
	case <-s.drained:
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.drain
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// start runs e. The caller holds mu.
func (s *Server) start(e endpoint) {
	ctx := s.ctx
	s.tasks.Go(func() { e.serve(ctx) })
}

// Drain stops accepting, tells clients to go elsewhere (Connection: close,
// GOAWAY, rejected streams) and waits for the requests and hijacked connections
// at work. When ctx ends it closes what is left and returns the cause; nil means
// that nothing was cut. Run returns the same afterwards.
func (s *Server) Drain(ctx context.Context) error {
	s.mu.Lock()
	if s.phase != running {
		s.mu.Unlock()
		return errors.New("drain: the server is not running")
	}
	s.phase = draining
	endpoints := s.allEndpoints()
	s.mu.Unlock()

	err := drainAll(ctx, endpoints)
	s.mu.Lock()
	s.drain = err
	s.mu.Unlock()
	close(s.drained)
	return err
}

// allEndpoints returns those of the config and those that a Reload removed. The
// caller holds mu.
func (s *Server) allEndpoints() []endpoint {
	return slices.AppendSeq(slices.Collect(maps.Values(s.endpoints)), maps.Keys(s.retired))
}

func drainAll(ctx context.Context, endpoints []endpoint) error {
	errs := make(chan error, len(endpoints))
	for _, e := range endpoints {
		go func() { errs <- e.drain(ctx) }()
	}
	var first error
	for range endpoints {
		if err := <-errs; err != nil && first == nil {
			first = fmt.Errorf("drain: %w", err)
		}
	}
	return first
}
