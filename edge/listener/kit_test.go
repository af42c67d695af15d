package listener_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/ergoproxy/ergo/edge/listener"
	"github.com/ergoproxy/ergo/shared/config"
	"github.com/ergoproxy/ergo/shared/exchange"
	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
	"github.com/rs/zerolog"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is how long a test waits for what has to happen.
const patience = 10 * time.Second

// writeCertificate makes a self-signed certificate for names and returns the
// config of its files.
func writeCertificate(t testing.TB, dir, file string, names ...string) listener.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	must(t, err)
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: names[0]}, DNSNames: names,
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore:   time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true,
		KeyUsage:    x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	must(t, err)
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	must(t, err)
	c := listener.Certificate{
		Cert: config.Path(filepath.Join(dir, file+".crt")),
		Key:  config.Path(filepath.Join(dir, file+".key")),
	}
	must(t, os.WriteFile(string(c.Cert), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600))
	must(t, os.WriteFile(string(c.Key), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}), 0o600))
	return c
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func defaultLimits() listener.Limits {
	var l listener.Limits
	l.SetDefaults()
	return l
}

func clearConfig(protocols ...string) listener.Config {
	c := listener.Config{Address: "127.0.0.1:0", Protocols: protocols}
	c.SetDefaults()
	return c
}

func tlsConfig(certs []listener.Certificate, protocols ...string) listener.Config {
	c := listener.Config{Address: "127.0.0.1:0", Protocols: protocols, TLS: &listener.TLS{}}
	c.SetDefaults()
	c.TLS.SetDefaults()
	c.TLS.Certificates = certs
	return c
}

// refusal is one call of Deps.Refused.
type refusal struct {
	client exchange.Client
	status int
	reason string
}

// edge is a running Server with a clear and a TLS listener.
type edge struct {
	*listener.Server
	dir     string
	cert    listener.Certificate
	refused chan refusal
	ran     chan error
}

// start runs a Server for configs until the test ends; nil configs stand for one
// clear listener with h1 and h2c and one TLS listener with h1, h2 and h3.
func start(t testing.TB, configs []listener.Config, limits listener.Limits, h http.Handler, change ...func(*listener.Deps)) *edge {
	t.Helper()
	e := &edge{dir: t.TempDir(), refused: make(chan refusal, 1000), ran: make(chan error, 1)}
	e.cert = writeCertificate(t, e.dir, "site", "localhost")
	if configs == nil {
		configs = e.standard()
	}
	deps := listener.Deps{
		Logger: zerolog.New(zerolog.NewTestWriter(t)).Level(zerolog.InfoLevel), Name: "edge-test",
		Refused: func(c exchange.Client, status int, reason string) { e.refused <- refusal{c, status, reason} },
	}
	for _, f := range change {
		f(&deps)
	}
	var err error
	e.Server, err = listener.New(configs, limits, h, deps)
	must(t, err)
	must(t, e.Listen())
	ctx, cancel := context.WithCancel(context.Background())
	var once sync.Once
	go func() { e.ran <- e.Run(ctx) }()
	t.Cleanup(func() {
		once.Do(cancel)
		select {
		case <-e.ran:
		case <-time.After(patience):
			t.Error("Run did not return")
		}
	})
	return e
}

func (e *edge) standard() []listener.Config {
	return []listener.Config{
		clearConfig("h1", "h2c"),
		tlsConfig([]listener.Certificate{e.cert}, "h1", "h2", "h3"),
	}
}

func (e *edge) clearAddr() string { return e.Addrs()[0].String() }
func (e *edge) tlsAddr() string   { return e.Addrs()[1].String() }

// nextRefusal returns what was refused next.
func (e *edge) nextRefusal(t testing.TB) refusal {
	t.Helper()
	select {
	case r := <-e.refused:
		return r
	case <-time.After(patience):
		t.Fatal("nothing was refused")
		panic("unreachable")
	}
}

// proto is a way to reach an edge.
type proto struct {
	name  string
	major int
	url   func(*edge) string
	make  func() http.RoundTripper
}

var clientTLS = &tls.Config{InsecureSkipVerify: true}

var protos = []proto{
	{"h1", 1, clearURL, func() http.RoundTripper { return &http.Transport{} }},
	{"h1tls", 1, tlsURL, func() http.RoundTripper {
		return &http.Transport{TLSClientConfig: clientTLS.Clone(), TLSNextProto: map[string]func(string, *tls.Conn) http.RoundTripper{}}
	}},
	{"h2", 2, tlsURL, func() http.RoundTripper {
		return &http.Transport{TLSClientConfig: clientTLS.Clone(), ForceAttemptHTTP2: true}
	}},
	{"h2c", 2, clearURL, func() http.RoundTripper {
		var p http.Protocols
		p.SetUnencryptedHTTP2(true)
		return &http.Transport{Protocols: &p}
	}},
	{"h3", 3, tlsURL, func() http.RoundTripper {
		return &http3.Transport{TLSClientConfig: clientTLS.Clone(), QUICConfig: &quic.Config{}}
	}},
}

func clearURL(e *edge) string { return "http://" + e.clearAddr() }
func tlsURL(e *edge) string   { return "https://" + e.tlsAddr() }

// client returns a client that is closed when the test ends.
func (p proto) client(t testing.TB) *http.Client {
	rt := p.make()
	t.Cleanup(func() { closeTransport(rt) })
	return &http.Client{Transport: rt, Timeout: 2 * patience}
}

func closeTransport(rt http.RoundTripper) {
	switch rt := rt.(type) {
	case *http.Transport:
		rt.CloseIdleConnections()
	case *http3.Transport:
		rt.Close()
	}
}

// overAll runs f as a subtest for each protocol.
func overAll(t *testing.T, f func(t *testing.T, p proto)) {
	for _, p := range protos {
		t.Run(p.name, func(t *testing.T) { f(t, p) })
	}
}

// receive returns what comes from c, or fails the test.
func receive[T any](t testing.TB, c <-chan T, what string) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(patience):
		t.Fatalf("%s did not come", what)
		panic("unreachable")
	}
}

// eventually polls until ok holds.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(patience)
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("%s did not happen", what)
		}
		<-tick.C
	}
}

var errStop = errors.New("stop")
