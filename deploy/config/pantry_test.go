package config_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ergoproxy/ergo/core"
	"github.com/ergoproxy/ergo/deploy/pki"
	"github.com/ergoproxy/ergo/edge"
	"github.com/ergoproxy/ergo/shared/tlsidentity"
)

// stock returns, by name, every file that an example or a broken config may
// refer to.
func stock(t *testing.T) map[string][]byte {
	t.Helper()
	files := map[string][]byte{
		"notes.txt":     []byte("Ask Ada for the certificate.\n"),
		"short.secret":  []byte("sesame\n"),
		"admin.token":   []byte(strings.Repeat("a long token ", 3) + "\n"),
		"tunnel.secret": []byte(strings.Repeat("a long secret ", 3) + "\n"),
		"encrypted.key": pem.EncodeToMemory(&pem.Block{Type: "ENCRYPTED PRIVATE KEY", Bytes: []byte("sealed")}),
	}
	pair := func(name string, p pki.Pair, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		files[name+".crt"], files[name+".key"] = p.Cert, p.Key
	}
	ours, theirs := authority(t, "Ergo test CA"), authority(t, "Another CA")
	files["ca.crt"], files["other-ca.crt"], files["backend-ca.crt"] = ours.CertPEM(), theirs.CertPEM(), theirs.CertPEM()
	for role, names := range map[tlsidentity.Role][]string{
		tlsidentity.Edge: {"edge", "edge-1", "edge-2"},
		tlsidentity.Core: {"core", "core-1", "core-2"},
	} {
		for _, name := range names {
			p, err := ours.IssueTier(tlsidentity.Identity{Role: role, Name: name}, pki.Request{})
			pair(name, p, err)
		}
	}
	for _, site := range []string{"site", "www", "api", "admin", "backend-client"} {
		p, err := theirs.IssueSite(pki.Request{DNS: []string{site + ".example.com"}})
		pair(site, p, err)
	}
	tokenKeys(t, files)
	return files
}

func authority(t *testing.T, name string) *pki.Authority {
	t.Helper()
	a, err := pki.NewAuthority(name, 24*time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// tokenKeys adds the two halves of a key that signs tokens.
func tokenKeys(t *testing.T, files map[string][]byte) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	public, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	files["token.pem"] = pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public})
	files["token-private.pem"] = pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})
}

// A pantry is a directory with the stock in it.
type pantry struct{ dir string }

func newPantry(t *testing.T) pantry {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	p := pantry{dir}
	for name, content := range stock(t) {
		p.write(t, name, string(content))
	}
	return p
}

// write puts a file into the pantry and returns its path.
func (p pantry) write(t *testing.T, name, content string) string {
	t.Helper()
	path := filepath.Join(p.dir, name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// A verdict is what a daemon with --check said.
type verdict struct {
	code           int
	stdout, stderr string // with paths relative to the pantry
}

// check runs the daemon of tier, "edge" or "core", with --check over text, which
// becomes name in the pantry. Paths below /pki and /var/log/ergo in it lead to the pantry.
func (p pantry) check(t *testing.T, tier, name, text string) verdict {
	t.Helper()
	text = strings.NewReplacer("/pki/edge/", p.dir+"/", "/pki/core/", p.dir+"/", "/var/log/ergo/", p.dir+"/").Replace(text)
	path := p.write(t, name, text)
	main := map[string]func([]string, *strings.Builder, *strings.Builder) int{
		"edge": func(args []string, out, err *strings.Builder) int { return edge.Main(args, out, err) },
		"core": func(args []string, out, err *strings.Builder) int { return core.Main(args, out, err) },
	}[tier]
	if main == nil {
		t.Fatalf("%s: %q is no tier", name, tier)
	}
	var stdout, stderr strings.Builder
	code := main([]string{"--config", path, "--check"}, &stdout, &stderr)
	here := strings.NewReplacer(p.dir+"/", "")
	return verdict{code, here.Replace(stdout.String()), here.Replace(stderr.String())}
}

// mustPass checks a config that has to be good, warnings included.
func (p pantry) mustPass(t *testing.T, tier, name, text string) {
	t.Helper()
	if v := p.check(t, tier, name, text); v.code != 0 || v.stderr != "" || v.stdout != name+": ok\n" {
		t.Errorf("ergo-%s --check: exit code %d, want 0\n%s%s", tier, v.code, v.stdout, v.stderr)
	}
}
