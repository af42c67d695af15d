package tlsidentity_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ergoproxy/ergo/shared/tlsidentity"
	"github.com/ergoproxy/ergo/shared/tlsidentity/identitytest"
)

func write(t *testing.T, dir string, ca, cert, key []byte) tlsidentity.Files {
	t.Helper()
	files := tlsidentity.Files{CA: filepath.Join(dir, "ca.crt"), Cert: filepath.Join(dir, "tier.crt"), Key: filepath.Join(dir, "tier.key")}
	for name, data := range map[string][]byte{files.CA: ca, files.Cert: cert, files.Key: key} {
		if err := os.WriteFile(name, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return files
}

func TestLoadSaysWhatIsWrong(t *testing.T) {
	ca, stranger := identitytest.NewAuthority(t), identitytest.NewAuthority(t)
	cert, key := ca.Sign(t, identitytest.Template(t, edge1))
	otherCert, otherKey := ca.Sign(t, identitytest.Template(t, edge1))
	tests := []struct {
		name          string
		ca, cert, key []byte
		role          tlsidentity.Role
		want          string
	}{
		{"key of another certificate", ca.CertPEM, cert, otherKey, tlsidentity.Edge, "private key does not match"},
		{"wrong role", ca.CertPEM, cert, key, tlsidentity.Core, `certificate of "edge-1" has role edge, want core`},
		{"another CA", stranger.CertPEM, cert, key, tlsidentity.Edge, "signed by unknown authority"},
		{"no CA", nil, cert, key, tlsidentity.Edge, "read CA: no PEM block"},
		{"key as CA", key, cert, key, tlsidentity.Edge, `read CA: PEM block "PRIVATE KEY"`},
		{"tier as CA", otherCert, cert, key, tlsidentity.Edge, "not that of a CA"},
		{"large file", make([]byte, 1<<20+1), cert, key, tlsidentity.Edge, "limit 1048576"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := tlsidentity.Load(write(t, t.TempDir(), tt.ca, tt.cert, tt.key), tt.role)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("Load = %v, want %q", err, tt.want)
			}
		})
	}
	if _, err := tlsidentity.Load(tlsidentity.Files{CA: filepath.Join(t.TempDir(), "none")}, tlsidentity.Edge); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("Load of a missing file = %v, want ErrNotExist", err)
	}
}

func TestExpiredCertificateLoadsAndSaysSo(t *testing.T) {
	ca := identitytest.NewAuthority(t)
	template := identitytest.Template(t, edge1)
	template.NotAfter = time.Now().Add(-time.Second).Truncate(time.Second)
	cert, key := ca.Sign(t, template)
	c, err := tlsidentity.FromPEM(ca.CertPEM, cert, key, tlsidentity.Edge)
	if err != nil {
		t.Fatal(err)
	}
	if !c.NotAfter().Equal(template.NotAfter) {
		t.Errorf("NotAfter = %v, want %v", c.NotAfter(), template.NotAfter)
	}
	week := 7 * 24 * time.Hour
	if c.Expiring(template.NotAfter.Add(-week)) || !c.Expiring(template.NotAfter.Add(-week+time.Second)) {
		t.Error("Expiring does not turn true when a week is left")
	}
}

func TestReloadTakesNewFilesForNewHandshakes(t *testing.T) {
	dir := t.TempDir()
	ca := identitytest.NewAuthority(t)
	cert, key := ca.Sign(t, identitytest.Template(t, core1))
	core, err := tlsidentity.Load(write(t, dir, ca.CertPEM, cert, key), tlsidentity.Core)
	if err != nil {
		t.Fatal(err)
	}
	server, refused := serve(t, core)

	// The whole PKI is replaced: an edge of the new CA gets in with settings
	// that were made before.
	successor := identitytest.NewAuthority(t)
	edge := successor.Credentials(t, edge1)
	out := shake(t, edge.ClientConfig(tlsidentity.Want{}), server, refused)
	if out.client == nil || out.server == nil {
		t.Fatalf("before: %+v, want both ends to refuse", out)
	}
	cert, key = successor.Sign(t, identitytest.Template(t, core1))
	write(t, dir, successor.CertPEM, cert, key)
	if err := core.Reload(); err != nil {
		t.Fatal(err)
	}
	out = shake(t, edge.ClientConfig(tlsidentity.Want{}), server, refused)
	if out.client != nil || out.server != nil {
		t.Errorf("after: edge says %v, core says %v", out.client, out.server)
	}
}

func TestReloadWithErrorChangesNothing(t *testing.T) {
	dir := t.TempDir()
	ca := identitytest.NewAuthority(t)
	cert, key := ca.Sign(t, identitytest.Template(t, core1))
	core, err := tlsidentity.Load(write(t, dir, ca.CertPEM, cert, key), tlsidentity.Core)
	if err != nil {
		t.Fatal(err)
	}
	renamed, renamedKey := ca.Sign(t, identitytest.Template(t, tlsidentity.Identity{Role: tlsidentity.Core, Name: "core-2"}))
	for name, pair := range map[string][2][]byte{
		"half a pair":  {cert, renamedKey},
		"another name": {renamed, renamedKey},
	} {
		write(t, dir, ca.CertPEM, pair[0], pair[1])
		if err := core.Reload(); err == nil {
			t.Errorf("%s: Reload took it", name)
		}
	}
	server, refused := serve(t, core)
	out := shake(t, ca.Credentials(t, edge1).ClientConfig(tlsidentity.Want{Name: "core-1"}), server, refused)
	if out.client != nil || out.server != nil {
		t.Errorf("after failed reloads: edge says %v, core says %v", out.client, out.server)
	}
}
