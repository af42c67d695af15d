package auth

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ergoproxy/ergo/shared/config"
	"github.com/golang-jwt/jwt/v5"
)

// start is when all tests begin.
var start = time.Unix(1_800_000_000, 0)

// clock is a time that a test moves.
type clock struct{ at time.Time }

func (c *clock) now() time.Time { return c.at }

// pair is what a token is signed and checked with.
type pair struct {
	private, public any
}

var secret = []byte(strings.Repeat("0123456789abcdef", 4))

// pairs holds one pair for each family of algorithms. RSA keys are slow to make.
var pairs = sync.OnceValue(func() map[string]pair {
	must := func(err error) {
		if err != nil {
			panic(err)
		}
	}
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	must(err)
	p := map[string]pair{"HS": {secret, secret}, "RS": {rsaKey, &rsaKey.PublicKey}, "PS": {rsaKey, &rsaKey.PublicKey}}
	for alg, curve := range map[string]elliptic.Curve{"ES256": elliptic.P256(), "ES384": elliptic.P384(), "ES512": elliptic.P521()} {
		k, err := ecdsa.GenerateKey(curve, rand.Reader)
		must(err)
		p[alg] = pair{k, &k.PublicKey}
	}
	public, private, err := ed25519.GenerateKey(rand.Reader)
	must(err)
	p["Ed"] = pair{private, public}
	return p
})

func pairFor(alg string) pair {
	if p, ok := pairs()[alg]; ok {
		return p
	}
	return pairs()[alg[:2]]
}

// keySource returns a Key that loads key.
func keySource(t testing.TB, id string, key any) Key {
	t.Helper()
	if secret, ok := key.([]byte); ok {
		return Key{ID: id, Secret: config.NewSecret(secret)}
	}
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return Key{ID: id, File: file(t, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))}
}

func file(t testing.TB, content []byte) config.Path {
	t.Helper()
	path := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return config.Path(path)
}

// issuerOf returns an Issuer with defaults.
func issuerOf(name string, algs []string, keys ...Key) Issuer {
	i := Issuer{Issuer: name, Audiences: []string{"api"}, Algorithms: algs, Keys: keys}
	i.SetDefaults()
	return i
}

func jwtConfig(issuers ...Issuer) JWT {
	c := JWT{Issuers: issuers}
	c.SetDefaults()
	return c
}

