package rules

import (
	"net/http"
	"strings"
	"time"
)

// surrogateControl is the field that CDN-Cache-Control came to replace: not a
// structured field, but still what many backends send.
const surrogateControl = "Surrogate-Control"

// A targetedField is a field that stands above Cache-Control.
type targetedField struct {
	key string // canonical
	// read returns false if the field is broken or empty: it counts as absent.
	read func(lines []string) (Directives, bool)
}

func newTargetedField(name string) targetedField {
	f := targetedField{key: http.CanonicalHeaderKey(name), read: readTargeted}
	if f.key == surrogateControl {
		f.read = readSurrogate
	}
	return f
}

// directives returns what governs the response with header h: the first targeted
// field that is there and valid (RFC 9213, section 2.2), else Cache-Control.
// Targeted is true in the first case; then Expires does not count either.
func (p *Policy) directives(h http.Header) (d Directives, targeted bool) {
	for _, field := range p.targeted {
		if lines := h[field.key]; len(lines) > 0 {
			if d, ok := field.read(lines); ok {
				return d, true
			}
		}
	}
	return readCacheControl(h["Cache-Control"]), false
}

// isTargeted reports whether the field with that canonical name governs caching.
func (p *Policy) isTargeted(key string) bool {
	for _, field := range p.targeted {
		if field.key == key {
			return true
		}
	}
	return false
}

// readTargeted reads a targeted field: a dictionary whose parsing is strict (RFC
// 9213, section 2.1). Parameters of its members are ignored.
//
// A value of the wrong type is not converted, as section 2.1 asks for. What it
// makes of the directive is the stricter reading again: a time that is no
// integer is 0, and what restricts does with every value but false.
func readTargeted(lines []string) (Directives, bool) {
	d := noDirectives()
	empty := true
	ok := parseDictionary(lines, func(key string, it item) {
		empty = false
		d.assign(key, it)
	})
	return d, ok && !empty
}

// assign takes in one member. It replaces what an earlier member with this key
// said.
func (c *Directives) assign(key string, it item) {
	switch key {
	case "max-age":
		c.MaxAge = it.seconds()
	case "s-maxage":
		c.SMaxAge = it.seconds()
	case "stale-while-revalidate":
		c.StaleWhileRevalidate = it.seconds()
	case "stale-if-error":
		c.StaleIfError = it.seconds()
	case "no-store":
		c.NoStore = it.restricts()
	case "no-transform":
		c.NoTransform = it.restricts()
	case "must-revalidate":
		c.MustRevalidate = it.restricts()
	case "proxy-revalidate":
		c.ProxyRevalidate = it.restricts()
	case "public":
		c.Public = it.permits()
	case "immutable":
		c.Immutable = it.permits()
	case "must-understand":
		c.MustUnderstand = it.permits()
	case "no-cache":
		c.NoCacheFields, c.NoCache = it.fields()
	case "private":
		c.PrivateFields, c.Private = it.fields()
	}
}

// seconds returns a time. A negative one is 0, like what is no integer.
func (it item) seconds() time.Duration {
	if it.kind != itemInteger {
		return 0
	}
	seconds := min(max(it.integer, 0), int64(maxDelta/time.Second))
	return time.Duration(seconds) * time.Second
}

func (it item) restricts() bool { return it.kind != itemBoolean || it.boolean }
func (it item) permits() bool   { return it.kind == itemBoolean && it.boolean }

// fields returns the field names that a directive is limited to; unqualified is
// true if it has none and is in force.
func (it item) fields() (names []string, unqualified bool) {
	if it.kind == itemString {
		if names, ok := parseFieldNames(it.text); ok {
			return names, false
		}
	}
	return nil, it.restricts()
}

// readSurrogate reads Surrogate-Control (Edge Architecture Specification, 2001,
// section 2.3):
//
//	no-store, no-store-remote, max-age=seconds[+seconds], content="..."
//
// The second time of max-age is stale-while-revalidate. A member with a parameter
// is for one surrogate that it names, which we are not. It returns false if no
// member is left that says something about storing.
func readSurrogate(lines []string) (Directives, bool) {
	d := noDirectives()
	found := false
	for _, line := range lines {
		m := memberScanner{rest: line}
		for m.rest != "" {
			before := m.rest
			m.skip()
			member := trim(before[:len(before)-len(m.rest)])
			if d.setSurrogate(member) {
				found = true
			}
			m.rest = strings.TrimPrefix(m.rest, ",")
		}
	}
	return d, found
}

// setSurrogate takes in one member of Surrogate-Control, and returns whether it
// knows it.
func (c *Directives) setSurrogate(member string) bool {
	name, value, _ := strings.Cut(member, "=")
	switch strings.ToLower(name) {
	case "no-store", "no-store-remote": // the edge is a remote one
		c.NoStore = true
		return true
	case "max-age":
		if strings.Contains(value, ";") {
			return false
		}
		fresh, stale, extended := strings.Cut(value, "+")
		seconds, ok := parseSeconds(fresh)
		c.MaxAge = least(c.MaxAge, seconds)
		if extended && ok {
			seconds, _ = parseSeconds(stale)
			c.StaleWhileRevalidate = least(c.StaleWhileRevalidate, seconds)
		}
		return true
	}
	return false
}
