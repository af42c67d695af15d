package requestpath

import "strings"

// Host returns the host of an authority ("Example.COM.:8443", "[2001:db8::1]")
// in the form that rules are compared with: without port, final dot and
// brackets, in lower case. It does not allocate for a host that is in lower
// case.
func Host(authority string) string {
	host := authority
	if inner, ok := strings.CutPrefix(host, "["); ok {
		host, _, _ = strings.Cut(inner, "]")
	} else if i := strings.IndexByte(host, ':'); i >= 0 && i == strings.LastIndexByte(host, ':') {
		host = host[:i] // more than one colon: an IPv6 address without brackets
	}
	return strings.ToLower(strings.TrimSuffix(host, "."))
}
