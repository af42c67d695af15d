package hop

import "net/http"

// DropClaims removes the fields with which a client could pass itself off as a
// tier or as a trusted proxy: its address, scheme, host and certificate, the
// request id, the trace, the path to use instead of the one that the rules saw,
// and everything under our own prefix. A name counts however its case is and
// whether it is written with '-', '_' or '.', since many backends cannot tell
// X_Forwarded_For from X-Forwarded-For.
//
// Via, CDN-Loop and Early-Data stay: they are appended to, and the RFCs forbid
// their removal; what a client writes there harms only itself.
func DropClaims(h http.Header) {
	for name := range h {
		if isClaim(name) {
			delete(h, name)
		}
	}
}

// isClaim looks at the first letter before anything else: most fields of a
// request are done with then.
func isClaim(name string) bool {
	if name == "" {
		return false
	}
	switch name[0] | 0x20 {
	case 'x', 'f', 't', 'c', 'p', 's':
	default:
		return false
	}
	var buf [maxName]byte
	key := fold(&buf, name)
	switch string(key) {
	case "forwarded", "traceparent", "tracestate", "proxy", // proxy: httpoxy, CVE-2016-5385
		"client-ip", "client-cert", "client-cert-chain", // RFC 9440
		"true-client-ip", "cf-connecting-ip", "cf-connecting-ipv6", "fastly-client-ip",
		"x-real-ip", "x-client-ip", "x-cluster-client-ip", "x-remote-ip", "x-remote-addr", "x-remote-user",
		"x-request-id", "x-original-url", "x-original-uri", "x-rewrite-url", "x-original-host", "x-host",
		"x-original-forwarded-for", "x-original-remote-addr", "x-url-scheme", "x-scheme", "x-front-end-https":
		return true
	}
	for _, prefix := range [...]string{"x-forwarded", "x-client-cert", "x-client-verify", "x-client-dn",
		"x-ssl-client", "ssl-client", "x-ergo-"} {
		if hasPrefix(key, prefix) {
			return true
		}
	}
	return false
}