func verifier(t testing.TB, c *clock, config JWT) *JWTVerifier {
	t.Helper()
	v, err := newJWTVerifier(config, map[string]bool{"role": true}, c.now)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// payload returns good claims, changed by change.
func payload(change map[string]any) map[string]any {
	p := map[string]any{"iss": "idp", "sub": "alice", "aud": "api", "iat": start.Unix(), "exp": start.Unix() + 3600}
	for name, value := range change {
		if p[name] = value; value == nil {
			delete(p, name)
		}
	}
	return p
}

// sign makes a token of raw JSON parts.
func sign(t testing.TB, alg string, key any, header, claims string) string {
	t.Helper()
	encode := base64.RawURLEncoding.EncodeToString
	text := encode([]byte(header)) + "." + encode([]byte(claims))
	signature, err := jwt.GetSigningMethod(alg).Sign(text, key)
	if err != nil {
		t.Fatal(err)
	}
	return text + "." + encode(signature)
}

func token(t testing.TB, alg, kid string, change map[string]any) string {
	t.Helper()
	header := map[string]any{"alg": alg, "typ": "JWT"}
	if kid != "" {
		header["kid"] = kid
	}
	return sign(t, alg, pairFor(alg).private, toJSON(t, header), toJSON(t, payload(change)))
}

func toJSON(t testing.TB, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func withToken(token string) *http.Request {
	r := httptest.NewRequest("GET", "/", nil)
	r.Header.Set("Authorization", "Bearer "+token)
	return r
}

func TestEveryAlgorithmVerifies(t *testing.T) {
	for _, alg := range algorithmNames() {
		t.Run(alg, func(t *testing.T) {
			v := verifier(t, &clock{start}, jwtConfig(issuerOf("idp", []string{alg}, keySource(t, "k1", pairFor(alg).public))))
			good := token(t, alg, "k1", map[string]any{"scope": "read write", "role": []string{"admin"}})
			id, err := v.Verify(withToken(good))
			if err != nil {
				t.Fatal(err)
			}
			if id.Principal.Subject != "alice" || id.Principal.Issuer != "idp" || id.Principal.Method != "jwt" ||
				!slices.Equal(id.Scopes, []string{"read", "write"}) || !slices.Equal(id.Claims["role"], []string{"admin"}) {
				t.Errorf("Verify = %+v", id)
			}
			// The last character but one holds six bits of the signature.
			i := len(good) - 2
			other := byte('A')
			if good[i] == other {
				other = 'B'
			}
			if _, err := v.Verify(withToken(good[:i] + string(other) + good[i+1:])); !errors.Is(err, jwt.ErrTokenSignatureInvalid) {
				t.Errorf("a changed signature gives %v", err)
			}
		})
	}
}

// Each row is a mistake that a verifier of tokens was caught with.
func TestPitfallsAreRejected(t *testing.T) {
	p := pairs()
	public, err := x509.MarshalPKIXPublicKey(p["RS"].public)
	if err != nil {
		t.Fatal(err)
	}
	publicPEM := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public})
	const head = `{"alg":"RS256","kid":"k1"}`
	claims := toJSON(t, payload(nil))
	rs := func(change map[string]any) string { return token(t, "RS256", "k1", change) }
	raw := func(header, claims string) string { return sign(t, "RS256", p["RS"].private, header, claims) }
	none := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none"}`)) + "." + base64.RawURLEncoding.EncodeToString([]byte(claims)) + "."
	good := rs(nil)

	for name, bad := range map[string]string{
		"none":                            none,
		"None":                            strings.Replace(none, base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none"}`)), base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"NoNe"}`)), 1),
		"signature removed":               good[:strings.LastIndexByte(good, '.')+1],
		"public key as HMAC secret":       sign(t, "HS256", publicPEM, `{"alg":"HS256","kid":"k1"}`, claims),
		"DER of the public key as secret": sign(t, "HS256", public, `{"alg":"HS256","kid":"k1"}`, claims),
		"algorithm of another issuer":     sign(t, "HS512", secret, `{"alg":"HS512","kid":"k2"}`, claims),
		"algorithm of the key, not of the issuer": sign(t, "RS384", p["RS"].private, `{"alg":"RS384","kid":"k1"}`, claims),
		"key of another issuer":                   sign(t, "RS256", p["RS"].private, head, toJSON(t, payload(map[string]any{"iss": "other"}))),
		"unknown issuer":                          rs(map[string]any{"iss": "evil"}),
		"no issuer":                               rs(map[string]any{"iss": nil}),
		"unknown kid":                             token(t, "RS256", "k9", nil),
		"kid is a path":                           token(t, "RS256", "../../../dev/null", nil),
		"kid is a number":                         raw(`{"alg":"RS256","kid":1}`, claims),
		"kid is long":                             token(t, "RS256", strings.Repeat("k", 257), nil),
		"no exp":                                  rs(map[string]any{"exp": nil}),
		"exp 0":                                   rs(map[string]any{"exp": 0}),
		"exp null":                                raw(head, strings.Replace(claims, `"exp":`, `"exp":null,"x":`, 1)),
		"exp is a string":                         rs(map[string]any{"exp": "1900000000"}),
		"exp overflows":                           rs(map[string]any{"exp": 1e300}),
		"exp after the year 9999":                 rs(map[string]any{"exp": 253402300800}),
		"exp negative":                            rs(map[string]any{"exp": -1}),
		"expired beyond the leeway":               rs(map[string]any{"exp": start.Unix() - 30}),
		"nbf beyond the leeway":                   rs(map[string]any{"nbf": start.Unix() + 31}),
		"iat beyond the leeway":                   rs(map[string]any{"iat": start.Unix() + 31}),
		"no aud":                                  rs(map[string]any{"aud": nil}),
		"empty aud":                               rs(map[string]any{"aud": []string{}}),
		"aud of another service":                  rs(map[string]any{"aud": []string{"billing", "mail"}}),
		"aud holds null":                          rs(map[string]any{"aud": []any{"api", nil}}),
		"crit":                                    raw(`{"alg":"RS256","kid":"k1","crit":["exp"]}`, claims),
		"b64":                                     raw(`{"alg":"RS256","kid":"k1","b64":false}`, claims),
		"two alg":                                 raw(`{"alg":"none","kid":"k1","alg":"RS256"}`, claims),
		"two kid":                                 raw(`{"alg":"RS256","kid":"k9","kid":"k1"}`, claims),
		"two exp":                                 raw(head, strings.Replace(claims, "{", `{"exp":1,`, 1)),
		"two iss, one escaped":                    raw(head, strings.Replace(claims, "{", `{"\u0069ss":"evil",`, 1)),
		"claim names in other case":               raw(head, strings.NewReplacer(`"exp"`, `"Exp"`, `"aud"`, `"AUD"`).Replace(claims)),
		"alg in other case":                       raw(`{"Alg":"RS256","kid":"k1"}`, claims),
		"alg value in lower case":                 raw(`{"alg":"rs256","kid":"k1"}`, claims),
		"no alg":                                  raw(`{"kid":"k1"}`, claims),
		"alg is a list":                           raw(`{"alg":["RS256"],"kid":"k1"}`, claims),
		"header is no object":                     raw(`"RS256"`, claims),
		"header with a tail":                      raw(head+`{}`, claims),
		"claims are null":                         raw(head, `null`),
		"claims are a list":                       raw(head, `[]`),
		"claims with a tail":                      raw(head, claims+`{}`),
		"logout token":                            raw(`{"alg":"RS256","kid":"k1","typ":"logout+jwt"}`, claims),
		"encrypted token":                         good + ".x.y",
		"two parts":                               good[:strings.LastIndexByte(good, '.')],
		"one part":                                "abc",
		"empty":                                   "",
		"padding":                                 good + "=",
		"line break inside":                       good[:10] + "\n" + good[10:],
		"standard alphabet":                       strings.Replace(good, ".", "./+", 1),
		"longer than 8 KiB":                       rs(map[string]any{"x": strings.Repeat("x", 9000)}),
		"no kid and too many keys that could do it": token(t, "ES256", "", map[string]any{"iss": "many"}),
	} {
		t.Run(name, func(t *testing.T) {
			many := make([]Key, maxTries+1)
			for i := range many {
				many[i] = keySource(t, fmt.Sprintf("k%d", i), p["ES256"].public)
			}
			v := verifier(t, &clock{start}, jwtConfig(
				issuerOf("idp", []string{"RS256"}, keySource(t, "k1", p["RS"].public)),
				issuerOf("other", []string{"HS256", "HS512"}, keySource(t, "k2", secret)),
				issuerOf("many", []string{"ES256"}, many...)))
			for range 2 { // the second time with whatever the first left in the cache
				id, err := v.Verify(withToken(bad))
				var rejection *RejectedError
				if err == nil || id != nil || !errors.As(err, &rejection) || rejection.Code != codeInvalidToken {
					t.Fatalf("Verify = %+v, %v", id, err)
				}
			}
			if n := v.cache.len(); n != 0 {
				t.Errorf("%d entries in the cache after a failure", n)
			}
			if _, err := v.Verify(withToken(good)); err != nil {
				t.Errorf("the token without the mistake is rejected too: %v", err)
			}
		})
	}
}

func TestLeewayIsInclusiveWhereItShouldBe(t *testing.T) {
	v := verifier(t, &clock{start}, jwtConfig(issuerOf("idp", []string{"HS256"}, keySource(t, "", secret))))
	for name, change := range map[string]map[string]any{
		"just expired":       {"exp": start.Unix() - 29},
		"nbf soon":           {"nbf": start.Unix() + 30},
		"iat soon":           {"iat": start.Unix() + 30},
		"no iat":             {"iat": nil},
		"one aud of several": {"aud": []string{"mail", "api"}},
		"fraction":           {"exp": float64(start.Unix()) + 60.5},
	} {
		if _, err := v.Verify(withToken(token(t, "HS256", "", change))); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A token may name where to get the key that it wants to be checked with. If
// anybody went there, the handler below would see it, and jwk would be accepted.
func TestKeysThatATokenNamesAreNotUsed(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("somebody fetched a key") }))
	defer server.Close()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	v := verifier(t, &clock{start}, jwtConfig(issuerOf("idp", []string{"EdDSA"}, keySource(t, "k1", pairs()["Ed"].public))))
	for _, kid := range []string{"k1", "evil"} {
		header := toJSON(t, map[string]any{
			"alg": "EdDSA", "kid": kid, "jku": server.URL, "x5u": server.URL,
			"jwk": map[string]any{"kty": "OKP", "crv": "Ed25519", "x": base64.RawURLEncoding.EncodeToString(public)},
		})
		if _, err := v.Verify(withToken(sign(t, "EdDSA", private, header, toJSON(t, payload(nil))))); err == nil {
			t.Errorf("kid %s: the token's own key was used", kid)
		}
	}
}

