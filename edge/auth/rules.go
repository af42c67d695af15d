package auth

import (
	"cmp"
	"net/http"
	"slices"
	"strings"

	"github.com/ergoproxy/ergo/shared/requestpath"
)

// rule is a Rule in the form that it is matched in.
type rule struct {
	Rule
	suffix string // of "*.example.com": ".example.com"
}

// compileRules returns rules in the order in which they are tried: what is more
// special goes first.
func compileRules(rules []Rule) []rule {
	compiled := make([]rule, len(rules))
	for i, r := range rules {
		compiled[i] = rule{Rule: r}
		compiled[i].Host = requestpath.Host(r.Host)
		if strings.HasPrefix(r.Host, "*.") {
			compiled[i].suffix = requestpath.Host(r.Host[1:])
		}
		compiled[i].Methods = slices.Sorted(slices.Values(r.Methods))
	}
	slices.SortStableFunc(compiled, func(a, b rule) int {
		return cmp.Or(
			-cmp.Compare(len(strings.TrimSuffix(a.Path, "/")), len(strings.TrimSuffix(b.Path, "/"))),
			cmp.Compare(a.Path, b.Path),
			-cmp.Compare(a.hostRank(), b.hostRank()),
			cmp.Compare(a.Host, b.Host),
			-cmp.Compare(min(len(a.Methods), 1), min(len(b.Methods), 1)),
			slices.Compare(a.Methods, b.Methods),
		)
	})
	return compiled
}

// hostRank orders rules with equal paths: an exact host, a longer suffix, a
// shorter one, any host.
func (r *rule) hostRank() int {
	switch {
	case r.Host == "":
		return 0
	case r.suffix != "":
		return len(r.suffix)
	default:
		return 1 << 16
	}
}

// same reports whether two neighbours in the order match the same requests.
func (r *rule) same(other *rule) bool {
	return strings.TrimSuffix(r.Path, "/") == strings.TrimSuffix(other.Path, "/") &&
		r.Host == other.Host && slices.Equal(r.Methods, other.Methods)
}

// matches reports whether the rule is about a request with this canonical path
// and normal host.
func (r *rule) matches(path, host, method string) bool {
	if !requestpath.HasPrefix(path, r.Path) {
		return false
	}
	switch {
	case r.suffix != "":
		if len(host) <= len(r.suffix) || !strings.HasSuffix(host, r.suffix) {
			return false
		}
	case r.Host != "" && r.Host != host:
		return false
	}
	if len(r.Methods) == 0 || slices.Contains(r.Methods, method) {
		return true
	}
	// A HEAD tells about a resource what a GET would.
	return method == http.MethodHead && slices.Contains(r.Methods, http.MethodGet)
}
