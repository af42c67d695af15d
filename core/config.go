package core

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/ergoproxy/ergo/core/backend"
	"github.com/ergoproxy/ergo/core/router"
	"github.com/ergoproxy/ergo/core/tunnelserver"
	"github.com/ergoproxy/ergo/shared/accesslog"
	"github.com/ergoproxy/ergo/shared/admin"
	"github.com/ergoproxy/ergo/shared/config"
	"github.com/ergoproxy/ergo/shared/daemon"
	"github.com/ergoproxy/ergo/shared/telemetry"
	"github.com/ergoproxy/ergo/shared/tlsidentity"
)

// Config is the configuration of a core: the whole of core.yaml.
type Config struct {
	// Name of this core, as its certificate says; it appears in Via, CDN-Loop, logs and
	// metrics.
	Name string `yaml:"name"`
	// How edges connect.
	Tunnel TunnelConfig `yaml:"tunnel"`
	// The admin server.
	Admin admin.Config `yaml:"admin"`
	// The core's own log.
	Log telemetry.LogConfig `yaml:"log"`
	// What the Go runtime may use; takes a restart.
	Memory daemon.Memory `yaml:"memory"`
	// Where the core's access log goes. The edge's line tells the core's part too, so by
	// default only exchanges that failed, or whose edge left, are logged here.
	AccessLog accesslog.Config `yaml:"access_log"`
	// Pools of backends, by name. At least one is required.
	Backends map[string]backend.Config `yaml:"backends"`
	// Which requests go to which pool. The most specific match wins, whatever the order.
	// At least one is required; what none matches is answered with 404.
	Routes []router.Config `yaml:"routes"`
	// How the core goes away.
	Shutdown Shutdown `yaml:"shutdown"`
}

// TunnelConfig says where edges connect, and who this core is to them.
type TunnelConfig struct {
	// PEM file of the CA that signs edges and cores, or of several while one takes the
	// place of another. Required.
	CA config.Path `yaml:"ca"`
	// PEM file of this core's certificate, with the role core and the name of this core
	// in it, as `ergo pki issue --role core` makes it. Required.
	Cert config.Path `yaml:"cert"`
	// PEM file of its private key. Required.
	Key config.Path `yaml:"key"`
	// At least 16 bytes from which the keys are derived that must survive a restart, so
	// that edges notice it at once. Default: the private key.
	Secret config.Secret `yaml:"secret"`

	tunnelserver.Settings `yaml:",inline"`
}

// Shutdown says how a core goes away after SIGTERM.
type Shutdown struct {
	// How long exchanges under way may take to finish; at most 24h. What is left then is
	// cut. Default 30s. 0: everything is cut at once.
	Grace config.Duration `yaml:"grace"`
}

// SetDefaults sets the defaults.
func (s *Shutdown) SetDefaults() { s.Grace = config.Duration(30 * time.Second) }

// Validate reports what is wrong with s.
func (s *Shutdown) Validate(r *config.Report) {
	if s.Grace.Std() > 24*time.Hour {
		r.Errorf("grace", "%s is too long, want at most 24h", s.Grace)
	}
}

// SetDefaults sets the defaults of the keys that are inlined.
func (t *TunnelConfig) SetDefaults() { t.Settings.SetDefaults() }

func (t *TunnelConfig) files() tlsidentity.Files {
	return tlsidentity.Files{CA: string(t.CA), Cert: string(t.Cert), Key: string(t.Key)}
}

// Validate reports what is wrong with t, the files included.
func (t *TunnelConfig) Validate(r *config.Report) {
	t.files().Check(r, tlsidentity.Core)
	if n := len(t.Secret.Reveal()); n > 0 && n < tlsidentity.MinSecret {
		r.Errorf("secret", "has %d bytes, want at least %d", n, tlsidentity.MinSecret)
	}
	t.Settings.Validate(r)
}

// SetDefaults sets the defaults that differ from those of the parts.
func (c *Config) SetDefaults() { c.AccessLog.Only = accesslog.OnlyFailures }

// Validate reports what is wrong with c.
func (c *Config) Validate(r *config.Report) {
	if err := tlsidentity.ValidateName(c.Name); err != nil {
		r.Errorf("name", "%v", err)
	} else if creds, err := tlsidentity.Load(c.Tunnel.files(), tlsidentity.Core); err == nil && creds.Identity().Name != c.Name {
		r.Errorf("name", "is %q, but the certificate in %s is of core %q", c.Name, c.Tunnel.Cert, creds.Identity().Name)
	}
	if len(c.Backends) == 0 {
		r.Errorf("backends", "is empty, want at least one pool such as web: {endpoints: [\"http://10.0.0.5:3000\"]}")
	}
	if len(c.Routes) == 0 {
		r.Errorf("routes", "is empty, want at least one such as {match: {path: \"/\"}, backend: web}")
	}
	for i, route := range c.Routes {
		if _, ok := c.Backends[route.Backend]; !ok {
			known := strings.Join(slices.Sorted(maps.Keys(c.Backends)), ", ")
			r.Errorf(fmt.Sprintf("routes[%d].backend", i), "%q is no pool under backends, want one of: %s", route.Backend, known)
		}
	}
	var conflicts config.Report
	router.Check(c.Routes, &conflicts)
	for _, p := range conflicts.Problems() {
		r.Errorf("routes"+p.Key, "%s", p.Text)
	}
}
