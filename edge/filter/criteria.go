package filter

import (
	"errors"
	"net/http"
	"net/netip"
	"regexp"
	"slices"
	"strings"

	"github.com/ergoproxy/ergo/shared/requestpath"
)

// maxLine is the longest line of a header field that a regular expression is
// tried on, in bytes.
const maxLine = 8 << 10

// Causes that a rule cannot be evaluated for.
var (
	errNoAddress = errors.New("the client's address is not known")
	errLongLine  = errors.New("a header line is too long")
)

// subject is a request as rules see it.
type subject struct {
	request *http.Request
	client  netip.Addr // not IPv4-mapped
	host    string     // normal
	path    string     // canonical
}

// criteria are Criteria in the form that they are matched in. BodyOver is left
// to the rule.
type criteria struct {
	anyClient bool
	clients   ranges
	hosts     map[string]bool // nil: any host, if there are no suffixes
	suffixes  []string        // ".example.com"
	methods   []string
	prefixes  []string
	patterns  []*regexp.Regexp
	fields    []field
}

type field struct {
	name    string // canonical
	equals  string
	matches *regexp.Regexp
}

func compileCriteria(c *Criteria) (*criteria, error) {
	compiled := &criteria{anyClient: len(c.Clients) == 0, methods: c.Methods}
	prefixes := make([]netip.Prefix, len(c.Clients))
	for i, s := range c.Clients {
		var err error
		if prefixes[i], err = parsePrefix(s); err != nil {
			return nil, err
		}
	}
	compiled.clients = newRanges(prefixes)
	for _, host := range c.Hosts {
		if suffix, ok := strings.CutPrefix(host, "*"); ok {
			compiled.suffixes = append(compiled.suffixes, requestpath.Host(suffix))
			continue
		}
		if compiled.hosts == nil {
			compiled.hosts = map[string]bool{}
		}
		compiled.hosts[requestpath.Host(host)] = true
	}
	for _, path := range c.Paths {
		if strings.Contains(path, "*") {
			compiled.patterns = append(compiled.patterns, compilePattern(path))
		} else {
			compiled.prefixes = append(compiled.prefixes, path)
		}
	}
	for _, f := range c.Headers {
		next := field{name: http.CanonicalHeaderKey(f.Name), equals: f.Equals}
		if f.Matches != "" {
			var err error
			if next.matches, err = regexp.Compile(f.Matches); err != nil {
				return nil, err
			}
		}
		compiled.fields = append(compiled.fields, next)
	}
	return compiled, nil
}

// compilePattern turns a path pattern into a regular expression for the whole
// path. RE2 needs time linear in the path, whatever the pattern.
func compilePattern(pattern string) *regexp.Regexp {
	var b strings.Builder
	b.WriteString(`(?s)\A`)
	for pattern != "" {
		literal, rest, star := strings.Cut(pattern, "*")
		b.WriteString(regexp.QuoteMeta(literal))
		pattern = rest
		if !star {
			break
		}
		if rest, ok := strings.CutPrefix(pattern, "*"); ok {
			b.WriteString(`.*`)
			pattern = rest
		} else {
			b.WriteString(`[^/]*`)
		}
	}
	b.WriteString(`\z`)
	return regexp.MustCompile(b.String())
}

// match reports whether s fits all criteria. An error means that this cannot be
// told.
func (c *criteria) match(s *subject) (bool, error) {
	if !c.methodFits(s.request.Method) || !c.hostFits(s.host) || !c.pathFits(s.path) {
		return false, nil
	}
	if !c.anyClient {
		if !s.client.IsValid() {
			return false, errNoAddress
		}
		if !c.clients.contains(s.client) {
			return false, nil
		}
	}
	for i := range c.fields {
		if fits, err := c.fields[i].match(s.request.Header); !fits || err != nil {
			return false, err
		}
	}
	return true, nil
}

// methodFits treats HEAD as GET, since it tells about a resource what a GET
// would.
func (c *criteria) methodFits(method string) bool {
	return len(c.methods) == 0 || slices.Contains(c.methods, method) ||
		method == http.MethodHead && slices.Contains(c.methods, http.MethodGet)
}

func (c *criteria) hostFits(host string) bool {
	if c.hosts == nil && c.suffixes == nil || c.hosts[host] {
		return true
	}
	for _, suffix := range c.suffixes {
		if len(host) > len(suffix) && strings.HasSuffix(host, suffix) {
			return true
		}
	}
	return false
}

func (c *criteria) pathFits(path string) bool {
	if c.prefixes == nil && c.patterns == nil {
		return true
	}
	for _, prefix := range c.prefixes {
		if requestpath.HasPrefix(path, prefix) {
			return true
		}
	}
	for _, pattern := range c.patterns {
		if pattern.MatchString(path) {
			return true
		}
	}
	return false
}

func (f *field) match(h http.Header) (bool, error) {
	lines := h[f.name]
	switch {
	case f.equals != "":
		return slices.Contains(lines, f.equals), nil
	case f.matches == nil:
		return len(lines) > 0, nil
	}
	for _, line := range lines {
		if len(line) > maxLine {
			return false, errLongLine
		}
		if f.matches.MatchString(line) {
			return true, nil
		}
	}
	return false, nil
}
