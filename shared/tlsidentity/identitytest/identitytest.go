// Package identitytest makes certificate authorities and tier certificates for
// tests of whatever goes through a tunnel's handshake.
package identitytest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"net"
	"testing"
	"time"

	"github.com/ergoproxy/ergo/shared/tlsidentity"
)

// Authority is a CA that lives as long as a test.
type Authority struct {
	CertPEM []byte

	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// NewAuthority makes a CA.
func NewAuthority(t testing.TB) *Authority {
	t.Helper()
	template := &x509.Certificate{
		Subject:               pkix.Name{CommonName: "test CA"},
		NotBefore:             time.Now().Add(-time.Hour),
		NotAfter:              time.Now().Add(24 * time.Hour),
		IsCA:                  true,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageCertSign,
	}
	a := &Authority{key: newKey(t)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, a.key.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	if a.cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	a.CertPEM = encode("CERTIFICATE", der)
	return a
}

// Template returns the certificate of a tier, good for 127.0.0.1, ::1 and an
// hour, for Sign or to be spoiled first.
func Template(t testing.TB, id tlsidentity.Identity, dns ...string) *x509.Certificate {
	t.Helper()
	now := time.Now()
	ips := []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback}
	template, err := tlsidentity.Template(id, dns, ips, now.Add(-time.Minute), now.Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	return template
}

// Sign makes a key for template and returns both as PEM.
func (a *Authority) Sign(t testing.TB, template *x509.Certificate) (cert, key []byte) {
	t.Helper()
	private := newKey(t)
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, private.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return encode("CERTIFICATE", der), encode("PRIVATE KEY", pkcs8)
}

// Credentials returns those of a tier of this CA whose certificate also holds
// the given DNS names.
func (a *Authority) Credentials(t testing.TB, id tlsidentity.Identity, dns ...string) *tlsidentity.Credentials {
	t.Helper()
	cert, key := a.Sign(t, Template(t, id, dns...))
	c, err := tlsidentity.FromPEM(a.CertPEM, cert, key, id.Role)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func encode(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}
