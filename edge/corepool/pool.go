// Package corepool sends exchanges to one of several cores. A Pool is an
// http.RoundTripper:
//
//	request ─▶ cores that are usable and in good health ─▶ balance picks one ─▶ try
//	                    ▲                                                      │ failed
//	                    └── another core, if retry.Allowed says so ◀───────────┘
//
// The pool knows two verdicts on a core: the tunnel's own (connected, answering
// its PINGs, ready, not draining) and the passive marks of package health. With
// no usable core it fails at once, and the answer says when to ask again.
package corepool

import (
	"errors"
	"io"
	"net/http"
	"slices"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"

	"github.com/ergoproxy/ergo/shared/balance"
	"github.com/ergoproxy/ergo/shared/exchange"
	"github.com/ergoproxy/ergo/shared/health"
	"github.com/ergoproxy/ergo/shared/proxystatus"
	"github.com/ergoproxy/ergo/shared/retry"
)

// A Core is the tunnel to one core.
type Core interface {
	http.RoundTripper
	// InFlight is how many exchanges are under way there.
	InFlight() int64
	// Usable reports whether an exchange could be sent now, and Steady whether
	// the core is, besides, not late to answer.
	Usable() bool
	Steady() bool
}

// A Member is a core in a Pool.
type Member struct {
	Core
	Name   string
	health *health.Member
}

// A Pool sends each exchange to one of its members. It is safe for concurrent
// use; the members may be replaced while it is used.
type Pool struct {
	config  Config
	budget  *retry.Budget
	log     zerolog.Logger
	members atomic.Pointer[view]

	counters Counters
}

// view is a set of members with what belongs to it.
type view struct {
	members []*Member
	picker  balance.Picker[*Member]
}

// Counters are totals since the start.
type Counters struct {
	Retries     atomic.Uint64
	Unavailable atomic.Uint64 // exchanges for which no core was usable
	Failed      atomic.Uint64 // exchanges that failed after every try allowed
}

// New returns a Pool without members.
func New(c Config, log zerolog.Logger) (*Pool, error) {
	p := &Pool{config: c, log: log, budget: retry.NewBudget(c.Retry.Ratio, c.Retry.PerSecond, time.Now)}
	return p, p.SetCores(nil)
}

// Named is a core and what it is called in logs.
type Named struct {
	Name string
	Core Core
}

// SetCores replaces the members. A core that stays keeps its health.
func (p *Pool) SetCores(cores []Named) error {
	picker, err := balance.New[*Member](p.config.Balance)
	if err != nil {
		return err
	}
	old := p.members.Load()
	group := health.NewGroup(p.config.Health, time.Now)
	next := &view{picker: picker}
	for _, c := range cores {
		if m := old.find(c.Core); m != nil {
			next.members = append(next.members, m)
			continue
		}
		log := p.log.With().Str("core", c.Name).Logger()
		next.members = append(next.members, &Member{Core: c.Core, Name: c.Name,
			health: group.Add(1, 1, func(from, to health.State) {
				log.Info().Stringer("from", from).Stringer("to", to).Msg("core health changed")
			})})
	}
	p.members.Store(next)
	return nil
}

func (v *view) find(c Core) *Member {
	if v == nil {
		return nil
	}
	for _, m := range v.members {
		if m.Core == c {
			return m
		}
	}
	return nil
}

// Usable reports whether any core is.
func (p *Pool) Usable() bool {
	return slices.ContainsFunc(p.members.Load().members, func(m *Member) bool { return m.Usable() })
}

// Counters returns the totals; they may be read at any time.
func (p *Pool) Counters() *Counters { return &p.counters }

// pick chooses a core that was not tried: one that answers and is in good health if
// there is one, then one that answers, then any usable one.
func (p *Pool) pick(tried []*Member) (*Member, health.Permit) {
	v := p.members.Load()
	for {
		m := v.pick(func(m *Member) bool { return m.Steady() && m.health.Eligible() && !slices.Contains(tried, m) })
		if m == nil {
			break
		}
		if permit, ok := m.health.Begin(); ok {
			return m, permit
		}
	}
	m := v.pick(func(m *Member) bool { return m.Steady() && !slices.Contains(tried, m) })
	if m == nil {
		m = v.pick(func(m *Member) bool { return m.Usable() && !slices.Contains(tried, m) })
	}
	if m == nil {
		return nil, health.Permit{}
	}
	return m, m.health.Force()
}

