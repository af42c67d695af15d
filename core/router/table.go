package router

import (
	"errors"
	"fmt"
	"net/http"
	"net/textproto"
	"slices"
	"strings"

	"github.com/ergoproxy/ergo/shared/config"
)

// Check reports names that two routes share, and routes that are equal in rank
// and could take the same request. The keys of its problems are "[2].match".
// A route that is not valid by itself is passed over: its Validate says so.
func Check(routes []Config, r *config.Report) {
	reported := func(string, string, ...any) {} // by Validate of the route
	build(routes, reported, r.Errorf)
}

// New returns the Table of routes. Routes that Check or their Validate would
// report are an error.
func New(routes []Config) (*Table, error) {
	var errs []error
	report := func(key, format string, args ...any) {
		errs = append(errs, fmt.Errorf("routes"+key+": "+format, args...))
	}
	t := build(routes, report, report)
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	return t, nil
}

// build makes the Table of all routes that are valid by themselves; of the others
// it tells invalid.
func build(routes []Config, invalid, report func(key, format string, args ...any)) *Table {
	t := &Table{exact: map[string]*node{}, wildcards: map[string]*node{}}
	index, names := map[*Route]int{}, map[string]int{}
	for i := range routes {
		key := fmt.Sprintf("[%d]", i)
		r, err := compile(&routes[i])
		if err != nil {
			invalid(key, "%v", err)
			continue
		}
		if first, ok := names[r.Name]; ok && routes[i].Name != "" {
			report(key+".name", "%q is the name of routes[%d] already", r.Name, first)
		}
		names[r.Name], index[r] = i, i
		slot := t.host(r.host).grow(r.template).slot(r.template.end)
		for _, other := range *slot {
			if clash(r, other) {
				report(key+".match", "takes the same requests as routes[%d], and neither is more specific", index[other])
			}
		}
		*slot = append(*slot, r)
		slices.SortStableFunc(*slot, byRank)
		t.routes = append(t.routes, r)
	}
	return t
}

// host returns the tree of a host of the config.
func (t *Table) host(host string) *node {
	if host == "" {
		if t.any == nil {
			t.any = &node{}
		}
		return t.any
	}
	trees, key := t.exact, host
	if suffix, ok := strings.CutPrefix(host, "*"); ok {
		trees, key = t.wildcards, suffix
	}
	if trees[key] == nil {
		trees[key] = &node{}
	}
	return trees[key]
}

// byRank orders the routes of one slot, the more specific first.
func byRank(a, b *Route) int {
	if (a.methods == nil) != (b.methods == nil) {
		if a.methods != nil {
			return -1
		}
		return 1
	}
	return len(b.headers) - len(a.headers)
}

// clash reports whether two routes of one slot are equal in rank and could take
// the same request.
func clash(a, b *Route) bool {
	if byRank(a, b) != 0 {
		return false
	}
	if a.methods != nil && !slices.ContainsFunc(a.methods, b.matchesMethod) {
		return false
	}
	for _, x := range a.headers {
		for _, y := range b.headers {
			if x.name == y.name && x.value != y.value && x.value != "*" && y.value != "*" {
				return false
			}
		}
	}
	return true
}

func compile(c *Config) (*Route, error) {
	t, err := c.Match.template()
	if err != nil {
		return nil, err
	}
	r := &Route{
		Name:     c.Name,
		Backend:  c.Backend,
		Timeout:  c.Timeout.Std(),
		methods:  methods(c.Match.Methods),
		template: t,
		host:     c.Match.Host,
	}
	if r.Name == "" {
		r.Name = derivedName(&c.Match)
	}
	for name, value := range c.Match.Headers {
		r.headers = append(r.headers, headerMatch{textproto.CanonicalMIMEHeaderKey(name), value})
	}
	if r.rewrite, err = newRewriter(&c.Rewrite, t); err != nil {
		return nil, fmt.Errorf("rewrite: %w", err)
	}
	if r.request, err = newHeaderOps(&c.RequestHeaders, requestFields); err != nil {
		return nil, fmt.Errorf("request_headers: %w", err)
	}
	if r.response, err = newHeaderOps(&c.ResponseHeaders, responseFields); err != nil {
		return nil, fmt.Errorf("response_headers: %w", err)
	}
	return r, nil
}

// methods returns the sorted methods, with HEAD where there is GET.
func methods(list []string) []string {
	if len(list) == 0 {
		return nil
	}
	list = slices.Clone(list)
	if slices.Contains(list, http.MethodGet) && !slices.Contains(list, http.MethodHead) {
		list = append(list, http.MethodHead)
	}
	slices.Sort(list)
	return list
}

// derivedName is "GET,POST app.example.com/api".
func derivedName(m *MatchConfig) string {
	name := m.Host + m.Path + m.Pattern
	if m.Path+m.Pattern == "" {
		name += "/"
	}
	if len(m.Methods) > 0 {
		name = strings.Join(m.Methods, ",") + " " + name
	}
	return name
}
