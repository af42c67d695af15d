package router

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/textproto"
	"slices"
	"strings"

	"github.com/ergoproxy/ergo/shared/exchange"
)

// HeadersConfig changes a header: remove first, then set, then add. Values may
// hold ${request_id}, ${client_ip}, ${principal} and ${route}; a field whose
// value is empty then is not written. Fields that belong to one connection, and
// those that Ergo writes itself, can't be changed.
type HeadersConfig struct {
	// Fields that get this one value in place of what they have.
	Set map[string]string `yaml:"set"`
	// Fields that get this value besides what they have.
	Add map[string]string `yaml:"add"`
	// Fields that are removed.
	Remove []string `yaml:"remove"`
}

// ownFields can't be changed in either direction: they belong to one connection
// (RFC 9110, section 7.6.1), to the framing, or are written by Ergo.
var ownFields = []string{
	"Connection", "Content-Length", "Keep-Alive", "Proxy-Connection", "Te", "Trailer", "Transfer-Encoding",
	"Upgrade", "Via", "X-Request-Id", "Cdn-Loop",
}

var (
	requestFields = append([]string{
		"Host", "Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Forwarded-Port",
		"X-Real-Ip", "Traceparent", "Tracestate", "Expect",
	}, ownFields...)
	responseFields = append([]string{"Proxy-Status", "Cache-Status", "Server-Timing"}, ownFields...)
)

// headerOps is a compiled HeadersConfig.
type headerOps struct {
	remove []string
	set    []fieldOp
	add    []fieldOp
}

type fieldOp struct {
	name  string
	value []piece
}

// A piece of a value is text, or what a placeholder stands for.
type piece struct {
	text  string
	value func(*exchange.Exchange, *Route) string // nil: text
}

// placeholders is the closed list.
var placeholders = map[string]func(*exchange.Exchange, *Route) string{
	"request_id": func(x *exchange.Exchange, _ *Route) string { return x.ID.String() },
	"client_ip": func(x *exchange.Exchange, _ *Route) string {
		if !x.Client.Addr.IsValid() {
			return ""
		}
		return x.Client.Addr.Addr().Unmap().String()
	},
	"principal": func(x *exchange.Exchange, _ *Route) string { return x.Principal.Subject },
	"route":     func(_ *exchange.Exchange, r *Route) string { return r.Name },
}

func newHeaderOps(c *HeadersConfig, forbidden []string) (headerOps, error) {
	var ops headerOps
	var errs []error
	check := func(name string) string {
		canonical := textproto.CanonicalMIMEHeaderKey(name)
		switch {
		case !isToken(name):
			errs = append(errs, fmt.Errorf("%q is no field name", name))
		case slices.Contains(forbidden, canonical):
			hint := ""
			if canonical == "Host" {
				hint = ", see rewrite.host"
			}
			errs = append(errs, fmt.Errorf("%s can't be changed%s", canonical, hint))
		}
		return canonical
	}
	for _, name := range c.Remove {
		ops.remove = append(ops.remove, check(name))
	}
	compile := func(fields map[string]string) (list []fieldOp) {
		for _, name := range slices.Sorted(maps.Keys(fields)) {
			value, err := parseValue(fields[name])
			if err != nil {
				errs = append(errs, fmt.Errorf("%s: %w", name, err))
			}
			list = append(list, fieldOp{check(name), value})
		}
		return list
	}
	ops.set = compile(c.Set)
	ops.add = compile(c.Add)
	return ops, errors.Join(errs...)
}

// parseValue takes "id=${request_id}" apart.
func parseValue(value string) ([]piece, error) {
	if !isFieldValue(value) {
		return nil, errors.New("its value holds characters that no field can have")
	}
	var pieces []piece
	for value != "" {
		text, rest, found := strings.Cut(value, "${")
		if text != "" {
			pieces = append(pieces, piece{text: text})
		}
		if !found {
			break
		}
		name, after, closed := strings.Cut(rest, "}")
		fill, known := placeholders[name]
		if !closed || !known {
			return nil, fmt.Errorf("%q is no placeholder, want one of ${%s}", "${"+name,
				strings.Join(slices.Sorted(maps.Keys(placeholders)), "}, ${"))
		}
		pieces = append(pieces, piece{value: fill})
		value = after
	}
	return pieces, nil
}

// EditRequest changes the header of a request as the route says.
func (r *Route) EditRequest(h http.Header, x *exchange.Exchange) { r.request.apply(h, x, r) }

// EditResponse changes the header of a response as the route says.
func (r *Route) EditResponse(h http.Header, x *exchange.Exchange) { r.response.apply(h, x, r) }

// EditsRequest reports whether EditRequest would do anything, so that a header
// need not be copied for nothing.
func (r *Route) EditsRequest() bool { return !r.request.empty() }

func (o *headerOps) empty() bool { return len(o.remove)+len(o.set)+len(o.add) == 0 }

func (o *headerOps) apply(h http.Header, x *exchange.Exchange, r *Route) {
	for _, name := range o.remove {
		delete(h, name)
	}
	for _, op := range o.set {
		// A value that comes out empty still replaces what the client sent.
		if v := op.expand(x, r); v != "" {
			h[op.name] = []string{v}
		} else {
			delete(h, op.name)
		}
	}
	for _, op := range o.add {
		if v := op.expand(x, r); v != "" {
			h[op.name] = append(h[op.name], v)
		}
	}
}

func (op *fieldOp) expand(x *exchange.Exchange, r *Route) string {
	if len(op.value) == 1 && op.value[0].value == nil {
		return op.value[0].text
	}
	var b strings.Builder
	for _, p := range op.value {
		if p.value == nil {
			b.WriteString(p.text)
		} else {
			writeSafe(&b, p.value(x, r))
		}
	}
	return b.String()
}

// writeSafe writes what a client may have chosen, such as the name in its
// token: what can't stand in a field is written as %XX.
func writeSafe(b *strings.Builder, s string) {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c >= 0x7f {
			fmt.Fprintf(b, "%%%02X", c)
		} else {
			b.WriteByte(c)
		}
	}
}

// isToken reports whether s is a token (RFC 9110, section 5.6.2).
func isToken(s string) bool {
	for i := range len(s) {
		c := s[i]
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		if !letter && strings.IndexByte("!#$%&'*+-.^_`|~", c) < 0 {
			return false
		}
	}
	return s != ""
}

// isFieldValue reports whether s may be a field's value (RFC 9110, section 5.5).
func isFieldValue(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' && c != '\t' || c == 0x7f {
			return false
		}
	}
	return s == strings.TrimSpace(s)
}
