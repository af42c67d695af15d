package listener

import (
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ergoproxy/ergo/shared/config"
)

// Config is one address that the edge takes requests on.
type Config struct {
	// Address is host:port or :port, for TCP and, with h3, for UDP too. Port 0
	// lets the system choose. Required.
	Address string `yaml:"address"`

	// Protocols lists what is spoken. Without tls: h1, h2c; default [h1]. With
	// tls: h1, h2, h3; default [h1, h2]. h3 opens UDP on the same port and
	// announces itself with Alt-Svc in the answers over h1 and h2.
	Protocols []string `yaml:"protocols"`

	// AltSvcMaxAge is how long a client may remember that h3 is offered.
	// Default 24h. 0 tells clients to forget it (Alt-Svc: clear).
	AltSvcMaxAge config.Duration `yaml:"alt_svc_max_age"`

	// TLS turns the listener to TLS. Without it the listener is clear text.
	TLS *TLS `yaml:"tls"`

	// ProxyProtocol takes the client's address from a load balancer in front.
	// It applies to TCP only, before TLS. Without it no header is accepted.
	ProxyProtocol *ProxyProtocol `yaml:"proxy_protocol"`
}

// TLS is the server side of a listener's TLS. The versions offered are 1.3 and,
// if min_version allows, 1.2 with AEAD cipher suites only.
type TLS struct {
	// Certificates are chosen by the name the client asks for (SNI): an exact
	// name first, then a wildcard, then the first of the list. Several for one
	// name may differ in their kind of key. At least one is required.
	Certificates []Certificate `yaml:"certificates"`

	// MinVersion is "1.2" or "1.3". Default "1.2". HTTP/3 is always 1.3.
	MinVersion string `yaml:"min_version"`

	// ClientCA is a PEM file with the authorities of client certificates.
	// Required with client_auth request or require, and refused without.
	ClientCA config.Path `yaml:"client_ca"`

	// ClientAuth is none, request (a certificate may be given and is verified
	// then) or require. Default none.
	ClientAuth string `yaml:"client_auth"`
}

// Certificate is a PEM certificate chain and its PEM key.
type Certificate struct {
	// Cert is the PEM file of the chain, the site's own certificate first.
	// Required.
	Cert config.Path `yaml:"cert"`
	// Key is the PEM file of its private key: PKCS 1, PKCS 8 or SEC 1, without a
	// passphrase. Required.
	Key config.Path `yaml:"key"`
}

// ProxyProtocol says whose PROXY header (version 1 or 2) counts.
type ProxyProtocol struct {
	// Trusted are the addresses or CIDR ranges of the load balancers. A
	// connection from one of them must begin with a PROXY header; from any other
	// address a header is garbage, and the connection is refused. Required.
	Trusted []string `yaml:"trusted"`

	// HeaderTimeout is how long the header may take. Default 5s. 0 is not allowed.
	HeaderTimeout config.Duration `yaml:"header_timeout"`
}

