package rules

import "strings"

// The types of RFC 9651, section 3.3, as far as the fields read here tell them
// apart.
type itemKind uint8

const (
	itemBoolean itemKind = iota
	itemInteger
	itemString
	itemToken
	itemOther // decimal, byte sequence, date, display string, inner list
)

// An item is a member of a structured field, without its parameters.
type item struct {
	kind    itemKind
	boolean bool
	integer int64
	text    string
}

// parseDictionary parses field lines as a dictionary (RFC 9651, section 4.2.2)
// and calls each for its members, in order; of two with one key the later is
// the one that counts. It returns false if the field is broken: what each was
// given must then be forgotten.
func parseDictionary(lines []string, each func(key string, it item)) bool {
	p := newStructuredParser(lines)
	for p.rest != "" {
		key, ok := p.key()
		if !ok {
			return false
		}
		it := item{kind: itemBoolean, boolean: true}
		if p.take('=') {
			if it, ok = p.member(); !ok {
				return false
			}
		}
		if !p.parameters() {
			return false
		}
		each(key, it)
		if !p.comma() {
			return false
		}
	}
	return true
}

// parseList parses field lines as a list (RFC 9651, section 4.2.1), as
// parseDictionary does.
func parseList(lines []string, each func(it item)) bool {
	p := newStructuredParser(lines)
	for p.rest != "" {
		it, ok := p.member()
		if !ok || !p.parameters() {
			return false
		}
		each(it)
		if !p.comma() {
			return false
		}
	}
	return true
}

// A structuredParser reads RFC 9651. Each method takes its part from the front
// of rest and returns false if that is broken.
type structuredParser struct{ rest string }

func newStructuredParser(lines []string) structuredParser {
	if len(lines) == 1 {
		return structuredParser{strings.Trim(lines[0], " ")}
	}
	return structuredParser{strings.Trim(strings.Join(lines, ","), " ")}
}

// take takes c if it is there.
func (p *structuredParser) take(c byte) bool {
	if p.rest == "" || p.rest[0] != c {
		return false
	}
	p.rest = p.rest[1:]
	return true
}

// comma takes what is between two members, and nothing at the end of the field.
func (p *structuredParser) comma() bool {
	p.rest = trimLeft(p.rest)
	if p.rest == "" {
		return true
	}
	if !p.take(',') {
		return false
	}
	p.rest = trimLeft(p.rest)
	return p.rest != "" // a comma at the end is an error
}

func (p *structuredParser) key() (string, bool) {
	n := 0
	for n < len(p.rest) && isKeyByte(p.rest[n], n == 0) {
		n++
	}
	key := p.rest[:n]
	p.rest = p.rest[n:]
	return key, n > 0
}

func isKeyByte(c byte, first bool) bool {
	if 'a' <= c && c <= 'z' || c == '*' {
		return true
	}
	return !first && (isDigit(c) || c == '_' || c == '-' || c == '.')
}

func (p *structuredParser) parameters() bool {
	for p.take(';') {
		p.rest = strings.TrimLeft(p.rest, " ")
		if _, ok := p.key(); !ok {
			return false
		}
		if p.take('=') {
			if _, ok := p.bareItem(); !ok {
				return false
			}
		}
	}
	return true
}

// member takes an item or an inner list, without the parameters behind it.
func (p *structuredParser) member() (item, bool) {
	if !p.take('(') {
		return p.bareItem()
	}
	for {
		p.rest = strings.TrimLeft(p.rest, " ")
		if p.take(')') {
			return item{kind: itemOther}, true
		}
		if _, ok := p.bareItem(); !ok || !p.parameters() {
			return item{}, false
		}
		if p.rest == "" || p.rest[0] != ' ' && p.rest[0] != ')' {
			return item{}, false
		}
	}
}

