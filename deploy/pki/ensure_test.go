package pki_test

import (
	"net"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/ergoproxy/ergo/deploy/pki"
	"github.com/ergoproxy/ergo/shared/tlsidentity"
)

func installation(t *testing.T) pki.Installation {
	return pki.Installation{
		Path:  t.TempDir(),
		Edges: []pki.Member{{Name: "edge-1"}},
		Cores: []pki.Member{{Name: "core-1"}},
		Sites: []pki.Member{{Name: "site", Request: pki.Request{DNS: []string{"localhost"}, IPs: []net.IP{net.IPv4(127, 0, 0, 1)}}}},
	}
}

// ensure returns what was written, relative to the installation.
func ensure(t *testing.T, in pki.Installation) []string {
	t.Helper()
	written, err := in.Ensure()
	if err != nil {
		t.Fatal(err)
	}
	for i, path := range written {
		if written[i], err = filepath.Rel(in.Path, path); err != nil {
			t.Fatal(err)
		}
	}
	slices.Sort(written)
	return written
}

func TestEnsureMakesWhatTiersLoadAndOnce(t *testing.T) {
	in := installation(t)
	want := []string{"core/ca.crt", "core/core-1.crt", "edge/ca.crt", "edge/edge-1.crt", "edge/site.crt"}
	if got := ensure(t, in); !slices.Equal(got, want) {
		t.Errorf("first run wrote %v, want %v", got, want)
	}
	if got := ensure(t, in); len(got) > 0 {
		t.Errorf("second run wrote %v, want nothing", got)
	}
	for _, id := range []tlsidentity.Identity{edge1, core1} {
		dir := filepath.Join(in.Path, string(id.Role))
		_, err := tlsidentity.Load(tlsidentity.Files{
			CA:   filepath.Join(dir, "ca.crt"),
			Cert: filepath.Join(dir, id.Name+".crt"),
			Key:  filepath.Join(dir, id.Name+".key"),
		}, id.Role)
		if err != nil {
			t.Error(err)
		}
		if _, err := os.Stat(filepath.Join(dir, "ca.key")); err == nil {
			t.Errorf("the key of the CA lies beside that of %v", id)
		}
	}
}

func TestEnsureReplacesWhatDoesNotFit(t *testing.T) {
	tests := []struct {
		name  string
		spoil func(t *testing.T, in *pki.Installation)
		want  []string
	}{
		{"lost key", func(t *testing.T, in *pki.Installation) {
			remove(t, filepath.Join(in.Path, "edge", "edge-1.key"))
		}, []string{"edge/edge-1.crt"}},
		{"new edge", func(_ *testing.T, in *pki.Installation) {
			in.Edges = append(in.Edges, pki.Member{Name: "edge-2"})
		}, []string{"edge/edge-2.crt"}},
		{"new host name", func(_ *testing.T, in *pki.Installation) {
			in.Cores[0].Request.DNS = []string{"core.test"}
		}, []string{"core/core-1.crt"}},
		{"renewal", func(_ *testing.T, in *pki.Installation) {
			in.Cores[0].Request.Lifetime = 4 * pki.PairLifetime // of which what is left is a quarter
		}, []string{"core/core-1.crt"}},
		{"new CA", func(t *testing.T, in *pki.Installation) {
			remove(t, filepath.Join(in.Path, "ca"))
		}, []string{"core/ca.crt", "core/core-1.crt", "edge/ca.crt", "edge/edge-1.crt", "edge/site.crt"}},
		{"enough time left", func(_ *testing.T, in *pki.Installation) {
			in.Cores[0].Request.Lifetime = 2 * pki.PairLifetime
		}, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			in := installation(t)
			ensure(t, in)
			tt.spoil(t, &in)
			if got := ensure(t, in); !slices.Equal(got, tt.want) {
				t.Errorf("wrote %v, want %v", got, tt.want)
			}
		})
	}
}

func remove(t *testing.T, path string) {
	t.Helper()
	if err := os.RemoveAll(path); err != nil {
		t.Fatal(err)
	}
}

func TestEnsureKeepsABrokenAuthority(t *testing.T) {
	in := installation(t)
	ensure(t, in)
	key := filepath.Join(in.Path, "ca", "ca.key")
	if err := os.WriteFile(key, []byte("broken"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := in.Ensure(); err == nil {
		t.Error("a broken CA was replaced or used")
	}
	remove(t, key)
	if _, err := in.Ensure(); err == nil {
		t.Error("a CA without its key was replaced")
	}
}

func TestEnsureReportsEveryBadMember(t *testing.T) {
	in := installation(t)
	in.Edges = []pki.Member{{Name: "a/b"}, {Name: "edge-1", Request: pki.Request{Lifetime: time.Hour}}}
	in.Sites = []pki.Member{{Name: "nameless"}}
	written, err := in.Ensure()
	if err == nil || !slices.Contains(written, filepath.Join(in.Path, "edge", "edge-1.crt")) {
		t.Errorf("wrote %v, error %v, want the good one written and the bad ones named", written, err)
	}
}
