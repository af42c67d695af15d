// Package requestpath gives the path and the host of a request the one form in
// which the rules of both tiers are compared with them, so that no way of
// writing a path slips by a rule and still reaches what the rule is about.
//
//	/private/x  //private///x  /%70rivate/x  /private%2fx  /private;a=b/x   ▸  /private/x
//	/a/../private  /a/%2e%2e/private  /a\private  /%2570rivate              ▸  refused
//
// The form is for comparison only: what is sent on is the path as it came.
// Where a backend may read a path in more than one way, the form is that of the
// reader who decodes most, and a path that even then has two meanings is
// refused. Letters keep their case.
//
// All functions may be called concurrently.
package requestpath

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
)

// ErrAmbiguous is in the chain of each error of Canonical. The request is
// answered with 400.
var ErrAmbiguous = errors.New("ambiguous path")

// Of returns the canonical form of u's path.
func Of(u *url.URL) (string, error) { return Canonical(u.EscapedPath()) }

// Canonical returns the canonical form of a percent-encoded path:
//
//   - percent-encoding is decoded once, %2F to a slash included;
//   - path parameters, from a semicolon to the end of its segment, are removed;
//   - a run of slashes becomes one;
//   - an empty path becomes "/"; "*", the target of OPTIONS, stays.
//
// It refuses with ErrAmbiguous what servers do not agree upon: a path that does
// not begin with a slash, a malformed percent-encoding, one that decodes to
// another percent-encoding, a control byte or a backslash, encoded or not, a
// segment "." or "..", with or without parameters, and overlong UTF-8.
//
// A path that is in canonical form is returned as it is, without allocation.
func Canonical(escaped string) (string, error) {
	switch {
	case escaped == "":
		return "/", nil
	case escaped == "*":
		return "*", nil
	case escaped[0] != '/':
		return "", fmt.Errorf("%w: it does not begin with a slash", ErrAmbiguous)
	}
	if isPlain(escaped) {
		return escaped, nil
	}
	decoded, err := decode(escaped)
	if err != nil {
		return "", err
	}
	return joinSegments(decoded)
}

// isPlain reports whether a path that begins with a slash is canonical, as far
// as that can be seen at a glance: its bytes are harmless, and no slash is
// followed by a slash or a dot.
func isPlain(s string) bool {
	afterSlash := false
	for i := range len(s) {
		switch c := s[i]; {
		case c == '/':
			if afterSlash {
				return false
			}
			afterSlash = true
			continue
		case c == '.':
			if afterSlash {
				return false
			}
		case c == '%' || c == ';' || c == '\\' || c < 0x20 || c >= 0x7f:
			return false
		}
		afterSlash = false
	}
	return true
}

// decode undoes percent-encoding once, and refuses bytes and sequences that do
// not mean the same to everybody.
func decode(s string) ([]byte, error) {
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c == '%' {
			value, ok := hexByte(s[i+1:])
			if !ok {
				return nil, fmt.Errorf("%w: malformed percent-encoding", ErrAmbiguous)
			}
			c = value
			i += 2
		}
		if c < 0x20 || c == 0x7f || c == '\\' {
			return nil, fmt.Errorf("%w: byte %#02x", ErrAmbiguous, c)
		}
		b = append(b, c)
	}
	for i, c := range b {
		if c == '%' {
			if _, again := hexByte(string(b[i+1 : min(i+3, len(b))])); again {
				return nil, fmt.Errorf("%w: percent-encoded twice", ErrAmbiguous)
			}
		}
		if overlong(b[i:]) {
			return nil, fmt.Errorf("%w: overlong UTF-8", ErrAmbiguous)
		}
	}
	return b, nil
}

// hexByte reads two hex digits from the front of s.
func hexByte(s string) (byte, bool) {
	if len(s) < 2 {
		return 0, false
	}
	high, low := hexDigit(s[0]), hexDigit(s[1])
	return high<<4 | low, high < 16 && low < 16
}

func hexDigit(c byte) byte {
	switch {
	case '0' <= c && c <= '9':
		return c - '0'
	case 'a' <= c|0x20 && c|0x20 <= 'f':
		return c | 0x20 - 'a' + 10
	default:
		return 255
	}
}

// overlong reports whether b begins with a character that is encoded in more
// bytes than it needs: 0xC0 0xAE is a dot to a careless decoder. Other bytes
// that are no UTF-8 are let through: they are text in older encodings.
func overlong(b []byte) bool {
	if len(b) < 2 || b[1]&0xc0 != 0x80 {
		return false
	}
	switch b[0] {
	case 0xc0, 0xc1:
		return true
	case 0xe0:
		return b[1] < 0xa0
	case 0xf0:
		return b[1] < 0x90
	default:
		return false
	}
}

// joinSegments removes empty segments and path parameters, in place, and
// refuses dot segments. A slash at the end stays.
func joinSegments(b []byte) (string, error) {
	out := b[:0]
	for i := 0; i < len(b); {
		i++ // the slash
		end := i
		for end < len(b) && b[end] != '/' {
			end++
		}
		segment := b[i:end]
		last := end == len(b)
		i = end
		name, _, _ := strings.Cut(string(segment), ";")
		if name == "." || name == ".." {
			return "", fmt.Errorf("%w: dot segment", ErrAmbiguous)
		}
		if name == "" && !last {
			continue
		}
		out = append(append(out, '/'), name...)
	}
	return string(out), nil
}

// CheckPrefix returns what is wrong with prefix as one that canonical paths are
// compared with by HasPrefix: it must be in canonical form itself.
func CheckPrefix(prefix string) error {
	if prefix == "" || prefix == "*" {
		return fmt.Errorf("%q is no path, want one that begins with a slash", prefix)
	}
	if strings.Contains(prefix, "%") {
		return fmt.Errorf("%q holds a percent sign; write paths decoded", prefix)
	}
	canonical, err := Canonical(prefix)
	if err != nil {
		return fmt.Errorf("%q can never match: %w", prefix, err)
	}
	if canonical != prefix {
		return fmt.Errorf("%q can never match, write %q", prefix, canonical)
	}
	return nil
}

// HasPrefix reports whether the canonical path lies at or below prefix, segment
// by segment: "/private" and "/private/" both hold /private, /private/ and
// /private/x, and neither holds /privateer.
func HasPrefix(path, prefix string) bool {
	prefix = strings.TrimSuffix(prefix, "/")
	rest, ok := strings.CutPrefix(path, prefix)
	return ok && (rest == "" || rest[0] == '/')
}
