package rules

import (
	"net/http"
	"slices"
	"strings"
	"time"
)

// A Response is what the rules need of a response that came from the backend, or
// that was kept.
type Response struct {
	Status    int
	Header    http.Header // read, never changed; keys are canonical
	Requested time.Time   // when its request was sent
	Received  time.Time   // when its head came
}

// A Stored is what the rules keep of a stored response: parsed once, then only
// read. All times are in whole seconds but those of the cache itself.
type Stored struct {
	Status     int
	Directives      // of Cache-Control or of the field that stands above it
	Targeted   bool // it was a targeted field

	Lifetime   time.Duration // freshness lifetime, counted from an age of 0
	Source     Source        // of Lifetime
	InitialAge time.Duration // age when it was received
	Received   time.Time
	Date       time.Time // Received, if the backend sent none

	ETag         string    // as it was sent; "" if there is none, or two
	LastModified time.Time // zero if there is none, or none that is valid
	modified     string    // LastModified as it was sent

	Vary   []string // canonical field names, sorted
	Tags   []string // of Surrogate-Key and Cache-Tag, sorted
	Groups []string // of Cache-Groups, sorted; they belong to the origin

	// Purged is when a soft purge made the response stale, zero if none did. The
	// caller sets it, on a copy if others read the Stored.
	Purged time.Time
}

// Store decides whether a response to r may be stored (RFC 9111, section 3), and
// returns what the rules keep of it. It is stored if the Reason is NoReason.
//
// Responses to HEAD are not stored, they only update those to GET, see
// HeadMatches. Those to POST are not either: RFC 9110 (section 9.3.3) allows it
// where lifetime and Content-Location are given, and they could then answer GET
// only, which the next GET achieves without trust in a rare combination.
func (p *Policy) Store(r *Request, resp Response) (Stored, Reason) {
	s, limit := p.read(&resp)
	for _, why := range [...]Reason{p.refuse(r, &resp, &s), limit, s.refuseFreshness()} {
		if why != NoReason {
			return s, why
		}
	}
	return s, NoReason
}

// Read returns what Store returned for a response that was stored, from the
// fields and times that were kept of it.
func (p *Policy) Read(resp Response) Stored {
	s, _ := p.read(&resp)
	return s
}

// read parses a response. The Reason tells of a limit that was passed.
func (p *Policy) read(resp *Response) (Stored, Reason) {
	h := resp.Header
	s := Stored{Status: resp.Status, Received: resp.Received}
	s.Directives, s.Targeted = p.directives(h)
	s.Date = responseDate(h, s.Received)
	if lines := h["Etag"]; len(lines) == 1 {
		s.ETag = trim(lines[0])
	}
	if s.LastModified = lastModified(h, s.Received); !s.LastModified.IsZero() {
		s.modified = trim(h["Last-Modified"][0])
	}
	s.Lifetime, s.Source = p.lifetime(&s, h)
	s.InitialAge = initialAge(h, &s, resp.Requested)
	vary, why := readVary(h["Vary"], p.config.MaxVary)
	s.Vary = vary
	tags, groups, tagWhy := readTags(h, p.config.MaxTags, p.config.MaxTagBytes)
	s.Tags, s.Groups = tags, groups
	if why == NoReason {
		why = tagWhy
	}
	return s, why
}

func lastModified(h http.Header, received time.Time) time.Time {
	if lines := h["Last-Modified"]; len(lines) == 1 {
		if t, ok := ParseDate(lines[0], received); ok {
			return t
		}
	}
	return time.Time{}
}

// refuse checks what section 3 demands, and Set-Cookie.
func (p *Policy) refuse(r *Request, resp *Response, s *Stored) Reason {
	known := understood(s.Status, p.config.Parts)
	switch {
	case r.Method != http.MethodGet:
		return ReasonMethod
	case s.Status == http.StatusPartialContent && !p.combines(resp.Header):
		return ReasonPartial
	case s.Status < 200 || s.Status > 599 || s.Status == http.StatusNotModified || neverStored(s.Status):
		return ReasonStatus
	case s.MustUnderstand && !known:
		return ReasonStatus
	case r.NoStore:
		return ReasonRequestNoStore
	case s.NoStore && !s.MustUnderstand: // section 5.2.2.3
		return ReasonNoStore
	case s.Private:
		return ReasonPrivate
	case len(r.Header["Authorization"]) > 0 && !s.MustRevalidate && !s.Public && s.SMaxAge == Absent:
		return ReasonAuthorization // section 3.5
	case s.setsCookie(resp.Header) && p.config.SetCookie == CookieRefuse && !s.shared():
		return ReasonSetCookie
	}
	if _, listed := p.config.Negative[s.Status]; s.Source == SourceNone && !s.Public &&
		(listed || !heuristicallyCacheable(s.Status)) {
		return ReasonNoFreshness
	}
	return NoReason
}

// refuseFreshness refuses what could never be sent: stale when it came, without
// anything to validate it by, and without a time that it may be sent stale for.
// Grace is no such time, else every page that a backend makes anew each time
// would be kept for the day that the backend is gone.
func (s *Stored) refuseFreshness() Reason {
	fresh := s.Lifetime > s.InitialAge && !s.NoCache
	validator := s.ETag != "" || !s.LastModified.IsZero()
	stale := !s.strict() && (s.StaleWhileRevalidate > 0 || s.StaleIfError > 0)
	switch {
	case fresh || validator || stale:
		return NoReason
	case s.Source == SourceNone:
		return ReasonNoFreshness
	}
	return ReasonNeverUsable
}

// shared reports whether the response says that it is meant for shared caches.
func (s *Stored) shared() bool {
	return s.Public || s.SMaxAge != Absent || s.Targeted
}

// setsCookie reports whether a Set-Cookie is among what would be stored.
func (s *Stored) setsCookie(h http.Header) bool {
	const key = "Set-Cookie"
	return len(h[key]) > 0 && !slices.Contains(s.PrivateFields, key) && !slices.Contains(s.NoCacheFields, key)
}

// combines reports whether a 206 may be stored: one range, of bytes (RFC 9111,
// section 3.3).
func (p *Policy) combines(h http.Header) bool {
	ranges := h["Content-Range"]
	return p.config.Parts && len(ranges) == 1 && len(ranges[0]) > len("bytes ") &&
		strings.EqualFold(ranges[0][:len("bytes ")], "bytes ")
}

// understood lists the final status codes whose caching we know, for
// must-understand (section 5.2.2.3): those of RFC 9110, section 15, and 451.
func understood(status int, parts bool) bool {
	switch {
	case status == http.StatusPartialContent:
		return parts
	case status == http.StatusNotModified, status == 306, status == 418:
		return false
	case status == http.StatusUnavailableForLegalReasons:
		return true
	}
	return 200 <= status && status <= 205 || 300 <= status && status <= 308 ||
		400 <= status && status <= 417 || status == 421 || status == 422 || status == 426 ||
		500 <= status && status <= 505
}

// neverStored lists the status codes that RFC 6585 keeps out of caches, whatever
// else the response says.
func neverStored(status int) bool {
	switch status {
	case http.StatusPreconditionRequired, http.StatusTooManyRequests,
		http.StatusRequestHeaderFieldsTooLarge, http.StatusNetworkAuthenticationRequired:
		return true
	}
	return false
}