func TestKeysWithoutIDServeUnknownKids(t *testing.T) {
	v := verifier(t, &clock{start}, jwtConfig(issuerOf("idp", []string{"HS256"}, keySource(t, "", secret), keySource(t, "k2", []byte(strings.Repeat("z", 32))))))
	if _, err := v.Verify(withToken(token(t, "HS256", "k7", nil))); err != nil {
		t.Errorf("a key without id is not tried: %v", err)
	}
	if _, err := v.Verify(withToken(token(t, "HS256", "k2", nil))); err == nil {
		t.Error("a key without id is tried for the kid of another key")
	}
	if _, err := v.Verify(withToken(token(t, "HS256", "", nil))); err != nil {
		t.Errorf("without a kid: %v", err)
	}
}

func TestCachedTokenStillExpires(t *testing.T) {
	c := &clock{start}
	conf := jwtConfig(issuerOf("idp", []string{"HS256"}, keySource(t, "", secret)))
	conf.CacheAge = config.Duration(time.Hour)
	v := verifier(t, c, conf)
	r := withToken(token(t, "HS256", "", map[string]any{"exp": start.Unix() + 60}))
	first, err := v.Verify(r)
	if err != nil {
		t.Fatal(err)
	}
	c.at = start.Add(89 * time.Second) // within the leeway
	if again, err := v.Verify(r); err != nil || again != first {
		t.Errorf("the cache was not used: %v", err)
	}
	c.at = start.Add(90 * time.Second)
	if _, err := v.Verify(r); !errors.Is(err, jwt.ErrTokenExpired) {
		t.Errorf("an expired token gives %v", err)
	}
	if n := v.cache.len(); n != 0 {
		t.Errorf("%d entries are left", n)
	}
}

