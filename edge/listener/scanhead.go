package listener

import "bytes"

// scanMethod follows the method of a request (RFC 9112, section 3.1).
func (s *scanner) scanMethod(p []byte, i int) (int, *refusal) {
	if s.state == atStart {
		s.beginRequest()
	}
	next := run(p, i, tokenByte)
	s.keepName(p[i:next])
	if s.urlSize += next - i; s.urlSize > maxMethod || s.urlSize == 0 {
		return i, badMethod
	}
	if next == len(p) {
		return next, nil
	}
	if p[next] != ' ' {
		return i, badMethod
	}
	s.urlSize = 0
	method := s.name[:s.nameLen]
	s.connect = bytes.Equal(method, methodConnect)
	s.options = bytes.Equal(method, methodOptions)
	if s.connect && !s.rules.connect {
		return i, badConnect
	}
	s.state = atTarget
	return next + 1, nil
}

var (
	methodConnect = []byte("CONNECT")
	methodOptions = []byte("OPTIONS")
)

func (s *scanner) beginRequest() {
	s.state = inMethod
	s.size, s.urlSize, s.fields, s.nameLen = 0, 0, 0, 0
	s.remaining = 0
	s.http10, s.host, s.length, s.chunked, s.absolute = false, false, false, false, false
}

// keepName keeps the first bytes of a method or of a field name.
func (s *scanner) keepName(part []byte) {
	if s.nameLen < len(s.name) {
		s.nameLen += copy(s.name[s.nameLen:], part)
	}
}

// beginTarget tells the four forms of a target apart (RFC 9112, section 3.2).
func (s *scanner) beginTarget(p []byte, i int) (int, *refusal) {
	s.authority, s.valueLen = s.authority[:0], 0
	switch c := p[i]; {
	case s.connect:
		s.state = inAuthority
		return i, nil
	case c == '/':
		s.state = inTarget
		return i, nil
	case c == '*' && s.options:
		s.state = inStar
		return i + 1, nil
	case c == 'h' || c == 'H':
		s.state = inScheme
		return i, nil
	}
	return i, badTarget
}

// scanScheme follows "http://" or "https://".
func (s *scanner) scanScheme(p []byte, i int) (int, *refusal) {
	c := p[i] | 0x20 // lower case; ':' and '/' have the bit set
	at := s.valueLen
	s.valueLen++
	switch {
	case at < 4 && c == "http"[at]:
	case at == 4 && c == 's':
		s.valueLen = 4 // the "s" is not counted
		if s.absolute {
			return i, badTarget
		}
		s.absolute = true
	case at >= 4 && p[i] == "://"[at-4]:
	default:
		return i, badTarget
	}
	if s.valueLen == len("http://") {
		s.absolute = true
		s.state = inAuthority
	}
	return i + 1, nil
}

// scanAuthority follows the authority of an absolute target or of CONNECT. User
// information in it is an error (RFC 9110, section 4.2.4).
func (s *scanner) scanAuthority(p []byte, i int) (int, *refusal) {
	next := run(p, i, hostByte)
	if len(s.authority)+next-i > maxKeptValue {
		return i, badAuthority
	}
	s.authority = append(s.authority, p[i:next]...)
	if next == len(p) {
		return next, nil
	}
	switch c := p[next]; {
	case len(s.authority) == 0:
		return i, badAuthority
	case c == ' ':
		s.state, s.valueLen = inVersion, 0
		return next + 1, nil
	case !s.connect && (c == '/' || c == '?'):
		s.urlSize = len(s.authority)
		s.state = inTarget
		return next, nil
	}
	return i, badAuthority
}

// scanTarget follows path and query.
func (s *scanner) scanTarget(p []byte, i int) (int, *refusal) {
	next := run(p, i, targetByte)
	if s.urlSize += next - i; s.urlSize > s.rules.urlBytes {
		return i, longTarget
	}
	if next == len(p) {
		return next, nil
	}
	s.valueLen = 0
	return s.expect(p, next, ' ', inVersion, badTarget)
}

// scanVersion follows "HTTP/1.1" CR.
func (s *scanner) scanVersion(p []byte, i int) (int, *refusal) {
	const length = len("HTTP/1.1")
	if s.valueLen < length {
		n := copy(s.value[s.valueLen:length], p[i:])
		s.valueLen += n
		if s.valueLen == length || bytes.IndexByte(p[i:i+n], '\r') >= 0 {
			return i + n, s.endVersion()
		}
		return i + n, nil
	}
	return s.expect(p, i, '\r', wantLineLF, badRequestLine)
}

func (s *scanner) endVersion() *refusal {
	v := s.value[:s.valueLen]
	switch {
	case bytes.Equal(v, version11):
		return nil
	case bytes.Equal(v, version10):
		s.http10 = true
		return nil
	case len(v) == len(version11) && bytes.HasPrefix(v, version11[:5]) && digit(v[5]) && v[6] == '.' && digit(v[7]):
		return badVersion
	}
	return badRequestLine
}

