package router

import "net/http"

// A node is a place in the tree of segments of one host.
//
//	/api ─┬─ users ─── {} ─── posts      {} is any one segment
//	      └─ health
//
// Which routes end at a node, and how, decides what else of a path they take.
type node struct {
	literal  map[string]*node
	variable *node

	full   []*Route // the path ends here
	below  []*Route // a slash and anything follows
	prefix []*Route // either
}

// slot returns where the routes of an ending stand.
func (n *node) slot(e ending) *[]*Route {
	switch e {
	case endFull:
		return &n.full
	case endBelow:
		return &n.below
	}
	return &n.prefix
}

// grow returns the node of a template's segments, making it if needed.
func (n *node) grow(t template) *node {
	for _, s := range t.segments {
		next := n.variable
		if !s.variable {
			next = n.literal[s.text]
		}
		if next == nil {
			next = &node{}
			if s.variable {
				n.variable = next
			} else {
				if n.literal == nil {
					n.literal = map[string]*node{}
				}
				n.literal[s.text] = next
			}
		}
		n = next
	}
	return n
}

// A search is one request on its way through the trees.
type search struct {
	path   string // escaped
	method string
	header http.Header
	match  Match
	allow  map[string]bool // when set: collect the methods, match nothing
}

// in searches the tree of one host.
func (s *search) in(root *node) bool {
	if s.path == "" || s.path[0] != '/' {
		// "*" of OPTIONS, or nothing: only routes for everything take it.
		return s.take(root.prefix)
	}
	return s.walk(root, 0, 0)
}

// walk searches below n for what is left of the path from at, which is a slash
// or the end. vars variables are matched already. A node is tried for one way
// of reading the path only, so a search takes at most a step for each node and
// segment of the tree.
func (s *search) walk(n *node, at, vars int) bool {
	if at == len(s.path) {
		return s.take(n.full) || s.take(n.prefix)
	}
	end := at + 1
	for end < len(s.path) && s.path[end] != '/' {
		end++
	}
	segment := s.path[at+1 : end]
	if n.literal != nil {
		// checkPath has seen that it decodes.
		if decoded, err := decode(segment); err == nil {
			if next := n.literal[decoded]; next != nil && s.walk(next, end, vars) {
				return true
			}
		}
	}
	if n.variable != nil && segment != "" && vars < maxVariables {
		s.match.vars[vars] = segment
		if s.walk(n.variable, end, vars+1) {
			return true
		}
	}
	if vars < maxVariables {
		s.match.vars[vars] = s.path[at+1:] // {rest...}
	}
	return s.take(n.below) || s.take(n.prefix)
}

// take takes the first of routes that agrees with method and header.
func (s *search) take(routes []*Route) bool {
	for _, r := range routes {
		if !r.matchesHeader(s.header) {
			continue
		}
		if s.allow != nil {
			for _, m := range r.methods {
				s.allow[m] = true
			}
			continue
		}
		if r.matchesMethod(s.method) {
			s.match.Route = r
			return true
		}
	}
	return false
}

func (r *Route) matchesMethod(method string) bool {
	if r.methods == nil {
		return true
	}
	for _, m := range r.methods {
		if m == method {
			return true
		}
	}
	return false
}

func (r *Route) matchesHeader(header http.Header) bool {
	for _, h := range r.headers {
		values := header[h.name]
		if len(values) == 0 || h.value != "*" && values[0] != h.value {
			return false
		}
	}
	return true
}
