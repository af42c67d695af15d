package listener

import (
	"bytes"
	"math"
)

// A scanner follows the framing of the HTTP/1 requests on one connection (RFC
// 9112) and finds what net/http would read more generously than the next hop
// might: that difference is what request smuggling is made of. It sees each
// byte once, in pieces of any size, and keeps none but those of a few short
// values.
//
//	        +--------------------------- next request ---------------------------+
//	        v                                                                    |
//	(preface) > request line > field lines > body of Content-Length > -----------+
//	   |                            |      > chunks > trailers ------------------+
//	   +--> opaque <----------------+ after CONNECT
//
// What it lets pass, net/http reads with the same message borders; a fuzz test
// holds it to that. It allocates nothing but the authority of an absolute
// target. It is not safe for concurrent use.
type scanner struct {
	state scanState
	rules *scanRules

	heads   int // heads that have ended without fault
	size    int // bytes of the head or of the trailers so far
	urlSize int // bytes of the request target so far
	fields  int // field lines of the head or of the trailers so far

	http10, connect, options  bool
	host, length, chunked     bool // seen in this head
	trailer                   bool // the fields are trailers
	absolute                  bool // the target has an authority
	keep                      keptField
	remaining                 int64 // bytes left of the body or chunk
	bodySize                  int64 // bytes of chunks so far
	digits                    int   // of the chunk size
	extension                 int   // bytes of the chunk extension
	nameLen, valueLen, prefix int
	name                      [maxKeptName]byte // first bytes of method or field name
	value                     [maxKeptValue]byte
	authority                 []byte
}

// scanRules are the limits of a scanner, shared by all of a listener.
type scanRules struct {
	headBytes, urlBytes, fields int
	bodyBytes                   int64 // 0: unlimited
	connect                     bool  // CONNECT is allowed
}

const (
	maxMethod       = 32
	maxKeptName     = 18  // longer than any name that is looked for
	maxKeptValue    = 264 // a host name of 255 bytes, colon, port and change
	maxLengthDigits = 18  // fits an int64
	maxChunkDigits  = 15  // fits an int64
	maxChunkExt     = 256
	maxTrailers     = 4096 // net/http looks no farther for their end
)

// keptField says which field's value is kept to be looked at.
type keptField uint8

const (
	keepNone keptField = iota
	keepHost
	keepLength
	keepCoding
)

type scanState uint8

const (
	atStart scanState = iota
	inMethod
	atTarget
	inScheme
	inAuthority
	inStar
	inTarget
	inVersion
	wantLineLF
	atField
	inName
	inSpace
	inValue
	inKept
	wantFieldLF
	wantHeadLF

	inBody // from here on the bytes belong to a request that has a handler
	inChunkSize
	inChunkExt
	wantSizeLF
	inChunk
	wantChunkCR
	wantChunkLF
	opaque // not HTTP/1 any more
	inPreface
)

// newScanner returns a scanner for a new connection. With preface the
// connection may begin with the one of HTTP/2 instead of a request.
func newScanner(rules *scanRules, preface bool) scanner {
	s := scanner{rules: rules}
	if preface {
		s.state = inPreface
	}
	return s
}

// midHead reports whether a head has begun and not ended.
func (s *scanner) midHead() bool {
	return s.state > atStart && s.state < inBody && !s.trailer || s.state == inPreface && s.prefix > 0
}

// midBody reports whether more of a body has to come.
func (s *scanner) midBody() bool {
	return s.state >= inBody && s.state < opaque || s.trailer && s.state > atStart
}

// scan follows p. It returns how many bytes of p belong to messages without
// fault, and why it stopped there; with no refusal that is all of p. Once it
// has refused it must not be called again. After the preface or CONNECT it
// takes no notice of the bytes and returns how many came before them.
func (s *scanner) scan(p []byte) (whole int, no *refusal) {
	for i := 0; i < len(p); {
		if s.state == opaque {
			return i, nil
		}
		head := s.state < inBody
		next, no := s.step(p, i)
		if no != nil {
			return whole, no
		}
		if head {
			if no := s.grow(next - i); no != nil {
				return whole, no
			}
		}
		i = next
		if s.state >= inBody || s.state == atStart || s.trailer {
			whole = i
		}
	}
	return len(p), nil
}

// grow counts n bytes of a head or of trailers.
func (s *scanner) grow(n int) *refusal {
	s.size += n
	switch {
	case s.trailer:
		if s.size > min(maxTrailers, s.rules.headBytes) {
			return longTrailer
		}
	case s.size > s.rules.headBytes:
		return longHead
	}
	return nil
}

// step follows p from i to the end of what the state covers, or of p.
func (s *scanner) step(p []byte, i int) (int, *refusal) {
	switch s.state {
	case atStart, inMethod:
		return s.scanMethod(p, i)
	case atTarget:
		return s.beginTarget(p, i)
	case inScheme:
		return s.scanScheme(p, i)
	case inAuthority:
		return s.scanAuthority(p, i)
	case inStar:
		return s.expect(p, i, ' ', inVersion, badTarget)
	case inTarget:
		return s.scanTarget(p, i)
	case inVersion:
		return s.scanVersion(p, i)
	case wantLineLF, wantFieldLF:
		return s.expect(p, i, '\n', atField, badLineEnd)
	case atField:
		return s.beginField(p, i)
	case inName:
		return s.scanName(p, i)
	case inSpace:
		return s.skipSpace(p, i)
	case inValue:
		return s.scanValue(p, i)
	case inKept:
		return s.keepValue(p, i)
	case wantHeadLF:
		if p[i] != '\n' {
			return i, badLineEnd
		}
		return i + 1, s.endHead()
	case inPreface:
		return s.scanPreface(p, i)
	}
	return s.stepBody(p, i)
}