var (
	version11 = []byte("HTTP/1.1")
	version10 = []byte("HTTP/1.0")
)

func digit(c byte) bool { return c >= '0' && c <= '9' }

// beginField looks at the first byte of a field line or of the empty one.
func (s *scanner) beginField(p []byte, i int) (int, *refusal) {
	switch p[i] {
	case '\r':
		s.state = wantHeadLF
		return i + 1, nil
	case ' ', '\t':
		return i, badFold
	}
	if s.fields++; s.fields > s.rules.fields {
		return i, manyFields
	}
	s.nameLen = 0
	s.state = inName
	return s.scanName(p, i)
}

// scanName follows a field name and its colon (RFC 9112, section 5).
func (s *scanner) scanName(p []byte, i int) (int, *refusal) {
	next := run(p, i, tokenByte)
	s.keepName(p[i:next])
	if next == len(p) {
		return next, nil
	}
	switch c := p[next]; {
	case c == ':' && s.nameLen > 0:
	case c == ' ' || c == '\t':
		return i, badColon
	default:
		return i, badName
	}
	s.keep = keptName(s.name[:s.nameLen])
	s.valueLen = 0
	s.state = inSpace
	if next++; next == len(p) {
		return next, nil
	}
	return s.skipSpace(p, next)
}

// keptName says what a field name is looked at for.
func keptName(name []byte) keptField {
	switch {
	case len(name) == len(nameHost) && bytes.EqualFold(name, nameHost):
		return keepHost
	case len(name) == len(nameLength) && bytes.EqualFold(name, nameLength):
		return keepLength
	case len(name) == len(nameCoding) && bytes.EqualFold(name, nameCoding):
		return keepCoding
	}
	return keepNone
}

var (
	nameHost   = []byte("Host")
	nameLength = []byte("Content-Length")
	nameCoding = []byte("Transfer-Encoding")
)

// skipSpace follows the white space before a value.
func (s *scanner) skipSpace(p []byte, i int) (int, *refusal) {
	for i < len(p) && (p[i] == ' ' || p[i] == '\t') {
		i++
	}
	if i == len(p) {
		return i, nil
	}
	if s.keep != keepNone {
		s.state = inKept
		return i, nil
	}
	s.state = inValue
	return s.scanValue(p, i)
}

// scanValue follows a value that nobody looks at, and its CRLF.
func (s *scanner) scanValue(p []byte, i int) (int, *refusal) {
	i = run(p, i, valueByte)
	if i == len(p) {
		return i, nil
	}
	if p[i] != '\r' {
		return i, badValue
	}
	if i++; i == len(p) {
		s.state = wantFieldLF
		return i, nil
	}
	return s.expect(p, i, '\n', atField, badLineEnd)
}

// keepValue follows a value that endField looks at.
func (s *scanner) keepValue(p []byte, i int) (int, *refusal) {
	next := run(p, i, valueByte)
	if n := copy(s.value[s.valueLen:], p[i:next]); n < next-i {
		return i, badValue
	} else {
		s.valueLen += n
	}
	if next == len(p) {
		return next, nil
	}
	if p[next] != '\r' {
		return i, badValue
	}
	s.state = wantFieldLF
	return next + 1, s.endField()
}

// run returns the index of the first byte of p from i that is not in class, or
// len(p).
func run(p []byte, i int, class *[256]bool) int {
	for ; i < len(p); i++ {
		if !class[p[i]] {
			break
		}
	}
	return i
}

// The classes of bytes, RFC 9110, sections 5.5 and 5.6.2, and RFC 3986.
var (
	tokenByte  = classOf(alphanumeric + "!#$%&'*+-.^_`|~")
	hostByte   = classOf(alphanumeric + "-._~%!$&'()*+,;=:[]")
	valueByte  = classBetween(0x21, 0xff, " \t", "\x7f")
	targetByte = classBetween(0x21, 0xff, "", "\x7f#")
	hexDigit   = hexDigits()
)

const alphanumeric = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

func classOf(members string) *[256]bool {
	var class [256]bool
	for i := range len(members) {
		class[members[i]] = true
	}
	return &class
}

func classBetween(low, high int, and, without string) *[256]bool {
	class := classOf(and)
	for c := low; c <= high; c++ {
		class[c] = true
	}
	for i := range len(without) {
		class[without[i]] = false
	}
	return class
}

func hexDigits() *[256]int8 {
	var value [256]int8
	for i := range value {
		value[i] = -1
	}
	for i, c := range "0123456789abcdef" {
		value[c] = int8(i)
		if c >= 'a' {
			value[c-0x20] = int8(i)
		}
	}
	return &value
}