func (p *structuredParser) bareItem() (item, bool) {
	if p.rest == "" {
		return item{}, false
	}
	switch c := p.rest[0]; {
	case c == '-' || isDigit(c):
		return p.number()
	case c == '"':
		text, ok := p.quoted()
		return item{kind: itemString, text: text}, ok
	case isAlpha(c) || c == '*':
		return item{kind: itemToken, text: p.token()}, true
	case c == '?':
		return p.flag()
	case c == ':':
		return item{kind: itemOther}, p.bytes()
	case c == '@':
		p.rest = p.rest[1:]
		it, ok := p.number()
		return item{kind: itemOther}, ok && it.kind == itemInteger
	case c == '%':
		return item{kind: itemOther}, p.display()
	}
	return item{}, false
}

// number takes an integer of at most 15 digits, or a decimal of at most 12 and 3.
func (p *structuredParser) number() (item, bool) {
	negative := p.take('-')
	var value int64
	n := 0
	for ; n < len(p.rest) && isDigit(p.rest[n]); n++ {
		if n == 15 {
			return item{}, false
		}
		value = value*10 + int64(p.rest[n]-'0')
	}
	p.rest = p.rest[n:]
	if n == 0 {
		return item{}, false
	}
	if p.take('.') {
		digits := 0
		for digits < len(p.rest) && isDigit(p.rest[digits]) {
			digits++
		}
		p.rest = p.rest[digits:]
		return item{kind: itemOther}, n <= 12 && 1 <= digits && digits <= 3
	}
	if negative {
		value = -value
	}
	return item{kind: itemInteger, integer: value}, true
}

func (p *structuredParser) token() string {
	n := 1
	for n < len(p.rest) && (isTokenByte(p.rest[n]) || p.rest[n] == ':' || p.rest[n] == '/') {
		n++
	}
	token := p.rest[:n]
	p.rest = p.rest[n:]
	return token
}

func (p *structuredParser) flag() (item, bool) {
	if len(p.rest) < 2 || p.rest[1] != '0' && p.rest[1] != '1' {
		return item{}, false
	}
	it := item{kind: itemBoolean, boolean: p.rest[1] == '1'}
	p.rest = p.rest[2:]
	return it, true
}

// quoted takes a string. Only one with escapes is copied.
func (p *structuredParser) quoted() (string, bool) {
	var text []byte
	start := 1
	for i := 1; i < len(p.rest); i++ {
		switch c := p.rest[i]; {
		case c == '"':
			last := p.rest[start:i]
			p.rest = p.rest[i+1:]
			if text == nil {
				return last, true
			}
			return string(append(text, last...)), true
		case c == '\\':
			text = append(text, p.rest[start:i]...)
			i++
			if i == len(p.rest) || p.rest[i] != '"' && p.rest[i] != '\\' {
				return "", false
			}
			text = append(text, p.rest[i])
			start = i + 1
		case c < 0x20 || c > 0x7e:
			return "", false
		}
	}
	return "", false
}

// bytes takes a byte sequence. Its base64 is checked for its alphabet only, as
// RFC 9651 (section 4.2.7) allows.
func (p *structuredParser) bytes() bool {
	n := strings.IndexByte(p.rest[1:], ':')
	if n < 0 {
		return false
	}
	text := p.rest[1 : 1+n]
	p.rest = p.rest[n+2:]
	for i := range len(text) {
		c := text[i]
		if !isAlpha(c) && !isDigit(c) && c != '+' && c != '/' && c != '=' {
			return false
		}
	}
	return true
}

// display takes a display string (RFC 9651, section 4.2.10). That its escapes
// make UTF-8 is not checked, since no field here has one.
func (p *structuredParser) display() bool {
	p.rest = p.rest[1:]
	if !p.take('"') {
		return false
	}
	for i := 0; i < len(p.rest); i++ {
		switch c := p.rest[i]; {
		case c == '"':
			p.rest = p.rest[i+1:]
			return true
		case c == '%':
			if i+2 >= len(p.rest) || !isLowerHex(p.rest[i+1]) || !isLowerHex(p.rest[i+2]) {
				return false
			}
			i += 2
		case c < 0x20 || c > 0x7e:
			return false
		}
	}
	return false
}

func isLowerHex(c byte) bool { return isDigit(c) || 'a' <= c && c <= 'f' }
