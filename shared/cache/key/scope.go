package key

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// Kind is what a Scope is about.
type Kind string

// The kinds of scopes.
const (
	URLScope    Kind = "url"
	PrefixScope Kind = "prefix"
	HostScope   Kind = "host"
	TagScope    Kind = "tag"
	AllScope    Kind = "all"
)

// MaxScope is the longest value of a scope, in bytes: that of the longest key
// that can be configured.
const MaxScope = maxMaxLength

// maxTag is the longest tag, in bytes.
const maxTag = 1024

// ErrScope is in the chain of each error about a scope. Its text is for who asked
// for the purge: it says what is wrong, where, and what would be right.
var ErrScope = errors.New("purge scope")

// A Scope is what a purge is to reach. The zero value reaches nothing. Scopes can
// be compared with ==: equal ones reach the same.
//
//	url     https://example.com/a?b    this URL, with all variants by fields, cookies,
//	                                   principal and Vary
//	prefix  https://example.com/a      the path /a, with any query, and all below: /a/b,
//	                                   not /ab
//	        https://example.com/a/     all below /a/, and /a/ itself, not /a
//	        https://example.com        the host, with this port
//	host    example.com                the host, with all ports and schemes
//	tag     product-7                  what carries the tag
//	all                                everything
//
// A URL without a scheme, example.com/a, means http and https. A host is compared
// as in keys, without the default port of the scheme. Paths and queries are those
// of keys: as clients send them. Encodings that RFC 3986, 6.2.2, calls equivalent
// are reached together (%7e, %7E and ~), others are not: /a//b and /a%2Fb are
// other paths than /a/b, of which the backend may have other answers.
//
// The query of a url is compared with what rules leave of those of requests, so it
// must be brought into the same form first: see Builder.Scope. Without rules,
// each query is a URL of its own, and "/a?" another one than "/a".
type Scope struct {
	kind   Kind
	scheme string // "": http and https
	host   string // as in a key
	target string // url: path and query; prefix: path
	tag    string
}

// NewScope returns the scope of this kind and value; all has none. An error wraps
// ErrScope.
func NewScope(kind Kind, value string) (Scope, error) {
	s := Scope{kind: kind}
	var err error
	switch {
	case len(value) > MaxScope:
		err = fmt.Errorf("has %d bytes, want at most %d", len(value), MaxScope)
	case !utf8.ValidString(value):
		err = fmt.Errorf("%q is not UTF-8, want it encoded as %%XX", clip(value))
	case kind == URLScope, kind == PrefixScope:
		err = s.parseURL(value)
	case kind == HostScope:
		err = s.parseHost(value)
	case kind == TagScope:
		s.tag, err = value, checkTag(value)
	case kind == AllScope:
		if value != "" {
			err = fmt.Errorf("has the value %q, want none", clip(value))
		}
	default:
		return Scope{}, fmt.Errorf("%w: %q is unknown, want url, prefix, host, tag or all", ErrScope, clip(string(kind)))
	}
	if err != nil {
		return Scope{}, fmt.Errorf("%w: %s %w", ErrScope, kind, err)
	}
	return s, nil
}

// ParseScope reads what String writes: "url:https://example.com/a", "all". An error
// wraps ErrScope.
func ParseScope(text string) (Scope, error) {
	kind, value, ok := strings.Cut(text, ":")
	if ok && value == "" {
		return Scope{}, fmt.Errorf("%w: %q has nothing behind the colon, want one such as tag:product-7, or all", ErrScope, clip(text))
	}
	return NewScope(Kind(kind), value)
}

// parseURL reads the value of a url or prefix.
func (s *Scope) parseURL(value string) error {
	rest := value
	if scheme, behind, ok := strings.Cut(value, "://"); ok && !strings.ContainsAny(scheme, "/?#") {
		s.scheme, rest = strings.ToLower(scheme), behind
		if s.scheme != "http" && s.scheme != "https" {
			return fmt.Errorf("%q has the scheme %q, want http or https, or none for both", clip(value), clip(scheme))
		}
	}
	end := strings.IndexAny(rest, "/?#")
	if end < 0 {
		end = len(rest)
	}
	var err error
	if s.host, err = s.checkHost(rest[:end]); err != nil {
		return fmt.Errorf("%q has %w", clip(value), err)
	}
	s.target = rest[end:]
	if s.target == "" || s.target[0] != '/' {
		s.target = "/" + s.target
	}
	path, _, hasQuery := strings.Cut(s.target, "?")
	switch {
	case strings.Contains(s.target, "#"):
		return fmt.Errorf("%q has a fragment, which clients do not send, want it without", clip(value))
	case !isText(s.target):
		return fmt.Errorf("%q holds a space or a control character, want it encoded as clients send it", clip(value))
	case strings.IndexFunc(path, func(r rune) bool { return r >= 0x80 }) >= 0:
		return fmt.Errorf("%q has characters in its path that are not ASCII, want them encoded as clients send them", clip(value))
	case s.kind == PrefixScope && hasQuery:
		return fmt.Errorf("%q has a query, but is for any, want it without, or a url", clip(value))
	case s.kind == PrefixScope && strings.HasSuffix(path, "*"):
		return fmt.Errorf("%q ends in a star, want it without", clip(value))
	}
	return nil
}

