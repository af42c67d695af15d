package config_test

import (
	"net/netip"
	"strings"

	"github.com/ergoproxy/ergo/shared/config"
)

// edge is a config with one of everything.
type edge struct {
	Name    string             `yaml:"name"`
	Listen  []listener         `yaml:"listen"`
	Admin   admin              `yaml:"admin"`
	Tunnel  tunnel             `yaml:"tunnel"`
	Pools   map[string]pool    `yaml:"backends"`
	Routes  []route            `yaml:"routes"`
	Trusted []netip.Prefix     `yaml:"trusted"`
	Labels  map[string]string  `yaml:"labels"`
	Tokens  map[string]secrets `yaml:"tokens"`
	Peer    netip.Addr         `yaml:"peer"`
	Bind    netip.AddrPort     `yaml:"bind"`

	limits `yaml:"-"`
	Limits `yaml:",inline"`
}

type limits struct{ unused int }

type secrets struct {
	Key config.Secret `yaml:"key"`
}

type Limits struct {
	MaxBody    config.Bytes    `yaml:"max_body"`
	MaxHeaders uint16          `yaml:"max_headers"`
	Grace      config.Duration `yaml:"grace"`
	Share      float64         `yaml:"share"`
	Offset     int8            `yaml:"offset"`
	Big        int64           `yaml:"big"`
	Debug      bool            `yaml:"debug"`
}

func (l *Limits) SetDefaults() {
	l.MaxBody, l.MaxHeaders, l.Grace, l.Share = 1<<20, 100, config.Duration(30e9), 0.5
}

func (l *Limits) Validate(r *config.Report) {
	if l.Share > 1 {
		r.Errorf("share", "is %v, want at most 1", l.Share)
	}
}

func (e *edge) SetDefaults() {
	e.Admin.Address = "127.0.0.1:9901"
	e.Trusted = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	e.Labels = map[string]string{"tier": "edge"}
}

func (e *edge) Validate(r *config.Report) {
	if e.Name == "" {
		r.Errorf("name", "is required, want a name for this edge")
	}
	for i, rt := range e.Routes {
		if _, ok := e.Pools[rt.Backend]; !ok {
			r.Errorf("routes["+string(rune('0'+i))+"].backend", "there is no backend %q", rt.Backend)
		}
	}
}

type protocol string

func (protocol) Values() []string { return []string{"h1", "h2", "h3"} }

type listener struct {
	Address   string     `yaml:"address"`
	Protocols []protocol `yaml:"protocols"`
	TLS       *tlsConfig `yaml:"tls"`
}

func (l *listener) SetDefaults() { l.Protocols = []protocol{"h1", "h2"} }

func (l *listener) Validate(r *config.Report) {
	r.Check("address", config.CheckListenAddress(l.Address))
}

type tlsConfig struct {
	Cert       config.Path `yaml:"cert"`
	Key        config.Path `yaml:"key"`
	MinVersion version     `yaml:"min_version"`
}

func (t *tlsConfig) SetDefaults() { t.MinVersion = "1.2" }

func (t *tlsConfig) Validate(r *config.Report) {
	if t.Cert == "" {
		r.Errorf("cert", "is required, want the path of a PEM file")
	}
}

type version string

func (version) Values() []string { return []string{"1.2", "1.3"} }

type admin struct {
	Address string        `yaml:"address"`
	Token   config.Secret `yaml:"token"`
}

func (a *admin) SetDefaults() { a.Address = ":1" }

func (a *admin) Validate(r *config.Report) {
	if !a.Token.IsZero() && len(a.Token.Reveal()) < 8 {
		r.Errorf("token", "has %d bytes, want at least 8", len(a.Token.Reveal()))
	}
}

type tunnel struct {
	Cores []core      `yaml:"cores"`
	CA    config.Path `yaml:"ca"`
}

func (t *tunnel) Validate(r *config.Report) {
	if len(t.Cores) == 0 {
		r.Errorf("cores", "is required, want at least one core")
	}
}

type core struct {
	Address string `yaml:"address"`
	Weight  int    `yaml:"weight"`
}

func (c *core) SetDefaults()                   { c.Weight = 1 }
func (c *core) Validate(r *config.Report)      { r.Check("address", config.CheckDialAddress(c.Address)) }
func (c *core) UnmarshalScalar(s string) error { c.Address = s; return nil }

type pool struct {
	Endpoints []core `yaml:"endpoints"`
	Balance   string `yaml:"balance"`
}

func (p *pool) SetDefaults() { p.Balance = "round_robin" }

func (p *pool) Validate(r *config.Report) {
	r.Check("balance", config.OneOf(p.Balance, "round_robin", "least_requests", "random"))
	if len(p.Endpoints) == 0 {
		r.Errorf("endpoints", "is required, want at least one endpoint")
	}
}

type route struct {
	Match   match  `yaml:"match"`
	Backend string `yaml:"backend"`
}

type match struct {
	Path string `yaml:"path"`
}

func (m *match) Validate(r *config.Report) {
	if !strings.HasPrefix(m.Path, "/") {
		r.Errorf("path", "%q does not begin with a slash", m.Path)
	}
}

var _ = edge{}.limits.unused
