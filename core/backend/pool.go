// Package backend sends requests to one pool of backends: an http.RoundTripper
// that picks a backend, tries, and tries again where that is safe.
//
//	Pool ── picks ──▶ endpoint ── health, in-flight count
//	                     └─ conns ── at most limits.connections ──▶ conn ─▶ backend
//	                                 line of those who wait           └ counts what was sent
//
// Connections are in a pool of our own and not an http.Transport's, which sends
// a request again by itself, on another connection, when it thinks that safe, and
// nobody learns of it. Here a connection sends a request once: with HTTP/1.1 it
// is a Conn of package h1, with HTTP/2 an http.ClientConn. So the tries counted
// here are all the tries there are, and shared/retry decides on each: never a
// second time to a backend that may have begun, unless the method is idempotent.
//
// Every error is a *retry.Failure that holds a *proxystatus.Error, made once,
// in translate.go. Bodies fail with a *proxystatus.Error.
//
// The request's context must carry an exchange.Exchange, and its deadline is
// that of the request. CONNECT is not supported. 101 (Switching Protocols) gives
// a response whose Body is an io.ReadWriteCloser.
//
// A Pool is safe for concurrent use. New starts nothing: Run does probes,
// look-ups and the closing of unused connections.
package backend

import (
	"context"
	"crypto/sha256"
	"fmt"
	"net"
	"net/http"
	"reflect"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"

	"github.com/ergoproxy/ergo/shared/balance"
	"github.com/ergoproxy/ergo/shared/exchange"
	"github.com/ergoproxy/ergo/shared/health"
	"github.com/ergoproxy/ergo/shared/proxystatus"
	"github.com/ergoproxy/ergo/shared/retry"
)

// Deps is what a Pool takes from outside.
type Deps struct {
	Log      zerolog.Logger
	Resolver *net.Resolver // nil: the system's
}

// A Pool sends requests to the backends of one Config.
type Pool struct {
	name   string
	cfg    Config
	files  [sha256.Size]byte // of what the files of cfg.TLS held
	log    zerolog.Logger
	dialer *dialer
	picker balance.Picker[*endpoint]
	group  *health.Group
	budget *retry.Budget

	// endpoints is replaced, never changed; changes are made under mu.
	endpoints atomic.Pointer[[]*endpoint]
	scratch   sync.Pool // of *[]*endpoint, for pick

	requests atomic.Int64
	retries  atomic.Int64
	failures atomic.Int64 // requests answered with an error
	active   atomic.Int64 // requests whose response has not ended

	mu       sync.Mutex
	resolved []Endpoint      // last good answer of the DNS; guarded by mu
	added    func(*endpoint) // starts the probes of an endpoint while Run runs; guarded by mu

	closed   atomic.Bool
	idleOnce sync.Once
	idle     chan struct{} // closed when active is 0 after Close
}

// New returns a Pool that is ready to use. The error is about files that the
// config names.
func New(name string, cfg Config, d Deps) (*Pool, error) {
	dialer, err := newDialer(&cfg, d.Resolver)
	if err != nil {
		return nil, fmt.Errorf("backends.%s.tls: %w", name, err)
	}
	picker, err := balance.New[*endpoint](cfg.Balance)
	if err != nil {
		return nil, fmt.Errorf("backends.%s.balance: %w", name, err)
	}
	p := &Pool{
		name:   name,
		cfg:    cfg,
		files:  cfg.TLS.sum(),
		log:    d.Log.With().Str("pool", name).Logger(),
		dialer: dialer,
		picker: picker,
		group:  health.NewGroup(cfg.Health.Passive, time.Now),
		budget: retry.NewBudget(cfg.Retries.Budget, cfg.Retries.MinPerSecond, time.Now),
		idle:   make(chan struct{}),
	}
	if cfg.TLS.InsecureSkipVerify {
		p.log.Warn().Msg("backend certificates are not verified")
	}
	if err := p.setEndpoints(nil); err != nil {
		return nil, fmt.Errorf("backends.%s.%w", name, err)
	}
	return p, nil
}

// Equal reports whether a Pool made of cfg would do what p does, so that a
// reload can keep p and its connections. A renewed certificate makes a difference.
func (p *Pool) Equal(name string, cfg Config) bool {
	return p.name == name && reflect.DeepEqual(p.cfg, cfg) && p.files == cfg.TLS.sum()
}

// setEndpoints makes the pool consist of the configured endpoints and the
// resolved ones. Those that stay keep their connections and their health, those
// that go are drained.
func (p *Pool) setEndpoints(resolved []Endpoint) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed.Load() {
		return nil
	}
	old := map[Endpoint]*endpoint{}
	if list := p.endpoints.Load(); list != nil {
		for _, e := range *list {
			old[e.config] = e
		}
	}
	var list, added []*endpoint
	seen := map[Endpoint]bool{}
	for i, c := range append(append([]Endpoint(nil), p.cfg.Endpoints...), resolved...) {
		if seen[c] {
			continue
		}
		seen[c] = true
		e := old[c]
		if e == nil {
			var err error
			if e, err = p.newEndpoint(c); err != nil {
				for _, a := range added {
					a.drain()
				}
				return fmt.Errorf("endpoints[%d]: %w", i, err)
			}
			added = append(added, e)
		}
		delete(old, c)
		list = append(list, e)
	}
	p.resolved = resolved
	p.endpoints.Store(&list)
	for _, e := range old {
		e.drain()
	}
	if p.added != nil {
		for _, e := range added {
			p.added(e)
		}
	}
	return nil
}

