package partial

import (
	"cmp"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// Why an answer of a backend is not combined with what is stored.
var (
	// ErrNotCombinable: the answer itself does not allow it. It has no strong
	// validator, several parts, an unknown length, or a malformed Content-Range.
	ErrNotCombinable = errors.New("part can't be combined")
	// ErrChanged: it is of another state of the representation than what is held,
	// which is out of date.
	ErrChanged = errors.New("representation has changed")
	// ErrTooManySpans: it would be one more island than the limit allows.
	ErrTooManySpans = errors.New("too many separate parts")
)

// A Part is a 206 of a backend as far as it matters to what is stored.
type Part struct {
	Span       Span  // what the body holds
	Size       int64 // of the whole
	Validators Validators
}

// ParsePart reads the head of a 206. It returns an error that wraps
// ErrNotCombinable for one that may be passed on, but not be stored (RFC 9110,
// 14.4 and 15.3.7.3): with several parts, without a strong validator, without the
// length of the whole, or whose Content-Range is missing, malformed or of another
// length than its Content-Length.
func ParsePart(h http.Header) (Part, error) {
	mediaType, _, _ := strings.Cut(h.Get("Content-Type"), ";")
	if strings.EqualFold(trim(mediaType), "multipart/byteranges") {
		return Part{}, fmt.Errorf("%w: multipart/byteranges", ErrNotCombinable)
	}
	value, ok := only(h, "Content-Range")
	if !ok {
		return Part{}, fmt.Errorf("%w: want one Content-Range, got %d", ErrNotCombinable, len(h["Content-Range"]))
	}
	c, err := ParseContentRange(value)
	switch {
	case err != nil:
		return Part{}, fmt.Errorf("%w: %w", ErrNotCombinable, err)
	case c.Span.Len() == 0:
		return Part{}, fmt.Errorf("%w: Content-Range %q holds no bytes", ErrNotCombinable, clip(value))
	case c.Size == UnknownSize:
		return Part{}, fmt.Errorf("%w: Content-Range %q without the length of the whole", ErrNotCombinable, clip(value))
	}
	if length, ok := only(h, "Content-Length"); ok {
		if n, ok := exactPosition(length); !ok || n != c.Span.Len() {
			return Part{}, fmt.Errorf("%w: Content-Length %s of %q", ErrNotCombinable, clip(length), clip(value))
		}
	}
	v := ValidatorsOf(h)
	if v.Strong() == "" {
		return Part{}, fmt.Errorf("%w: no strong validator", ErrNotCombinable)
	}
	return Part{Span: c.Span, Size: c.Size, Validators: v}, nil
}

// Held says which bytes of one state of a representation are stored (RFC 9111,
// 3.3 and 3.4). It keeps no bytes. Those are stored before Add is told of them,
// so that what Held covers can be sent.
//
//	size  ├──────────────────────────────────────────────┤
//	spans ▓▓▓▓▓▓▓▓▓▓▓░░░░░░░░░▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓░░░░░░░░░   sorted, never touching
//	Add                 +++++++++                          joins what it touches
//	Missing                        of ░ what lies in a span
type Held struct {
	validators Validators
	size       int64
	limit      int
	spans      []Span
}

// NewHeld returns a Held without bytes for a representation of size bytes with at
// most limit separate spans. It returns an error that wraps ErrNotCombinable if v
// has no strong validator, and panics if size or limit is not positive: no
// answer with a part is of an empty representation.
//
// A 200 that broke off is held like a part from 0 on, provided that it had a
// Content-Length.
func NewHeld(v Validators, size int64, limit int) (*Held, error) {
	if size <= 0 || limit <= 0 {
		panic("partial: NewHeld wants a size and a limit above 0")
	}
	if v.Strong() == "" {
		return nil, fmt.Errorf("%w: no strong validator", ErrNotCombinable)
	}
	return &Held{validators: v, size: size, limit: limit}, nil
}

// Size returns the length of the whole representation.
func (h *Held) Size() int64 { return h.size }

// Validator returns what to send as If-Range with a request for what is missing.
// An answer with 206 is then of the same state, one with 200 is the whole of
// another one.
func (h *Held) Validator() string { return h.validators.Strong() }

// Check returns the error with which Add would refuse p, before its body is
// stored.
func (h *Held) Check(p Part) error {
	if !h.validators.Same(p.Validators) || p.Size != h.size {
		return ErrChanged
	}
	if p.Span.From < 0 || p.Span.Len() <= 0 || p.Span.To > h.size {
		return fmt.Errorf("%w: bytes %d to %d of %d", ErrNotCombinable, p.Span.From, p.Span.To, h.size)
	}
	first, behind := h.touching(p.Span)
	if first == behind && len(h.spans) >= h.limit {
		return fmt.Errorf("%w: limit %d", ErrTooManySpans, h.limit)
	}
	return nil
}

// Add notes that the bytes of p are stored: all that its Content-Range promised,
// or as many from its front as arrived, in p.Span. What was held already may be
// among them. After an error h is as before.
func (h *Held) Add(p Part) error {
	if err := h.Check(p); err != nil {
		return err
	}
	joined := p.Span
	first, behind := h.touching(p.Span)
	if first < behind {
		joined.From = min(joined.From, h.spans[first].From)
		joined.To = max(joined.To, h.spans[behind-1].To)
	}
	h.spans = slices.Replace(h.spans, first, behind, joined)
	return nil
}

// touching returns which of the spans overlap or touch s: from first on, up to
// behind.
func (h *Held) touching(s Span) (first, behind int) {
	first, _ = slices.BinarySearchFunc(h.spans, s.From, func(x Span, from int64) int { return cmp.Compare(x.To, from) })
	for behind = first; behind < len(h.spans) && h.spans[behind].From <= s.To; {
		behind++
	}
	return first, behind
}

// Covers reports whether all bytes of all spans are held. An incomplete
// representation may answer such a request and no other (RFC 9111, 3.3).
func (h *Held) Covers(spans []Span) bool {
	for _, s := range spans {
		for range h.gaps(s) {
			return false
		}
	}
	return true
}

// Missing appends to gaps what of s is not held, in order.
func (h *Held) Missing(gaps []Span, s Span) []Span {
	for gap := range h.gaps(s) {
		gaps = append(gaps, gap)
	}
	return gaps
}

// gaps yields what of s is not held, in order.
func (h *Held) gaps(s Span) iter.Seq[Span] {
	return func(yield func(Span) bool) {
		from := s.From
		first, _ := h.touching(s)
		for _, x := range h.spans[first:] {
			if x.From >= s.To {
				break
			}
			if from < x.From && !yield(Span{from, x.From}) {
				return
			}
			from = max(from, x.To)
		}
		if from < s.To {
			yield(Span{from, s.To})
		}
	}
}

// Complete reports whether the whole is held. It is then a 200 like any other
// (RFC 9110, 15.3.7.3): see Whole.
func (h *Held) Complete() bool { return h.Covers([]Span{{0, h.size}}) }

// Bytes returns how many bytes are held.
func (h *Held) Bytes() int64 {
	var n int64
	for _, s := range h.spans {
		n += s.Len()
	}
	return n
}

// Whole returns the header of the 200 that parts make: that of a part with the
// length of the whole in place of what is true of the part alone (RFC 9110,
// 15.3.7.3). Of a Held that is not complete it is what Plan and Answer take as
// the stored header, too. H is not changed.
func Whole(h http.Header, size int64) http.Header {
	whole := h.Clone()
	drop(whole, ofMessage)
	whole.Set("Content-Length", strconv.FormatInt(size, 10))
	return whole
}
