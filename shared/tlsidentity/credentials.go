package tlsidentity

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"os"
	"sync/atomic"
	"time"

	"github.com/ergoproxy/ergo/shared/config"
)

// Files names the PEM files of a tier.
type Files struct {
	CA   string // certificates of the CAs that sign tiers, several while one replaces another
	Cert string // the tier's certificate, with intermediates after it if there are any
	Key  string // its private key
}

// Check reports, at the keys "ca", "cert" and "key", what Load would refuse. The
// files are all needed.
func (f Files) Check(r *config.Report, role Role) {
	complete := true
	for _, file := range []struct{ key, path string }{{"ca", f.CA}, {"cert", f.Cert}, {"key", f.Key}} {
		if file.path == "" {
			r.Errorf(file.key, "is missing, want a PEM file as `ergo pki` writes it")
			complete = false
		}
	}
	before := len(r.Problems())
	r.CheckAuthorities("ca", config.Path(f.CA))
	r.CheckKeyPair(config.Path(f.Cert), config.Path(f.Key))
	if complete && len(r.Problems()) == before {
		_, err := Load(f, role)
		if _, ok := errors.AsType[*ChainError](err); ok {
			err = fmt.Errorf("%w, want one that the CA in %s has signed for a tier", err, f.CA)
		}
		r.Check("cert", err)
	}
}

// maxFile bounds what is read of each PEM file, in bytes.
const maxFile = 1 << 20

// Credentials are a tier's certificate, its key and its CA. They can be
// replaced while in use.
type Credentials struct {
	read func() (ca, cert, key []byte, err error)
	role Role
	now  atomic.Pointer[material]
}

// material is one consistent set, never changed once it is stored.
type material struct {
	identity Identity
	roots    *x509.CertPool
	cert     *tls.Certificate
}

// Load reads files and checks them: the key belongs to the certificate, the
// certificate names a tier of the given role and is signed by the CA. It does
// not refuse an expired certificate, so that a tier starts and can say so in its
// log and on its admin address; see NotAfter. Peers refuse it.
func Load(files Files, role Role) (*Credentials, error) {
	c := &Credentials{role: role, read: func() (ca, cert, key []byte, err error) {
		if ca, err = readFile(files.CA); err != nil {
			return nil, nil, nil, err
		}
		if cert, err = readFile(files.Cert); err != nil {
			return nil, nil, nil, err
		}
		key, err = readFile(files.Key)
		return ca, cert, key, err
	}}
	if err := c.Reload(); err != nil {
		return nil, err
	}
	return c, nil
}

// FromPEM makes credentials of what is in memory already, checked as in Load.
// Reload has no effect on them.
func FromPEM(ca, cert, key []byte, role Role) (*Credentials, error) {
	c := &Credentials{role: role, read: func() ([]byte, []byte, []byte, error) { return ca, cert, key, nil }}
	if err := c.Reload(); err != nil {
		return nil, err
	}
	return c, nil
}

func readFile(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if info.Size() > maxFile {
		return nil, fmt.Errorf("read %s: %d bytes, limit %d", name, info.Size(), maxFile)
	}
	b := make([]byte, info.Size())
	n, err := f.ReadAt(b, 0)
	if err != nil && n != len(b) {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	return b, nil
}

// Reload reads the files again. New handshakes use what they hold now,
// connections go on as they are. With an error nothing has changed. A name
// other than before is refused: the rest of the tier still goes by the old one.
func (c *Credentials) Reload() error {
	ca, cert, key, err := c.read()
	if err != nil {
		return err
	}
	m, err := parse(ca, cert, key, c.role)
	if err != nil {
		return err
	}
	if old := c.now.Load(); old != nil && old.identity != m.identity {
		return &NameError{Got: m.identity, Want: old.identity.Name}
	}
	c.now.Store(m)
	return nil
}

func parse(caPEM, certPEM, keyPEM []byte, role Role) (*material, error) {
	roots, err := parseRoots(caPEM)
	if err != nil {
		return nil, err
	}
	pair, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		return nil, fmt.Errorf("read certificate and key: %w", err)
	}
	id, err := Parse(pair.Leaf)
	if err != nil {
		return nil, err
	}
	if id.Role != role {
		return nil, &RoleError{Got: id, Want: role}
	}
	chain := []*x509.Certificate{pair.Leaf}
	for _, der := range pair.Certificate[1:] {
		intermediate, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, fmt.Errorf("read intermediate certificate: %w", err)
		}
		chain = append(chain, intermediate)
	}
	if err := verifyChain(chain, roots, role, within(pair.Leaf, time.Now())); err != nil {
		return nil, err
	}
	return &material{identity: id, roots: roots, cert: &pair}, nil
}

// within returns now, or the nearest time at which cert is valid by its dates.
func within(cert *x509.Certificate, now time.Time) time.Time {
	switch {
	case now.Before(cert.NotBefore):
		return cert.NotBefore
	case now.After(cert.NotAfter):
		return cert.NotAfter
	}
	return now
}

func parseRoots(caPEM []byte) (*x509.CertPool, error) {
	roots := x509.NewCertPool()
	count := 0
	for rest := caPEM; ; count++ {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			return nil, fmt.Errorf("read CA: PEM block %q, want CERTIFICATE alone", block.Type)
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("read CA: %w", err)
		}
		if !cert.IsCA {
			return nil, fmt.Errorf("read CA: certificate %q is not that of a CA", subject(cert))
		}
		roots.AddCert(cert)
	}
	if count == 0 {
		return nil, errors.New("read CA: no PEM block CERTIFICATE")
	}
	return roots, nil
}

