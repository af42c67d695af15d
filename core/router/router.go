// Package router finds the route of a request, and carries out what the route
// says about its path, host and headers.
//
// A Table is immutable; a reload builds a new one. Match allocates nothing when
// it finds a route, unless the path has escapes.
//
// # What matches
//
//	host     "app.example.com"    this host, any port
//	         "*.example.com"      every name below it, at any depth, not itself
//	         none                 any host
//	path     "/api"               /api and everything below it, not /apix
//	         "/api/"              everything below /api, /api/ too, not /api
//	         "/"                  everything
//	pattern  "/users/{id}/posts"  exactly this many segments, {id} being any but an empty one
//	         "/files/{rest...}"   /files/ and everything below it, rest being all of that
//	methods  [GET, POST]          these; GET includes HEAD
//	headers  {X-Beta: "1"}        this value of the first such field; "*": any value
//
// Paths are compared segment by segment after each segment's escapes are
// decoded: /a%2Fb is one segment. Upper and lower case differ, empty segments
// count (// is not /). A path with a segment "." or ".." is refused, since it
// would mean one thing to us and another to the backend.
//
// # Which one wins
//
// Of all the routes that match, the first by this order:
//
//  1. Host: the exact name, then the longer wildcard, then any host.
//  2. Path, from the left: where two routes differ first, a literal segment comes
//     before a {variable}, and either before a route that ended there. Of routes
//     with the same segments: a pattern, then below ("/api/", {rest...}), then
//     prefix ("/api").
//  3. One with methods before one without.
//  4. The one with more headers.
//
// Two routes that are equal in this and could both match a request are an
// error of the config.
package router

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/ergoproxy/ergo/shared/proxystatus"
)

const hop = "core"

// A Route is one compiled route of a Table.
type Route struct {
	Name    string        // for logs: as configured, or made of host, path and methods
	Backend string        // name of a pool
	Timeout time.Duration // of the whole exchange; 0: none

	methods  []string // sorted, with HEAD where GET is; nil: any
	headers  []headerMatch
	template template
	host     string
	rewrite  rewriter
	request  headerOps
	response headerOps
}

type headerMatch struct{ name, value string }

// A Table finds routes. It is immutable and safe for concurrent use.
type Table struct {
	exact     map[string]*node
	wildcards map[string]*node // by the suffix with its dot: ".example.com"
	any       *node
	routes    []*Route
}

// maxVariables is how many variables a pattern may have.
const maxVariables = 8

// A Match is a Route together with what its variables matched in one request.
type Match struct {
	Route *Route
	vars  [maxVariables]string // as in the request, escapes included
}

// Var returns what the variable called name matched, with its escapes as they
// came, or "".
func (m *Match) Var(name string) string {
	if i := slices.Index(m.Route.template.names, name); i >= 0 {
		return m.vars[i]
	}
	return ""
}

// NotAllowedError is in the chain of Match's error when routes match but for
// the method. The answer to the client has to list the methods in Allow (RFC
// 9110, section 15.5.6).
type NotAllowedError struct {
	Allow []string // sorted
}

// Error names the methods.
func (e *NotAllowedError) Error() string {
	return "allowed methods are " + strings.Join(e.Allow, ", ")
}

// Match finds the route of r by its host, its method, its path and its header.
// The error is a *proxystatus.Error: destination_not_found with status 404, or
// with 405 and a *NotAllowedError in its chain; http_request_error with status
// 400 for a path with dot segments or broken escapes.
func (t *Table) Match(r *http.Request) (Match, error) {
	s := search{path: r.URL.EscapedPath(), method: r.Method, header: r.Header}
	if err := checkPath(s.path); err != nil {
		return Match{}, &proxystatus.Error{
			Type: proxystatus.HTTPRequestError, Hop: hop, Op: "match a route", Err: err,
		}
	}
	host := normalHost(r.Host)
	if t.search(&s, host) {
		return s.match, nil
	}
	return Match{}, t.notFound(&s, host)
}

// search tries the hosts, the most exact first.
func (t *Table) search(s *search, host string) bool {
	if n := t.exact[host]; n != nil && s.in(n) {
		return true
	}
	if len(t.wildcards) > 0 {
		for i := strings.IndexByte(host, '.'); i >= 0; {
			if n := t.wildcards[host[i:]]; n != nil && i > 0 && s.in(n) {
				return true
			}
			next := strings.IndexByte(host[i+1:], '.')
			if next < 0 {
				break
			}
			i += next + 1
		}
	}
	return t.any != nil && s.in(t.any)
}

// notFound searches again, for all methods.
func (t *Table) notFound(s *search, host string) error {
	s.allow = map[string]bool{}
	t.search(s, host)
	e := &proxystatus.Error{Type: proxystatus.DestinationNotFound, Hop: hop, Op: "match a route", Status: http.StatusNotFound}
	if len(s.allow) > 0 {
		allow := make([]string, 0, len(s.allow))
		for m := range s.allow {
			allow = append(allow, m)
		}
		slices.Sort(allow)
		e.Status, e.Err = http.StatusMethodNotAllowed, &NotAllowedError{Allow: allow}
	}
	return e
}

// Routes returns the routes in the order of the config.
func (t *Table) Routes() []*Route { return slices.Clone(t.routes) }

// normalHost is host without port and final dot, in lower case.
func normalHost(host string) string {
	if i := strings.LastIndexByte(host, ':'); i >= 0 && strings.IndexByte(host[i:], ']') < 0 {
		host = host[:i]
	}
	return strings.ToLower(strings.TrimSuffix(host, "."))
}

// checkPath refuses dot segments, in whatever way they are written, and escapes
// that are none.
func checkPath(path string) error {
	if strings.IndexByte(path, '.') < 0 && strings.IndexByte(path, '%') < 0 {
		return nil
	}
	for rest := path; rest != ""; {
		var segment string
		segment, rest, _ = strings.Cut(rest, "/")
		decoded, err := decode(segment)
		if err != nil {
			return err
		}
		if decoded == "." || decoded == ".." {
			return fmt.Errorf("path has the segment %q", segment)
		}
	}
	return nil
}

// decode decodes the escapes of one segment.
func decode(segment string) (string, error) {
	if strings.IndexByte(segment, '%') < 0 {
		return segment, nil
	}
	return url.PathUnescape(segment)
}
