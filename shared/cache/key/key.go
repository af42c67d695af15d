// Package key makes the key under which a response is stored, and says what a
// purge means in terms of keys (RFC 9111, sections 2 and 4).
//
//	https://example.com/a/b?x=1&y=2 h:accept-language=de c:theme=dark p:jwt=https://idp=alice
//	├───────────── URL ───────────┤├──────────── extras, where rules ask for them ───────────┤
//
// The URL is scheme, host, path and query, so that a key can be read, and found
// by the beginning of a URL. No byte of it is a space, a control byte or 0x7f: a
// request with one is not cacheable. A space is therefore where the extras begin,
// and before each of them.
//
//	h:name=value    a header field: its lines joined with commas
//	c:name=value    a cookie, as often as it was sent, its name as it was sent
//	p:method=issuer=subject
//
// In extras %XX stands for a percent sign, a space, a control byte and a byte of
// 0x7f or above; in names, methods and issuers for an equals sign, too. What was
// not sent is left out; an empty value follows an equals sign. Outside of quoted
// strings white space next to a comma is removed from a field, and other white
// space becomes one space (RFC 9110, 5.3 and 5.6.1). Two requests that differ in
// more than that and what the rules take out of their queries never have the same
// key: Parse returns the parts.
//
// The method is no part: HEAD is answered from what GET stored (RFC 9110, 9.3.2),
// and other methods are not cached.
//
// # The URL
//
//	scheme  http or https
//	host    in lower case, without the default port of the scheme (RFC 9110, 4.2.3)
//	path    as it came, byte for byte; an empty one is "/" (docs/decisions/0009)
//	query   as it came, with the parameters taken out and sorted as Query says
//
// A path is not brought into the form in which rules compare it: a backend can
// tell /a//b and /a/b apart, and /%61 and /a. "/a?" and "/a" differ, too: a
// question mark is there if a parameter is left, be it an empty one. "?" alone
// has one empty parameter.
//
// # Queries
//
// Parameters are what stands between the ampersands. Nothing in them is ever
// decoded and encoded again, and those of one name keep their order. "x" and
// "x=" differ.
//
// A backend may read a parameter in more ways than one: %69d as id, "x;id=1" as
// two, a.b as a_b. Were one that a backend reads taken out, anybody could
// store an answer of his choice under the key of everybody. So what could be read
// in another way stays in the key, and a query is not sorted that has a parameter
// of this sort. Plain names are those of letters, digits, "-" and "_".
//
//	keep    takes out a parameter with a plain name that is not in the list
//	        without regard to case, and without ";"
//	drop    takes out a parameter whose name is in the list to the byte, and without ";"
//	sort    sorts by name, without regard to case, where all names are plain and
//	        there is no ";"; up to 64 parameters
//
// # Secrets
//
// Cookies and principals stand readable in a key. URL cuts them off, for
// Cache-Status (RFC 9211, 2.7) and for logs.
//
// # Limits, errors, concurrency
//
// A key of more bytes than Rules.MaxLength is refused with ErrTooLong, a request that has
// no URL of this form with ErrUnusable: the request is not cacheable. Everything
// in this package may be called concurrently, and a Builder is immutable.
package key

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"net/textproto"
	"slices"
	"strings"

	"github.com/ergoproxy/ergo/shared/config"
)

// Why a request has no key, and is therefore not cacheable.
var (
	ErrTooLong  = errors.New("cache key is too long")
	ErrUnusable = errors.New("request has no cache key")
)

// Parts are what of a request may be in its key.
type Parts struct {
	Scheme    string // "http" or "https"
	Host      string // with or without port
	Path      string // percent-encoded, as it is sent on
	Query     string // as it came, without the question mark
	HasQuery  bool   // there was a question mark; a Query that is not empty says so, too
	Header    http.Header
	Principal Principal
}

// Principal is who auth says the client is; the zero value is nobody.
type Principal struct{ Method, Issuer, Subject string }

// PartsOf returns the parts of a request that came in over scheme. The principal is
// for the caller to add.
func PartsOf(r *http.Request, scheme string) Parts {
	return Parts{
		Scheme: scheme, Host: r.Host, Path: r.URL.EscapedPath(),
		Query: r.URL.RawQuery, HasQuery: r.URL.RawQuery != "" || r.URL.ForceQuery, Header: r.Header,
	}
}

// A Builder makes keys by compiled Rules.
type Builder struct {
	query     queryRules
	headers   []field
	cookies   []string // sorted
	principal bool
	max       int
}

// field is the name of a header field in the forms of http.Header and of keys.
type field struct{ canonical, lower string }