// expect takes the one byte that may come here.
func (s *scanner) expect(p []byte, i int, want byte, then scanState, no *refusal) (int, *refusal) {
	if p[i] != want {
		return i, no
	}
	s.state = then
	return i + 1, nil
}

// http2Preface begins every HTTP/2 connection (RFC 9113, section 3.4).
var http2Preface = []byte("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")

// scanPreface tells HTTP/2 from a request. What it took for the preface and was
// not is scanned as a request.
func (s *scanner) scanPreface(p []byte, i int) (int, *refusal) {
	if p[i] == http2Preface[s.prefix] {
		if s.prefix++; s.prefix == len(http2Preface) {
			s.state = opaque
		}
		return i + 1, nil
	}
	s.state = atStart
	_, no := s.scan(http2Preface[:s.prefix])
	return i, no
}

// endHead decides what follows a head, or ends the request after its trailers.
func (s *scanner) endHead() *refusal {
	if s.trailer {
		s.state, s.trailer = atStart, false
		return nil
	}
	switch {
	case !s.host && !s.http10:
		return badHostMissing
	case s.chunked && s.length:
		return badFraming
	case s.chunked && s.http10:
		return badCodingVersion
	case s.length && s.rules.bodyBytes > 0 && s.remaining > s.rules.bodyBytes:
		return longBody
	case s.connect:
		s.state = opaque
	case s.chunked:
		s.state, s.bodySize, s.digits, s.remaining = inChunkSize, 0, 0, 0
	case s.length && s.remaining > 0:
		s.state = inBody
	default:
		s.state = atStart
	}
	s.heads++
	return nil
}

// endField looks at a value that was kept.
func (s *scanner) endField() *refusal {
	v := bytes.TrimRight(s.value[:s.valueLen], " \t")
	switch {
	case s.trailer:
		return badTrailer
	case s.keep == keepHost:
		return s.endHost(v)
	case s.keep == keepLength:
		return s.endLength(v)
	case s.chunked:
		return badCodingCount
	case !bytes.EqualFold(v, codingChunked):
		return badCoding
	}
	s.chunked = true
	return nil
}

var codingChunked = []byte("chunked")

func (s *scanner) endHost(v []byte) *refusal {
	switch {
	case s.host:
		return badHostCount
	case len(v) == 0 || run(v, 0, hostByte) != len(v):
		return badHost
	case s.absolute && !bytes.EqualFold(v, s.authority):
		return badHostDiffers
	}
	s.host = true
	return nil
}

func (s *scanner) endLength(v []byte) *refusal {
	if s.length {
		return badLengthCount
	}
	if len(v) == 0 || len(v) > maxLengthDigits {
		return badLength
	}
	n := int64(0)
	for _, c := range v {
		if c < '0' || c > '9' {
			return badLength
		}
		n = n*10 + int64(c-'0')
	}
	s.length, s.remaining = true, n
	return nil
}

// stepBody is step for the states of a body.
func (s *scanner) stepBody(p []byte, i int) (int, *refusal) {
	switch s.state {
	case inBody:
		if i = s.skip(p, i); s.remaining == 0 {
			s.state = atStart
		}
		return i, nil
	case inChunkSize:
		return s.scanChunkSize(p, i)
	case inChunkExt:
		next := run(p, i, valueByte)
		if s.extension += next - i; s.extension > maxChunkExt {
			return i, badChunkExt
		}
		if next == len(p) {
			return next, nil
		}
		return s.expect(p, next, '\r', wantSizeLF, badChunkExt)
	case wantSizeLF:
		if p[i] != '\n' {
			return i, badLineEnd
		}
		return i + 1, s.beginChunk()
	case inChunk:
		if i = s.skip(p, i); s.remaining == 0 {
			s.state = wantChunkCR
		}
		return i, nil
	case wantChunkCR:
		return s.expect(p, i, '\r', wantChunkLF, badChunkEnd)
	}
	s.digits = 0
	return s.expect(p, i, '\n', inChunkSize, badChunkEnd)
}

// skip takes what there is of the remaining bytes.
func (s *scanner) skip(p []byte, i int) int {
	n := min(s.remaining, int64(len(p)-i))
	s.remaining -= n
	return i + int(n)
}

func (s *scanner) scanChunkSize(p []byte, i int) (int, *refusal) {
	c := p[i]
	digit := hexDigit[c]
	switch {
	case digit >= 0:
		if s.digits++; s.digits > maxChunkDigits {
			return i, badChunkSize
		}
		s.remaining = s.remaining<<4 | int64(digit)
	case s.digits == 0:
		return i, badChunkSize
	case c == ';':
		s.state, s.extension = inChunkExt, 0
	case c == '\r':
		s.state = wantSizeLF
	default:
		return i, badChunkSize
	}
	return i + 1, nil
}

// beginChunk follows the line with the size of a chunk.
func (s *scanner) beginChunk() *refusal {
	if s.remaining == 0 {
		s.state, s.trailer, s.size, s.fields = atField, true, 0, 0
		return nil
	}
	limit := s.rules.bodyBytes
	if limit == 0 {
		limit = math.MaxInt64
	}
	if s.remaining > limit-s.bodySize {
		return longBody
	}
	s.bodySize += s.remaining
	s.state = inChunk
	return nil
}
