package listener

import (
	"crypto/tls"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"

	"github.com/ergoproxy/ergo/shared/config"
)

// settings is one entry of the config made ready for use. It does not change.
type settings struct {
	Config
	slot     int // position in the config
	limits   *Limits
	rules    scanRules
	tcpTLS   *tls.Config // nil: clear text
	quicTLS  *tls.Config // nil: no h3
	trusted  []netip.Prefix
	altSvc   []string // nil: none
	resolved string   // the address with the port that the system chose
}

func newSettings(configs []Config, limits Limits, connect bool) ([]*settings, error) {
	var plan []*settings
	seen := map[string]int{}
	for i, c := range configs {
		if err := validate(&c); err != nil {
			return nil, fmt.Errorf("listen[%d]: %w", i, err)
		}
		if before, ok := seen[c.Address]; ok && !strings.HasSuffix(c.Address, ":0") {
			return nil, fmt.Errorf("listen[%d]: address %s is already that of listen[%d]", i, c.Address, before)
		}
		seen[c.Address] = i
		st, err := newSetting(c, &limits, connect)
		if err != nil {
			return nil, fmt.Errorf("listen[%d]: %w", i, err)
		}
		st.slot = i
		plan = append(plan, st)
	}
	return plan, nil
}

// validate repeats what the config loader checks, for configs made by a program.
func validate(c *Config) error {
	var r config.Report
	c.Validate(&r)
	if c.TLS != nil {
		c.TLS.Validate(&r)
	}
	if c.ProxyProtocol != nil {
		c.ProxyProtocol.Validate(&r)
	}
	if problems := r.Problems(); len(problems) > 0 {
		return fmt.Errorf("%s: %s", problems[0].Key, problems[0].Text)
	}
	return nil
}

func newSetting(c Config, limits *Limits, connect bool) (*settings, error) {
	st := &settings{Config: c, limits: limits, rules: scanRules{
		headBytes: int(limits.HeaderBytes), urlBytes: int(limits.URLBytes),
		fields: limits.HeaderCount, bodyBytes: int64(limits.BodyBytes), connect: connect,
	}}
	if c.ProxyProtocol != nil {
		for _, s := range c.ProxyProtocol.Trusted {
			p, err := parsePrefix(s)
			if err != nil {
				return nil, fmt.Errorf("proxy_protocol.trusted: %w", err)
			}
			st.trusted = append(st.trusted, p)
		}
	}
	if c.TLS == nil {
		return st, nil
	}
	var alpn []string
	if c.speaks("h2") {
		alpn = append(alpn, "h2")
	}
	if c.speaks("h1") {
		alpn = append(alpn, "http/1.1")
	}
	var err error
	if st.tcpTLS, err = newTLSConfig(c.TLS, alpn...); err != nil {
		return nil, err
	}
	if c.speaks("h3") {
		st.quicTLS = st.tcpTLS.Clone()
		st.quicTLS.MinVersion = tls.VersionTLS13
		st.quicTLS.NextProtos = []string{"h3"}
	}
	return st, nil
}

// sockets names the sockets that st needs. The name is the same after a reload
// that keeps the address, so the socket is kept.
func (st *settings) sockets() []string {
	name := st.Address
	if strings.HasSuffix(name, ":0") {
		name += "#" + strconv.Itoa(st.slot)
	}
	var keys []string
	if st.tcp() {
		keys = append(keys, "tcp "+name)
	}
	if st.quicTLS != nil {
		keys = append(keys, "udp "+name)
	}
	return keys
}

// announce fills in Alt-Svc (RFC 7838) once the port of h3 is known.
func (st *settings) announce(addr net.Addr) {
	if st.AltSvcMaxAge == 0 {
		st.altSvc = []string{"clear"}
		return
	}
	seconds := int64(st.AltSvcMaxAge.Std().Seconds())
	st.altSvc = []string{fmt.Sprintf(`h3=":%d"; ma=%d`, addrPort(addr).Port(), seconds)}
}

// trusts reports whether a PROXY header from addr counts.
func (st *settings) trusts(addr netip.Addr) bool {
	for _, p := range st.trusted {
		if p.Contains(addr) {
			return true
		}
	}
	return false
}