// Limits bounds what clients can make the edge hold, over all listeners. A
// change applies to connections accepted after it.
type Limits struct {
	// HeaderBytes bounds the head of a request: request line and fields.
	// Above it the answer is 431. Default 32KiB, at least 1KiB, at most 1MiB.
	HeaderBytes config.Bytes `yaml:"header_bytes"`

	// HeaderCount bounds the number of field lines of a request head. Above it
	// the answer is 431. Default 128, at least 1.
	HeaderCount int `yaml:"header_count"`

	// URLBytes bounds the request target. Above it the answer is 414. Default
	// 8KiB, at least 64, at most header_bytes.
	URLBytes config.Bytes `yaml:"url_bytes"`

	// BodyBytes bounds a request body. Above it the answer is 413. Default 0:
	// unlimited.
	BodyBytes config.Bytes `yaml:"body_bytes"`

	// Connections bounds the open connections of all listeners, TCP and QUIC
	// together. Above it new ones are closed at once. Default 65536, at least 1.
	Connections int `yaml:"connections"`

	// ConnectionsPerAddress bounds the open connections of one client address;
	// an IPv6 client counts by its /64. Default 1024. 0: unlimited.
	ConnectionsPerAddress int `yaml:"connections_per_address"`

	// ConcurrentStreams bounds the requests at work on one HTTP/2 or HTTP/3
	// connection. Default 250, at least 1, at most 10000.
	ConcurrentStreams int `yaml:"concurrent_streams"`

	// ControlFrames bounds the RST_STREAM, PING, SETTINGS, PRIORITY and empty
	// frames of one HTTP/2 connection, per second on average; ten seconds' worth
	// may come at once. Above it the connection is closed. Default 100. 0:
	// unlimited.
	ControlFrames int `yaml:"control_frames"`

	// HandshakeTimeout bounds a TLS or QUIC handshake. Default 10s. 0 is not
	// allowed.
	HandshakeTimeout config.Duration `yaml:"handshake_timeout"`

	// HeaderTimeout bounds the time from the first byte of a request to the end
	// of its head, and how long a new connection may stay silent. The answer is
	// 408 on HTTP/1, a closed connection on HTTP/2, a reset stream on HTTP/3.
	// Default 10s. 0 is not allowed.
	HeaderTimeout config.Duration `yaml:"header_timeout"`

	// BodyTimeout bounds how long a request body may make no progress while it
	// is being read. Default 30s. 0: unlimited.
	BodyTimeout config.Duration `yaml:"body_timeout"`

	// WriteTimeout bounds how long a response may make no progress because the
	// client does not read. A response with nothing to send is not touched.
	// Default 60s. 0: unlimited.
	WriteTimeout config.Duration `yaml:"write_timeout"`

	// IdleTimeout bounds how long a connection without a request stays open.
	// Default 75s. 0 is not allowed.
	IdleTimeout config.Duration `yaml:"idle_timeout"`
}

// SetDefaults sets the default of each field. Those of Protocols depend on TLS:
// they are filled in when the Server is made.
func (c *Config) SetDefaults() {
	c.AltSvcMaxAge = config.Duration(24 * time.Hour)
}

// SetDefaults sets the default of each field.
func (t *TLS) SetDefaults() {
	t.MinVersion = "1.2"
	t.ClientAuth = "none"
}

// SetDefaults sets the default of each field.
func (p *ProxyProtocol) SetDefaults() {
	p.HeaderTimeout = config.Duration(5 * time.Second)
}

// SetDefaults sets the default of each field.
func (l *Limits) SetDefaults() {
	*l = Limits{
		HeaderBytes:           32 << 10,
		HeaderCount:           128,
		URLBytes:              8 << 10,
		Connections:           65536,
		ConnectionsPerAddress: 1024,
		ConcurrentStreams:     250,
		ControlFrames:         100,
		HandshakeTimeout:      config.Duration(10 * time.Second),
		HeaderTimeout:         config.Duration(10 * time.Second),
		BodyTimeout:           config.Duration(30 * time.Second),
		WriteTimeout:          config.Duration(60 * time.Second),
		IdleTimeout:           config.Duration(75 * time.Second),
	}
}

// Validate reports what is wrong with c.
func (c *Config) Validate(r *config.Report) {
	_, port, err := net.SplitHostPort(c.Address)
	if err != nil {
		r.Errorf("address", "%q is no address, want host:port or :port such as :8080", c.Address)
	} else if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		r.Errorf("address", "%q has no port number, want 0 to 65535", c.Address)
	}
	allowed := []string{"h1", "h2c"}
	if c.TLS != nil {
		allowed = []string{"h1", "h2", "h3"}
	}
	for i, p := range c.Protocols {
		if !slices.Contains(allowed, p) {
			r.Errorf("protocols", "%q is not possible here, want some of %s (h2 and h3 need tls, h2c needs its absence)", p, strings.Join(allowed, ", "))
		} else if slices.Contains(c.Protocols[:i], p) {
			r.Errorf("protocols", "%q is listed twice", p)
		}
	}
}