func (p *Pool) newEndpoint(c Endpoint) (*endpoint, error) {
	t, err := p.dialer.target(c)
	if err != nil {
		return nil, err
	}
	e := &endpoint{config: c, target: t}
	e.conns = newConns(p.cfg.Limits, p.cfg.Timeouts.IdleConnection.Std())
	e.conns.preferH2 = func() bool { return p.dialer.preferH2(t) }
	e.conns.dial = func(ctx context.Context, h1 bool) (*conn, error) {
		return p.dialer.dial(ctx, t, e.conns, h1)
	}
	active := p.cfg.Health.Active
	e.health = p.group.Add(active.Healthy, active.Unhealthy, func(from, to health.State) {
		if to == health.Down && from == health.Up {
			p.log.Warn().Str("backend", t.addr).Msg("backend marked down")
		} else if to == health.Up {
			p.log.Info().Str("backend", t.addr).Msg("backend marked up")
		}
	})
	return e, nil
}

// RoundTrip implements http.RoundTripper. It fills Backend, Attempts, Connect,
// ConnReused, FirstByte and Queue of the exchange's Report. A ContentLength of 0
// means that there is no body.
func (p *Pool) RoundTrip(req *http.Request) (*http.Response, error) {
	p.requests.Add(1)
	p.budget.Deposit()
	p.active.Add(1)
	c := &call{pool: p, in: req, exchange: exchange.From(req.Context())}
	resp, err := c.run()
	if err != nil {
		p.failures.Add(1)
		return nil, err
	}
	return resp, nil
}

// pick chooses a backend that this request was not sent to yet, if there is
// one, and takes a permit of it.
func (p *Pool) pick(tried []*endpoint) (*endpoint, health.Permit, error) {
	all := *p.endpoints.Load()
	for range 3 {
		e := p.pickEligible(all, tried)
		if e == nil {
			break
		}
		if permit, ok := e.health.Begin(); ok {
			return e, permit, nil
		}
		// Another request has just become the trial of e.
	}
	if p.cfg.Health.WhenAllDown == health.TryWhenAllDown {
		if e := p.pickOf(all, func(e *endpoint) bool { return e.health.Usable() && !contains(tried, e) }); e != nil {
			return e, e.health.Force(), nil
		}
		if e := p.pickOf(all, func(e *endpoint) bool { return e.health.Usable() }); e != nil {
			return e, e.health.Force(), nil
		}
	}
	return nil, health.Permit{}, failure(retry.Unsent, proxystatus.DestinationUnavailable,
		"pick a backend of "+p.name, errAllDown)
}

// pickEligible is the common way: nobody is down, nothing was tried.
func (p *Pool) pickEligible(all, tried []*endpoint) *endpoint {
	if len(tried) == 0 {
		up := 0
		for _, e := range all {
			if e.health.Eligible() {
				up++
			}
		}
		if up == len(all) {
			if i := p.picker.Pick(all); i >= 0 {
				return all[i]
			}
			return nil
		}
	}
	if e := p.pickOf(all, func(e *endpoint) bool { return e.health.Eligible() && !contains(tried, e) }); e != nil {
		return e
	}
	return p.pickOf(all, func(e *endpoint) bool { return e.health.Eligible() })
}

// pickOf picks among those that fit.
func (p *Pool) pickOf(all []*endpoint, fits func(*endpoint) bool) *endpoint {
	list, ok := p.scratch.Get().(*[]*endpoint)
	if !ok {
		list = new([]*endpoint)
	}
	defer p.scratch.Put(list)
	*list = (*list)[:0]
	for _, e := range all {
		if fits(e) {
			*list = append(*list, e)
		}
	}
	var picked *endpoint
	if i := p.picker.Pick(*list); i >= 0 {
		picked = (*list)[i]
	}
	clear(*list) // keeps no endpoint alive
	return picked
}

func contains(list []*endpoint, e *endpoint) bool {
	for _, other := range list {
		if other == e {
			return true
		}
	}
	return false
}

// ended counts a request whose response was read or closed.
func (p *Pool) ended() {
	if p.active.Add(-1) == 0 && p.closed.Load() {
		p.tellIdle()
	}
}

// tellIdle tells Drain, if nothing came in between.
func (p *Pool) tellIdle() {
	if p.active.Load() == 0 {
		p.idleOnce.Do(func() { close(p.idle) })
	}
}

// Close takes every backend out of picking and closes the connections that are
// not in use; the others close with their last request. Requests that come later
// fail with destination_unavailable.
func (p *Pool) Close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed.Swap(true) {
		return
	}
	for _, e := range *p.endpoints.Swap(new([]*endpoint)) {
		e.drain()
	}
	p.tellIdle()
}

// Drain closes p and waits until its last response has ended. When ctx is done
// first it returns the cause; what is left then goes on until it ends by itself
// or by its own context.
func (p *Pool) Drain(ctx context.Context) error {
	p.Close()
	select {
	case <-p.idle:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
