package rules

import (
	"net/http"
	"net/url"
	"strings"
)

// IsSafe reports whether a method is one that asks for no change (RFC 9110,
// section 9.2.1, and the methods that are registered as safe). Any other, also
// one that nobody knows, is unsafe.
func IsSafe(method string) bool {
	switch method {
	case "GET", "HEAD", "OPTIONS", "TRACE", "PROPFIND", "REPORT", "SEARCH", "QUERY":
		return true
	}
	return false
}

// Invalidated returns the URIs whose stored responses an answer invalidates (RFC
// 9111, section 4.4): none unless the method is unsafe and the status a 2xx or
// 3xx; else target, and what Location and Content-Location refer to if it has the
// same origin as target. Target is the absolute URI of the request.
//
// The URIs have no fragment, a host in lower case and no default port. Paths are
// as they came.
func Invalidated(method string, status int, target *url.URL, h http.Header) []*url.URL {
	if IsSafe(method) || status < 200 || status > 399 {
		return nil
	}
	first := normalise(target)
	uris := []*url.URL{first}
	for _, key := range [...]string{"Location", "Content-Location"} {
		if len(h[key]) != 1 {
			continue
		}
		reference, err := url.Parse(trim(h[key][0]))
		if err != nil {
			continue
		}
		uri := normalise(target.ResolveReference(reference))
		if uri.Scheme == first.Scheme && uri.Host == first.Host && !contains(uris, uri) {
			uris = append(uris, uri)
		}
	}
	return uris
}

// GroupsInvalidated returns the cache groups of the target's origin that an
// answer invalidates (RFC 9875, section 3): the strings in
// Cache-Group-Invalidation, unless the method is safe. A group that goes this way
// takes no further ones with it (section 2.2.1).
func GroupsInvalidated(method string, h http.Header) []string {
	lines := h["Cache-Group-Invalidation"]
	if IsSafe(method) || len(lines) == 0 {
		return nil
	}
	groups, ok := parseStrings(lines)
	if !ok {
		return nil
	}
	return unique(groups)
}

func normalise(u *url.URL) *url.URL {
	n := *u
	n.Fragment, n.RawFragment, n.User = "", "", nil
	n.Scheme, n.Host = strings.ToLower(n.Scheme), strings.ToLower(n.Host)
	switch n.Scheme {
	case "http":
		n.Host = strings.TrimSuffix(n.Host, ":80")
	case "https":
		n.Host = strings.TrimSuffix(n.Host, ":443")
	}
	n.Host = strings.TrimSuffix(n.Host, ":")
	if n.Path == "" {
		n.Path = "/"
	}
	return &n
}

func contains(uris []*url.URL, uri *url.URL) bool {
	for _, u := range uris {
		if u.String() == uri.String() {
			return true
		}
	}
	return false
}
