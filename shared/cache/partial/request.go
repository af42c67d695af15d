package partial

import (
	"cmp"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// A Request is what a request says about ranges. The zero value asks for the
// whole.
type Request struct {
	specs       []spec
	ifRange     string
	conditional bool // there is an If-Range
}

// spec is one range of a Range field: first-last, first- or -suffix.
type spec struct {
	first  int64 // of a suffix range: its length
	last   int64 // math.MaxInt64: to the end
	suffix bool
}

// ParseRequest reads Range and If-Range of a request with this method. A Range
// field that is to be ignored makes the zero Request: one with another method
// than GET, the only one it is defined for (RFC 9110, 14.2), with another unit
// than bytes, with a mistake in any range (14.1.1), in more than one line, or with
// more than limit ranges. A limit of 0 ignores every Range field.
func ParseRequest(method string, h http.Header, limit int) Request {
	if method != http.MethodGet {
		return Request{}
	}
	value, ok := only(h, "Range")
	if !ok {
		return Request{}
	}
	specs := parseSpecs(value, limit)
	if len(specs) == 0 {
		return Request{}
	}
	r := Request{specs: specs, conditional: len(h["If-Range"]) > 0}
	if r.conditional {
		r.ifRange, _ = only(h, "If-Range") // "" never holds
	}
	return r
}

// Partial reports whether r asks for less than the whole, as far as can be seen
// before it is known what is stored.
func (r Request) Partial() bool { return len(r.specs) > 0 }

// parseSpecs reads a ranges-specifier (RFC 9110, 14.1.1). White space may stand
// around commas only. It returns nil for one that is to be ignored.
func parseSpecs(value string, limit int) []spec {
	unit, set, ok := strings.Cut(value, "=")
	if !ok || !strings.EqualFold(unit, "bytes") || limit <= 0 {
		return nil
	}
	if set == "" || isBlank(set[0]) {
		return nil
	}
	var specs []spec
	empty := 0
	for more := true; more; {
		var element string
		element, set, more = strings.Cut(set, ",")
		element = trim(element)
		if element == "" { // 5.6.1.2: a few of them are to be tolerated
			if empty++; empty > limit {
				return nil
			}
			continue
		}
		s, ok := parseSpec(element)
		if !ok || len(specs) == limit {
			return nil
		}
		specs = append(specs, s)
	}
	return specs
}

// parseSpec reads one range-spec.
func parseSpec(s string) (spec, bool) {
	first, last, ok := strings.Cut(s, "-")
	if !ok {
		return spec{}, false
	}
	firstPos, firstOK := parsePosition(first)
	lastPos, lastOK := parsePosition(last)
	switch {
	case first == "":
		return spec{first: lastPos, suffix: true}, lastOK
	case last == "":
		return spec{first: firstPos, last: math.MaxInt64}, firstOK
	}
	return spec{first: firstPos, last: lastPos}, firstOK && lastOK && !lessDigits(last, first)
}

// parsePosition reads 1*DIGIT. A number too large stands for the largest.
func parsePosition(s string) (int64, bool) {
	if !isDigits(s) {
		return 0, false
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return math.MaxInt64, true // nothing but the size can be wrong with digits
	}
	return n, true
}

func isDigits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return s != ""
}

// lessDigits reports whether a is less than b, two numbers of any length.
func lessDigits(a, b string) bool {
	a, b = strings.TrimLeft(a, "0"), strings.TrimLeft(b, "0")
	if len(a) != len(b) {
		return len(a) < len(b)
	}
	return a < b
}

// span returns the bytes of a representation of size bytes that s selects, and
// false if there are none.
func (s spec) span(size int64) (Span, bool) {
	if s.suffix {
		return Span{size - min(s.first, size), size}, s.first > 0 && size > 0
	}
	if s.first >= size {
		return Span{}, false
	}
	return Span{s.first, min(s.last, size-1) + 1}, true
}

// minGap is how many bytes apart two ranges must be to stay two parts: about
// what the head of a part takes (RFC 9110, 15.3.7.2, speaks of 80; ours is longer
// by its boundary).
const minGap = 128

// placed is a span and which range of the request it is for.
type placed struct {
	Span
	at int
}

// spans returns what of size bytes r selects, in the order of the request, with
// neighbours merged.
func (r Request) spans(size int64) []Span {
	list := make([]placed, 0, len(r.specs))
	for i, s := range r.specs {
		if span, ok := s.span(size); ok {
			list = append(list, placed{span, i})
		}
	}
	slices.SortFunc(list, func(a, b placed) int { return cmp.Compare(a.From, b.From) })
	merged := list[:0]
	for _, p := range list {
		if n := len(merged); n > 0 && p.From-merged[n-1].To < minGap {
			last := &merged[n-1]
			last.To, last.at = max(last.To, p.To), min(last.at, p.at)
			continue
		}
		merged = append(merged, p)
	}
	slices.SortFunc(merged, func(a, b placed) int { return a.at - b.at })
	spans := make([]Span, len(merged))
	for i, p := range merged {
		spans[i] = p.Span
	}
	return spans
}