// Validate reports what is wrong with t, the file of authorities included.
func (t *TLS) Validate(r *config.Report) {
	if len(t.Certificates) == 0 {
		r.Errorf("certificates", "is empty, want at least one {cert: FILE, key: FILE}")
	}
	if _, ok := tlsVersions[t.MinVersion]; !ok {
		r.Errorf("min_version", `%q is not supported, want "1.2" or "1.3"`, t.MinVersion)
	}
	switch t.ClientAuth {
	case "none":
		if t.ClientCA != "" {
			r.Errorf("client_ca", "has no effect with client_auth none, want client_auth request or require")
		}
	case "request", "require":
		if t.ClientCA == "" {
			r.Errorf("client_ca", "is missing, client_auth %s needs it", t.ClientAuth)
		}
		r.CheckAuthorities("client_ca", t.ClientCA)
	default:
		r.Errorf("client_auth", "%q is not known, want none, request or require", t.ClientAuth)
	}
}

// Validate reports what is wrong with c, the files included.
func (c *Certificate) Validate(r *config.Report) {
	if c.Cert == "" {
		r.Errorf("cert", "is missing, want a PEM file")
	}
	if c.Key == "" {
		r.Errorf("key", "is missing, want a PEM file")
	}
	r.CheckKeyPair(c.Cert, c.Key)
}

// Validate reports what is wrong with p.
func (p *ProxyProtocol) Validate(r *config.Report) {
	if len(p.Trusted) == 0 {
		r.Errorf("trusted", "is empty, want the addresses of the load balancers, such as [10.0.0.0/8]")
	}
	for i, s := range p.Trusted {
		if _, err := parsePrefix(s); err != nil {
			r.Errorf("trusted["+strconv.Itoa(i)+"]", "%q is neither an address nor a CIDR range", s)
		}
	}
	if p.HeaderTimeout <= 0 {
		r.Errorf("header_timeout", "is 0, want a duration above 0")
	}
}

// Validate reports what is wrong with l.
func (l *Limits) Validate(r *config.Report) {
	within := func(key string, v, low, high config.Bytes) {
		if v < low || v > high {
			r.Errorf(key, "is %v, want %v to %v", v, low, high)
		}
	}
	within("header_bytes", l.HeaderBytes, 1<<10, 1<<20)
	within("url_bytes", l.URLBytes, 64, max(l.HeaderBytes, 64))
	between := func(key string, v, low, high int) {
		if v < low || v > high {
			r.Errorf(key, "is %d, want %d to %d", v, low, high)
		}
	}
	between("header_count", l.HeaderCount, 1, 1<<20)
	between("connections", l.Connections, 1, 1<<24)
	between("connections_per_address", l.ConnectionsPerAddress, 0, 1<<24)
	between("concurrent_streams", l.ConcurrentStreams, 1, 10000)
	between("control_frames", l.ControlFrames, 0, 1<<20)
	for _, d := range []struct {
		key   string
		value config.Duration
	}{
		{"handshake_timeout", l.HandshakeTimeout}, {"header_timeout", l.HeaderTimeout}, {"idle_timeout", l.IdleTimeout},
	} {
		if d.value <= 0 {
			r.Errorf(d.key, "is 0, want a duration above 0")
		}
	}
}

// protocols returns what is spoken, the default included.
func (c *Config) protocols() []string {
	switch {
	case len(c.Protocols) > 0:
		return c.Protocols
	case c.TLS != nil:
		return []string{"h1", "h2"}
	}
	return []string{"h1"}
}

func (c *Config) speaks(protocol string) bool { return slices.Contains(c.protocols(), protocol) }

// tcp reports whether c needs a TCP socket.
func (c *Config) tcp() bool { return c.speaks("h1") || c.speaks("h2") || c.speaks("h2c") }

// parsePrefix reads an address or a CIDR range.
func parsePrefix(s string) (netip.Prefix, error) {
	if a, err := netip.ParseAddr(s); err == nil {
		a = a.Unmap()
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	p, err := netip.ParsePrefix(s)
	return p.Masked(), err
}