// Identity returns who the tier is.
func (c *Credentials) Identity() Identity { return c.now.Load().identity }

// NotAfter returns when the certificate in use expires.
func (c *Credentials) NotAfter() time.Time { return c.now.Load().cert.Leaf.NotAfter }

// Expiring reports whether less than a week is left of the certificate at now:
// time for a Warn line.
func (c *Credentials) Expiring(now time.Time) bool {
	return c.NotAfter().Sub(now) < 7*24*time.Hour
}

// Want says which core an edge means to reach.
type Want struct {
	Name string // name of the tier; "": any, or the one that Host says
	Host string // host of the address that is dialled, used when Name is empty and it is no IP address
}

// ClientConfig returns the settings with which an edge dials a core: TLS 1.3
// (RFC 8446), this edge's certificate, and the peer checked to be the core in
// want; a want without a name or a host name takes every core of the CA.
// Certificate and CA are the current ones at each handshake. Each call makes
// its own session cache.
func (c *Credentials) ClientConfig(want Want) *tls.Config {
	return &tls.Config{
		MinVersion:         tls.VersionTLS13,
		NextProtos:         []string{ALPN},
		ServerName:         hostName(want.Host),
		ClientSessionCache: tls.NewLRUClientSessionCache(8),
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			return c.now.Load().cert, nil
		},
		// crypto/tls knows of no other check than that of a host name, which a
		// core reached by address does not have. verifyPeer does the whole work,
		// on resumed sessions too.
		InsecureSkipVerify: true,
		VerifyConnection: func(cs tls.ConnectionState) error {
			return verifyPeer(cs.PeerCertificates, c.now.Load().roots, Core, want, time.Now())
		},
	}
}

// ServerConfig returns the settings with which a core accepts edges: TLS 1.3,
// this core's certificate, session tickets under the key in keys, and every
// edge of the CA let in. Certificate and CA are the current ones at each
// handshake.
//
// refused, if not nil, is called for every peer that is turned away, by the
// goroutine of its handshake: with QUIC the listener's Accept does not tell.
func (c *Credentials) ServerConfig(keys Keys, refused func(remote net.Addr, err error)) *tls.Config {
	base := &tls.Config{
		MinVersion: tls.VersionTLS13,
		NextProtos: []string{ALPN},
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			return c.now.Load().cert, nil
		},
		// Not RequireAndVerifyClientCert: crypto/tls would turn a peer without a
		// certificate, or with one of another CA, away without a word to us, and
		// nobody could log it. verifyPeer refuses both, and it runs always.
		ClientAuth: tls.RequestClientCert,
		VerifyConnection: func(cs tls.ConnectionState) error {
			return verifyPeer(cs.PeerCertificates, c.now.Load().roots, Edge, Want{}, time.Now())
		},
	}
	base.SetSessionTicketKeys([][32]byte{keys.SessionTicket})
	if refused == nil {
		return base
	}
	outer := base.Clone()
	outer.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		conf := base.Clone()
		conf.VerifyConnection = func(cs tls.ConnectionState) error {
			err := base.VerifyConnection(cs)
			if err != nil {
				refused(hello.Conn.RemoteAddr(), err)
			}
			return err
		}
		return conf, nil
	}
	return outer
}

// verifyPeer is the whole decision about a peer: chain[0] is what it showed,
// the rest may help to build the way to a root.
func verifyPeer(chain []*x509.Certificate, roots *x509.CertPool, role Role, want Want, now time.Time) error {
	if len(chain) == 0 {
		return ErrNoCertificate
	}
	leaf := chain[0]
	// Who it is comes before what its key may be used for: "has role edge, want
	// core" helps an operator more than "incompatible key usage". Until the
	// chain is checked the words are the peer's own, so that check comes first.
	if err := verifyChain(chain, roots, "", now); err != nil {
		return err
	}
	id, err := Parse(leaf)
	if err != nil {
		return err
	}
	if id.Role != role {
		return &RoleError{Got: id, Want: role}
	}
	if err := verifyChain(chain, roots, role, now); err != nil {
		return err
	}
	return verifyName(leaf, id, want)
}

// verifyChain checks dates, signatures and, unless role is empty, the extended
// key usage.
func verifyChain(chain []*x509.Certificate, roots *x509.CertPool, role Role, now time.Time) error {
	usage := x509.ExtKeyUsageAny
	if role != "" {
		usage = role.usage()
	}
	options := x509.VerifyOptions{
		Roots:         roots,
		Intermediates: x509.NewCertPool(),
		CurrentTime:   now,
		KeyUsages:     []x509.ExtKeyUsage{usage},
	}
	for _, cert := range chain[1:] {
		options.Intermediates.AddCert(cert)
	}
	if _, err := chain[0].Verify(options); err != nil {
		return &ChainError{Subject: subject(chain[0]), Err: err}
	}
	return nil
}

func verifyName(leaf *x509.Certificate, id Identity, want Want) error {
	if want.Name != "" {
		if id.Name != want.Name {
			return &NameError{Got: id, Want: want.Name}
		}
		return nil
	}
	host := hostName(want.Host)
	if host == "" {
		return nil
	}
	if leaf.VerifyHostname(host) != nil {
		names := leaf.DNSNames
		if names == nil {
			names = []string{}
		}
		return &NameError{Got: id, DNS: names, Want: host}
	}
	return nil
}

// hostName returns host unless it is an IP address.
func hostName(host string) string {
	if net.ParseIP(host) != nil {
		return ""
	}
	return host
}
