package router_test

import (
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/ergoproxy/ergo/core/router"
)

// naive is the package comment as a program: filter by every condition, then
// take the first by the order of the list there.
func naive(routes []router.Config, r *http.Request) (string, bool) {
	segments := split(r.URL.EscapedPath())
	var best *router.Config
	for i := range routes {
		c := &routes[i]
		if hostRank(c, r.Host) < 0 || !pathMatches(c, segments) {
			continue
		}
		if m := c.Match.Methods; m != nil && !slices.Contains(m, r.Method) && !(r.Method == "HEAD" && slices.Contains(m, "GET")) {
			continue
		}
		if best == nil || before(c, best, r.Host) {
			best = c
		}
	}
	if best == nil {
		return "", false
	}
	return best.Name, true
}

// split decodes each segment; "/" is one empty segment.
func split(path string) []string {
	segments := strings.Split(path[1:], "/")
	for i, s := range segments {
		segments[i], _ = url.PathUnescape(s)
	}
	return segments
}

func hostRank(c *router.Config, host string) int {
	suffix, wild := strings.CutPrefix(c.Match.Host, "*")
	switch {
	case c.Match.Host == host:
		return 1000
	case wild && strings.HasSuffix(host, suffix) && len(host) > len(suffix):
		return len(suffix)
	case c.Match.Host == "":
		return 0
	}
	return -1
}

// parts returns the segments of a route and how it ends: 2 full, 1 below, 0
// prefix.
func parts(c *router.Config) ([]string, int) {
	if p := c.Match.Pattern; p != "" {
		segments := strings.Split(p[1:], "/")
		if last := len(segments) - 1; strings.HasSuffix(segments[last], "...}") {
			return segments[:last], 1
		}
		return segments, 2
	}
	p := strings.TrimSuffix(c.Match.Path, "/")
	switch {
	case p == "":
		return nil, 0
	case p != c.Match.Path:
		return strings.Split(p[1:], "/"), 1
	}
	return strings.Split(p[1:], "/"), 0
}

func isVariable(s string) bool { return strings.HasPrefix(s, "{") }

func pathMatches(c *router.Config, segments []string) bool {
	want, end := parts(c)
	if len(segments) < len(want) || end == 2 && len(segments) != len(want) || end == 1 && len(segments) == len(want) {
		return false
	}
	for i, w := range want {
		if isVariable(w) && segments[i] == "" || !isVariable(w) && segments[i] != w {
			return false
		}
	}
	return true
}

func before(a, b *router.Config, host string) bool {
	if x, y := hostRank(a, host), hostRank(b, host); x != y {
		return x > y
	}
	sa, ea := parts(a)
	sb, eb := parts(b)
	for i := 0; ; i++ {
		switch {
		case i == len(sa) && i == len(sb):
			if ea != eb {
				return ea > eb
			}
			return a.Match.Methods != nil && b.Match.Methods == nil
		case i == len(sa):
			return false
		case i == len(sb):
			return true
		case isVariable(sa[i]) != isVariable(sb[i]):
			return isVariable(sb[i])
		}
	}
}

// FuzzMatch builds a table from one string and a request from another, and
// compares Match with the naive reading.
func FuzzMatch(f *testing.F) {
	f.Add(uint64(1), "a.x.y", "GET", "/a/b")
	f.Add(uint64(2), "y", "POST", "/")
	f.Add(uint64(3), "x.y", "HEAD", "/a//b/")
	f.Add(uint64(4), "b.a.x.y", "PUT", "/a%2Fb/%61")
	f.Add(uint64(5), "", "GET", "/../a")
	f.Fuzz(func(t *testing.T, seed uint64, host, method, path string) {
		u, err := url.ParseRequestURI(path)
		if err != nil || !strings.HasPrefix(u.EscapedPath(), "/") || host != strings.ToLower(strings.TrimRight(host, ".")) || strings.Contains(host, ":") {
			t.Skip()
		}
		routes := randomRoutes(seed)
		tab, err := router.New(routes)
		if err != nil {
			t.Fatalf("New(%v): %v", routes, err)
		}
		compare(t, tab, routes, &http.Request{Method: method, Host: host, URL: u})
	})
}

// TestMatchAgainstNaive is the fuzz target's comparison over many tables.
func TestMatchAgainstNaive(t *testing.T) {
	random := rand.New(rand.NewPCG(7, 8))
	pick := func(from ...string) string { return from[random.IntN(len(from))] }
	found := 0
	for seed := range uint64(300) {
		routes := randomRoutes(seed)
		tab, err := router.New(routes)
		if err != nil {
			t.Fatal(err)
		}
		for range 50 {
			path := ""
			for range 1 + random.IntN(4) {
				path += "/" + pick("a", "b", "c", "", "%61", "a%2Fb")
			}
			u, _ := url.ParseRequestURI(path)
			r := &http.Request{
				Method: pick("GET", "HEAD", "POST", "PUT"),
				Host:   pick("y", "x.y", "a.x.y", "b.a.x.y", "z", "a.y"),
				URL:    u,
			}
			if compare(t, tab, routes, r) {
				found++
			}
		}
	}
	if found < 1000 {
		t.Errorf("only %d requests had a route", found)
	}
}

func compare(t *testing.T, tab *router.Table, routes []router.Config, r *http.Request) bool {
	t.Helper()
	m, err := tab.Match(r)
	for _, s := range split(r.URL.EscapedPath()) {
		if s == "." || s == ".." {
			if err == nil {
				t.Fatalf("%s: a dot segment was let through", r.URL.EscapedPath())
			}
			return false
		}
	}
	want, ok := naive(routes, r)
	if ok != (err == nil) {
		t.Fatalf("%s %s%s: error %v, want route %q", r.Method, r.Host, r.URL.EscapedPath(), err, want)
	}
	if ok && m.Route.Name != want {
		t.Fatalf("%s %s%s: route %q, want %q", r.Method, r.Host, r.URL.EscapedPath(), m.Route.Name, want)
	}
	return ok
}

// randomRoutes makes routes without conflicts, the same ones for each seed.
func randomRoutes(seed uint64) []router.Config {
	random := rand.New(rand.NewPCG(seed, 1))
	pick := func(from ...string) string { return from[random.IntN(len(from))] }
	var routes []router.Config
	for range 12 {
		text := pick("", "", "GET ", "POST ") + pick("", "", "y", "x.y", "*.y", "*.x.y")
		n := random.IntN(4)
		for i := range n {
			text += "/" + pick("a", "b", "c", "{v"+string(rune('0'+i))+"}")
		}
		text += pick("", "/", "!", "/{rest...}")
		if n == 0 {
			text = strings.TrimRight(text, "/!") + "/"
		}
		if strings.Contains(text, "{") && strings.HasSuffix(text, "/") {
			text += "!"
		}
		next := append(slices.Clone(routes), route(text))
		if _, err := router.New(next); err == nil {
			routes = next
		}
	}
	return routes
}
