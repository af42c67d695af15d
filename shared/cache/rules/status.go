package rules

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

// A Forward says why a request went to the backend (RFC 9211, section 2.2).
type Forward uint8

const (
	NotForwarded Forward = iota // a hit
	FwdBypass                   // the cache was told not to handle the request
	FwdMethod                   // its method can't be answered from a cache
	FwdURIMiss                  // nothing is stored for the URI
	FwdVaryMiss                 // something is, but no such variant
	FwdMiss                     // one of the two
	FwdRequest                  // something fresh is, but the request does not want it
	FwdStale                    // something stale is
	FwdPartial                  // only parts are, and not all that are asked for
)

var forwardNames = [...]string{
	"", "bypass", "method", "uri-miss", "vary-miss", "miss", "request", "stale", "partial",
}

// String returns the token, or "" for NotForwarded.
func (f Forward) String() string {
	if int(f) < len(forwardNames) {
		return forwardNames[f]
	}
	return "unknown"
}

// A Collapse says whether a request waited for another one's answer (RFC 9211,
// section 2.6).
type Collapse uint8

const (
	NotCollapsed   Collapse = iota
	Collapsed               // and was answered by it
	CollapseFailed          // but had to go to the backend itself
)

// A CacheStatus is one member of a Cache-Status field: what one cache did.
//
//	ergo-core;hit;ttl=376
//	ergo-core;fwd=stale;fwd-status=304;ttl=60;stored
//	ergo-edge;fwd=uri-miss;collapsed;detail=no-store
type CacheStatus struct {
	Name      string        // of the cache
	Forward   Forward       // NotForwarded: a hit
	FwdStatus int           // what the backend answered, 0 if that is what the client gets
	TTL       time.Duration // freshness left, negative when stale
	HasTTL    bool
	Stored    bool // the answer was stored
	Collapsed Collapse
	Key       string // of the cache, "" to say nothing of it
	Detail    Reason
}

// Append appends c to dst as a list member (RFC 9651, section 4.1). What means
// something only for forwarded requests is left out of a hit. A name that is no
// token becomes a string; bytes that neither may hold become '?' in a name and
// are percent-encoded in a key.
func (c *CacheStatus) Append(dst []byte) []byte {
	if isStructuredToken(c.Name) {
		dst = append(dst, c.Name...)
	} else {
		dst = appendString(dst, c.Name, false)
	}
	if c.Forward == NotForwarded {
		dst = append(dst, ";hit"...)
	} else {
		dst = append(append(dst, ";fwd="...), c.Forward.String()...)
		if c.FwdStatus != 0 {
			dst = strconv.AppendInt(append(dst, ";fwd-status="...), int64(c.FwdStatus), 10)
		}
	}
	if c.HasTTL {
		dst = strconv.AppendInt(append(dst, ";ttl="...), floorSeconds(c.TTL), 10)
	}
	if c.Forward != NotForwarded {
		dst = c.appendForwarded(dst)
	}
	if c.Key != "" {
		dst = appendString(append(dst, ";key="...), c.Key, true)
	}
	if c.Detail != NoReason {
		dst = append(append(dst, ";detail="...), c.Detail.String()...)
	}
	return dst
}

func (c *CacheStatus) appendForwarded(dst []byte) []byte {
	if c.Stored {
		dst = append(dst, ";stored"...)
	}
	switch c.Collapsed {
	case Collapsed:
		dst = append(dst, ";collapsed"...)
	case CollapseFailed:
		dst = append(dst, ";collapsed=?0"...)
	}
	return dst
}

// AddTo adds c to the Cache-Status of h on a line of its own, behind those of the
// caches nearer to the backend (RFC 9211, section 2).
func (c *CacheStatus) AddTo(h http.Header) {
	const key = "Cache-Status"
	// The lines may be shared with a stored response: never write into them.
	lines := h[key]
	h[key] = append(lines[:len(lines):len(lines)], string(c.Append(nil)))
}

// floorSeconds rounds down, so that what is stale by half a second is not 0.
func floorSeconds(d time.Duration) int64 {
	seconds := int64(d / time.Second)
	if d%time.Second < 0 {
		seconds--
	}
	return seconds
}

// appendString appends an sf-string (RFC 9651, section 4.1.6).
func appendString(dst []byte, s string, encode bool) []byte {
	const hex = "0123456789ABCDEF"
	dst = append(dst, '"')
	for i := range len(s) {
		switch c := s[i]; {
		case c == '"' || c == '\\':
			dst = append(dst, '\\', c)
		case c >= 0x20 && c <= 0x7e:
			dst = append(dst, c)
		case encode:
			dst = append(dst, '%', hex[c>>4], hex[c&15])
		default:
			dst = append(dst, '?')
		}
	}
	return append(dst, '"')
}

// isStructuredToken reports whether s is an sf-token (RFC 9651, section 3.3.4).
func isStructuredToken(s string) bool {
	if s == "" || !isAlpha(s[0]) && s[0] != '*' {
		return false
	}
	for i := range len(s) {
		if !isTokenByte(s[i]) && strings.IndexByte(":/", s[i]) < 0 {
			return false
		}
	}
	return true
}
