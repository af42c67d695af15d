package rules

import (
	"net/http"
	"strings"
	"time"
)

// Directives are what a response says about its caching: in Cache-Control, or in
// a targeted field that stands above it (RFC 9111, section 5.2.2; RFC 5861; RFC
// 8246). Times are Absent where they are not given.
type Directives struct {
	MaxAge               time.Duration
	SMaxAge              time.Duration
	StaleWhileRevalidate time.Duration
	StaleIfError         time.Duration

	NoCache         bool // without field names
	NoStore         bool
	NoTransform     bool
	MustRevalidate  bool
	ProxyRevalidate bool
	MustUnderstand  bool
	Private         bool // without field names
	Public          bool
	Immutable       bool

	// NoCacheFields and PrivateFields are the names that no-cache="..." and
	// private="..." give, in canonical form: fields that are not stored.
	NoCacheFields []string
	PrivateFields []string
}

// noDirectives is what a response without any says.
func noDirectives() Directives {
	return Directives{MaxAge: Absent, SMaxAge: Absent, StaleWhileRevalidate: Absent, StaleIfError: Absent}
}

// readCacheControl reads Cache-Control. Names are case-insensitive, an argument
// may be a token or a quoted-string whatever the directive, and unknown
// directives are ignored (RFC 9111, section 5.2).
//
// What is wrong makes the response staler, never fresher (section 4.2.1): a
// time that is no number is 0, the least of two times counts, and a broken
// member that restricts still does while one that permits is ignored.
func readCacheControl(lines []string) Directives {
	c := noDirectives()
	for _, line := range lines {
		m := memberScanner{rest: line}
		for d, ok := m.next(); ok; d, ok = m.next() {
			c.set(d)
		}
	}
	return c
}

// set takes in one directive.
func (c *Directives) set(d directive) {
	var buf [maxDirective]byte
	switch string(d.lowerName(&buf)) {
	case "max-age":
		c.MaxAge = d.least(c.MaxAge)
	case "s-maxage":
		c.SMaxAge = d.least(c.SMaxAge)
	case "stale-while-revalidate":
		c.StaleWhileRevalidate = d.least(c.StaleWhileRevalidate)
	case "stale-if-error":
		c.StaleIfError = d.least(c.StaleIfError)
	case "no-store":
		c.NoStore = true
	case "no-transform":
		c.NoTransform = true
	case "must-revalidate":
		c.MustRevalidate = true
	case "proxy-revalidate":
		c.ProxyRevalidate = true
	case "public":
		c.Public = c.Public || d.valid
	case "immutable":
		c.Immutable = c.Immutable || d.valid
	case "must-understand":
		// It lifts no-store, so that it is one of those that permit.
		c.MustUnderstand = c.MustUnderstand || d.valid
	case "no-cache":
		names, ok := d.fieldNames()
		c.NoCacheFields = append(c.NoCacheFields, names...)
		c.NoCache = c.NoCache || !ok
	case "private":
		names, ok := d.fieldNames()
		c.PrivateFields = append(c.PrivateFields, names...)
		c.Private = c.Private || !ok
	}
}

// least returns the smaller of d's time and of the one that was there before.
func (d *directive) least(before time.Duration) time.Duration {
	seconds, _ := d.seconds()
	return least(before, seconds)
}

// fieldNames returns the names that the argument lists. It returns false where
// the directive has to be taken as one without an argument.
func (d *directive) fieldNames() ([]string, bool) {
	if !d.valid || !d.hasValue {
		return nil, false
	}
	return parseFieldNames(d.value)
}

// parseFieldNames reads a list of field names. It returns false if that is empty,
// if a member is no field name, or if it is a field that a stored response can't
// do without: then all of the response is meant.
func parseFieldNames(s string) ([]string, bool) {
	var names []string
	for name := range strings.SplitSeq(s, ",") {
		if name = trim(name); name == "" {
			continue
		}
		if !isToken(name) {
			return nil, false
		}
		name = http.CanonicalHeaderKey(name)
		if indispensable(name) {
			return nil, false
		}
		names = append(names, name)
	}
	return names, len(names) > 0
}

// strict reports whether the response must not be sent stale without having been
// validated (RFC 9111, sections 4.2.4, 5.2.2.2 and 5.2.2.8). For a shared cache,
// s-maxage says that too (section 5.2.2.10).
func (c *Directives) strict() bool {
	return c.NoCache || c.MustRevalidate || c.ProxyRevalidate || c.SMaxAge != Absent
}
