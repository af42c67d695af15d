package proxystatus

import (
	"fmt"
	"strconv"
	"strings"
)

// Limits of ParseField. A longer field is refused, not cut.
const (
	maxField   = 4096 // bytes
	maxEntries = 32
	maxParams  = 16 // of one entry
)

// An Entry is one member of a Proxy-Status field: what one intermediary says
// about the response (RFC 9209, section 2).
type Entry struct {
	Name    string // the intermediary
	Reason  string // the error parameter: the name of a Type, or a foreign one
	Details string
}

// Append appends e as a list member to b and returns it. A name that is no
// sf-token is written as an sf-string; bytes that neither may hold (RFC 8941,
// section 3.3.3: anything but printable ASCII) become '?'.
func (e Entry) Append(b []byte) []byte {
	if isToken(e.Name) {
		b = append(b, e.Name...)
	} else {
		b = appendString(b, e.Name)
	}
	if e.Reason != "" && isToken(e.Reason) {
		b = append(append(b, "; error="...), e.Reason...)
	}
	if e.Details != "" {
		b = appendString(append(b, "; details="...), e.Details)
	}
	return b
}

// String returns e as a list member.
func (e Entry) String() string { return string(e.Append(nil)) }

func appendString(b []byte, s string) []byte {
	b = append(b, '"')
	for i := range len(s) {
		switch c := s[i]; {
		case c == '"' || c == '\\':
			b = append(b, '\\', c)
		case c < 0x20 || c > 0x7e:
			b = append(b, '?')
		default:
			b = append(b, c)
		}
	}
	return append(b, '"')
}

// isToken reports whether s is an sf-token (RFC 8941, section 3.3.4).
func isToken(s string) bool {
	if s == "" || !(isAlpha(s[0]) || s[0] == '*') {
		return false
	}
	for i := range len(s) {
		if !isTokenByte(s[i]) {
			return false
		}
	}
	return true
}

func isAlpha(c byte) bool { return 'a' <= c|0x20 && c|0x20 <= 'z' }
func isDigit(c byte) bool { return '0' <= c && c <= '9' }
func isTokenByte(c byte) bool {
	return isAlpha(c) || isDigit(c) || strings.IndexByte("!#$%&'*+-.^_`|~:/", c) >= 0
}

// ParseField reads the value of a Proxy-Status field, first intermediary first.
// Parameters other than error and details are checked and left out. It refuses
// what RFC 8941 does not allow, more than 4096 bytes, 32 members, or 16
// parameters of a member.
func ParseField(value string) ([]Entry, error) {
	if len(value) > maxField {
		return nil, fmt.Errorf("proxy-status of %d bytes, limit %d", len(value), maxField)
	}
	p := fieldParser{rest: strings.Trim(value, " ")}
	var entries []Entry
	for p.rest != "" {
		if len(entries) == maxEntries {
			return nil, fmt.Errorf("proxy-status with more than %d members", maxEntries)
		}
		entry, err := p.entry()
		if err != nil {
			return nil, fmt.Errorf("proxy-status at byte %d: %w", len(value)-len(p.rest), err)
		}
		entries = append(entries, entry)
		if err := p.comma(); err != nil {
			return nil, fmt.Errorf("proxy-status at byte %d: %w", len(value)-len(p.rest), err)
		}
	}
	return entries, nil
}

// fieldParser reads the part of RFC 8941 that Proxy-Status needs: a list of
// items with parameters.
type fieldParser struct{ rest string }

// comma takes the comma between two members; the end of the field is fine too.
func (p *fieldParser) comma() error {
	p.rest = strings.TrimLeft(p.rest, " \t")
	if p.rest == "" {
		return nil
	}
	if p.rest[0] != ',' {
		return fmt.Errorf("want a comma, have %q", p.rest[0])
	}
	p.rest = strings.TrimLeft(p.rest[1:], " \t")
	if p.rest == "" {
		return fmt.Errorf("nothing after the comma")
	}
	return nil
}

