// Package partial answers requests for parts of a stored representation, and
// keeps account of which parts of one are stored (RFC 9110, section 14; RFC
// 9111, sections 3.3 and 3.4). It does no I/O of its own and keeps no bytes.
//
// From a request to its answer:
//
//	header ─ParseRequest─▶ Request ─Plan─▶ Plan ─Answer─▶ Answer ─Body─▶ Body ◂── Source
//	Range, If-Range        ranges as       status, spans  header,        bytes     stored,
//	                       sent            of the bytes   Content-Length           perhaps still
//	                                                                               arriving
//
// From answers of a backend to a stored whole:
//
//	206 ─ParsePart─▶ Part ─Held.Add─▶ Held ─Covers─▶ the spans of a Plan can be served
//	                                       ─Missing▶ the gaps to ask the backend for
//	                                       ─Complete▶ Whole makes the header of the 200
//
// A plan wants the length of the whole representation. While a body without a
// Content-Length arrives that is not known: such a request waits, or gets the
// whole.
//
// # What a Range field gets
//
//	no Range, several Range lines, an unknown unit, an invalid set      200, the whole
//	a method other than GET                                             200, the whole
//	more ranges than the limit, or as many empty list elements          200, the whole
//	If-Range that does not hold                                         200, the whole
//	a representation without bytes                                      200, the whole
//	no range that begins inside of the representation                   416
//	one range, or several that became one                               206, one part
//	several ranges                                                      206, multipart/byteranges
//	several ranges of a representation with a Content-Encoding          200, the whole
//
// RFC 9110 lets a server ignore every Range field (14.2). It is ignored where an
// answer in parts could cost more than the whole. Ranges that overlap, or with a
// gap between them that is shorter than the head of a part, become one (15.3.7.2),
// so that an answer is longer than the representation by about one such head at
// most, however the ranges were chosen (17.15). Parts stay in the order in which
// they were asked for; one that is made of several stands where the first of them
// stood. The last row of the table: clients do not agree on whether a coding is
// undone before or after the parts are taken apart.
//
// # Validators
//
// Parts are combined, and If-Range holds, only by strong validators (13.1.5,
// 8.8.3.2): an ETag without W/, or a Last-Modified that is so much older than
// Date that a second change in the same second is ruled out. See Validators.
//
// # Parts from a backend
//
// A multipart/byteranges answer of a backend is not taken apart: ParsePart
// refuses it with ErrNotCombinable, and it is passed through without being
// stored. The engine asks for one gap at a time and so gets none that it needs.
//
// # Limits, errors, concurrency
//
// Positions and lengths are bytes in an int64. Numbers in a Range field that are
// larger stand for the largest; in a Content-Range they are an error. The limit
// of ranges of a request and of separate spans of a Held are arguments, for which
// DefaultRanges and DefaultSpans are meant.
//
// ParsePart and Held.Add return errors that wrap ErrNotCombinable, ErrChanged or
// ErrTooManySpans: in each case the answer of the backend is passed on and not
// stored. A Body returns what its Source returned.
//
// Values may be copied and read concurrently; a Held and a Body belong to one
// goroutine at a time.
package partial

import (
	"net/http"
	"strconv"
)

// Defaults for the limits that are arguments.
const (
	DefaultRanges = 16 // ranges in one request
	DefaultSpans  = 16 // separate spans of one Held
)

// A Span is the bytes From to To of a representation, To not included. A Span of
// a well-formed field holds at least one byte.
type Span struct{ From, To int64 }

// Len returns the number of bytes in s.
func (s Span) Len() int64 { return s.To - s.From }

// Range returns the value of a Range field that asks for s: "bytes=0-99".
func (s Span) Range() string { return string(appendPositions([]byte("bytes="), s)) }

// appendPositions appends "0-99".
func appendPositions(b []byte, s Span) []byte {
	b = strconv.AppendInt(b, s.From, 10)
	b = append(b, '-')
	return strconv.AppendInt(b, s.To-1, 10)
}

// trim removes the optional white space around s (RFC 9110, section 5.6.3).
func trim(s string) string {
	for s != "" && isBlank(s[0]) {
		s = s[1:]
	}
	for s != "" && isBlank(s[len(s)-1]) {
		s = s[:len(s)-1]
	}
	return s
}

func isBlank(c byte) bool { return c == ' ' || c == '\t' }

// only returns the value of a field that must not stand in more than one line,
// and false if it is missing or repeated.
func only(h http.Header, name string) (string, bool) {
	if lines := h[name]; len(lines) == 1 {
		return trim(lines[0]), true
	}
	return "", false
}
