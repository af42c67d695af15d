package auth

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/ergoproxy/ergo/shared/config"
)

var b64 = base64.RawURLEncoding.EncodeToString

// jwkOf writes a public key as a JWK.
func jwkOf(t *testing.T, public any, id string) map[string]any {
	t.Helper()
	switch k := public.(type) {
	case *rsa.PublicKey:
		return map[string]any{"kty": "RSA", "kid": id, "n": b64(k.N.Bytes()), "e": b64(big.NewInt(int64(k.E)).Bytes())}
	case *ecdsa.PublicKey:
		point, err := k.Bytes()
		if err != nil {
			t.Fatal(err)
		}
		half := (len(point) - 1) / 2
		return map[string]any{"kty": "EC", "kid": id, "crv": k.Params().Name, "x": b64(point[1 : 1+half]), "y": b64(point[1+half:])}
	case ed25519.PublicKey:
		return map[string]any{"kty": "OKP", "kid": id, "crv": "Ed25519", "x": b64(k)}
	default:
		return map[string]any{"kty": "oct", "kid": id, "k": b64(public.([]byte))}
	}
}

func TestJWKSetVerifiesAllItsKeys(t *testing.T) {
	algs := []string{"HS256", "RS256", "ES256", "ES384", "ES512", "EdDSA"}
	var keys []map[string]any
	for _, alg := range algs {
		keys = append(keys, jwkOf(t, pairFor(alg).public, alg))
	}
	encryption := jwkOf(t, pairFor("RS256").public, "enc")
	encryption["use"] = "enc"
	keys = append(keys, encryption, map[string]any{"kty": "EC", "crv": "secp256k1", "kid": "k1"}, map[string]any{"kty": "new", "kid": "k2"})
	set := file(t, []byte(toJSON(t, map[string]any{"keys": keys})))
	v := verifier(t, &clock{start}, jwtConfig(issuerOf("idp", algs, Key{File: set})))
	for _, alg := range algs {
		if _, err := v.Verify(withToken(token(t, alg, alg, nil))); err != nil {
			t.Errorf("%s: %v", alg, err)
		}
	}
	if _, err := v.Verify(withToken(token(t, "RS256", "enc", nil))); err == nil {
		t.Error("a key for encryption checked a signature")
	}
}

func TestCertificateAndPKCS1Keys(t *testing.T) {
	k := pairs()["RS"]
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now()}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, k.public, k.private)
	if err != nil {
		t.Fatal(err)
	}
	for kind, der := range map[string][]byte{"CERTIFICATE": cert, "RSA PUBLIC KEY": x509.MarshalPKCS1PublicKey(k.public.(*rsa.PublicKey))} {
		path := file(t, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
		v := verifier(t, &clock{start}, jwtConfig(issuerOf("idp", []string{"RS256"}, Key{File: path})))
		if _, err := v.Verify(withToken(token(t, "RS256", "", nil))); err != nil {
			t.Errorf("%s: %v", kind, err)
		}
	}
}

