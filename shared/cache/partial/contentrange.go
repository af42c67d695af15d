package partial

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// UnknownSize stands for a length that was not sent: the * of "bytes 0-99/*".
const UnknownSize = -1

// errContentRange is in the chain of each error of ParseContentRange.
var errContentRange = errors.New("malformed Content-Range")

// A ContentRange is the value of a Content-Range field (RFC 9110, 14.4).
//
//	bytes 0-99/1234    Span{0, 100}, Size 1234
//	bytes 0-99/*       Span{0, 100}, Size UnknownSize
//	bytes */1234       Span{},       Size 1234: of a 416
type ContentRange struct {
	Span Span  // no bytes: the range was not satisfiable
	Size int64 // of the whole, or UnknownSize
}

// ParseContentRange reads a Content-Range. Besides what is malformed it refuses
// other units than bytes, a range that ends before it begins or behind the whole
// (RFC 9110, 14.4, calls these invalid), and numbers that do not fit.
func ParseContentRange(value string) (ContentRange, error) {
	unit, rest, ok := strings.Cut(value, " ")
	if !ok || !strings.EqualFold(unit, "bytes") {
		return ContentRange{}, fmt.Errorf("%w: %q, want one in bytes", errContentRange, clip(value))
	}
	positions, length, ok := strings.Cut(rest, "/")
	if !ok {
		return ContentRange{}, fmt.Errorf("%w: %q has no length", errContentRange, clip(value))
	}
	c := ContentRange{Size: UnknownSize}
	if length != "*" {
		if c.Size, ok = exactPosition(length); !ok {
			return ContentRange{}, fmt.Errorf("%w: %q is no length", errContentRange, clip(length))
		}
	}
	if positions == "*" {
		if c.Size == UnknownSize {
			return ContentRange{}, fmt.Errorf("%w: %q says nothing", errContentRange, clip(value))
		}
		return c, nil
	}
	first, last, _ := strings.Cut(positions, "-")
	from, fromOK := exactPosition(first)
	to, toOK := exactPosition(last)
	switch {
	case !fromOK || !toOK || to == math.MaxInt64:
		return ContentRange{}, fmt.Errorf("%w: %q is no range", errContentRange, clip(positions))
	case to < from:
		return ContentRange{}, fmt.Errorf("%w: %q ends before it begins", errContentRange, clip(positions))
	case c.Size != UnknownSize && to >= c.Size:
		return ContentRange{}, fmt.Errorf("%w: %q ends behind the whole", errContentRange, clip(value))
	}
	c.Span = Span{from, to + 1}
	return c, nil
}

// Append appends the value of the field to b.
func (c ContentRange) Append(b []byte) []byte {
	b = append(b, "bytes "...)
	if c.Span.Len() > 0 {
		b = appendPositions(b, c.Span)
	} else {
		b = append(b, '*')
	}
	b = append(b, '/')
	if c.Size == UnknownSize {
		return append(b, '*')
	}
	return strconv.AppendInt(b, c.Size, 10)
}

// String returns the value of the field.
func (c ContentRange) String() string { return string(c.Append(nil)) }

// exactPosition reads 1*DIGIT that fits an int64.
func exactPosition(s string) (int64, bool) {
	if !isDigits(s) {
		return 0, false
	}
	n, err := strconv.ParseInt(s, 10, 64)
	return n, err == nil
}

// clip shortens a value from outside for the text of an error.
func clip(s string) string {
	if len(s) > 64 {
		return s[:64] + "..."
	}
	return s
}
