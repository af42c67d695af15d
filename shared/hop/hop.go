// Package hop holds what both tiers do to header fields when a message passes:
// what lives on one link is removed, what a client could use to pass itself off
// as a tier is dropped, and what the next hop is told is written from the typed
// fields of the Exchange.
//
//	edge, request from a client:   UpgradeType ▸ ClientFrom ▸ CheckLoop ▸ RemoveHopByHop ▸ DropClaims
//	core, request to a backend:    RemoveHopByHop ▸ AppendVia ▸ AppendLoop ▸ Outbound
//	both, response:                UpgradeType ▸ RemoveHopByHop ▸ AppendVia
//
// The functions change the http.Header they are given, whose keys must be in
// canonical form as net/http makes them. They keep nothing and may be called
// concurrently on different headers. Their cost is linear in the header, whose
// size the listeners limit.
//
// Fields, hops and Via: RFC 9110, section 7.6. Loops: RFC 8586. Forwarded: RFC
// 7239.
package hop

import (
	"net/http"
	"strings"
)

// hopByHop are the fields that live on one link (RFC 9110, section 7.6.1), in
// canonical form. TE is treated apart. Trailer is among them because the
// trailers travel as Request.Trailer and Response.Trailer, and who writes the
// next message announces them itself.
var hopByHop = [...]string{
	"Connection", "Keep-Alive", "Proxy-Connection", "Proxy-Authenticate", "Proxy-Authorization",
	"Proxy-Authentication-Info", "Trailer", "Transfer-Encoding", "Upgrade", "Http2-Settings",
}

// RemoveHopByHop removes the fields that live on one link, and those that
// Connection nominates. TE is reduced to "trailers", which gRPC asks for, or
// removed.
//
// A nominated field that is protected stays: fields that RFC 9110 defines for
// the recipient at the end, that carry credentials, or that a tier writes must
// not be nominated (section 7.6.1), and a client that does it wants a later
// step or a backend to see another request than the earlier steps did.
func RemoveHopByHop(h http.Header) {
	// Before the deletions below, which may remove what is read here.
	trailers := hasToken(h["Te"], "trailers")
	for _, value := range h["Connection"] {
		for option := range strings.SplitSeq(value, ",") {
			if option = trim(option); option != "" && !protected(option) {
				h.Del(option)
			}
		}
	}
	for _, field := range hopByHop {
		delete(h, field)
	}
	if trailers {
		h["Te"] = trailersValue
	} else {
		delete(h, "Te")
	}
}

// trailersValue is shared by all requests with TE. Its capacity is its length,
// so that Header.Add copies it.
var trailersValue = []string{"trailers"}[:1:1]

// protected reports whether Connection may not nominate the field called name.
// The first line of its cases are the options that nearly every request has:
// their fields are removed anyway or do not exist, and this way they cost no
// conversion to canonical form.
func protected(name string) bool {
	var buf [maxName]byte
	switch key := fold(&buf, name); string(key) {
	case "close", "keep-alive", "upgrade", "te":
		return true
	case "host", "authorization", "cookie", "set-cookie", "date", "age", "expires", "vary", "etag", "last-modified",
		"location", "range", "accept-ranges", "origin", "referer", "user-agent", "expect", "early-data",
		"via", "cdn-loop", "forwarded", "x-real-ip", "x-request-id", "traceparent", "tracestate",
		"cache-control", "cache-status", "proxy-status", "surrogate-control", "surrogate-key", "www-authenticate":
		return true
	default:
		for _, prefix := range [...]string{"content-", "if-", "accept", "x-forwarded-", "access-control-", "sec-"} {
			if hasPrefix(key, prefix) {
				return true
			}
		}
		return false
	}
}

// UpgradeType returns the protocol that the message offers or switches to with
// Upgrade and Connection: upgrade (RFC 9110, section 7.8), as it was written,
// or "". It is called before RemoveHopByHop.
func UpgradeType(h http.Header) string {
	if len(h["Upgrade"]) == 0 || !hasToken(h["Connection"], "upgrade") {
		return ""
	}
	return h["Upgrade"][0]
}

// hasToken reports whether one of the comma-separated lists holds token, which
// is in lower case, without regard to case and parameters.
func hasToken(values []string, token string) bool {
	for _, value := range values {
		for element := range strings.SplitSeq(value, ",") {
			element, _, _ = strings.Cut(element, ";")
			if strings.EqualFold(trim(element), token) {
				return true
			}
		}
	}
	return false
}

// trim removes the optional white space of RFC 9110, section 5.6.3.
func trim(s string) string { return strings.Trim(s, " \t") }

// maxName is the longest field name that fold looks at; no name that anything
// here compares with is longer.
const maxName = 40

// fold writes name to buf as backends that speak CGI or WSGI see it: case does
// not matter, and neither does the difference between '-', '_' and '.'. Of a
// longer name it writes the first maxName bytes, enough to compare a prefix.
func fold(buf *[maxName]byte, name string) []byte {
	n := min(len(name), maxName)
	for i := range n {
		c := name[i]
		switch {
		case 'A' <= c && c <= 'Z':
			c |= 0x20
		case c == '_' || c == '.':
			c = '-'
		}
		buf[i] = c
	}
	return buf[:n]
}

func hasPrefix(b []byte, prefix string) bool {
	return len(b) >= len(prefix) && string(b[:len(prefix)]) == prefix
}
