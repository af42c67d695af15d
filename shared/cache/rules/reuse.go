package rules

import (
	"net/http"
	"time"
)

// A Use says what may be done with a stored response.
type Use uint8

const (
	// Validate: ask the backend before it is sent, or fetch anew.
	Validate Use = iota
	// Fresh: send it.
	Fresh
	// Stale: send it, the client takes stale responses (max-stale).
	Stale
	// StaleWhileRevalidate: send it, and have it validated meanwhile.
	StaleWhileRevalidate
	// GatewayTimeout: answer 504, the client wants nothing from the backend
	// (only-if-cached).
	GatewayTimeout
)

var useNames = [...]string{"validate", "fresh", "stale", "stale-while-revalidate", "gateway-timeout"}

// String returns the name for logs.
func (u Use) String() string {
	if int(u) < len(useNames) {
		return useNames[u]
	}
	return "unknown"
}

// A Verdict says what may be done with a stored response for one request.
//
//	Use                     Age, TTL       Forward         Reason
//	Fresh                   TTL > 0        -               -
//	Stale                   TTL <= 0       -               max-stale
//	StaleWhileRevalidate    TTL <= 0       -               stale-while-revalidate
//	Validate                TTL > 0        request         request-no-cache, -max-age, -min-fresh
//	Validate                any            stale           no-cache, soft-purged, or none
//	GatewayTimeout          any            -               only-if-cached
type Verdict struct {
	Use     Use
	Forward Forward // what Cache-Status says if the request goes to the backend
	Reason  Reason
	Age     time.Duration // what the Age field says
	TTL     time.Duration // freshness left, 0 or negative when stale

	// OnError allows to send the response if the backend fails or IsFailure
	// says so of its answer, and OnOutage if no backend can be reached.
	OnError, OnOutage bool
}

// Reuse decides about s for r at now (RFC 9111, section 4; RFC 5861; RFC 8246).
// That s matches the request's URI and Vary is the caller's part. It allocates
// nothing.
//
// A response that is fresh and immutable is not validated for max-age=0, which is
// what a browser sends for a reload, but for no-cache it is (RFC 8246, section 2).
// After a soft purge it is stale as if its lifetime had ended then: it may be sent
// while it is validated, in place of an error, and within Grace, as far as it
// allows that itself, but not for a client's max-stale.
func (s *Stored) Reuse(p *Policy, r *Request, now time.Time) Verdict {
	v := Verdict{Age: s.Age(now), TTL: s.TTL(now)}
	s.allowErrors(p, r, &v)
	obey := !p.config.IgnoreReload
	switch {
	case s.NoCache:
		v.Forward, v.Reason = FwdStale, ReasonNoCache
	case v.TTL > 0:
		if obey {
			v.Reason = s.unwanted(r, &v)
		}
		if v.Reason == NoReason {
			v.Use = Fresh
			return v
		}
		v.Forward = FwdRequest
	default:
		if v.Use, v.Reason = s.whileStale(obey, r, &v); v.Use != Validate {
			return v
		}
		v.Forward = FwdStale
		if !s.Purged.IsZero() && s.Lifetime > v.Age {
			v.Reason = ReasonSoftPurged
		}
	}
	if r.OnlyIfCached {
		v.Use, v.Forward, v.Reason = GatewayTimeout, NotForwarded, ReasonOnlyIfCached
	}
	return v
}

// unwanted returns which directive of the request a fresh response does not
// satisfy. Max-age=0 asks for validation even if no time has passed.
func (s *Stored) unwanted(r *Request, v *Verdict) Reason {
	reload := r.MaxAge == 0 && !s.Immutable
	switch {
	case r.NoCache:
		return ReasonRequestNoCache
	case reload || r.MaxAge > 0 && v.Age > r.MaxAge:
		return ReasonRequestMaxAge
	case r.MinFresh != Absent && v.TTL < r.MinFresh:
		return ReasonRequestMinFresh
	}
	return NoReason
}

// whileStale decides about a stale response (section 4.2.4).
func (s *Stored) whileStale(obey bool, r *Request, v *Verdict) (Use, Reason) {
	if s.strict() || obey && (r.NoCache || r.MinFresh != Absent) {
		return Validate, NoReason
	}
	stale := -v.TTL
	if r.MaxStale != Absent && stale <= r.MaxStale && s.Purged.IsZero() &&
		!(obey && r.MaxAge != Absent && (r.MaxAge == 0 || v.Age > r.MaxAge)) {
		return Stale, ReasonMaxStale
	}
	// With max-age the client says that it wants nothing stale (section 5.2.1.1).
	if stale < s.StaleWhileRevalidate && !(obey && r.MaxAge != Absent) {
		return StaleWhileRevalidate, ReasonWhileRevalidate
	}
	return Validate, NoReason
}

// allowErrors sets OnError and OnOutage. A client that says no-cache gets an
// error rather than a stored response, unless it says stale-if-error too.
func (s *Stored) allowErrors(p *Policy, r *Request, v *Verdict) {
	refuses := r.NoCache && !p.config.IgnoreReload
	switch {
	case s.NoCache:
		return
	case v.TTL > 0:
		v.OnError = !refuses || r.StaleIfError > 0
	case s.strict():
		return
	default:
		stale := -v.TTL
		v.OnError = stale < r.StaleIfError || stale < s.StaleIfError && !refuses
		v.OnOutage = stale < p.config.Grace && !refuses
	}
	v.OnOutage = v.OnOutage || v.OnError
}

// IsFailure reports whether a status counts as an error for stale-if-error (RFC
// 5861, section 4), and may count as one while validating (RFC 9111, section
// 4.3.3).
func IsFailure(status int) bool {
	switch status {
	case http.StatusInternalServerError, http.StatusBadGateway,
		http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	}
	return false
}
