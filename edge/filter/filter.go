// Package filter is the step of the edge that refuses requests by rules about
// the client's address, host, method, path, header and body size.
//
//	request ▸ canonical path ─ ambiguous ──▶ 400
//	        ▸ rules, first match ─ deny ───▶ 403, or the rule's status
//	        ▸ body size ─ announced ───────▶ 413
//	        ▸ next, which reads the body ──▶ 413 when it grows too long
//
// It fails closed: when it cannot be told whether a rule matches, the request is
// denied, whichever action the rule has. A path with two meanings is refused
// before any rule, and without rules too (see requestpath).
//
// Rules are immutable and may be used concurrently.
package filter

import (
	"errors"
	"fmt"
	"net/http"

	"github.com/ergoproxy/ergo/shared/exchange"
	"github.com/ergoproxy/ergo/shared/proxystatus"
	"github.com/ergoproxy/ergo/shared/requestpath"
)

// Rules are a compiled config.
type Rules struct {
	name      string // of this edge
	rules     []rule
	needsHost bool
}

// rule is a Rule in the form that it is matched in.
type rule struct {
	name     string
	allow    bool
	status   int
	match    *criteria
	unless   *criteria // nil: no exception
	bodyOver int64     // 0: any length
}

// Compile returns the rules of the edge called name.
func Compile(config Config, name string) (*Rules, error) {
	compiled := &Rules{name: name}
	for i := range config.Rules {
		c := &config.Rules[i]
		next := rule{name: c.Name, allow: c.Action == actionAllow, status: c.status(), bodyOver: int64(c.Match.BodyOver)}
		var err error
		if next.match, err = compileCriteria(&c.Match); err != nil {
			return nil, fmt.Errorf("filter: rule %q: %w", c.Name, err)
		}
		if c.Unless != nil {
			if next.unless, err = compileCriteria(c.Unless); err != nil {
				return nil, fmt.Errorf("filter: rule %q: %w", c.Name, err)
			}
			compiled.needsHost = compiled.needsHost || len(c.Unless.Hosts) > 0
		}
		compiled.needsHost = compiled.needsHost || len(c.Match.Hosts) > 0
		compiled.rules = append(compiled.rules, next)
	}
	return compiled, nil
}

// Wrap returns a handler that calls next for requests that the rules let
// through.
//
// A body of unknown length is counted while it is read. When it grows longer
// than allowed, reading it fails with a *proxystatus.Error of status 413, or of
// the rule's, which the handler that reads it is to answer with.
func Wrap(rules *Rules, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		x := exchange.From(r.Context())
		limit, refusal := rules.check(x, r)
		if refusal != nil {
			x.Refuse(w, r, rules.name, refusal)
			return
		}
		// What a CONNECT carries is no body but a tunnel, WebSockets over HTTP/2
		// and 3 among them.
		if limit.bytes > 0 && r.ContentLength < 0 && r.Body != nil && r.Method != http.MethodConnect {
			r.Body = &limitedBody{ReadCloser: r.Body, left: limit.bytes, limit: limit}
		}
		next.ServeHTTP(w, r)
	})
}

// check decides about r. If it is let through, limit is what its body may not
// grow over.
func (rules *Rules) check(x *exchange.Exchange, r *http.Request) (limit bodyLimit, refusal *proxystatus.Error) {
	path, err := requestpath.Of(r.URL)
	if err != nil {
		e := proxystatus.New(proxystatus.HTTPRequestError, "edge", "filter: read path", err)
		e.Status = http.StatusBadRequest
		e.Public = "the path is ambiguous"
		return limit, e
	}
	s := subject{request: r, client: x.Client.Addr.Addr().Unmap(), path: path}
	if rules.needsHost {
		s.host = requestpath.Host(r.Host)
	}
	for i := range rules.rules {
		rule := &rules.rules[i]
		matched, err := rule.matches(&s)
		switch {
		case err != nil:
			return limit, denied(rule.name, http.StatusForbidden, err)
		case !matched:
			continue
		case rule.allow:
			return limit, nil
		case rule.bodyOver == 0:
			return limit, denied(rule.name, rule.status, nil)
		}
		// The rule is about long bodies. Of unknown length, the body is counted
		// while later rules decide about the rest.
		own := bodyLimit{bytes: rule.bodyOver, status: rule.status, rule: rule.name}
		if e := own.refusal(r.ContentLength); e != nil {
			return limit, e
		}
		if limit.bytes == 0 || own.bytes < limit.bytes {
			limit = own
		}
	}
	return limit, nil
}

func (r *rule) matches(s *subject) (bool, error) {
	matched, err := r.match.match(s)
	if !matched || err != nil || r.unless == nil {
		return matched, err
	}
	excepted, err := r.unless.match(s)
	return !excepted, err
}

// denied is the refusal of the rule called name. A cause says why the rule could
// not be evaluated.
func denied(name string, status int, cause error) *proxystatus.Error {
	e := proxystatus.New(proxystatus.HTTPRequestDenied, "edge", "filter: rule "+name, cause)
	e.Status = status
	e.Public = "rule " + name
	return e
}

var errBodyTooLong = errors.New("body longer than allowed")

// bodyLimit is how long a body may be, and how one that is longer is refused.
type bodyLimit struct {
	bytes  int64 // 0: no limit
	status int   // of the refusal
	rule   string
}

// refusal returns the error for a body of the given length, nil if it is not too
// long or its length is not known (-1).
func (l bodyLimit) refusal(length int64) *proxystatus.Error {
	if l.bytes == 0 || length <= l.bytes {
		return nil
	}
	return denied(l.rule, l.status, errBodyTooLong)
}
