package router

import (
	"fmt"
	"slices"
	"strings"

	"github.com/ergoproxy/ergo/shared/config"
)

// Config is one route: which requests it takes, what it changes, and where they
// go. When several routes match, the most specific one wins, whatever their
// order in the file.
type Config struct {
	// Name for logs and metrics, unique. Default: made of host, path and
	// methods.
	Name string `yaml:"name"`
	// Which requests the route takes. Default: all.
	Match MatchConfig `yaml:"match"`
	// What the backend sees in place of the request's path and host.
	Rewrite RewriteConfig `yaml:"rewrite"`
	// Changes to the header of the request.
	RequestHeaders HeadersConfig `yaml:"request_headers"`
	// Changes to the header of the response.
	ResponseHeaders HeadersConfig `yaml:"response_headers"`
	// Name of the pool under backends. Required.
	Backend string `yaml:"backend"`
	// How long the whole exchange may take, all tries and the body of the
	// response included. Default 0: no limit.
	Timeout config.Duration `yaml:"timeout"`
}

// Validate implements config.Validator.
func (c *Config) Validate(r *config.Report) {
	if c.Backend == "" {
		r.Errorf("backend", "is empty, want the name of a pool under backends")
	}
	if strings.ContainsFunc(c.Name, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		r.Errorf("name", "%q holds control characters", c.Name)
	}
	t, err := c.Match.template()
	if err != nil {
		return // Match has reported it
	}
	if _, err := newRewriter(&c.Rewrite, t); err != nil {
		r.Errorf("rewrite", "%v", err)
	}
	if _, err := newHeaderOps(&c.RequestHeaders, requestFields); err != nil {
		r.Errorf("request_headers", "%v", err)
	}
	if _, err := newHeaderOps(&c.ResponseHeaders, responseFields); err != nil {
		r.Errorf("response_headers", "%v", err)
	}
}

// MatchConfig says which requests a route takes.
type MatchConfig struct {
	// "app.example.com", or "*.example.com" for every name below it. The port
	// of the request does not matter. Default: any host.
	Host string `yaml:"host"`
	// Beginning of the path, by whole segments: "/api" takes /api and /api/x,
	// not /apix; "/api/" takes /api/ and /api/x, not /api. Default "/", unless
	// pattern is set.
	Path string `yaml:"path"`
	// The whole path: "/users/{id}/posts", where {id} is any segment but an
	// empty one. A last segment {rest...} takes all that follows. At most 8
	// variables. Not together with path.
	Pattern string `yaml:"pattern"`
	// Methods taken; GET includes HEAD. Default: all.
	Methods []string `yaml:"methods"`
	// Fields that the request must have, each with this value, or "*" for any.
	// Default: none.
	Headers map[string]string `yaml:"headers"`
}

// Validate implements config.Validator.
func (m *MatchConfig) Validate(r *config.Report) {
	if err := validHost(m.Host); err != "" {
		r.Errorf("host", "%q %s, want a name such as app.example.com or *.example.com", m.Host, err)
	}
	if m.Path != "" && m.Pattern != "" {
		r.Errorf("pattern", "stands beside path, want only one of them")
	} else if _, err := m.template(); err != nil {
		key, value := "path", m.Path
		if m.Pattern != "" {
			key, value = "pattern", m.Pattern
		}
		r.Errorf(key, "%q %v", value, err)
	}
	for i, method := range m.Methods {
		switch {
		case !isToken(method) || method != strings.ToUpper(method):
			r.Errorf(fmt.Sprintf("methods[%d]", i), "%q is no method, want one such as GET", method)
		case method == "CONNECT":
			r.Errorf(fmt.Sprintf("methods[%d]", i), "CONNECT is not routed to backends")
		case slices.Contains(m.Methods[:i], method):
			r.Errorf(fmt.Sprintf("methods[%d]", i), "%s stands there twice", method)
		}
	}
	for name, value := range m.Headers {
		if !isToken(name) {
			r.Errorf("headers", "%q is no field name", name)
		}
		if !isFieldValue(value) {
			r.Errorf("headers", "the value of %s holds characters that no field can have", name)
		}
	}
}

// template parses path or pattern.
func (m *MatchConfig) template() (template, error) {
	switch {
	case m.Pattern != "":
		return parsePattern(m.Pattern)
	case m.Path != "":
		return parsePath(m.Path)
	}
	return parsePath("/")
}

// validHost returns what is wrong with a host of the config, or "".
func validHost(host string) string {
	name := strings.TrimPrefix(host, "*.")
	switch {
	case host == "":
		return ""
	case name == "" || strings.HasPrefix(name, ".") || strings.HasSuffix(name, ".") || strings.Contains(name, ".."):
		return "has an empty label"
	case strings.Contains(name, "*"):
		return "has a * that is not its first label"
	case host != strings.ToLower(host):
		return "is not in lower case"
	case strings.HasPrefix(name, "["):
		return ""
	case strings.Contains(name, ":"):
		return "has a port or a scheme"
	case strings.ContainsAny(name, "/@?# \t\r\n"):
		return "holds characters that no host has"
	}
	return ""
}