// checkHost returns the host of a URL in the form that it has in keys.
func (s *Scope) checkHost(host string) (string, error) {
	if host == "" {
		return "", errors.New("no host, want one such as https://example.com/a")
	}
	if s.scheme == "" && (strings.HasSuffix(host, ":80") || strings.HasSuffix(host, ":443")) {
		return "", fmt.Errorf("the host %q, whose port depends on the scheme, want one with http:// or https://", clip(host))
	}
	key, ok := appendHost(nil, s.scheme, host)
	if !ok || strings.HasSuffix(host, ":") || strings.Contains(host, "*") {
		return "", fmt.Errorf("the host %q, want one such as example.com or example.com:8443", clip(host))
	}
	return string(key), nil
}

// parseHost reads the value of a host.
func (s *Scope) parseHost(value string) error {
	host, ok := appendHost(nil, "", value)
	if !ok || len(withoutPort(host)) != len(value) || strings.Contains(value, "*") {
		return fmt.Errorf("%q is no host, want one such as example.com, without scheme, port and path", clip(value))
	}
	s.host = string(bytes.TrimSuffix(host, []byte(".")))
	if s.host == "" || strings.HasSuffix(s.host, ".") {
		return fmt.Errorf("%q is no host, want one such as example.com", clip(value))
	}
	return nil
}

// checkTag says what is wrong with a tag.
func checkTag(tag string) error {
	switch {
	case tag == "" || len(tag) > maxTag:
		return fmt.Errorf("has %d bytes, want 1 to %d", len(tag), maxTag)
	case strings.ContainsAny(tag, " ,"):
		return fmt.Errorf("%q holds a space or a comma, want one tag", clip(tag))
	case strings.ContainsFunc(tag, func(r rune) bool { return r < ' ' || r >= 0x7f }):
		return fmt.Errorf("%q holds characters that no tag has, want printable ASCII", clip(tag))
	}
	return nil
}

// Scope returns s with the query of a url as b's rules leave those of requests, and
// every other scope as it is.
func (b *Builder) Scope(s Scope) Scope {
	if s.kind != URLScope {
		return s
	}
	if path, query, ok := strings.Cut(s.target, "?"); ok {
		s.target = string(b.query.append([]byte(path), query))
	}
	return s
}

// Kind returns what s is about.
func (s Scope) Kind() Kind { return s.kind }

// Tag returns the tag of a TagScope. Keys hold no tags: whoever keeps them asks
// here.
func (s Scope) Tag() string { return s.tag }

// String returns what ParseScope reads.
func (s Scope) String() string {
	switch s.kind {
	case "":
		return "none"
	case AllScope:
		return string(AllScope)
	}
	return string(s.kind) + ":" + s.value()
}

// value returns what NewScope reads.
func (s Scope) value() string {
	if s.scheme != "" {
		return s.scheme + "://" + s.host + s.target
	}
	return s.host + s.target + s.tag
}

// MarshalJSON writes an object with the kind: {"url": "https://example.com/a"},
// {"all": true}.
func (s Scope) MarshalJSON() ([]byte, error) {
	switch s.kind {
	case "":
		return nil, fmt.Errorf("%w: the zero one has no JSON", ErrScope)
	case AllScope:
		return json.Marshal(map[Kind]bool{AllScope: true})
	}
	return json.Marshal(map[Kind]string{s.kind: s.value()})
}

// UnmarshalJSON reads what MarshalJSON writes, and nothing more: another key, or a
// second one, is an error that wraps ErrScope.
func (s *Scope) UnmarshalJSON(data []byte) error {
	d := json.NewDecoder(bytes.NewReader(data))
	var tokens [4]json.Token // {, kind, value, }
	for i := range tokens {
		var err error
		if tokens[i], err = d.Token(); err != nil {
			return fmt.Errorf("%w: %w", ErrScope, wantObject(data))
		}
	}
	kind, isKey := tokens[1].(string)
	if _, err := d.Token(); err != io.EOF || !isKey || tokens[0] != json.Delim('{') || tokens[3] != json.Delim('}') {
		return fmt.Errorf("%w: %w", ErrScope, wantObject(data))
	}
	value, isString := tokens[2].(string)
	switch {
	case Kind(kind) == AllScope && tokens[2] != true:
		return fmt.Errorf("%w: all has a value other than true", ErrScope)
	case Kind(kind) != AllScope && !isString:
		return fmt.Errorf("%w: the value of %q is no string", ErrScope, clip(kind))
	}
	parsed, err := NewScope(Kind(kind), value)
	if err == nil {
		*s = parsed
	}
	return err
}

func wantObject(data []byte) error {
	return fmt.Errorf(`%q is no scope, want one key of url, prefix, host, tag and all, such as {"tag": "product-7"}`, clip(string(data)))
}
