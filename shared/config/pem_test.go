package config_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/ergoproxy/ergo/shared/config"
)

// pair holds a certificate with a key, as CheckKeyPair wants its keys called.
type pair struct {
	Cert config.Path `yaml:"cert"`
	Key  config.Path `yaml:"key"`
	CA   config.Path `yaml:"ca"`
}

func (p *pair) Validate(r *config.Report) {
	r.CheckKeyPair(p.Cert, p.Key)
	r.CheckAuthorities("ca", p.CA)
}

// newPair returns a certificate that is valid until notAfter, and its key.
func newPair(t *testing.T, notAfter time.Time) (cert, key string) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "x"}, NotBefore: time.Unix(0, 0), NotAfter: notAfter}
	der, err := x509.CreateCertificate(rand.Reader, template, template, k.Public(), k)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	encode := func(kind string, b []byte) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: b}))
	}
	return encode("CERTIFICATE", der), encode("PRIVATE KEY", pkcs8)
}

func TestCertificatesAndKeysAreRead(t *testing.T) {
	cert, key := newPair(t, time.Now().Add(time.Hour))
	_, other := newPair(t, time.Now().Add(time.Hour))
	damaged := strings.Replace(cert, "\nMII", "\nAII", 1)
	legacy := "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\nAAAA\n-----END RSA PRIVATE KEY-----\n"
	files := map[string]string{
		"good.crt": cert, "good.key": key, "other.key": other, "damaged.crt": damaged, "both.pem": key + cert,
		"second-damaged.crt": cert + damaged, "text": "no PEM", "encrypted.key": legacy, "param.key": "-----BEGIN EC PARAMETERS-----\nBggq\n-----END EC PARAMETERS-----\n" + key,
	}
	tests := []struct{ name, text, want string }{
		{"good", "cert: good.crt\nkey: good.key\nca: good.crt", ""},
		{"both in one file", "cert: both.pem\nkey: both.pem\nca: both.pem", ""},
		{"parameters before the key", "cert: good.crt\nkey: param.key", ""},
		{"only one of them", "cert: text", ""},
		{"no certificate", "cert: text\nkey: good.key", "1:7: cert: file DIR/text holds no certificate"},
		{"damaged certificate", "cert: damaged.crt\nkey: good.key", "1:7: cert: certificate 1 in file DIR/damaged.crt can't be read"},
		{"damaged second certificate", "ca: second-damaged.crt", "1:5: ca: certificate 2 in file"},
		{"key for certificate", "cert: good.key\nkey: good.key", "1:7: cert: file DIR/good.key holds no certificate"},
		{"no key", "cert: good.crt\nkey: text", "2:6: key: file DIR/text holds no private key"},
		{"another key", "cert: good.crt\nkey: other.key", "2:6: key: file DIR/other.key is not the private key of DIR/good.crt"},
		{"encrypted key", "cert: good.crt\nkey: encrypted.key", "2:6: key: the private key in file DIR/encrypted.key is encrypted"},
		{"missing files are reported once", "cert: gone.crt\nkey: good.key\nca: gone.crt", "1:7: cert: file DIR/gone.crt does not exist\nc.yaml:3:5: ca: file DIR/gone.crt does not exist"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			for name, content := range files {
				write(t, dir, name, content)
			}
			_, err := config.Decode("c.yaml", dir, []byte(tt.text+"\n"), new(pair))
			switch {
			case err == nil && tt.want != "":
				t.Errorf("no problem, want %q", tt.want)
			case err != nil:
				got := strings.ReplaceAll(err.Error(), dir, "DIR")
				if tt.want == "" || !strings.HasPrefix(got, "c.yaml:"+tt.want) || strings.Count(got, "\n") != strings.Count(tt.want, "\n") {
					t.Errorf("got %q, want %q", got, tt.want)
				}
			}
		})
	}
}

func TestExpiredCertificateIsAWarning(t *testing.T) {
	dir := t.TempDir()
	cert, key := newPair(t, time.Date(2020, 2, 29, 12, 0, 0, 0, time.UTC))
	write(t, dir, "old.crt", cert)
	write(t, dir, "old.key", key)
	loaded, err := config.Decode("c.yaml", dir, []byte("cert: old.crt\nkey: old.key\n"), new(pair))
	if err != nil {
		t.Fatal(err)
	}
	want := "c.yaml:1:7: cert: the certificate in " + dir + "/old.crt expired on 2020-02-29, clients refuse it"
	if len(loaded.Warnings) != 1 || loaded.Warnings[0].String() != want {
		t.Errorf("warnings %v, want %s", loaded.Warnings, want)
	}
}
