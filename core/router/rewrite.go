package router

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// RewriteConfig says what the backend sees in place of the path and host that
// the client sent. The query stays as it is. What is not rewritten reaches the
// backend byte for byte, escapes included.
type RewriteConfig struct {
	// Beginning of the path that is taken off. Must be, by whole segments, the
	// beginning of the route's path or pattern: "/api" makes /api/x to /x.
	StripPrefix string `yaml:"strip_prefix"`
	// What is put before the path, after strip_prefix: "/v2".
	AddPrefix string `yaml:"add_prefix"`
	// The whole path, in place of the above, with the variables of the
	// pattern: "/members/{id}", "/static/{rest...}".
	Path string `yaml:"path"`
	// The Host field. Default: the client's.
	Host string `yaml:"host"`
}

// A rewriter is a compiled RewriteConfig.
type rewriter struct {
	strip int // segments
	add   string
	path  []part // nil: not rewritten
	host  string
}

// A part is literal text, or the variable at index.
type part struct {
	text  string
	index int // -1: literal
}

func newRewriter(c *RewriteConfig, t template) (rewriter, error) {
	w := rewriter{host: c.Host}
	if strings.ContainsAny(c.Host, "*/@?# \t\r\n") {
		return w, fmt.Errorf("host: %q is no host, want a name with or without a port", c.Host)
	}
	if c.Path != "" {
		if c.StripPrefix != "" || c.AddPrefix != "" {
			return w, errors.New("path stands beside strip_prefix or add_prefix, want either")
		}
		var err error
		w.path, err = parseParts(c.Path, t)
		if err != nil {
			return w, fmt.Errorf("path: %q %w", c.Path, err)
		}
		return w, nil
	}
	if c.StripPrefix != "" && c.StripPrefix != "/" {
		prefix, err := parsePath(strings.TrimSuffix(c.StripPrefix, "/"))
		if err != nil {
			return w, fmt.Errorf("strip_prefix: %q %w", c.StripPrefix, err)
		}
		if !t.hasPrefix(prefix) {
			return w, fmt.Errorf("strip_prefix: %q is not how the route's path begins", c.StripPrefix)
		}
		w.strip = len(prefix.segments)
	}
	if c.AddPrefix != "" && c.AddPrefix != "/" {
		if _, err := parsePath(c.AddPrefix); err != nil {
			return w, fmt.Errorf("add_prefix: %q %w", c.AddPrefix, err)
		}
		w.add = strings.TrimSuffix(c.AddPrefix, "/")
	}
	return w, nil
}

// parseParts takes "/members/{id}" apart.
func parseParts(path string, t template) ([]part, error) {
	if !strings.HasPrefix(path, "/") {
		return nil, errNoSlash
	}
	if err := validPath(strings.ReplaceAll(path, "...}", "}")); err != nil {
		return nil, err
	}
	var parts []part
	for path != "" {
		text, rest, found := strings.Cut(path, "{")
		if strings.Contains(text, "}") {
			return nil, errors.New("has a } without its {")
		}
		if text != "" {
			parts = append(parts, part{text: text, index: -1})
		}
		if !found {
			break
		}
		name, after, closed := strings.Cut(rest, "}")
		if !closed {
			return nil, errors.New("has a { without its }")
		}
		name, isRest := strings.CutSuffix(name, "...")
		i := slices.Index(t.names, name)
		if i < 0 {
			return nil, fmt.Errorf("uses the variable %q, which the pattern has not", name)
		}
		if isRest != (t.rest && i == len(t.names)-1) {
			return nil, fmt.Errorf("writes the variable %q in another way than the pattern", name)
		}
		parts = append(parts, part{index: i})
		path = after
	}
	return parts, nil
}

// Rewrite changes r's path and host as the route says. r must be a copy whose
// URL may be changed.
func (m *Match) Rewrite(r *http.Request) {
	w := &m.Route.rewrite
	if w.host != "" {
		r.Host = w.host
	}
	if w.path == nil && w.strip == 0 && w.add == "" {
		return
	}
	path := r.URL.EscapedPath()
	if !strings.HasPrefix(path, "/") {
		return // the * of OPTIONS is no path
	}
	if w.path != nil {
		path = m.expand(w.path)
	} else {
		path = w.add + cutSegments(path, w.strip)
		if path == "" {
			path = "/"
		}
	}
	setPath(r.URL, path)
}

func (m *Match) expand(parts []part) string {
	var b strings.Builder
	for _, p := range parts {
		if p.index < 0 {
			b.WriteString(p.text)
		} else {
			b.WriteString(m.vars[p.index])
		}
	}
	return b.String()
}

// cutSegments returns path without its first n segments.
func cutSegments(path string, n int) string {
	for range n {
		i := strings.IndexByte(path[1:], '/')
		if i < 0 {
			return ""
		}
		path = path[1+i:]
	}
	return path
}

// setPath sets an escaped path, whose escapes Match has seen to be good.
func setPath(u *url.URL, path string) {
	decoded, err := url.PathUnescape(path)
	if err != nil {
		decoded = path
	}
	u.Path, u.RawPath = decoded, path
}
