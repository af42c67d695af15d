// Package pki is Ergo's private certificate authority: it makes the CA that the
// tiers of one installation trust, certificates for edges and cores as package
// tlsidentity checks them, and server certificates to try a listener with.
//
// Keys are ECDSA P-256. An Authority lives in memory; Dir keeps one in a
// directory, private files with mode 0600:
//
//	ca.crt ca.key            the authority
//	edge-1.crt edge-1.key    one pair for each certificate, named after it
//
// An Authority is safe for concurrent use, a Dir is not.
package pki

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"time"

	"github.com/ergoproxy/ergo/shared/tlsidentity"
)

// Lifetimes by default.
const (
	AuthorityLifetime = 10 * 365 * 24 * time.Hour
	PairLifetime      = 365 * 24 * time.Hour
)

// backdate is how long before it is made a certificate becomes valid, for peers
// whose clocks are behind.
const backdate = 5 * time.Minute

// Pair is a certificate and its private key in PEM.
type Pair struct {
	Cert, Key []byte
	NotAfter  time.Time
}

// Authority is a CA with its private key.
type Authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	now  func() time.Time
}

// NewAuthority makes a CA that is valid for the given time.
func NewAuthority(commonName string, lifetime time.Duration) (*Authority, error) {
	a := &Authority{now: time.Now}
	var err error
	if a.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		return nil, fmt.Errorf("make CA key: %w", err)
	}
	now := a.now()
	template := &x509.Certificate{
		Subject:               pkix.Name{CommonName: commonName},
		NotBefore:             now.Add(-backdate),
		NotAfter:              now.Add(lifetime),
		IsCA:                  true,
		BasicConstraintsValid: true,
		MaxPathLenZero:        true,
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, a.key.Public(), a.key)
	if err != nil {
		return nil, fmt.Errorf("sign CA certificate: %w", err)
	}
	if a.cert, err = x509.ParseCertificate(der); err != nil {
		return nil, fmt.Errorf("read CA certificate back: %w", err)
	}
	return a, nil
}

// ParseAuthority reads a CA from the PEM of its certificate and key.
func ParseAuthority(certPEM, keyPEM []byte) (*Authority, error) {
	block, _ := pem.Decode(certPEM)
	if block == nil || block.Type != "CERTIFICATE" {
		return nil, errors.New("CA certificate: no PEM block CERTIFICATE")
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("CA certificate: %w", err)
	}
	if block, _ = pem.Decode(keyPEM); block == nil || block.Type != "PRIVATE KEY" {
		return nil, errors.New("CA key: no PEM block PRIVATE KEY")
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("CA key: %w", err)
	}
	key, ok := parsed.(*ecdsa.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("CA key: %T, want ECDSA", parsed)
	}
	if !cert.IsCA || !key.PublicKey.Equal(cert.PublicKey) {
		return nil, errors.New("CA certificate and CA key do not belong together")
	}
	return &Authority{cert: cert, key: key, now: time.Now}, nil
}

// Pair returns the CA itself. Its key signs certificates of every tier: it
// belongs on no edge and no core.
func (a *Authority) Pair() (Pair, error) { return encode(a.cert.Raw, a.key, a.cert.NotAfter) }

// CertPEM returns the certificate that tiers and clients are to trust.
func (a *Authority) CertPEM() []byte { return encodePEM("CERTIFICATE", a.cert.Raw) }

// Request is what a certificate is asked for. Names are DNS names or IP
// addresses under which clients, or edges, reach its holder.
type Request struct {
	DNS      []string
	IPs      []net.IP
	Lifetime time.Duration // 0: PairLifetime; it ends with the CA's in any case
}

// IssueTier makes the certificate of a tier. The tier's name is added to its DNS
// names when it can be one, so that an edge may dial a core by its name.
func (a *Authority) IssueTier(id tlsidentity.Identity, r Request) (Pair, error) {
	notBefore, notAfter, err := a.times(r.Lifetime)
	if err != nil {
		return Pair{}, err
	}
	dns := r.DNS
	if validHost(id.Name) {
		dns = append([]string{id.Name}, r.DNS...)
	}
	template, err := tlsidentity.Template(id, dns, r.IPs, notBefore, notAfter)
	if err != nil {
		return Pair{}, err
	}
	return a.sign(template)
}

// IssueSite makes a server certificate for clients that trust this CA. It names
// no tier, so no tier takes it for one.
func (a *Authority) IssueSite(r Request) (Pair, error) {
	if len(r.DNS)+len(r.IPs) == 0 {
		return Pair{}, errors.New("a site certificate needs a DNS name or an IP address")
	}
	notBefore, notAfter, err := a.times(r.Lifetime)
	if err != nil {
		return Pair{}, err
	}
	return a.sign(&x509.Certificate{
		NotBefore:             notBefore,
		NotAfter:              notAfter,
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true,
		DNSNames:              r.DNS,
		IPAddresses:           r.IPs,
	})
}

func (a *Authority) times(lifetime time.Duration) (notBefore, notAfter time.Time, err error) {
	now := a.now()
	if !now.Before(a.cert.NotAfter) {
		return now, now, fmt.Errorf("the CA expired on %s", a.cert.NotAfter.Format(time.DateOnly))
	}
	if lifetime <= 0 {
		lifetime = PairLifetime
	}
	notBefore, notAfter = now.Add(-backdate), now.Add(lifetime)
	if notBefore.Before(a.cert.NotBefore) {
		notBefore = a.cert.NotBefore
	}
	if notAfter.After(a.cert.NotAfter) {
		notAfter = a.cert.NotAfter
	}
	return notBefore, notAfter, nil
}

func (a *Authority) sign(template *x509.Certificate) (Pair, error) {
	for _, name := range template.DNSNames {
		if !validHost(strings.TrimPrefix(name, "*.")) {
			return Pair{}, fmt.Errorf("%q is no DNS name", name)
		}
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return Pair{}, fmt.Errorf("make key: %w", err)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, key.Public(), a.key)
	if err != nil {
		return Pair{}, fmt.Errorf("sign certificate: %w", err)
	}
	return encode(der, key, template.NotAfter)
}

// validHost reports whether name is a host name (RFC 1123, section 2.1) that
// crypto/x509 matches, and no IP address.
func validHost(name string) bool {
	if _, err := netip.ParseAddr(name); err == nil || name == "" || len(name) > 253 {
		return false
	}
	for label := range strings.SplitSeq(name, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		if strings.Trim(label, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-") != "" {
			return false
		}
	}
	return true
}

func encode(der []byte, key *ecdsa.PrivateKey, notAfter time.Time) (Pair, error) {
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return Pair{}, fmt.Errorf("encode key: %w", err)
	}
	return Pair{Cert: encodePEM("CERTIFICATE", der), Key: encodePEM("PRIVATE KEY", pkcs8), NotAfter: notAfter.UTC().Truncate(time.Second)}, nil
}

func encodePEM(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}