func TestBadKeysStopTheStart(t *testing.T) {
	p := pairs()
	private, err := x509.MarshalPKCS8PrivateKey(p["Ed"].private)
	if err != nil {
		t.Fatal(err)
	}
	weak, err := x509.MarshalPKIXPublicKey(&rsa.PublicKey{N: new(big.Int).SetBit(new(big.Int), 1023, 1), E: 65537})
	if err != nil {
		t.Fatal(err)
	}
	p224, err := ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	odd, err := x509.MarshalPKIXPublicKey(&p224.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	block := func(kind string, der []byte) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
	}
	change := func(public any, name string, value any) string {
		k := jwkOf(t, public, "k")
		k[name] = value
		return toJSON(t, k)
	}
	ed, rs, es := p["Ed"].public, p["RS"].public, p["ES256"].public
	for name, tc := range map[string]struct{ alg, text, want string }{
		"empty file":              {"EdDSA", "", "neither PEM blocks nor a JWK"},
		"junk":                    {"EdDSA", "junk", "neither PEM blocks nor a JWK"},
		"private key":             {"EdDSA", block("PRIVATE KEY", private), "private key"},
		"EC private key":          {"ES256", block("EC PRIVATE KEY", private), "private key"},
		"PEM of something else":   {"EdDSA", block("X509 CRL", private), "X509 CRL"},
		"malformed DER":           {"EdDSA", block("PUBLIC KEY", []byte("x")), "asn1"},
		"weak RSA":                {"RS256", block("PUBLIC KEY", weak), "1024 bits"},
		"P-224":                   {"ES256", block("PUBLIC KEY", odd), "another curve"},
		"private JWK":             {"EdDSA", change(ed, "d", "AAAA"), "private key"},
		"malformed JSON":          {"EdDSA", "{", "read JWK"},
		"empty set":               {"EdDSA", `{"keys":[]}`, "no key"},
		"unknown kind alone":      {"EdDSA", `{"kty":"new"}`, "no key"},
		"not for signatures":      {"EdDSA", change(ed, "key_ops", []string{"encrypt"}), "no key"},
		"short x":                 {"EdDSA", change(ed, "x", "AAAA"), "member x"},
		"padding in x":            {"EdDSA", change(ed, "x", "AAAA="), "member x"},
		"point not on the curve":  {"ES256", change(es, "y", b64(make([]byte, 32))), "JWK"},
		"no modulus":              {"RS256", change(rs, "n", ""), "member n"},
		"exponent 1":              {"RS256", change(rs, "e", "AQ"), "exponent"},
		"huge exponent":           {"RS256", change(rs, "e", b64(make([]byte, 1))), "exponent"},
		"short secret":            {"HS256", change(secret, "k", "AAAA"), "at least 32"},
		"long kid":                {"EdDSA", change(ed, "kid", strings.Repeat("k", 257)), "kid of 257 bytes"},
		"key of another kind":     {"ES256", change(ed, "kid", "k"), "none of the keys"},
		"key of another curve":    {"ES384", change(es, "kid", "k"), "none of the keys"},
		"key for another alg":     {"RS256", change(rs, "alg", "PS256"), "none of the keys"},
		"short secret for HS512":  {"HS512", change(secret[:32], "kid", "k"), "none of the keys"},
		"file larger than 1 MiB":  {"EdDSA", strings.Repeat(" ", maxKeyFile+1), "larger than"},
		"something after the PEM": {"ES256", block("PUBLIC KEY", must(x509.MarshalPKIXPublicKey(es))) + "more", "after the last"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := NewJWTVerifier(jwtConfig(issuerOf("idp", []string{tc.alg}, Key{File: file(t, []byte(tc.text))})), nil)
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("error %v, want one with %q", err, tc.want)
			}
		})
	}
}

func must(b []byte, err error) []byte {
	if err != nil {
		panic(err)
	}
	return b
}

func TestKeysThatNothingUsesStopTheStart(t *testing.T) {
	p := pairs()
	for name, keys := range map[string][]Key{
		"of another kind": {keySource(t, "a", p["Ed"].public), keySource(t, "b", p["RS"].public)},
		"missing file":    {{File: config.Path("/does/not/exist")}},
		"same id": {keySource(t, "a", p["Ed"].public), keySource(t, "a", p["Ed"].public), keySource(t, "a", p["Ed"].public),
			keySource(t, "a", p["Ed"].public), keySource(t, "a", p["Ed"].public)},
	} {
		if _, err := NewJWTVerifier(jwtConfig(issuerOf("idp", []string{"EdDSA"}, keys...)), nil); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestErrorsDoNotTellSecrets(t *testing.T) {
	_, err := NewJWTVerifier(jwtConfig(issuerOf("idp", []string{"HS512"}, Key{Secret: config.NewSecret([]byte("sEcReT-sEcReT-sEcReT-sEcReT-sEcReT-32"))})), nil)
	if err == nil || strings.Contains(err.Error(), "sEcReT") {
		t.Errorf("error %v", err)
	}
}
