// Package auth is the step of the edge that asks who a request comes from. Its
// rules say which requests must show a token; a Verifier checks it; what it
// finds is the Exchange's Principal.
//
//	request ▸ canonical path ▸ rule ─ none ────────────────────────────────▸ next
//	                             └── jwt ▸ Verifier ▸ scopes and claims ────▸ next
//	                                        │ 400, 401     │ 403
//
// It fails closed: what cannot be evaluated is refused. A path with two meanings
// is refused with 400, whatever the rules say (see requestpath). Refusals carry
// WWW-Authenticate (RFC 6750, section 3).
//
// A Step is immutable. New keys or rules make a new one, with an empty cache of
// verified tokens.
package auth

import (
	"errors"
	"net/http"
	"slices"
	"strings"

	"github.com/ergoproxy/ergo/shared/exchange"
	"github.com/ergoproxy/ergo/shared/proxystatus"
	"github.com/ergoproxy/ergo/shared/requestpath"
)

// A Verifier finds out who sent a request. It may be called concurrently.
type Verifier interface {
	// Verify returns who sent r. Its error matches ErrNoCredentials when r shows
	// nothing that the verifier knows, and is a *RejectedError when what r shows
	// is not good.
	Verify(r *http.Request) (*Identity, error)

	// Strip removes from r what Verify looks at, so that it is not sent on. It
	// may replace r.URL and change r.Header.
	Strip(r *http.Request)
}

// ErrNoCredentials means that a request shows nothing to verify.
var ErrNoCredentials = errors.New("no credentials")

// A RejectedError says why credentials are not good.
type RejectedError struct {
	Code        string // of RFC 6750, section 3.1: "invalid_token" or "invalid_request"
	Description string // constant text for the client
	Err         error  // cause, for the log; may be nil
}

// Error implements error.
func (e *RejectedError) Error() string {
	if e.Err == nil {
		return e.Description
	}
	return e.Description + ": " + e.Err.Error()
}

// Unwrap returns the cause.
func (e *RejectedError) Unwrap() error { return e.Err }

// Identity is what a Verifier found out. It is shared by requests and must not
// be changed.
type Identity struct {
	Principal exchange.Principal
	Scopes    []string
	// Claims are the values of the claims that rules ask for; claims that are
	// neither a string, a number or a boolean nor a list of these are left out.
	Claims map[string][]string
}

// Step is the compiled config.
type Step struct {
	name     string // of this edge
	realm    string
	rules    []rule
	standard rule // for what no rule matches
	verifier Verifier
}

// New reads the keys of config and returns the step for the edge called name.
func New(config Config, name string) (*Step, error) {
	var verifier Verifier
	if len(config.JWT.Issuers) > 0 {
		v, err := NewJWTVerifier(config.JWT, claimNames(config.Rules))
		if err != nil {
			return nil, err
		}
		verifier = v
	}
	return NewWith(verifier, config, name)
}

// NewWith is like New with a Verifier that the caller made. It may be nil if
// nothing requires a token.
func NewWith(verifier Verifier, config Config, name string) (*Step, error) {
	standard := config.Default
	if standard == "" {
		standard = requireNone
		if verifier != nil {
			standard = requireJWT
		}
	}
	if verifier == nil && (config.needsJWT() || standard == requireJWT) {
		return nil, errors.New("auth: a token is required, but nothing can verify one")
	}
	return &Step{
		name: name, realm: config.Realm, verifier: verifier,
		rules:    compileRules(config.Rules),
		standard: rule{Rule: Rule{Path: "/", Require: standard}},
	}, nil
}

// claimNames returns the claims that rules ask for.
func claimNames(rules []Rule) map[string]bool {
	names := map[string]bool{}
	for _, r := range rules {
		for name := range r.Claims {
			names[name] = true
		}
	}
	return names
}

// Wrap returns a handler that calls next for requests that show what the rules
// require. It sets the Principal and changes the request in place: the token
// that was used is removed, unless the config says to forward it.
func Wrap(s *Step, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		x := exchange.From(r.Context())
		path, err := requestpath.Of(r.URL)
		if err != nil {
			x.Refuse(w, r, s.name, refusal(http.StatusBadRequest, "auth: read path", err))
			return
		}
		rule := s.match(path, r)
		if rule.Require == requireNone {
			next.ServeHTTP(w, r)
			return
		}
		if e := s.check(w.Header(), r, rule, x); e != nil {
			x.Refuse(w, r, s.name, e)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func (s *Step) match(path string, r *http.Request) *rule {
	host := requestpath.Host(r.Host)
	for i := range s.rules {
		if s.rules[i].matches(path, host, r.Method) {
			return &s.rules[i]
		}
	}
	return &s.standard
}

// check verifies r and compares what it finds with the rule. When it refuses, it
// sets WWW-Authenticate in h.
func (s *Step) check(h http.Header, r *http.Request, rule *rule, x *exchange.Exchange) *proxystatus.Error {
	identity, err := s.verifier.Verify(r)
	if err != nil {
		return s.challenge(h, err)
	}
	x.Principal = identity.Principal
	if missing := rule.missing(identity); missing != "" {
		params := `error="insufficient_scope", error_description="the token does not allow this"`
		if len(rule.Scopes) > 0 {
			params += `, scope="` + strings.Join(rule.Scopes, " ") + `"`
		}
		h.Set("WWW-Authenticate", `Bearer realm="`+s.realm+`", `+params)
		return refusal(http.StatusForbidden, "auth: check claims", errors.New("the token lacks "+missing))
	}
	s.verifier.Strip(r)
	return nil
}

// challenge answers what could not be verified: 401 with the scheme alone for a
// request without a token, as RFC 6750 wants it, and with the reason otherwise.
func (s *Step) challenge(h http.Header, err error) *proxystatus.Error {
	value := `Bearer realm="` + s.realm + `"`
	status := http.StatusUnauthorized
	if rejected := (*RejectedError)(nil); errors.As(err, &rejected) {
		value += `, error="` + rejected.Code + `", error_description="` + rejected.Description + `"`
		if rejected.Code == codeInvalidRequest {
			status = http.StatusBadRequest
		}
	}
	h.Set("WWW-Authenticate", value)
	return refusal(status, "auth: verify token", err)
}

func refusal(status int, op string, cause error) *proxystatus.Error {
	reason := proxystatus.HTTPRequestDenied
	if status == http.StatusBadRequest {
		reason = proxystatus.HTTPRequestError
	}
	e := proxystatus.New(reason, "edge", op, cause)
	e.Status = status
	switch status {
	case http.StatusUnauthorized:
		e.Public = "a valid token is required"
	case http.StatusForbidden:
		e.Public = "the token does not allow this"
	}
	return e
}

// missing names the first scope or claim that the rule asks for and id lacks.
func (r *rule) missing(id *Identity) string {
	for _, scope := range r.Scopes {
		if !slices.Contains(id.Scopes, scope) {
			return "scope " + scope
		}
	}
	for name, allowed := range r.Claims {
		found := false
		for _, value := range id.Claims[name] {
			found = found || slices.Contains(allowed, value)
		}
		if !found {
			return "claim " + name
		}
	}
	return ""
}
