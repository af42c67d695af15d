package filter

import (
	"fmt"
	"net/http"
	"net/netip"
	"regexp"
	"strings"

	"github.com/ergoproxy/ergo/shared/config"
	"github.com/ergoproxy/ergo/shared/requestpath"
)

// Actions of a rule.
const (
	actionAllow = "allow"
	actionDeny  = "deny"
)

// Limits of a config.
const (
	maxRules    = 4096
	maxName     = 64      // bytes of a rule's name
	maxPatterns = 1 << 16 // entries of one list
	maxRegexp   = 1024    // bytes
)

// Config says which requests are refused.
type Config struct {
	// Rules are tried in order, and the first that matches decides. A request
	// that none matches is let through; limits hold for it nevertheless. Default:
	// none.
	Rules []Rule `yaml:"rules"`
}

// Rule lets requests through, or refuses them.
type Rule struct {
	// Name stands in the log and in the answer; at most 64 printable ASCII
	// bytes. Required.
	Name string `yaml:"name"`

	// Action is "deny", which refuses the request, or "allow", which lets it
	// through without looking at later rules. Required.
	Action string `yaml:"action"`

	// Status is what a denied request is answered with; 400 to 599. Default:
	// 403, and 413 for a body that is too long.
	Status int `yaml:"status"`

	// Match says what the rule is about: requests that fit every criterion that
	// is given. Default: all requests.
	Match Criteria `yaml:"match"`

	// Unless takes away requests that fit every criterion that is given here.
	// At least one is needed. Default: none are taken away.
	Unless *Criteria `yaml:"unless"`
}

// Criteria is about requests that fit all that is given; a list is fitted by one of
// its entries, but for headers, which are all needed.
type Criteria struct {
	// Clients are addresses and ranges such as 192.0.2.1 or 2001:db8::/32, of
	// the client behind any trusted proxy. Default: any.
	Clients []string `yaml:"clients"`

	// Hosts are names without port, and *.example.com for all names below
	// example.com. Default: any.
	Hosts []string `yaml:"hosts"`

	// Methods are method names in upper case; GET includes HEAD. Default: any.
	Methods []string `yaml:"methods"`

	// Paths are prefixes such as /private, which covers /private and all below,
	// or patterns for the whole path, where * stands for anything but a slash
	// and ** for anything. They are compared decoded, with dot segments refused
	// and empty segments and path parameters removed. Default: any.
	Paths []string `yaml:"paths"`

	// Headers are header fields that must all be there. Default: none.
	Headers []Field `yaml:"headers"`

	// BodyOver fits requests whose body is longer, in bytes; only for deny. A body
	// of unknown length is cut when it has grown too long. What follows a CONNECT
	// or an Upgrade is no body. limits.body_bytes is the limit for all. Default: 0,
	// any length.
	BodyOver config.Bytes `yaml:"body_over"`
}

// Field describes a header field. Without equals and matches, the field must be
// there with any value.
type Field struct {
	// Name is the field's name, without regard to case. Required.
	Name string `yaml:"name"`

	// Equals is the exact value of one of the field's lines. Default: any.
	Equals string `yaml:"equals"`

	// Matches is a regular expression (RE2 syntax, at most 1024 bytes) that is
	// found in one of the field's lines; write ^ and $ for the whole line. A
	// line of more than 8KiB cannot be evaluated, and the request is denied.
	// Default: any.
	Matches string `yaml:"matches"`
}

// SetDefaults implements config.Defaulter.
func (c *Config) SetDefaults() {}

// Validate implements config.Validator.
func (c *Config) Validate(r *config.Report) {
	if len(c.Rules) > maxRules {
		r.Errorf("rules", "has %d entries, want at most %d", len(c.Rules), maxRules)
	}
	seen := map[string]int{}
	for i := range c.Rules {
		name := c.Rules[i].Name
		if first, ok := seen[name]; ok {
			r.Errorf(fmt.Sprintf("rules[%d].name", i), "%q is the name of rules[%d] already; the log could not tell them apart", name, first)
			continue
		}
		seen[name] = i
	}
}

