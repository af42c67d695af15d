package peers

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/ergoproxy/ergo/deploy/pki"
)

// WriteCertificates is a CertDir: it makes a CA that nothing else trusts and
// forgets its key.
func WriteCertificates(dir string) error {
	made, err := pki.NewThrowaway([]string{"edge-1"}, []string{"core-1", "core-2"})
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "ca.crt"), made.CA, 0o644); err != nil {
		return err
	}
	d := pki.Dir{Path: dir, Force: true}
	for name, pair := range map[string]pki.Pair{"edge-1": made.Edges["edge-1"], "core-1": made.Cores["core-1"], "core-2": made.Cores["core-2"], "site": made.Site} {
		if _, _, err := d.Write(name, pair); err != nil {
			return err
		}
	}
	return nil
}

// readRoots returns the certificates of a file as what a client trusts.
func readRoots(path string) (*x509.CertPool, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read a certificate: %w", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(content) {
		return nil, fmt.Errorf("read a certificate: none in %s", path)
	}
	return roots, nil
}

// coreName is the name in the certificate of every peer's core tier.
const coreName = "core.bench.test"

// writeCertificate makes a certificate for the core tier of a peer and writes
// core.crt, core.key and, for HAProxy, both in core.pem. It signs itself, so
// core.crt is also what the edge tier trusts.
func writeCertificate(dir string) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return fmt.Errorf("make a key: %w", err)
	}
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(now.UnixNano()), Subject: pkix.Name{CommonName: coreName},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(7 * 24 * time.Hour),
		DNSNames: []string{coreName}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true, IsCA: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return fmt.Errorf("make a certificate: %w", err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return fmt.Errorf("encode a key: %w", err)
	}
	certPEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	keyPEM := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret})
	for name, content := range map[string][]byte{"core.crt": certPEM, "core.key": keyPEM, "core.pem": append(append([]byte{}, certPEM...), keyPEM...)} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			return fmt.Errorf("write a certificate: %w", err)
		}
	}
	return nil
}
