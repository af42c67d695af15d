package edge

import (
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/ergoproxy/ergo/edge/auth"
	"github.com/ergoproxy/ergo/edge/corepool"
	"github.com/ergoproxy/ergo/edge/filter"
	"github.com/ergoproxy/ergo/edge/listener"
	"github.com/ergoproxy/ergo/edge/tunnelclient"
	"github.com/ergoproxy/ergo/shared/accesslog"
	"github.com/ergoproxy/ergo/shared/admin"
	"github.com/ergoproxy/ergo/shared/config"
	"github.com/ergoproxy/ergo/shared/daemon"
	"github.com/ergoproxy/ergo/shared/telemetry"
	"github.com/ergoproxy/ergo/shared/tlsidentity"
)

// Config is the configuration of an edge: the whole of edge.yaml.
type Config struct {
	// Name of this edge, as its certificate says; it appears in Via, logs and metrics.
	Name string `yaml:"name"`
	// Addresses to take requests on.
	Listen []listener.Config `yaml:"listen"`
	// What one client, and all together, may take up.
	Limits listener.Limits `yaml:"limits"`
	// CIDR ranges of the proxies in front whose X-Forwarded-For, Forwarded and
	// traceparent are believed; 10.0.0.5/32 is a single one. Default: none; what clients
	// send there is dropped.
	TrustedProxies []netip.Prefix `yaml:"trusted_proxies"`
	// How long a request may take in all, from its head to the end of its response. The
	// core learns of it and stops at the same time. WebSockets and streams count as one
	// request. Default 0: no limit.
	RequestTimeout config.Duration `yaml:"request_timeout"`
	// Where the access log goes.
	AccessLog accesslog.Config `yaml:"access_log"`
	// Which requests are refused by what they look like.
	Filter filter.Config `yaml:"filter"`
	// Which requests need a token.
	Auth auth.Config `yaml:"auth"`
	// The cores and how they are reached.
	Tunnel TunnelConfig `yaml:"tunnel"`
	// The admin server.
	Admin admin.Config `yaml:"admin"`
	// The edge's own log.
	Log telemetry.LogConfig `yaml:"log"`
	// What the Go runtime may use; takes a restart.
	Memory daemon.Memory `yaml:"memory"`
	// How the edge goes away.
	Shutdown Shutdown `yaml:"shutdown"`
}

// TunnelConfig says which cores there are, who this edge is to them, and how its
// tunnels are kept.
type TunnelConfig struct {
	// PEM file of the CA that signs edges and cores, or of several while one takes the
	// place of another. Required.
	CA config.Path `yaml:"ca"`
	// PEM file of this edge's certificate, with the role edge and the name of this edge
	// in it, as `ergo pki issue --role edge` makes it. Required.
	Cert config.Path `yaml:"cert"`
	// PEM file of its private key. Required.
	Key config.Path `yaml:"key"`
	// The cores, 1 to 64 of them. A plain address is enough for each: "core-1:7443".
	Cores []tunnelclient.CoreConfig `yaml:"cores"`

	tunnelclient.Settings `yaml:",inline"`
	corepool.Config       `yaml:",inline"`
}

// Shutdown says how a tier goes away after SIGTERM.
type Shutdown struct {
	// How long requests are still accepted after /readyz has turned 503, so that a load
	// balancer in front notices; at most 1h. Default 0: not at all.
	Delay config.Duration `yaml:"delay"`
	// How long requests under way may take to finish, after the delay; at most 24h. What
	// is left then is cut. Default 30s. 0: everything is cut at once.
	Grace config.Duration `yaml:"grace"`
}

// SetDefaults sets the defaults.
func (s *Shutdown) SetDefaults() { s.Grace = config.Duration(30 * time.Second) }

// Validate reports what is wrong with s.
func (s *Shutdown) Validate(r *config.Report) {
	if s.Delay.Std() > time.Hour {
		r.Errorf("delay", "%s is too long, want at most 1h", s.Delay)
	}
	if s.Grace.Std() > 24*time.Hour {
		r.Errorf("grace", "%s is too long, want at most 24h", s.Grace)
	}
}

// SetDefaults sets the defaults of the keys that are inlined.
func (t *TunnelConfig) SetDefaults() {
	t.Settings.SetDefaults()
	t.Config.SetDefaults()
}

func (t *TunnelConfig) files() tlsidentity.Files {
	return tlsidentity.Files{CA: string(t.CA), Cert: string(t.Cert), Key: string(t.Key)}
}

// Validate reports what is wrong with t, the files included.
func (t *TunnelConfig) Validate(r *config.Report) {
	t.files().Check(r, tlsidentity.Edge)
	if n := len(t.Cores); n < 1 || n > 64 {
		r.Errorf("cores", "%d cores, want 1 to 64", n)
	}
	seen := make(map[string]int)
	for i, c := range t.Cores {
		if j, twice := seen[c.Address]; twice {
			r.Errorf(fmt.Sprintf("cores[%d].address", i), "%s is cores[%d] already", c.Address, j)
		}
		seen[c.Address] = i
	}
	t.Settings.Validate(r)
	t.Config.Validate(r)
}

// Validate reports what is wrong with c.
func (c *Config) Validate(r *config.Report) {
	if err := tlsidentity.ValidateName(c.Name); err != nil {
		r.Errorf("name", "%v", err)
	} else if creds, err := tlsidentity.Load(c.Tunnel.files(), tlsidentity.Edge); err == nil && creds.Identity().Name != c.Name {
		r.Errorf("name", "is %q, but the certificate in %s is of edge %q", c.Name, c.Tunnel.Cert, creds.Identity().Name)
	}
	if len(c.Listen) == 0 {
		r.Errorf("listen", "is empty, want at least one address such as {address: \":8080\"}")
	}
	seen := make(map[string]int)
	for i, l := range c.Listen {
		if _, port, _ := net.SplitHostPort(l.Address); port == "0" {
			continue // each gets a port of its own
		}
		if j, twice := seen[l.Address]; twice {
			r.Errorf(fmt.Sprintf("listen[%d].address", i), "%s is listen[%d] already", l.Address, j)
		}
		seen[l.Address] = i
	}
}
