package pki_test

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ergoproxy/ergo/deploy/pki"
	"github.com/ergoproxy/ergo/shared/tlsidentity"
)

var (
	edge1 = tlsidentity.Identity{Role: tlsidentity.Edge, Name: "edge-1"}
	core1 = tlsidentity.Identity{Role: tlsidentity.Core, Name: "core-1"}
)

func authority(t *testing.T) *pki.Authority {
	t.Helper()
	a, err := pki.NewAuthority("test CA", pki.AuthorityLifetime)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func leaf(t *testing.T, certPEM []byte) *x509.Certificate {
	t.Helper()
	block, _ := pem.Decode(certPEM)
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

func TestTierCertificatesOpenATunnel(t *testing.T) {
	p, err := pki.NewThrowaway([]string{"edge-1"}, []string{"core-1"})
	if err != nil {
		t.Fatal(err)
	}
	load := func(pair pki.Pair, role tlsidentity.Role) *tlsidentity.Credentials {
		c, err := tlsidentity.FromPEM(p.CA, pair.Cert, pair.Key, role)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	edge, core := load(p.Edges["edge-1"], tlsidentity.Edge), load(p.Cores["core-1"], tlsidentity.Core)
	if edge.Identity() != edge1 || core.Identity() != core1 {
		t.Errorf("identities %v and %v", edge.Identity(), core.Identity())
	}
	keys, err := core.Keys(nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, host := range []string{"core-1", "localhost", "127.0.0.1"} {
		client, server := net.Pipe()
		go func() {
			defer server.Close() // of the pipe: TLS would wait for its alert to be read
			tls.Server(server, core.ServerConfig(keys, nil)).Write([]byte{1})
		}()
		conn := tls.Client(client, edge.ClientConfig(tlsidentity.Want{Host: host}))
		if _, err := io.ReadFull(conn, make([]byte, 1)); err != nil {
			t.Errorf("dial core as %s: %v", host, err)
		}
		client.Close()
	}
}

func TestSiteCertificateServesButIsNoTier(t *testing.T) {
	p, err := pki.NewThrowaway(nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(p.CA)
	site := leaf(t, p.Site.Cert)
	for _, host := range []string{"localhost", "127.0.0.1", "::1"} {
		if _, err := site.Verify(x509.VerifyOptions{Roots: roots, DNSName: host}); err != nil {
			t.Errorf("site certificate for %s: %v", host, err)
		}
	}
	for _, role := range []tlsidentity.Role{tlsidentity.Edge, tlsidentity.Core} {
		if _, err := tlsidentity.FromPEM(p.CA, p.Site.Cert, p.Site.Key, role); err == nil {
			t.Errorf("the site certificate passes for that of an %s", role)
		}
	}
}

func TestLifetimes(t *testing.T) {
	short, err := pki.NewAuthority("short", 48*time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	shortCA, err := short.Pair()
	if err != nil {
		t.Fatal(err)
	}
	pair, err := short.IssueTier(core1, pki.Request{})
	if err != nil {
		t.Fatal(err)
	}
	if !pair.NotAfter.Equal(shortCA.NotAfter) || !leaf(t, pair.Cert).NotAfter.Equal(shortCA.NotAfter) {
		t.Errorf("certificate ends %v, want with its CA, %v", pair.NotAfter, shortCA.NotAfter)
	}
	pair, err = authority(t).IssueTier(core1, pki.Request{Lifetime: 24 * time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	if left := time.Until(leaf(t, pair.Cert).NotAfter); left > 24*time.Hour || left < 23*time.Hour {
		t.Errorf("certificate has %v left, want a day", left)
	}
	expired, err := pki.NewAuthority("expired", -time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := expired.IssueTier(core1, pki.Request{}); err == nil || !strings.Contains(err.Error(), "the CA expired") {
		t.Errorf("an expired CA issued: %v", err)
	}
}

func TestBadRequestsAreRefused(t *testing.T) {
	a := authority(t)
	for name, f := range map[string]func() (pki.Pair, error){
		"unknown role": func() (pki.Pair, error) {
			return a.IssueTier(tlsidentity.Identity{Role: "x", Name: "a"}, pki.Request{})
		},
		"bad name": func() (pki.Pair, error) {
			return a.IssueTier(tlsidentity.Identity{Role: tlsidentity.Edge, Name: "a/b"}, pki.Request{})
		},
		"IP as DNS name":  func() (pki.Pair, error) { return a.IssueTier(edge1, pki.Request{DNS: []string{"10.0.0.1"}}) },
		"URL as DNS name": func() (pki.Pair, error) { return a.IssueSite(pki.Request{DNS: []string{"https://example.test"}}) },
		"inner wildcard":  func() (pki.Pair, error) { return a.IssueSite(pki.Request{DNS: []string{"a.*.test"}}) },
		"site of no name": func() (pki.Pair, error) { return a.IssueSite(pki.Request{}) },
	} {
		if _, err := f(); err == nil {
			t.Errorf("%s: it was issued", name)
		}
	}
	if _, err := a.IssueSite(pki.Request{DNS: []string{"*.example.test"}}); err != nil {
		t.Errorf("wildcard: %v", err)
	}
}

func TestNameThatIsNoHostNameIsLeftOutOfDNS(t *testing.T) {
	pair, err := authority(t).IssueTier(tlsidentity.Identity{Role: tlsidentity.Core, Name: "core_1"}, pki.Request{DNS: []string{"core.test"}})
	if err != nil {
		t.Fatal(err)
	}
	if dns := leaf(t, pair.Cert).DNSNames; len(dns) != 1 || dns[0] != "core.test" {
		t.Errorf("DNS names %q, want core.test alone", dns)
	}
}

func TestDirKeepsTheAuthority(t *testing.T) {
	dir := pki.Dir{Path: filepath.Join(t.TempDir(), "new", "pki")}
	a := authority(t)
	certPath, keyPath, err := dir.Init(a)
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]fs.FileMode{certPath: 0o644, keyPath: 0o600} {
		info, err := os.Stat(path)
		if err != nil || info.Mode() != want {
			t.Errorf("%s has mode %v (%v), want %v", path, info.Mode(), err, want)
		}
	}
	again, err := dir.Authority()
	if err != nil {
		t.Fatal(err)
	}
	pair, err := again.IssueTier(edge1, pki.Request{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tlsidentity.FromPEM(a.CertPEM(), pair.Cert, pair.Key, tlsidentity.Edge); err != nil {
		t.Errorf("what the CA read back issues is not of the CA: %v", err)
	}
}

func TestDirDoesNotOverwriteUnlessForced(t *testing.T) {
	dir := pki.Dir{Path: t.TempDir()}
	first, second := pki.Pair{Cert: []byte("1"), Key: []byte("1k")}, pki.Pair{Cert: []byte("2"), Key: []byte("2k")}
	cert, key, err := dir.Write("edge-1", first)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := dir.Write("edge-1", second); err == nil || !strings.Contains(err.Error(), "exists already") {
		t.Errorf("second write = %v, want that the file exists", err)
	}
	if err := os.Remove(key); err != nil {
		t.Fatal(err)
	}
	if _, _, err := dir.Write("edge-1", second); err == nil {
		t.Error("a certificate alone was overwritten")
	}
	if _, err := os.Stat(key); err == nil {
		t.Error("half a pair was written")
	}
	dir.Force = true
	if _, _, err := dir.Write("edge-1", second); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{cert: "2", key: "2k"} {
		if got, err := os.ReadFile(path); string(got) != want {
			t.Errorf("%s holds %q (%v), want %q", path, got, err, want)
		}
	}
	entries, err := os.ReadDir(dir.Path)
	if err != nil || len(entries) != 2 {
		t.Errorf("directory holds %v (%v), want the pair alone", entries, err)
	}
}

func TestOfConcurrentWritersOneWins(t *testing.T) {
	dir := pki.Dir{Path: t.TempDir()}
	a := authority(t)
	pair, err := a.IssueTier(edge1, pki.Request{})
	if err != nil {
		t.Fatal(err)
	}
	var won sync.Map
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			if _, _, err := dir.Write("edge-1", pair); err == nil {
				won.Store(i, true)
			}
		})
	}
	wg.Wait()
	count := 0
	won.Range(func(any, any) bool { count++; return true })
	if count != 1 {
		t.Errorf("%d of 8 writers think they wrote the pair, want 1", count)
	}
}

func TestDirRefusesNamesOfOtherFiles(t *testing.T) {
	dir := pki.Dir{Path: t.TempDir(), Force: true}
	for _, name := range []string{"ca", "../x", "a/b", "", ".", ".."} {
		if _, _, err := dir.Write(name, pki.Pair{}); err == nil {
			t.Errorf("name %q was taken", name)
		}
	}
}

func TestParseAuthorityRefusesWhatIsNone(t *testing.T) {
	a, b := authority(t), authority(t)
	ca, err := a.Pair()
	if err != nil {
		t.Fatal(err)
	}
	other, err := b.Pair()
	if err != nil {
		t.Fatal(err)
	}
	tier, err := a.IssueTier(edge1, pki.Request{})
	if err != nil {
		t.Fatal(err)
	}
	for name, pair := range map[string][2][]byte{
		"nothing":     {nil, nil},
		"no key":      {ca.Cert, nil},
		"swapped":     {ca.Key, ca.Cert},
		"another key": {ca.Cert, other.Key},
		"a tier":      {tier.Cert, tier.Key},
	} {
		if _, err := pki.ParseAuthority(pair[0], pair[1]); err == nil {
			t.Errorf("%s: it was taken as a CA", name)
		}
	}
}
