// Package exchange holds what a tier knows about one request and its response
// at one hop, in typed fields. It is the only way in which the steps of a
// tier's chain tell each other something: no header is invented and no
// string-keyed map is used for it.
//
// An Exchange belongs to the goroutine that serves the request, until the
// handler returns. Where a field says otherwise it may be read later.
package exchange

import (
	"context"
	"net/http"
	"net/netip"
	"time"

	"github.com/ergoproxy/ergo/shared/proxystatus"
)

// An Exchange is the record of one request at one hop.
type Exchange struct {
	ID       ID        // the same in both tiers
	Attempt  int       // which try of the edge this is, from 0
	Stay     bool      // at the edge: this try must not be given up because its answer is late
	Start    time.Time // when this tier saw the request
	Deadline time.Time // when the client has no more use for an answer; zero: none
	Trace    Trace
	Client   Client

	// Principal is who auth says the client is; the zero value is nobody.
	Principal Principal

	// Core and CoreReport are filled at the edge when a core has answered.
	Core       string // name of the core that the last attempt went to
	Carrier    string // what carried the exchange there: "quic" or "tcp"
	CoreReport Report

	// Report is what this tier found out; a core sends it to the edge with the
	// end of the response.
	Report Report

	// Begun says that a part of the response, be it informational, was passed on.
	Begun bool

	// Informational, when set, is called for each 1xx response except 101, in
	// order and before the final response, by the goroutine of the RoundTripper.
	// An error ends the exchange.
	Informational func(status int, header http.Header) error
}

// Client says where a request came from. Only the edge that accepted the
// connection fills it; no header of the client gets in unless the peer's
// address is configured as trusted.
type Client struct {
	Addr       netip.AddrPort // the client, behind any trusted proxy
	Peer       netip.AddrPort // the other end of the connection
	Scheme     string         // "http" or "https"
	Proto      string         // "HTTP/1.1", "HTTP/2.0", "HTTP/3.0"
	TLSVersion uint16         // as in crypto/tls; 0: clear
	TLSCipher  uint16
	ServerName string // SNI
	EarlyData  bool   // the request came in TLS early data (RFC 8470)

	// Forwarded is the forwarding chain that a trusted proxy sent, as the value
	// of X-Forwarded-For: what came before Addr. Empty when nobody is trusted.
	Forwarded string
}

// Principal is an authenticated client.
type Principal struct {
	Subject string // "sub"
	Issuer  string // "iss"
	Method  string // how it was shown: "jwt"
}

// Report is what a tier found out about an exchange; the access log prints it.
type Report struct {
	Name       string // the tier's configured name
	Route      string
	Backend    string // host:port of the backend that answered
	Attempts   int    // tries made by this tier
	Status     int    // of the final response; 0: none was sent
	Error      proxystatus.Type
	ErrorHop   string        // the tier that found Error: "edge" or "core"
	Detail     string        // operation and cause of Error
	Queue      time.Duration // waited before the first try
	Connect    time.Duration // dialling and TLS, when a new connection was made
	FirstByte  time.Duration // from start to the head of the response
	Total      time.Duration // from start to the end of the response
	BytesIn    int64         // body bytes of the request
	BytesOut   int64         // body bytes of the response
	ConnReused bool
}

// Fail records e as what went wrong with the exchange. The first failure stays:
// what comes after it is its consequence.
func (x *Exchange) Fail(e *proxystatus.Error) {
	if x.Report.Error != proxystatus.None {
		return
	}
	x.Report.Error, x.Report.ErrorHop, x.Report.Detail = e.Type, e.Hop, e.Op
	if e.Err != nil {
		x.Report.Detail += ": " + e.Err.Error()
	}
}

// Refuse records e and answers r with it in the name of the tier called name.
// The response head must not have been sent.
func (x *Exchange) Refuse(w http.ResponseWriter, r *http.Request, name string, e *proxystatus.Error) {
	x.Fail(e)
	proxystatus.Respond(w, r, name, x.ID.String(), e)
}

type contextKey struct{}

// With returns a context that carries x.
func With(ctx context.Context, x *Exchange) context.Context {
	return context.WithValue(ctx, contextKey{}, x)
}

// From returns the Exchange of ctx. It panics when there is none: every path
// through a tier begins with one, so that is a mistake in the wiring.
func From(ctx context.Context) *Exchange {
	return ctx.Value(contextKey{}).(*Exchange)
}
