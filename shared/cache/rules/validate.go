package rules

import (
	"net/http"
	"strings"
	"time"
)

// NotModified reports whether r, answered with s, gets 304 (RFC 9111, section
// 4.3.2; RFC 9110, section 13.2.2):
//
//   - If-None-Match has "*", or a tag that is the ETag of s by weak comparison;
//   - without If-None-Match, If-Modified-Since is a valid date that is not before
//     Last-Modified, or Date where there is none.
//
// It is false for other methods than GET and HEAD, and unless the status of s is
// a 2xx. If-Match and If-Unmodified-Since are not looked at, see
// Request.ForBackend.
func (s *Stored) NotModified(r *Request) bool {
	if !r.Cacheable() || s.Status < 200 || s.Status > 299 {
		return false
	}
	if lines := r.Header["If-None-Match"]; len(lines) > 0 {
		return s.matches(lines)
	}
	lines := r.Header["If-Modified-Since"]
	if len(lines) != 1 {
		return false
	}
	since, ok := ParseDate(lines[0], s.Received)
	changed := s.LastModified
	if changed.IsZero() {
		changed = s.Date // when it was received, if the backend sent none
	}
	return ok && !changed.After(since)
}

// matches compares If-None-Match with the ETag of s.
func (s *Stored) matches(lines []string) bool {
	if len(lines) == 1 && trim(lines[0]) == "*" {
		return true
	}
	for _, line := range lines {
		for line != "" {
			var tag string
			if tag, line = nextTag(line); weakEqual(tag, s.ETag) {
				return true
			}
		}
	}
	return false
}

// RangeHolds reports whether the Range of r applies to s as far as If-Range is
// concerned (RFC 9110, section 13.1.5): there is none, or it is the ETag of s by
// strong comparison, or its Last-Modified and that is a strong validator (section
// 8.8.2.2). Otherwise all of s is sent.
func (s *Stored) RangeHolds(r *Request) bool {
	lines := r.Header["If-Range"]
	if len(lines) == 0 {
		return true
	}
	if len(lines) > 1 {
		return false
	}
	value := trim(lines[0])
	if strings.HasPrefix(value, `"`) || strings.HasPrefix(value, "W/") {
		return strongEqual(value, s.ETag)
	}
	date, ok := ParseDate(value, s.Received)
	return ok && date.Equal(s.LastModified) && s.Date.Sub(s.LastModified) >= time.Second
}

// Combines reports whether two stored responses, of which one at least is a part,
// are of one representation (RFC 9111, section 3.4): both have the same strong
// ETag.
func (s *Stored) Combines(with *Stored) bool { return strongEqual(s.ETag, with.ETag) }

// SetConditions makes the request with header h one that validates stored: all
// responses that are kept for its URI, whatever their variant (RFC 9111, section
// 4.3.1). It returns false if none has a validator.
//
// If-None-Match gets the ETags of all, and If-Modified-Since the Last-Modified of
// the only one, as its backend wrote it. What the client had there is replaced: its
// own condition is evaluated by NotModified afterwards, so that an answer of the
// backend always means what is stored. Range and If-Range are removed, since a
// part would not validate the whole.
func SetConditions(h http.Header, stored ...*Stored) bool {
	for _, key := range [...]string{"If-None-Match", "If-Modified-Since", "If-Range", "Range"} {
		delete(h, key)
	}
	var tags []string
	for _, s := range stored {
		if s.ETag != "" {
			tags = append(tags, s.ETag)
		}
	}
	if len(tags) > 0 {
		h["If-None-Match"] = []string{strings.Join(tags, ", ")}
	}
	if len(stored) == 1 && !stored[0].LastModified.IsZero() {
		h["If-Modified-Since"] = []string{stored[0].modified}
	}
	return len(h["If-None-Match"]) > 0 || len(h["If-Modified-Since"]) > 0
}

// Validated returns which of the stored responses that SetConditions was given a
// 304 with header h is about (RFC 9111, section 4.3.4):
//
//   - it has a strong ETag: all that have the same;
//   - it has a weak ETag or Last-Modified: the latest that corresponds;
//   - it has no validator: the only one there is.
//
// For the last, section 4.3.4 wants that one to be without validators, as the
// condition might be the client's. Here it is never, so that a backend that
// leaves out ETag can only mean the one that was asked for.
//
// If none is returned, the 304 must not be used and the request is sent again
// without conditions.
func Validated(h http.Header, stored ...*Stored) []*Stored {
	if len(stored) == 0 {
		return nil
	}
	var etag string
	if lines := h["Etag"]; len(lines) > 0 {
		etag = trim(lines[0])
	}
	modified := lastModified(h, stored[0].Received)
	switch {
	case isStrong(etag):
		var same []*Stored
		for _, s := range stored {
			if strongEqual(etag, s.ETag) {
				same = append(same, s)
			}
		}
		return same
	case etag != "" || !modified.IsZero():
		var latest *Stored
		for _, s := range stored {
			if s.corresponds(etag, modified) && (latest == nil || s.Date.After(latest.Date)) {
				latest = s
			}
		}
		if latest == nil {
			return nil
		}
		return []*Stored{latest}
	case len(stored) == 1:
		return stored
	}
	return nil
}

// corresponds compares validators weakly: by ETag if both have one.
func (s *Stored) corresponds(etag string, modified time.Time) bool {
	if etag != "" && s.ETag != "" {
		return weakEqual(etag, s.ETag)
	}
	return !modified.IsZero() && modified.Equal(s.LastModified)
}

// nextTag takes the first entity tag from a list. One that breaks the grammar
// ends at the next comma, and is compared as it is.
func nextTag(list string) (tag, rest string) {
	list = strings.TrimLeft(list, " \t,")
	if opaque, quoted := strings.CutPrefix(strings.TrimPrefix(list, "W/"), `"`); quoted {
		if n := strings.IndexByte(opaque, '"'); n >= 0 {
			after := trimLeft(opaque[n+1:])
			if after == "" || after[0] == ',' {
				return list[:len(list)-len(opaque)+n+1], after
			}
		}
	}
	tag, rest, _ = strings.Cut(list, ",")
	return trim(tag), rest
}

// isStrong reports whether tag is an entity tag that is not weak.
func isStrong(tag string) bool { return len(tag) >= 2 && tag[0] == '"' && tag[len(tag)-1] == '"' }

// strongEqual and weakEqual compare entity tags (RFC 9110, section 8.8.3.2).
func strongEqual(a, b string) bool { return isStrong(a) && a == b }

func weakEqual(a, b string) bool {
	return a != "" && b != "" && strings.TrimPrefix(a, "W/") == strings.TrimPrefix(b, "W/")
}
