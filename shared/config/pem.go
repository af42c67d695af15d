package config

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"strings"
	"time"
)

// maxPEM is the size limit of a file of certificates or keys in bytes.
const maxPEM = 4 << 20

// CheckKeyPair reports what keeps the PEM files of the keys "cert" and "key" from
// being a certificate chain, leaf first, and the private key of its leaf. An
// expired certificate is a warning only: a tier that cannot start over it could
// not say so. If either is not set, nothing is reported.
func (r *Report) CheckKeyPair(cert, key Path) {
	if cert == "" || key == "" {
		return
	}
	chain, certPEM, err := readCertificates(cert)
	if err != nil {
		r.Errorf("cert", "%v", err)
		return
	}
	keyPEM, _, err := readFile(string(key), maxPEM)
	if err == nil {
		err = checkKey(key, keyPEM)
	}
	if err != nil {
		r.Errorf("key", "%v", err)
		return
	}
	if _, err := tls.X509KeyPair(certPEM, keyPEM); err != nil {
		r.Errorf("key", "file %s is not the private key of %s: %v", key, cert, err)
		return
	}
	if end := chain[0].NotAfter; time.Now().After(end) {
		r.Warnf("cert", "the certificate in %s expired on %s, clients refuse it", cert, end.UTC().Format(time.DateOnly))
	}
}

// CheckAuthorities reports what keeps the file of key from being certificates of
// authorities in PEM. If it is not set, nothing is reported.
func (r *Report) CheckAuthorities(key string, file Path) {
	if file == "" {
		return
	}
	_, _, err := readCertificates(file)
	r.Check(key, err)
}

func readCertificates(file Path) ([]*x509.Certificate, []byte, error) {
	data, _, err := readFile(string(file), maxPEM)
	if err != nil {
		return nil, nil, err
	}
	var chain []*x509.Certificate
	for rest := data; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			continue
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, nil, fmt.Errorf("certificate %d in file %s can't be read: %w", len(chain)+1, file, err)
		}
		chain = append(chain, cert)
	}
	if len(chain) == 0 {
		return nil, nil, fmt.Errorf("file %s holds no certificate in PEM (-----BEGIN CERTIFICATE-----)", file)
	}
	return chain, data, nil
}

// checkKey names the two mistakes of which crypto/tls says no more than that it
// found no key.
func checkKey(file Path, data []byte) error {
	for rest := data; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			return fmt.Errorf("file %s holds no private key in PEM (-----BEGIN PRIVATE KEY-----)", file)
		}
		switch {
		case block.Type == "ENCRYPTED PRIVATE KEY", strings.Contains(block.Headers["Proc-Type"], "ENCRYPTED"):
			return fmt.Errorf("the private key in file %s is encrypted, want one without a passphrase", file)
		case strings.HasSuffix(block.Type, "PRIVATE KEY"):
			return nil
		}
	}
}
