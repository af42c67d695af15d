package edge

import (
	"context"
	"net/http"
	"time"

	"github.com/ergoproxy/ergo/edge/auth"
	"github.com/ergoproxy/ergo/edge/filter"
	"github.com/ergoproxy/ergo/edge/listener"
	"github.com/ergoproxy/ergo/shared/accesslog"
	"github.com/ergoproxy/ergo/shared/exchange"
	"github.com/ergoproxy/ergo/shared/forward"
	"github.com/ergoproxy/ergo/shared/hop"
)

// newChain builds the path of a request through the edge. Read from the top:
// that is the order of execution. Refusals are cheapest first, and the access log
// stands outside all of them so that a refusal is logged like a success.
func (s *Server) newChain(c *Config, rules *filter.Rules, verifier *auth.Step) http.Handler {
	return s.begin(c,
		accesslog.Wrap(s.accessLog,
			s.meter(
				filter.Wrap(rules,
					auth.Wrap(verifier,
						s.forward(c))))))
}

// begin gives the request its Exchange: what the edge itself knows of the client
// and, where the peer is a trusted proxy, what that says.
func (s *Server) begin(c *Config, next http.Handler) http.Handler {
	timeout := c.RequestTimeout.Std()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.exchanges.Add(1)
		defer s.exchanges.Add(-1)
		now := time.Now()
		x := &exchange.Exchange{ID: exchange.NewID(now), Start: now, Client: listener.ClientOf(r)}
		if hop.Trusted(x.Client.Peer, c.TrustedProxies) {
			x.Client.Addr, x.Client.Forwarded = hop.ClientFrom(x.Client.Peer, r.Header, c.TrustedProxies)
			x.Trace = hop.TraceFrom(r.Header)
		}
		if x.Trace.IsZero() {
			x.Trace = exchange.NewTrace()
		}
		ctx := exchange.With(r.Context(), x)
		if timeout > 0 {
			x.Deadline = now.Add(timeout)
			var cancel context.CancelFunc
			ctx, cancel = context.WithDeadline(ctx, x.Deadline)
			defer cancel()
		}
		next.ServeHTTP(w, r.WithContext(ctx))
	})
}

// forward sends what has passed every check to the cores.
func (s *Server) forward(c *Config) http.Handler {
	f := &forward.Forwarder{Hop: "edge", Name: c.Name, Transport: s.pool}
	r := rules{name: c.Name}
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) { f.Serve(w, req, r) })
}

// rules are what the edge changes in every message.
type rules struct{ name string }

// Prepare drops what a client could use to pass itself off as a tier.
func (r rules) Prepare(out *http.Request, _ *exchange.Exchange) error {
	hop.DropClaims(out.Header)
	hop.AppendVia(out.Header, out.Proto, r.name)
	return nil
}

// Answer makes the response the edge's own.
func (r rules) Answer(res *http.Response, x *exchange.Exchange) {
	delete(res.Header, "Alt-Svc") // another server's ports are not ours
	hop.AppendVia(res.Header, tunnelProto, r.name)
	res.Header["X-Request-Id"] = []string{x.ID.String()}
}

// tunnelProto is what Via calls the protocol between the tiers.
const tunnelProto = "ergo/1"
