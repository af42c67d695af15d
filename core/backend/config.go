package backend

import (
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/ergoproxy/ergo/shared/balance"
	"github.com/ergoproxy/ergo/shared/config"
	"github.com/ergoproxy/ergo/shared/health"
)

// Config describes one pool of backends.
type Config struct {
	// The backends. At least one, unless dns names them.
	Endpoints []Endpoint `yaml:"endpoints"`
	// Backends found by name in the DNS, besides the endpoints. Default: none.
	DNS *DNS `yaml:"dns"`
	// How a backend is picked: round_robin, random, least_requests or p2c.
	// Default least_requests.
	Balance string `yaml:"balance"`
	// What is spoken. "auto": HTTP/1.1 to http, HTTP/2 or 1.1 as the backend
	// chooses to https. "h1": HTTP/1.1 only. "h2": HTTP/2 only, to http with
	// prior knowledge, which an endpoint may also say by itself: h2c://host.
	// Default auto.
	Protocol string `yaml:"protocol"`
	// How backends with https are verified, and how we show who we are.
	TLS TLS `yaml:"tls"`
	// How long each step may take.
	Timeouts Timeouts `yaml:"timeouts"`
	// How many connections there may be, and who waits for one.
	Limits Limits `yaml:"limits"`
	// When a failed request is sent again.
	Retries Retries `yaml:"retries"`
	// When a backend is left out.
	Health health.Config `yaml:"health"`
}

// Words for Config.Protocol.
const (
	ProtocolAuto = "auto"
	ProtocolH1   = "h1"
	ProtocolH2   = "h2"
)

// SetDefaults implements config.Defaulter.
func (c *Config) SetDefaults() {
	c.Balance = balance.LeastRequests
	c.Protocol = ProtocolAuto
	c.TLS.SetDefaults()
	c.Timeouts.SetDefaults()
	c.Limits.SetDefaults()
	c.Retries.SetDefaults()
	c.Health.SetDefaults()
}

// Validate implements config.Validator.
func (c *Config) Validate(r *config.Report) {
	if len(c.Endpoints) == 0 && c.DNS == nil {
		r.Errorf("endpoints", "is empty, want at least one such as http://10.0.0.5:3000, or a dns section")
	}
	seen := map[Endpoint]int{}
	for i, e := range c.Endpoints {
		if first, ok := seen[e]; ok {
			r.Errorf(fmt.Sprintf("endpoints[%d]", i), "%s is there already, as endpoints[%d]", e.URL, first)
		}
		seen[e] = i
	}
	if _, err := balance.New[*endpoint](c.Balance); err != nil {
		r.Errorf("balance", "%v", err)
	}
	switch c.Protocol {
	case ProtocolAuto, ProtocolH1, ProtocolH2:
	default:
		r.Errorf("protocol", "%q is not known, want auto, h1 or h2", c.Protocol)
	}
	if c.Protocol == ProtocolH1 {
		for i, e := range c.Endpoints {
			if strings.HasPrefix(e.URL, "h2c:") {
				r.Errorf(fmt.Sprintf("endpoints[%d]", i), "%s speaks HTTP/2, but protocol is h1", e.URL)
			}
		}
	}
}

// Endpoint is one backend. In its short form it is the URL alone.
type Endpoint struct {
	// Scheme, host and port: "http://10.0.0.5:3000", "https://app.internal",
	// "h2c://10.0.0.7:50051". The port defaults to 80, for https to 443. A
	// name is resolved anew for each connection.
	URL string `yaml:"url"`
	// Host field of requests to this backend, in place of the client's.
	// Default empty: the client's, or what the route's rewrite says.
	Host string `yaml:"host"`

	// serverName is what certificates are checked for when the DNS gave us
	// only an address.
	serverName string
}

// UnmarshalScalar implements config.Scalar: the short form.
func (e *Endpoint) UnmarshalScalar(text string) error {
	e.URL = text
	_, _, err := e.parse()
	return err
}

// Validate implements config.Validator.
func (e *Endpoint) Validate(r *config.Report) {
	if _, _, err := e.parse(); err != nil {
		r.Errorf("url", "%v", err)
	}
	if strings.ContainsAny(e.Host, " \t\r\n/@?#") {
		r.Errorf("host", "%q is no host, want a name with or without a port", e.Host)
	}
}

// parse returns the scheme and the address with port.
func (e *Endpoint) parse() (scheme, addr string, err error) {
	const want = "want http://host:port, https://host:port or h2c://host:port"
	u, err := url.Parse(e.URL)
	if err != nil || u.Hostname() == "" {
		return "", "", fmt.Errorf("%q is no endpoint, %s", e.URL, want)
	}
	port := u.Port()
	switch u.Scheme {
	case "http", "h2c":
		port = orDefault(port, "80")
	case "https":
		port = orDefault(port, "443")
	default:
		return "", "", fmt.Errorf("%q has an unknown scheme, %s", e.URL, want)
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return "", "", fmt.Errorf("%q has no port from 1 to 65535, %s", e.URL, want)
	}
	if u.Path != "" && u.Path != "/" || u.RawQuery != "" || u.Fragment != "" || u.User != nil {
		return "", "", fmt.Errorf("%q has more than scheme, host and port, %s; paths are for the route's rewrite", e.URL, want)
	}
	return u.Scheme, net.JoinHostPort(u.Hostname(), port), nil
}

