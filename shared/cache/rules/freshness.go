package rules

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

// A Source says where a freshness lifetime comes from.
type Source uint8

const (
	SourceNone       Source = iota // nowhere: the lifetime is 0
	SourceExplicit                 // max-age, s-maxage or Expires
	SourceConfigured               // Config.Negative
	SourceHeuristic                // the time since Last-Modified
)

var sourceNames = [...]string{"none", "explicit", "configured", "heuristic"}

// String returns the name for logs.
func (s Source) String() string {
	if int(s) < len(sourceNames) {
		return sourceNames[s]
	}
	return "unknown"
}

// lifetime returns how long the response is fresh, counted from when the backend
// made it (RFC 9111, section 4.2.1).
func (p *Policy) lifetime(s *Stored, h http.Header) (time.Duration, Source) {
	switch {
	case s.SMaxAge != Absent:
		return s.SMaxAge, SourceExplicit
	case s.MaxAge != Absent:
		return s.MaxAge, SourceExplicit
	}
	if lines := h["Expires"]; len(lines) > 0 && !s.Targeted {
		return expires(lines, s), SourceExplicit
	}
	if lifetime, ok := p.config.Negative[s.Status]; ok {
		if lifetime == 0 {
			return 0, SourceNone
		}
		return lifetime, SourceConfigured
	}
	if lifetime := p.heuristic(s); lifetime > 0 {
		return lifetime, SourceHeuristic
	}
	return 0, SourceNone
}

// expires returns the time from Date to Expires. A date that is broken, as the
// usual "0" is, and one that comes twice lie in the past (section 5.3).
func expires(lines []string, s *Stored) time.Duration {
	if len(lines) != 1 {
		return 0
	}
	t, ok := ParseDate(lines[0], s.Received)
	if !ok {
		return 0
	}
	return clamp(t.Sub(s.Date))
}

// heuristic returns a share of the time that the representation has not changed
// for (section 4.2.2). It is for a response whose status allows that, or that
// says public, and whose backend gave no lifetime. A query in the URI does not
// matter: that was RFC 2616.
func (p *Policy) heuristic(s *Stored) time.Duration {
	if s.LastModified.IsZero() || !s.Public && !heuristicallyCacheable(s.Status) {
		return 0
	}
	unchanged := clamp(s.Date.Sub(s.LastModified))
	return min(time.Duration(float64(unchanged)*p.config.HeuristicFraction), p.config.HeuristicMax)
}

// heuristicallyCacheable lists the status codes of RFC 9110, section 15.1.
func heuristicallyCacheable(status int) bool {
	switch status {
	case 200, 203, 204, 206, 300, 301, 308, 404, 405, 410, 414, 501:
		return true
	}
	return false
}

// initialAge returns corrected_initial_age (section 4.2.3).
//
// Date has a resolution of one second, so that the time of receipt is rounded
// down to the same: else a response would be stale up to a second early, and one
// with max-age=1 might never be fresh.
func initialAge(h http.Header, s *Stored, requested time.Time) time.Duration {
	apparent := clamp(s.Received.Truncate(time.Second).Sub(s.Date))
	delay := clamp(s.Received.Sub(requested))
	return min(max(apparent, ageField(h["Age"])+delay), maxDelta)
}

// ageField reads Age. Of several the first counts, and what is no number is
// ignored (section 5.1).
func ageField(lines []string) time.Duration {
	if len(lines) == 0 {
		return 0
	}
	first, _, _ := strings.Cut(lines[0], ",")
	age, _ := parseSeconds(trim(first))
	return age
}

// responseDate returns the Date of a response, or when it was received if it has
// none that is valid (RFC 9110, section 6.6.1).
func responseDate(h http.Header, received time.Time) time.Time {
	if lines := h["Date"]; len(lines) == 1 {
		if t, ok := ParseDate(lines[0], received); ok {
			return t
		}
	}
	return received.Truncate(time.Second).UTC()
}

// Age returns how old the response is at now: current_age of RFC 9111, section
// 4.2.3.
func (s *Stored) Age(now time.Time) time.Duration {
	return min(s.InitialAge+clamp(now.Sub(s.Received)), maxDelta)
}

// TTL returns for how much longer the response is fresh. It is 0 or negative
// once it is stale (section 4.2), which a soft purge can make it earlier.
func (s *Stored) TTL(now time.Time) time.Duration {
	ttl := s.Lifetime - s.Age(now)
	if !s.Purged.IsZero() {
		ttl = min(ttl, max(s.Purged.Sub(now), -maxDelta))
	}
	return ttl
}

// AgeField returns the value of the Age field for a response of that age
// (section 5.1): whole seconds, at most 2^31.
func AgeField(age time.Duration) string {
	return strconv.FormatInt(int64(clamp(age)/time.Second), 10)
}

// clamp keeps a difference of times between 0 and 2^31 s, so that sums of them
// don't overflow.
func clamp(d time.Duration) time.Duration { return min(max(d, 0), maxDelta) }
