package partial

import (
	"net/http"
	"strings"
	"time"
)

// dateGap is how much older than Date a Last-Modified must be to be a strong
// validator. RFC 9110, 8.8.2.2, wants a second, or "enough difference" where the
// two need not come from one clock, which a cache can't know; its predecessor
// (RFC 7232, 2.2.2) put that at 60 seconds.
const dateGap = time.Minute

// Validators are what tells one state of a representation from another (RFC 9110,
// 8.8). The zero value tells nothing.
type Validators struct {
	etag     string // with quotes, and W/ if it is weak; "" if there is none
	modified string // Last-Modified as it was sent, if it can be read
	at       time.Time
	strong   bool // Last-Modified is a strong validator (8.8.2.2)
}

// ValidatorsOf reads ETag, Last-Modified and Date of a stored or received
// response. A field that is malformed or repeated counts as missing.
func ValidatorsOf(h http.Header) Validators {
	var v Validators
	if tag, ok := only(h, "Etag"); ok && isTag(tag) {
		v.etag = tag
	}
	modified, ok := only(h, "Last-Modified")
	if !ok {
		return v
	}
	at, err := http.ParseTime(modified)
	if err != nil {
		return v
	}
	v.modified, v.at = modified, at
	if date, ok := only(h, "Date"); ok {
		sent, err := http.ParseTime(date)
		v.strong = err == nil && sent.Sub(at) >= dateGap
	}
	return v
}

// Strong returns the validator by which parts may be combined, in the form of an
// If-Range field, and "" if there is none: the ETag if it is strong, and where
// there is no ETag the Last-Modified if it is. Next to a weak ETag a date proves
// nothing: the backend said itself that it does not tell each change.
func (v Validators) Strong() string {
	switch {
	case strings.HasPrefix(v.etag, `"`):
		return v.etag
	case v.etag == "" && v.strong:
		return v.modified
	}
	return ""
}

// Same reports whether v and other are of the same state of a representation,
// both by a strong validator of the same kind (RFC 9110, 8.8.3.2; RFC 9111, 3.4).
func (v Validators) Same(other Validators) bool {
	if v.Strong() == "" || other.Strong() == "" {
		return false
	}
	if v.etag != "" || other.etag != "" {
		return v.etag == other.etag
	}
	return v.at.Equal(other.at)
}

// holds evaluates If-Range (RFC 9110, 13.1.5).
func (v Validators) holds(ifRange string) bool {
	if isTag(ifRange) {
		return ifRange[0] == '"' && ifRange == v.etag
	}
	at, err := http.ParseTime(ifRange)
	return err == nil && v.strong && at.Equal(v.at)
}

// Holds reports whether the If-Range of r, if it has one, is true of a
// representation with validators v. If it is not, Range is to be ignored.
func (r Request) Holds(v Validators) bool { return !r.conditional || v.holds(r.ifRange) }

// isTag reports whether s is an entity-tag (RFC 9110, 8.8.3).
func isTag(s string) bool {
	s = strings.TrimPrefix(s, "W/")
	if len(s) < 2 || s[0] != '"' || s[len(s)-1] != '"' {
		return false
	}
	for i := 1; i < len(s)-1; i++ {
		if c := s[i]; c <= ' ' || c == '"' || c == 0x7f {
			return false
		}
	}
	return true
}