// Validate implements config.Validator.
func (c *Rule) Validate(r *config.Report) {
	if c.Name == "" || len(c.Name) > maxName || strings.ContainsFunc(c.Name, func(c rune) bool { return c < 0x20 || c > 0x7e }) {
		r.Errorf("name", "is %q, want 1 to %d printable ASCII bytes", c.Name, maxName)
	}
	if c.Action != actionAllow && c.Action != actionDeny {
		r.Errorf("action", "is %q, want allow or deny", c.Action)
	}
	if c.Status != 0 && (c.Status < 400 || c.Status > 599) {
		r.Errorf("status", "is %d, want 400 to 599", c.Status)
	}
	if c.Status != 0 && c.Action == actionAllow {
		r.Errorf("status", "has no effect on a rule that allows")
	}
	if c.Match.BodyOver > 0 && c.Action == actionAllow {
		r.Errorf("match.body_over", "needs action deny: a body of unknown length could not be allowed in advance")
	}
	if c.Unless == nil {
		return
	}
	if c.Unless.BodyOver > 0 {
		r.Errorf("unless.body_over", "is only allowed in match")
	}
	if c.Unless.empty() {
		r.Errorf("unless", "has no criterion: the rule could never match")
	}
}

func (c *Criteria) empty() bool {
	return len(c.Clients)+len(c.Hosts)+len(c.Methods)+len(c.Paths)+len(c.Headers) == 0
}

// Validate implements config.Validator.
func (c *Criteria) Validate(r *config.Report) {
	for i, client := range c.Clients {
		if _, err := parsePrefix(client); err != nil {
			r.Errorf(fmt.Sprintf("clients[%d]", i), "%v", err)
		}
	}
	for i, host := range c.Hosts {
		if name := strings.TrimPrefix(host, "*."); name == "" || strings.ContainsAny(name, "*:/ ") {
			r.Errorf(fmt.Sprintf("hosts[%d]", i), "is %q, want a name without port, or *.name", host)
		}
	}
	for i, method := range c.Methods {
		if !isToken(method) || method != strings.ToUpper(method) {
			r.Errorf(fmt.Sprintf("methods[%d]", i), "is %q, want a method name in upper case", method)
		}
	}
	for i, path := range c.Paths {
		if err := requestpath.CheckPrefix(path); err != nil {
			r.Errorf(fmt.Sprintf("paths[%d]", i), "%v", err)
		}
	}
	for _, list := range []struct {
		key string
		n   int
	}{{"clients", len(c.Clients)}, {"hosts", len(c.Hosts)}, {"paths", len(c.Paths)}, {"headers", len(c.Headers)}} {
		if list.n > maxPatterns {
			r.Errorf(list.key, "has %d entries, want at most %d", list.n, maxPatterns)
		}
	}
}

// Validate implements config.Validator.
func (c *Field) Validate(r *config.Report) {
	switch {
	case !isToken(c.Name):
		r.Errorf("name", "is %q, which is no field name", c.Name)
	case strings.EqualFold(c.Name, "Host"):
		r.Errorf("name", "is Host, which is matched with hosts")
	}
	if c.Equals != "" && c.Matches != "" {
		r.Errorf("", "has both equals and matches")
	}
	if len(c.Matches) > maxRegexp {
		r.Errorf("matches", "has %d bytes, want at most %d", len(c.Matches), maxRegexp)
	} else if _, err := regexp.Compile(c.Matches); err != nil {
		r.Errorf("matches", "%v", err)
	}
}

// parsePrefix reads a range, or an address as the range of one.
func parsePrefix(s string) (netip.Prefix, error) {
	if !strings.Contains(s, "/") {
		addr, err := netip.ParseAddr(s)
		if err != nil || addr.Zone() != "" {
			return netip.Prefix{}, fmt.Errorf("%q is no address or range, want such as 192.0.2.1 or 2001:db8::/32", s)
		}
		addr = addr.Unmap()
		return netip.PrefixFrom(addr, addr.BitLen()), nil
	}
	prefix, err := netip.ParsePrefix(s)
	if err != nil {
		return netip.Prefix{}, fmt.Errorf("%q is no range, want such as 192.0.2.0/24 or 2001:db8::/32", s)
	}
	if prefix.Addr().Is4In6() {
		return netip.Prefix{}, fmt.Errorf("%q: write the range in its IPv4 form", s)
	}
	if masked := prefix.Masked(); masked != prefix {
		return netip.Prefix{}, fmt.Errorf("%q has bits behind its length, want %q", s, masked)
	}
	return prefix, nil
}

func isToken(s string) bool {
	for i := range len(s) {
		c := s[i]
		if c <= 0x20 || c >= 0x7f || strings.IndexByte(`"(),/:;<=>?@[\]{}`, c) >= 0 {
			return false
		}
	}
	return s != ""
}

// status is what a request is answered with that the rule denies.
func (c *Rule) status() int {
	switch {
	case c.Status != 0:
		return c.Status
	case c.Match.BodyOver > 0:
		return http.StatusRequestEntityTooLarge
	default:
		return http.StatusForbidden
	}
}
