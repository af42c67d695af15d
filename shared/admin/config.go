package admin

import (
	"net"
	"net/netip"
	"strconv"

	"github.com/ergoproxy/ergo/shared/config"
)

// Config says where a tier's admin server listens and who may use it.
type Config struct {
	// Address is the host:port to listen on. Any address that is not loopback
	// needs a token or a client CA. Default: none, no admin server.
	Address string `yaml:"address"`
	// Token is the bearer token (RFC 6750) that every request but those for
	// /healthz and /readyz must carry, at least 16 bytes. Default: none asked.
	Token config.Secret `yaml:"token"`
	// TLS makes the server speak TLS. Default: clear HTTP.
	TLS *TLS `yaml:"tls"`
	// Pprof serves /debug/pprof/, with which whoever may use the server can
	// read memory and slow the tier down. Default false.
	Pprof bool `yaml:"pprof"`
}

// TLS is the certificate of an admin server.
type TLS struct {
	// Cert is the PEM file of the certificate, intermediates after it. Required.
	Cert config.Path `yaml:"cert"`
	// Key is the PEM file of its private key. Required.
	Key config.Path `yaml:"key"`
	// ClientCA is the PEM file of the CAs one of which must have signed the
	// certificate of every client. Default: no client certificate is asked for.
	ClientCA config.Path `yaml:"client_ca"`
}

// minToken is the length below which a token could be guessed, in bytes.
const minToken = 16

// SetDefaults leaves everything off: each field's default is its zero value.
func (c *Config) SetDefaults() {}

// Validate reports an address that is none, and one that would let everybody
// in.
func (c *Config) Validate(r *config.Report) {
	token := len(c.Token.Reveal())
	if token > 0 && token < minToken {
		r.Errorf("token", "has %d bytes, want at least %d", token, minToken)
	}
	if c.Address == "" {
		return
	}
	host, port, err := net.SplitHostPort(c.Address)
	if err != nil {
		r.Errorf("address", "%q is no address, want host:port such as 127.0.0.1:9901", c.Address)
		return
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil {
		r.Errorf("address", "port %q is no number, want 0 to 65535", port)
	} else if n == 0 && !loopback(host) {
		r.Errorf("address", "port 0 takes any free port, which nobody could find; want a fixed one")
	}
	if !loopback(host) && token == 0 && (c.TLS == nil || c.TLS.ClientCA == "") {
		r.Errorf("address", "%q is not a loopback address: everybody who reaches it could use it; want 127.0.0.1 or [::1], or a token, or tls.client_ca", c.Address)
	}
}

// SetDefaults leaves everything unset.
func (t *TLS) SetDefaults() {}

// Validate reports what is missing, and files that cannot be used.
func (t *TLS) Validate(r *config.Report) {
	if t.Cert == "" {
		r.Errorf("cert", "is missing, want the PEM file of a certificate")
	}
	if t.Key == "" {
		r.Errorf("key", "is missing, want the PEM file of the certificate's private key")
	}
	r.CheckKeyPair(t.Cert, t.Key)
	r.CheckAuthorities("client_ca", t.ClientCA)
}

// loopback reports whether host can be reached from this machine alone. The
// name localhost counts: RFC 6761, section 6.3, keeps it on loopback.
func loopback(host string) bool {
	if host == "localhost" {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.Unmap().IsLoopback()
}