// pick lets the balance choose among the members that are fit, and returns nil if
// there are none.
func (v *view) pick(fit func(*Member) bool) *Member {
	candidates := v.only(fit)
	if i := v.picker.Pick(candidates); i >= 0 {
		return candidates[i]
	}
	return nil
}

// only returns the members that are good, without an allocation while all are.
func (v *view) only(good func(*Member) bool) []*Member {
	for i, m := range v.members {
		if good(m) {
			continue
		}
		some := slices.Clone(v.members[:i])
		for _, m := range v.members[i+1:] {
			if good(m) {
				some = append(some, m)
			}
		}
		return some
	}
	return v.members
}

// RoundTrip sends req to a core and, where package retry allows it, to further
// ones until one answers. The error is a *proxystatus.Error.
func (p *Pool) RoundTrip(req *http.Request) (*http.Response, error) {
	p.budget.Deposit()
	x := exchange.From(req.Context())
	body := retry.NewBody(req.Body, int(p.config.Retry.BodyBuffer))
	var tried []*Member
	var failed error
	late := 0 // tries that were given up for another one; they do not count
	for tries := 1; ; tries++ {
		x.Stay = late >= len(p.members.Load().members) || p.config.Retry.Attempts == 1
		m, permit := p.pick(tried)
		if m == nil && len(tried) > 0 {
			// Every other core is gone: the one that failed may have a
			// connection left.
			m, permit = p.pick(nil)
		}
		if m == nil {
			body.Close()
			return nil, p.unavailable(failed)
		}
		x.Attempt = tries - 1
		res, err := p.try(m, permit, req, body)
		if err == nil {
			x.Report.Attempts = tries
			return res, nil
		}
		failed, tried = err, append(tried, m)
		if retry.StageOf(err) == retry.Late {
			late++
		}
		verdict := retry.Allowed(req.Context(), retry.Failed{Method: req.Method, Stage: retry.StageOf(err),
			Replayable: body.Replayable(), Begun: x.Begun, Tries: tries - late, MaxTries: p.config.Retry.Attempts}, p.budget)
		p.log.Debug().Err(err).Stringer("exchange", x.ID).Stringer("verdict", verdict).Msg("attempt failed")
		if verdict != retry.Again || clientFault(err) {
			x.Report.Attempts = tries
			p.counters.Failed.Add(1)
			body.Close()
			return nil, p.final(err)
		}
		p.counters.Retries.Add(1)
	}
}

// try sends req to m once.
func (p *Pool) try(m *Member, permit health.Permit, req *http.Request, body *retry.Body) (*http.Response, error) {
	out := req
	if body != nil {
		reader, err := body.Try()
		if err != nil {
			permit.Cancel()
			return nil, err
		}
		out = req.WithContext(req.Context())
		out.Body = reader
	}
	res, err := m.RoundTrip(out)
	switch {
	case err == nil:
		permit.Success()
		if body != nil {
			body.Commit()
			res.Body = closing(res.Body, body)
		}
	case req.Context().Err() != nil, clientFault(err), !m.Steady(), retry.StageOf(err) == retry.Late:
		// Of a late or lost tunnel the pool need not be told: it knows by itself, and
		// also when it is back.
		permit.Cancel()
	default:
		permit.Failure()
	}
	return res, err
}

// clientFault reports whether a try failed because of the request itself: no other
// core would take it, and none is the worse for it.
func clientFault(err error) bool {
	return proxystatus.From("edge", err).Type == proxystatus.HTTPRequestError
}

// closing returns body such that its Close frees what the request's body holds.
func closing(body io.ReadCloser, request *retry.Body) io.ReadCloser {
	if _, upgraded := body.(io.Writer); upgraded {
		return body // whose request has no body
	}
	return responseBody{body, request}
}

type responseBody struct {
	io.ReadCloser
	request *retry.Body
}

func (b responseBody) Close() error {
	err := b.ReadCloser.Close()
	b.request.Close()
	return err
}

// retryAfter is what clients are told while no core is usable: a tunnel is back
// within a second of its core.
const retryAfter = time.Second

var errNoCore = errors.New("no core is usable")

func (p *Pool) unavailable(last error) error {
	p.counters.Unavailable.Add(1)
	if last == nil {
		last = errNoCore
	}
	e := proxystatus.New(proxystatus.DestinationUnavailable, "edge", "pick a core", last)
	e.RetryAfter = retryAfter
	return e
}

// final is the error of the last try, as it is passed up.
func (p *Pool) final(err error) error {
	e := *proxystatus.From("edge", err)
	if e.HTTPStatus() == http.StatusServiceUnavailable {
		e.RetryAfter = retryAfter
	}
	return &e
}
