package rules

import (
	"net/http"
	"time"
)

// Absent is the value of a directive with a time that is not there.
const Absent time.Duration = -1

// A Request is what the rules need of a request, read once by ReadRequest.
// Times are Absent where the client did not give them.
type Request struct {
	Method string
	Header http.Header // read, never changed

	NoCache      bool // or Pragma: no-cache without Cache-Control
	NoStore      bool
	NoTransform  bool
	OnlyIfCached bool // a miss is answered by 504

	MaxAge       time.Duration
	MinFresh     time.Duration
	MaxStale     time.Duration // without a value: 2^31 s
	StaleIfError time.Duration // RFC 5861, section 4
}

// ReadRequest reads the directives of a request (RFC 9111, section 5.2.1). The
// keys of h must be canonical. It keeps h and allocates nothing.
//
// Of a directive that comes twice the stricter value counts. An argument that is
// no number makes max-age 0, and the others absent.
func ReadRequest(method string, h http.Header) Request {
	r := Request{
		Method: method, Header: h,
		MaxAge: Absent, MinFresh: Absent, MaxStale: Absent, StaleIfError: Absent,
	}
	lines := h["Cache-Control"]
	for _, line := range lines {
		m := memberScanner{rest: line}
		for d, ok := m.next(); ok; d, ok = m.next() {
			r.set(d)
		}
	}
	if len(lines) == 0 {
		// Section 5.4: Pragma counts only for clients that know nothing newer.
		r.NoCache = hasMember(h["Pragma"], "no-cache")
	}
	return r
}

// set takes in one directive.
func (r *Request) set(d directive) {
	var buf [maxDirective]byte
	switch string(d.lowerName(&buf)) {
	case "no-cache":
		r.NoCache = true
	case "no-store":
		r.NoStore = true
	case "no-transform":
		r.NoTransform = true
	case "only-if-cached":
		r.OnlyIfCached = true
	case "max-age":
		seconds, _ := d.seconds()
		r.MaxAge = least(r.MaxAge, seconds)
	case "min-fresh":
		if seconds, ok := d.seconds(); ok {
			r.MinFresh = max(r.MinFresh, seconds)
		}
	case "max-stale":
		if seconds, ok := d.seconds(); ok {
			r.MaxStale = least(r.MaxStale, seconds)
		} else if d.valid && !d.hasValue {
			r.MaxStale = least(r.MaxStale, maxDelta)
		}
	case "stale-if-error":
		if seconds, ok := d.seconds(); ok {
			r.StaleIfError = least(r.StaleIfError, seconds)
		}
	}
}

// Cacheable reports whether a stored response may answer r at all: GET and HEAD
// (RFC 9111, section 4). All other methods go to the backend, and Invalidated
// says what their answer does to the cache.
func (r *Request) Cacheable() bool {
	return r.Method == http.MethodGet || r.Method == http.MethodHead
}

// ForBackend reports whether r has If-Match or If-Unmodified-Since, which only a
// backend can evaluate (RFC 9111, section 4.3.2). Such a request goes past the
// cache.
func (r *Request) ForBackend() bool {
	return len(r.Header["If-Match"]) > 0 || len(r.Header["If-Unmodified-Since"]) > 0
}
