package core

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/ergoproxy/ergo/core/router"
	"github.com/ergoproxy/ergo/shared/accesslog"
	"github.com/ergoproxy/ergo/shared/exchange"
	"github.com/ergoproxy/ergo/shared/hop"
)

// newPipeline builds the path of a request through the core. Read from the top:
// that is the order of execution. The tunnel server has begun the exchange.
func (s *Server) newPipeline() http.Handler {
	return s.meter(
		accesslog.Wrap(s.accessLog,
			s.guard(
				http.HandlerFunc(s.route))))
}

// guard refuses a request that this core has sent on before (RFC 8586).
func (s *Server) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if e := hop.CheckLoop(r.Header, "core", s.name); e != nil {
			exchange.From(r.Context()).Refuse(w, r, s.name, e)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// route finds the route of the request and forwards it to a backend.
func (s *Server) route(w http.ResponseWriter, r *http.Request) {
	snapshot := s.snapshot.Load()
	x := exchange.From(r.Context())
	match, err := snapshot.table.Match(r)
	if err != nil {
		s.unmatched(w, r, x, err)
		return
	}
	x.Report.Route = match.Route.Name
	if timeout := match.Route.Timeout; timeout > 0 {
		if limit := x.Start.Add(timeout); x.Deadline.IsZero() || limit.Before(x.Deadline) {
			x.Deadline = limit
			ctx, cancel := context.WithDeadline(r.Context(), limit)
			defer cancel()
			r = r.WithContext(ctx)
		}
	}
	pool := snapshot.pools[match.Route.Backend]
	pool.forwarder.Serve(w, r, &rules{name: s.name, host: r.Host, match: match})
}

func (s *Server) unmatched(w http.ResponseWriter, r *http.Request, x *exchange.Exchange, err error) {
	if notAllowed, ok := errors.AsType[*router.NotAllowedError](err); ok {
		w.Header().Set("Allow", strings.Join(notAllowed.Allow, ", "))
	}
	x.Refuse(w, r, s.name, asProxyError(err))
}

// rules are what the core changes in the messages of one request.
type rules struct {
	name  string
	host  string // that the client asked for
	match router.Match
}

// Prepare makes the request what the route says, and tells the backend who asked.
func (r *rules) Prepare(out *http.Request, x *exchange.Exchange) error {
	target := *out.URL // the access log wants the one that came
	out.URL = &target
	r.match.Rewrite(out)
	if r.match.Route.EditsRequest() {
		r.match.Route.EditRequest(out.Header, x)
	}
	hop.AppendVia(out.Header, tunnelProto, r.name)
	hop.AppendLoop(out.Header, r.name)
	hop.Outbound(out.Header, x, r.host)
	return nil
}

// Answer makes the response what the route says.
func (r *rules) Answer(res *http.Response, x *exchange.Exchange) {
	r.match.Route.EditResponse(res.Header, x)
	hop.AppendVia(res.Header, res.Proto, r.name)
}

// tunnelProto is what Via calls the protocol between the tiers.
const tunnelProto = "ergo/1"

// meter counts what has passed through it.
func (s *Server) meter(next http.Handler) http.Handler {
	m := &s.metrics
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		x := exchange.From(r.Context())
		defer func() {
			m.seconds.Observe(time.Since(x.Start))
			m.count(x.Report.Status, x.Report.Error)
		}()
		next.ServeHTTP(w, r)
	})
}
