package partial

import (
	"encoding/hex"
	"fmt"
	"io"
	"math"
	"net/http"
	"strconv"
	"strings"
)

// A Plan says how a request is answered from a stored representation.
type Plan struct {
	Status int    // 200, 206 or 416
	Spans  []Span // what of the representation the answer holds, in the order of sending
	Size   int64  // of the whole representation

	conditional bool
}

// Plan decides how r is answered where a GET without Range would get a 200 with
// this header and size bytes; only then is Range looked at (RFC 9110, 14.2), and
// after all other preconditions (13.2.2). Size must be known and exact, but the
// bytes need not be there yet.
func (r Request) Plan(stored http.Header, size int64) Plan {
	whole := Plan{Status: http.StatusOK, Size: size}
	if size > 0 {
		whole.Spans = []Span{{0, size}}
	}
	if !r.Partial() || size <= 0 || r.conditional && !r.Holds(ValidatorsOf(stored)) {
		return whole
	}
	spans := r.spans(size)
	switch {
	case len(spans) == 0:
		return Plan{Status: http.StatusRequestedRangeNotSatisfiable, Size: size}
	case len(spans) > 1 && (isCoded(stored) || size > math.MaxInt64/2): // half leaves room for the heads of the parts
		return whole
	}
	return Plan{Status: http.StatusPartialContent, Spans: spans, Size: size, conditional: r.conditional}
}

// isCoded reports whether the representation has a coding (RFC 9110, 8.4).
func isCoded(h http.Header) bool {
	for _, line := range h["Content-Encoding"] {
		if value := trim(line); value != "" && !strings.EqualFold(value, "identity") {
			return true
		}
	}
	return false
}

// ofMessage are fields that are true of the content of one message, stored whole
// or part (RFC 9530, 2, and its predecessor), or of how it is sent, and of no
// other.
var ofMessage = []string{"Content-Digest", "Content-Md5", "Content-Range", "Content-Length", "Transfer-Encoding", "Trailer"}

// known are the fields about the representation that a client with an If-Range
// has already, except those that RFC 9110, 15.3.7, wants to be sent again.
// Last-Modified is dealt with apart.
var known = []string{"Content-Type", "Content-Encoding", "Content-Language", "Content-Disposition", "Repr-Digest", "Digest"}

// notOfError are the fields about the representation or its freshness that
// those of known leave. They say nothing true about a 416.
var notOfError = []string{"Etag", "Last-Modified", "Content-Location", "Cache-Control", "Expires", "Age"}

// An Answer is a response, its header made and its length counted before the
// first byte of its body is read.
type Answer struct {
	Status int
	Header http.Header // with Content-Length
	Length int64       // bytes of the body

	pieces []piece
}

// piece is what a body holds in a row: text of ours, then stored bytes.
type piece struct {
	text string
	span Span
}

func (p piece) len() int64 { return int64(len(p.text)) + p.span.Len() }

// Answer makes the response that p says. Stored is the header of the stored 200,
// or of the one that its parts make, as it would be sent: Age and the like are
// set already. It is not changed.
//
// A 206 has all fields of stored, but with an If-Range those about the
// representation only that RFC 9110, 15.3.7, requires, and Last-Modified where
// there is no ETag: without it a cache behind us could not combine the part. A
// Content-Type left out is there with a nil value, which keeps net/http from
// guessing one.
//
// Random is where the boundary of several parts comes from: crypto/rand.Reader,
// since who knows it could write bodies that end a part. It is read for
// multipart answers only, and an error comes from nowhere else.
func (p Plan) Answer(stored http.Header, random io.Reader) (*Answer, error) {
	a := &Answer{Status: p.Status, Header: stored.Clone()}
	if a.Header == nil {
		a.Header = http.Header{}
	}
	switch {
	case p.Status == http.StatusOK:
		for _, span := range p.Spans {
			a.pieces = append(a.pieces, piece{span: span})
		}
	case p.Status == http.StatusRequestedRangeNotSatisfiable:
		drop(a.Header, ofMessage, known, notOfError)
		a.Header.Set("Content-Range", ContentRange{Size: p.Size}.String())
	case len(p.Spans) == 1:
		p.trimHeader(a.Header)
		a.Header.Set("Content-Range", ContentRange{p.Spans[0], p.Size}.String())
		a.pieces = []piece{{span: p.Spans[0]}}
	default:
		p.trimHeader(a.Header)
		if err := p.multipart(a, stored.Get("Content-Type"), random); err != nil {
			return nil, err
		}
	}
	for _, piece := range a.pieces {
		a.Length += piece.len()
	}
	a.Header.Set("Content-Length", strconv.FormatInt(a.Length, 10))
	if _, ok := a.Header["Content-Type"]; !ok {
		a.Header["Content-Type"] = nil
	}
	return a, nil
}

// trimHeader removes from the header of a 206 what it must not or need not have.
func (p Plan) trimHeader(h http.Header) {
	drop(h, ofMessage)
	if !p.conditional {
		return
	}
	drop(h, known)
	if len(h["Etag"]) > 0 {
		delete(h, "Last-Modified")
	}
}

func drop(h http.Header, lists ...[]string) {
	for _, names := range lists {
		for _, name := range names {
			delete(h, name)
		}
	}
}

// multipart lays out a multipart/byteranges body (RFC 9110, 14.6) and sets its
// type, in which each part has the type of the whole, whatever If-Range said: the
// boundary needs a Content-Type anyway. The head of the message has no
// Content-Range (15.3.7.2).
//
//	--boundary CRLF head CRLF bytes CRLF --boundary CRLF ... bytes CRLF --boundary-- CRLF
func (p Plan) multipart(a *Answer, contentType string, random io.Reader) error {
	var seed [16]byte
	if _, err := io.ReadFull(random, seed[:]); err != nil {
		return fmt.Errorf("make a boundary: %w", err)
	}
	boundary := hex.EncodeToString(seed[:])
	head := "--" + boundary + "\r\n"
	if isSafe(contentType) {
		head += "Content-Type: " + contentType + "\r\n"
	}
	head += "Content-Range: "
	for i, span := range p.Spans {
		text := head + ContentRange{span, p.Size}.String() + "\r\n\r\n"
		if i > 0 {
			text = "\r\n" + text
		}
		a.pieces = append(a.pieces, piece{text, span})
	}
	a.pieces = append(a.pieces, piece{text: "\r\n--" + boundary + "--\r\n"})
	a.Header.Set("Content-Type", "multipart/byteranges; boundary="+boundary)
	return nil
}

// isSafe reports whether a stored field value can stand in the head of a part,
// which no library looks over before it is sent.
func isSafe(value string) bool {
	for i := range len(value) {
		if c := value[i]; c < ' ' && c != '\t' || c == 0x7f {
			return false
		}
	}
	return value != ""
}
