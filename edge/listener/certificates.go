package listener

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"strings"
)

var tlsVersions = map[string]uint16{"1.2": tls.VersionTLS12, "1.3": tls.VersionTLS13}

// tls12Suites are the suites of TLS 1.2 that HTTP/2 allows (RFC 9113, appendix
// A lists the others). Versions 1.3 has its own, which cannot be chosen.
var tls12Suites = []uint16{
	tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
	tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
	tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
	tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
	tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
	tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
}

// certificates is an immutable set of certificates by the names they are for.
type certificates struct {
	first  *tls.Certificate
	byName map[string][]*tls.Certificate // "example.com", "*.example.com"
}

// loadCertificates reads all files, or fails with the first that is wrong.
func loadCertificates(files []Certificate) (*certificates, error) {
	set := &certificates{byName: map[string][]*tls.Certificate{}}
	for _, f := range files {
		cert, err := tls.LoadX509KeyPair(string(f.Cert), string(f.Key))
		if err != nil {
			return nil, fmt.Errorf("load certificate %s with key %s: %w", f.Cert, f.Key, err)
		}
		if set.first == nil {
			set.first = &cert
		}
		for _, name := range namesOf(cert.Leaf) {
			name = strings.ToLower(name)
			set.byName[name] = append(set.byName[name], &cert)
		}
	}
	if set.first == nil {
		return nil, errors.New("load certificates: none is configured")
	}
	return set, nil
}

func namesOf(leaf *x509.Certificate) []string {
	if len(leaf.DNSNames) > 0 || len(leaf.IPAddresses) > 0 {
		return leaf.DNSNames
	}
	return []string{leaf.Subject.CommonName}
}

// choose is a tls.Config.GetCertificate.
func (c *certificates) choose(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	name := strings.ToLower(strings.TrimSuffix(hello.ServerName, "."))
	candidates := c.byName[name]
	if len(candidates) == 0 {
		if dot := strings.IndexByte(name, '.'); dot > 0 {
			candidates = c.byName["*"+name[dot:]]
		}
	}
	for _, cert := range candidates {
		if hello.SupportsCertificate(cert) == nil {
			return cert, nil
		}
	}
	if len(candidates) > 0 {
		return candidates[0], nil
	}
	return c.first, nil
}

// newTLSConfig builds the server side of t; next is what ALPN offers.
func newTLSConfig(t *TLS, next ...string) (*tls.Config, error) {
	set, err := loadCertificates(t.Certificates)
	if err != nil {
		return nil, err
	}
	conf := &tls.Config{
		GetCertificate: set.choose,
		MinVersion:     tlsVersions[t.MinVersion],
		CipherSuites:   tls12Suites,
		NextProtos:     next,
	}
	if t.ClientAuth != "request" && t.ClientAuth != "require" {
		return conf, nil
	}
	pem, err := os.ReadFile(string(t.ClientCA))
	if err != nil {
		return nil, fmt.Errorf("load client authorities: %w", err)
	}
	conf.ClientCAs = x509.NewCertPool()
	if !conf.ClientCAs.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("load client authorities %s: it holds no PEM certificate", t.ClientCA)
	}
	conf.ClientAuth = tls.VerifyClientCertIfGiven
	if t.ClientAuth == "require" {
		conf.ClientAuth = tls.RequireAndVerifyClientCert
	}
	return conf, nil
}