func orDefault(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

// DNS finds backends by a name whose addresses change.
type DNS struct {
	// The name to look up: "app.service.internal".
	Name string `yaml:"name"`
	// "a": the addresses of the name, IPv4 and IPv6, with port. "srv": the
	// targets and ports of its SRV records (RFC 2782); only those of the best
	// priority are used. Default "a".
	Type string `yaml:"type"`
	// Scheme of the backends found: http, https or h2c. Default http.
	Scheme string `yaml:"scheme"`
	// Port of the backends found by type a. Default 80, for https 443.
	Port int `yaml:"port"`
	// Time between two look-ups. The records' own time to live is not known to
	// us. When a look-up fails the last good answer stays. Default 5s, at
	// least 1s.
	Refresh config.Duration `yaml:"refresh"`
	// Longest wait for an answer. Default 2s.
	Timeout config.Duration `yaml:"timeout"`
	// Backends used of one answer; the rest is left out, with a warning.
	// Default 256.
	MaxEndpoints int `yaml:"max_endpoints"`
}

// Words for DNS.Type.
const (
	DNSTypeA   = "a"
	DNSTypeSRV = "srv"
)

// SetDefaults implements config.Defaulter.
func (d *DNS) SetDefaults() {
	*d = DNS{
		Type:         DNSTypeA,
		Scheme:       "http",
		Refresh:      config.Duration(5 * time.Second),
		Timeout:      config.Duration(2 * time.Second),
		MaxEndpoints: 256,
	}
}

// Validate implements config.Validator.
func (d *DNS) Validate(r *config.Report) {
	if d.Name == "" || strings.ContainsAny(d.Name, " \t\r\n/:@") {
		r.Errorf("name", "%q is no name to look up, want one such as web.internal", d.Name)
	}
	if d.Type != DNSTypeA && d.Type != DNSTypeSRV {
		r.Errorf("type", "%q is not known, want a or srv", d.Type)
	}
	if d.Scheme != "http" && d.Scheme != "https" && d.Scheme != "h2c" {
		r.Errorf("scheme", "%q is not known, want http, https or h2c", d.Scheme)
	}
	if d.Port < 0 || d.Port > 65535 {
		r.Errorf("port", "%d is no port, want 1 to 65535", d.Port)
	}
	if d.Port != 0 && d.Type == DNSTypeSRV {
		r.Errorf("port", "is not used with type srv, whose records say the port")
	}
	if d.Refresh < config.Duration(time.Second) {
		r.Errorf("refresh", "%v is too short, want 1s or more", d.Refresh)
	}
	if d.Timeout == 0 {
		r.Errorf("timeout", "is 0, want a duration above 0")
	}
	if d.MaxEndpoints < 1 {
		r.Errorf("max_endpoints", "%d is too few, want 1 or more", d.MaxEndpoints)
	}
}

// port returns the port of type a.
func (d *DNS) port() string {
	switch {
	case d.Port != 0:
		return strconv.Itoa(d.Port)
	case d.Scheme == "https":
		return "443"
	}
	return "80"
}

// TLS says how we and backends with https know each other.
type TLS struct {
	// CA certificates, PEM, that sign the backends'. Default: those of the
	// system.
	CA config.Path `yaml:"ca"`
	// Certificate chain, PEM, that we show to backends that ask. Default: none.
	Cert config.Path `yaml:"cert"`
	// Private key of cert, PEM.
	Key config.Path `yaml:"key"`
	// Name that the backends' certificates must hold, also sent as SNI.
	// Default: the host of the endpoint.
	ServerName string `yaml:"server_name"`
	// Oldest version spoken: "1.2" or "1.3". Default "1.2".
	MinVersion string `yaml:"min_version"`
	// Believe any certificate. Whoever stands between us and the backend can
	// then read and change everything. Default false.
	InsecureSkipVerify bool `yaml:"insecure_skip_verify"`
}

// SetDefaults implements config.Defaulter.
func (t *TLS) SetDefaults() { t.MinVersion = "1.2" }

// Validate implements config.Validator.
func (t *TLS) Validate(r *config.Report) {
	if (t.Cert == "") != (t.Key == "") {
		r.Errorf("cert", "cert and key go together, only one of them is set")
	}
	if t.MinVersion != "1.2" && t.MinVersion != "1.3" {
		r.Errorf("min_version", "%q is not known, want \"1.2\" or \"1.3\"", t.MinVersion)
	}
	r.CheckKeyPair(t.Cert, t.Key)
	r.CheckAuthorities("ca", t.CA)
}