func (p *fieldParser) entry() (Entry, error) {
	name, bare, err := p.bareItem()
	if err != nil {
		return Entry{}, err
	}
	if bare {
		return Entry{}, fmt.Errorf("a member must be a token or a string")
	}
	e := Entry{Name: name}
	for n := 0; strings.HasPrefix(p.rest, ";"); n++ {
		if n == maxParams {
			return Entry{}, fmt.Errorf("more than %d parameters", maxParams)
		}
		p.rest = strings.TrimLeft(p.rest[1:], " ")
		key, value, err := p.param()
		if err != nil {
			return Entry{}, err
		}
		switch key {
		case "error":
			e.Reason = value
		case "details":
			e.Details = value
		}
	}
	return e, nil
}

func (p *fieldParser) param() (key, value string, err error) {
	n := 0
	for n < len(p.rest) && isKeyByte(p.rest[n], n == 0) {
		n++
	}
	if n == 0 {
		return "", "", fmt.Errorf("want the name of a parameter")
	}
	key, p.rest = p.rest[:n], p.rest[n:]
	if !strings.HasPrefix(p.rest, "=") {
		return key, "", nil // a boolean true
	}
	p.rest = p.rest[1:]
	value, _, err = p.bareItem()
	return key, value, err
}

func isKeyByte(c byte, first bool) bool {
	if 'a' <= c && c <= 'z' || c == '*' {
		return true
	}
	return !first && (isDigit(c) || c == '_' || c == '-' || c == '.')
}

// bareItem takes one value. Other is true when it is neither a token nor a
// string: a number, a boolean or a byte sequence.
func (p *fieldParser) bareItem() (value string, other bool, err error) {
	if p.rest == "" {
		return "", false, fmt.Errorf("want a value, have the end")
	}
	switch c := p.rest[0]; {
	case c == '"':
		value, err = p.quoted()
		return value, false, err
	case isAlpha(c) || c == '*':
		return p.take(isTokenByte), false, nil
	case isDigit(c) || c == '-':
		value = p.take(func(c byte) bool { return isDigit(c) || c == '-' || c == '.' })
		if _, err := strconv.ParseFloat(value, 64); err != nil || len(value) > 16 {
			return "", true, fmt.Errorf("%q is no number", value)
		}
		return value, true, nil
	case c == '?':
		if len(p.rest) < 2 || p.rest[1] != '0' && p.rest[1] != '1' {
			return "", true, fmt.Errorf("want ?0 or ?1")
		}
		value, p.rest = p.rest[:2], p.rest[2:]
		return value, true, nil
	case c == ':':
		value, rest, ok := strings.Cut(p.rest[1:], ":")
		if !ok {
			return "", true, fmt.Errorf("a byte sequence without end")
		}
		p.rest = rest
		return value, true, nil
	default:
		return "", false, fmt.Errorf("want a value, have %q", c)
	}
}

func (p *fieldParser) take(in func(byte) bool) string {
	n := 0
	for n < len(p.rest) && in(p.rest[n]) {
		n++
	}
	taken := p.rest[:n]
	p.rest = p.rest[n:]
	return taken
}

func (p *fieldParser) quoted() (string, error) {
	var b []byte
	for i := 1; i < len(p.rest); i++ {
		c := p.rest[i]
		switch {
		case c == '"':
			p.rest = p.rest[i+1:]
			return string(b), nil
		case c == '\\':
			i++
			if i == len(p.rest) || p.rest[i] != '"' && p.rest[i] != '\\' {
				return "", fmt.Errorf("a backslash before neither quote nor backslash")
			}
			b = append(b, p.rest[i])
		case c < 0x20 || c > 0x7e:
			return "", fmt.Errorf("byte %#02x in a string", c)
		default:
			b = append(b, c)
		}
	}
	return "", fmt.Errorf("a string without end")
}