// New compiles rules. It returns what Validate reports about them as one error.
func New(rules Rules) (*Builder, error) {
	var top, query config.Report
	rules.Validate(&top)
	rules.Query.Validate(&query)
	var errs []error
	for _, p := range top.Problems() {
		errs = append(errs, errors.New(p.String()))
	}
	for _, p := range query.Problems() {
		errs = append(errs, errors.New("query."+p.String()))
	}
	if len(errs) > 0 {
		return nil, fmt.Errorf("cache key rules: %w", errors.Join(errs...))
	}
	b := &Builder{query: compileQuery(rules.Query), principal: rules.Principal, max: int(rules.MaxLength)}
	for _, name := range rules.Headers {
		b.headers = append(b.headers, field{textproto.CanonicalMIMEHeaderKey(name), strings.ToLower(name)})
	}
	slices.SortFunc(b.headers, func(x, y field) int { return strings.Compare(x.lower, y.lower) })
	b.cookies = slices.Sorted(slices.Values(rules.Cookies))
	return b, nil
}

// Append appends the key of p to dst. An error wraps ErrTooLong or ErrUnusable;
// dst is then returned as it was. It does not allocate where dst has room.
func (b *Builder) Append(dst []byte, p *Parts) ([]byte, error) {
	start := len(dst)
	key, err := b.appendURL(dst, p)
	if err != nil {
		return dst, err
	}
	for _, f := range b.headers {
		if lines := p.Header[f.canonical]; len(lines) > 0 {
			key = appendHeader(key, f.lower, lines)
		}
		if len(key)-start > b.max {
			break
		}
	}
	for _, name := range b.cookies {
		key = appendCookies(key, name, p.Header["Cookie"])
		if len(key)-start > b.max {
			break
		}
	}
	if b.principal && p.Principal != (Principal{}) {
		key = appendPrincipal(key, p.Principal)
	}
	if n := len(key) - start; n > b.max {
		return dst, fmt.Errorf("%w: limit %d bytes", ErrTooLong, b.max)
	}
	return key, nil
}

// appendURL appends the part of a key that is before the extras.
func (b *Builder) appendURL(dst []byte, p *Parts) ([]byte, error) {
	if p.Scheme != "http" && p.Scheme != "https" {
		return dst, fmt.Errorf("%w: scheme %q", ErrUnusable, clip(p.Scheme))
	}
	key := append(append(dst, p.Scheme...), "://"...)
	key, ok := appendHost(key, p.Scheme, p.Host)
	if !ok {
		return dst, fmt.Errorf("%w: host %q", ErrUnusable, clip(p.Host))
	}
	switch {
	case p.Path == "":
		key = append(key, '/')
	case p.Path[0] != '/' || !isPath(p.Path):
		return dst, fmt.Errorf("%w: path %q", ErrUnusable, clip(p.Path))
	default:
		key = append(key, p.Path...)
	}
	if !isText(p.Query) {
		return dst, fmt.Errorf("%w: query %q", ErrUnusable, clip(p.Query))
	}
	if p.HasQuery || p.Query != "" {
		key = b.query.append(key, p.Query)
	}
	return key, nil
}

// appendHost appends host in lower case without the default port of scheme, and
// reports whether it is one (RFC 3986, 3.2.2).
func appendHost(dst []byte, scheme, host string) ([]byte, bool) {
	if !isHost(host) {
		return dst, false
	}
	host = strings.TrimSuffix(host, ":")
	switch scheme {
	case "http":
		host = strings.TrimSuffix(host, ":80")
	case "https":
		host = strings.TrimSuffix(host, ":443")
	}
	for i := range len(host) {
		dst = append(dst, lower(host[i]))
	}
	return dst, true
}

// URL returns what of key stands before the extras.
func URL(key []byte) []byte {
	if i := bytes.IndexByte(key, ' '); i >= 0 {
		return key[:i]
	}
	return key
}

// AppendText appends key to dst in the characters that a string of Cache-Status
// can hold (RFC 8941, 3.3.3): bytes of 0x7f and above, which a query may have, as
// %XX. Quotation marks and backslashes are for the writer of the field to escape.
// It is for reading: two keys may have the same text.
func AppendText(dst, key []byte) []byte {
	for _, c := range key {
		if c < ' ' || c >= 0x7f {
			dst = appendEscape(dst, c)
			continue
		}
		dst = append(dst, c)
	}
	return dst
}

func clip(s string) string {
	if len(s) > 64 {
		return s[:64] + "..."
	}
	return s
}
