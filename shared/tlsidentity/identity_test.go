package tlsidentity_test

import (
	"crypto/x509"
	"errors"
	"net/url"
	"strings"
	"testing"

	"github.com/ergoproxy/ergo/shared/tlsidentity"
	"github.com/ergoproxy/ergo/shared/tlsidentity/identitytest"
)

var (
	edge1 = tlsidentity.Identity{Role: tlsidentity.Edge, Name: "edge-1"}
	core1 = tlsidentity.Identity{Role: tlsidentity.Core, Name: "core-1"}
)

func TestParseReadsWhatTemplateWrote(t *testing.T) {
	for _, id := range []tlsidentity.Identity{edge1, core1, {Role: tlsidentity.Core, Name: "C_2.fra"}} {
		got, err := tlsidentity.Parse(identitytest.Template(t, id))
		if err != nil || got != id {
			t.Errorf("Parse = %v, %v, want %v", got, err, id)
		}
	}
}

func TestParseRefusesWhatNamesNoTier(t *testing.T) {
	tests := []struct {
		name string
		uris []string
		want string
	}{
		{"no URI", nil, "has 0 ergo:// names"},
		{"another scheme", []string{"spiffe://core/core-1"}, "has 0 ergo:// names"},
		{"two", []string{"ergo://edge/e", "ergo://core/c"}, "has 2 ergo:// names"},
		{"unknown role", []string{"ergo://admin/a"}, `role "admin"`},
		{"no name", []string{"ergo://edge"}, "0 bytes"},
		{"empty name", []string{"ergo://edge/"}, "0 bytes"},
		{"long name", []string{"ergo://edge/" + strings.Repeat("e", 64)}, "64 bytes"},
		{"slash in name", []string{"ergo://edge/a/b"}, "want letters"},
		{"escaped name", []string{"ergo://edge/%65dge-1"}, "want \"ergo://edge/edge-1\""},
		{"line break", []string{"ergo://edge/a%0Ab"}, "want letters"},
		{"leading hyphen", []string{"ergo://edge/-a"}, "want letters"},
		{"query", []string{"ergo://edge/edge-1?x"}, "names"},
		{"fragment", []string{"ergo://edge/edge-1#x"}, "names"},
		{"user", []string{"ergo://u@edge/edge-1"}, "names"},
		{"port", []string{"ergo://edge:1/edge-1"}, `role "edge:1"`},
		{"opaque", []string{"ergo:edge"}, `role ""`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			cert := &x509.Certificate{}
			cert.Subject.CommonName = "subject"
			for _, s := range tt.uris {
				u, err := url.Parse(s)
				if err != nil {
					t.Fatal(err)
				}
				cert.URIs = append(cert.URIs, u)
			}
			id, err := tlsidentity.Parse(cert)
			var format *tlsidentity.FormatError
			if !errors.As(err, &format) {
				t.Fatalf("Parse = %v, %v, want a FormatError", id, err)
			}
			if !strings.Contains(err.Error(), tt.want) || format.Subject != "subject" {
				t.Errorf("error %q, want it to say %q of \"subject\"", err, tt.want)
			}
		})
	}
}

func TestDeriveKeysIsStableAndSeparates(t *testing.T) {
	a, err := tlsidentity.DeriveKeys([]byte("0123456789abcdef"))
	if err != nil {
		t.Fatal(err)
	}
	if again, _ := tlsidentity.DeriveKeys([]byte("0123456789abcdef")); again != a {
		t.Error("the same secret gave other keys")
	}
	other, err := tlsidentity.DeriveKeys([]byte("0123456789abcdeg"))
	if err != nil {
		t.Fatal(err)
	}
	seen := map[[32]byte]bool{{}: true}
	for _, k := range [][32]byte{a.SessionTicket, a.StatelessReset, a.Token, other.SessionTicket, other.StatelessReset, other.Token} {
		if seen[k] {
			t.Errorf("key %x is zero or given twice", k)
		}
		seen[k] = true
	}
}

func TestDeriveKeysRefusesShortSecret(t *testing.T) {
	if _, err := tlsidentity.DeriveKeys([]byte("0123456789abcde")); err == nil {
		t.Error("15 bytes were taken as a secret")
	}
}

func TestKeysComeFromThePrivateKeyWithoutSecret(t *testing.T) {
	ca := identitytest.NewAuthority(t)
	template := identitytest.Template(t, core1)
	cert, key := ca.Sign(t, template)
	load := func() tlsidentity.Keys {
		c, err := tlsidentity.FromPEM(ca.CertPEM, cert, key, tlsidentity.Core)
		if err != nil {
			t.Fatal(err)
		}
		keys, err := c.Keys(nil)
		if err != nil {
			t.Fatal(err)
		}
		return keys
	}
	first := load()
	if load() != first {
		t.Error("keys changed with a restart")
	}
	cert, key = ca.Sign(t, template)
	if load() == first {
		t.Error("another private key gave the same keys")
	}
}
