package rules

import (
	"iter"
	"strings"
	"time"
)

// maxDelta is what a number of seconds too large to be represented counts as
// (RFC 9111, section 1.2.2). Four of them still fit a time.Duration.
const maxDelta = (1 << 31) * time.Second

// maxDirective is the length of the longest directive we know.
const maxDirective = len("stale-while-revalidate")

// A directive is one member of a Cache-Control field.
type directive struct {
	name     string // as written
	value    string // the argument, without its quotes
	hasValue bool
	valid    bool // name and argument kept the grammar
}

// lowerName returns the name in lower case, in buf. It is empty if the name is
// too long to be one we know.
func (d *directive) lowerName(buf *[maxDirective]byte) []byte {
	if len(d.name) > len(buf) {
		return nil
	}
	for i := range len(d.name) {
		buf[i] = lowerByte(d.name[i])
	}
	return buf[:len(d.name)]
}

// seconds returns the argument as a time. It returns 0 and false if that is
// missing or no number.
func (d *directive) seconds() (time.Duration, bool) {
	if !d.valid || !d.hasValue {
		return 0, false
	}
	return parseSeconds(d.value)
}

// A memberScanner takes a Cache-Control field line apart:
//
//	line      = [ directive ] *( OWS "," OWS [ directive ] )
//	directive = token [ "=" ( token / quoted-string ) ]
//
// A member that breaks this is reported as not valid and ends at the next comma.
// A quote that is never closed is an ordinary character, so that it cannot hide
// what follows.
type memberScanner struct {
	rest string
	// unclosed is set once a quote without an end was met. All later ones have
	// none either, and looking for it again would take quadratic time.
	unclosed bool
}

// next takes one member, and returns false at the end of the line.
func (m *memberScanner) next() (directive, bool) {
	m.rest = strings.TrimLeft(m.rest, " \t,")
	if m.rest == "" {
		return directive{}, false
	}
	n := tokenLen(m.rest)
	d := directive{name: m.rest[:n], valid: n > 0}
	m.rest = m.rest[n:]
	if after := trimLeft(m.rest); after != "" && after[0] == '=' {
		value := trimLeft(after[1:])
		// No white space may stand at either side of "=".
		d.valid = d.valid && len(after) == len(m.rest) && len(value) == len(after)-1
		m.rest = value
		d.hasValue = true
		m.argument(&d)
	}
	if m.rest = trimLeft(m.rest); m.rest != "" && m.rest[0] != ',' {
		d.valid = false
		m.skip()
	}
	return d, true
}

// argument takes what stands behind "=".
func (m *memberScanner) argument(d *directive) {
	if m.rest != "" && m.rest[0] == '"' {
		n := m.quotedLen()
		if n == 0 {
			d.valid = false
			return
		}
		d.value, m.rest = m.rest[1:n-1], m.rest[n:]
		return
	}
	n := tokenLen(m.rest)
	d.value, m.rest = m.rest[:n], m.rest[n:]
	d.valid = d.valid && n > 0
}

// skip goes on to the next comma outside of quotes.
func (m *memberScanner) skip() {
	for m.rest != "" && m.rest[0] != ',' {
		n := 1
		if m.rest[0] == '"' {
			n = max(n, m.quotedLen())
		}
		m.rest = m.rest[n:]
	}
}

// quotedLen returns the length of the quoted-string that rest begins with, or 0
// if it has no end.
func (m *memberScanner) quotedLen() int {
	if m.unclosed {
		return 0
	}
	for i := 1; i < len(m.rest); i++ {
		switch m.rest[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	m.unclosed = true
	return 0
}

// parseSeconds reads delta-seconds (RFC 9111, section 1.2.2).
func parseSeconds(s string) (time.Duration, bool) {
	if s == "" {
		return 0, false
	}
	var n time.Duration
	for i := range len(s) {
		if !isDigit(s[i]) {
			return 0, false
		}
		if n < maxDelta {
			n = n*10 + time.Duration(s[i]-'0')*time.Second
		}
	}
	return min(n, maxDelta), true
}

// least returns the smaller of two times, of which a may be Absent.
func least(a, b time.Duration) time.Duration {
	if a == Absent {
		return b
	}
	return min(a, b)
}

// listMembers yields the members of comma-separated field lines without white
// space. Empty ones are left out (RFC 9110, section 5.6.1). It is for lists
// whose members have no quoted-string.
func listMembers(lines []string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for _, line := range lines {
			for more := true; more; {
				var member string
				member, line, more = strings.Cut(line, ",")
				if member = trim(member); member != "" && !yield(member) {
					return
				}
			}
		}
	}
}

// hasMember reports whether a member of lines equals name, case aside.
func hasMember(lines []string, name string) bool {
	for _, line := range lines {
		for more := true; more; {
			var member string
			if member, line, more = strings.Cut(line, ","); strings.EqualFold(trim(member), name) {
				return true
			}
		}
	}
	return false
}

// trim and trimLeft remove white space (RFC 9110, section 5.6.3). A hit calls them
// for each member of each list, and strings.Trim makes a set of its bytes first.
func trim(s string) string {
	s = trimLeft(s)
	for s != "" && isBlank(s[len(s)-1]) {
		s = s[:len(s)-1]
	}
	return s
}

func trimLeft(s string) string {
	for s != "" && isBlank(s[0]) {
		s = s[1:]
	}
	return s
}

func isBlank(c byte) bool { return c == ' ' || c == '\t' }

func isToken(s string) bool { return s != "" && tokenLen(s) == len(s) }

// tokenLen returns how many bytes of a token (RFC 9110, section 5.6.2) s begins
// with.
func tokenLen(s string) int {
	for i := range len(s) {
		if !isTokenByte(s[i]) {
			return i
		}
	}
	return len(s)
}

func isTokenByte(c byte) bool {
	return isAlpha(c) || isDigit(c) || strings.IndexByte("!#$%&'*+-.^_`|~", c) >= 0
}

func isAlpha(c byte) bool { return 'a' <= c|0x20 && c|0x20 <= 'z' }
func isDigit(c byte) bool { return '0' <= c && c <= '9' }

func lowerByte(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		c |= 0x20
	}
	return c
}