func TestCacheForgetsAfterItsAge(t *testing.T) {
	c := &clock{start}
	v := verifier(t, c, jwtConfig(issuerOf("idp", []string{"HS256"}, keySource(t, "", secret))))
	r := withToken(token(t, "HS256", "", nil))
	first, _ := v.Verify(r)
	c.at = start.Add(time.Minute)
	if again, err := v.Verify(r); err != nil || again == first {
		t.Errorf("the entry outlived its age: %v", err)
	}
}

func TestCacheIsBoundedAndKeepsWhatIsUsed(t *testing.T) {
	const entries = 512
	c := newTokenCache(entries, time.Hour)
	hot, identity := tokenKey{1, 2, 3}, &Identity{}
	c.put(hot, identity, start.Add(time.Hour), start)
	for i := range 100_000 {
		c.put(sha256.Sum256([]byte{byte(i), byte(i >> 8), byte(i >> 16)}), &Identity{}, start.Add(time.Hour), start)
		if i%50 == 0 && c.get(hot, start) != identity {
			t.Fatalf("the entry in use was forgotten after %d others", i)
		}
	}
	if n := c.len(); n > entries || n < entries/4 {
		t.Errorf("%d entries, limit %d", n, entries)
	}
}

func TestCacheCanBeOff(t *testing.T) {
	conf := jwtConfig(issuerOf("idp", []string{"HS256"}, keySource(t, "", secret)))
	conf.CacheEntries = 0
	v := verifier(t, &clock{start}, conf)
	r := withToken(token(t, "HS256", "", nil))
	first, err := v.Verify(r)
	second, err2 := v.Verify(r)
	if err != nil || err2 != nil || first == second {
		t.Errorf("%v, %v, same identity: %v", err, err2, first == second)
	}
}

func FuzzVerify(f *testing.F) {
	v := verifier(f, &clock{start}, jwtConfig(issuerOf("idp", []string{"HS256"}, keySource(f, "", secret))))
	good := token(f, "HS256", "", nil)
	for _, seed := range []string{good, "a.b.c", "..", good + ".", `e30.e30.`} {
		f.Add(seed)
	}
	accepted := strings.Split(good, ".")
	f.Fuzz(func(t *testing.T, in string) {
		if _, _, err := v.verify(in); err == nil && !strings.HasPrefix(in, accepted[0]+"."+accepted[1]+".") {
			t.Errorf("%q is accepted", in)
		}
	})
}

func BenchmarkVerify(b *testing.B) {
	for _, alg := range []string{"HS256", "RS256", "PS256", "ES256", "EdDSA"} {
		for _, cached := range []bool{false, true} {
			b.Run(fmt.Sprintf("%s/cached=%v", alg, cached), func(b *testing.B) {
				conf := jwtConfig(issuerOf("idp", []string{alg}, keySource(b, "k1", pairFor(alg).public)))
				if !cached {
					conf.CacheEntries = 0
				}
				v := verifier(b, &clock{start}, conf)
				r := withToken(token(b, alg, "k1", nil))
				b.ReportAllocs()
				for b.Loop() {
					if _, err := v.Verify(r); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
