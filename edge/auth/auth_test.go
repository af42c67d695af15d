package auth_test

import (
	"crypto/ed25519"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/ergoproxy/ergo/edge/auth"
	"github.com/ergoproxy/ergo/edge/auth/mint"
	"github.com/ergoproxy/ergo/shared/config"
	"github.com/ergoproxy/ergo/shared/exchange"
)

var secret = []byte("a secret of at least thirty-two bytes")

// base is a config with one issuer and rules.
func base(rules ...auth.Rule) auth.Config {
	issuer := auth.Issuer{Issuer: "idp", Audiences: []string{"api"}, Algorithms: []string{"HS256"},
		Keys: []auth.Key{{Secret: config.NewSecret(secret)}}}
	issuer.SetDefaults()
	var c auth.Config
	c.SetDefaults()
	c.JWT.Issuers, c.Rules, c.Default = []auth.Issuer{issuer}, rules, "none"
	return c
}

func problems(c auth.Config) (keys []string) {
	var r config.Report
	for i := range c.Rules {
		c.Rules[i].Validate(&r)
	}
	for i := range c.JWT.Issuers {
		for k := range c.JWT.Issuers[i].Keys {
			c.JWT.Issuers[i].Keys[k].Validate(&r)
		}
		c.JWT.Issuers[i].Validate(&r)
	}
	c.JWT.Validate(&r)
	c.Validate(&r)
	for _, p := range r.Problems() {
		keys = append(keys, p.Key)
	}
	return keys
}

func good(t *testing.T, scope string, extra map[string]any) string {
	t.Helper()
	token, err := mint.HS256(secret, "", time.Now(), mint.Claims{Issuer: "idp", Subject: "alice", Audience: "api",
		Lifetime: time.Minute, Scope: scope, Extra: extra})
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// outcome is what became of a request.
type outcome struct {
	*http.Response
	passed *http.Request // as next saw it; nil: refused
	x      *exchange.Exchange
}

func try(t *testing.T, c auth.Config, r *http.Request) outcome {
	t.Helper()
	if bad := problems(c); len(bad) > 0 {
		t.Fatalf("the config has problems with %v", bad)
	}
	step, err := auth.New(c, "edge-1")
	if err != nil {
		t.Fatal(err)
	}
	return serve(step, r)
}

func serve(step *auth.Step, r *http.Request) outcome {
	o := outcome{x: &exchange.Exchange{}}
	w := httptest.NewRecorder()
	auth.Wrap(step, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { o.passed = r })).
		ServeHTTP(w, r.WithContext(exchange.With(r.Context(), o.x)))
	o.Response = w.Result()
	return o
}

func get(target, token string) *http.Request {
	r := httptest.NewRequest("GET", target, nil)
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	return r
}

func TestWithoutTokenIsChallenged(t *testing.T) {
	o := try(t, base(auth.Rule{Path: "/private/", Require: "jwt"}), get("/private/x", ""))
	if o.passed != nil || o.StatusCode != 401 {
		t.Fatalf("status %d, passed %v", o.StatusCode, o.passed != nil)
	}
	if got := o.Header.Get("WWW-Authenticate"); got != `Bearer realm="ergo"` {
		t.Errorf("WWW-Authenticate is %q; RFC 6750 wants no error code here", got)
	}
	if o.x.Report.Detail != "auth: verify token: no credentials" || o.x.Report.Error.String() != "http_request_denied" {
		t.Errorf("report %+v", o.x.Report)
	}
}

func TestABadTokenIsChallengedWithTheReason(t *testing.T) {
	o := try(t, base(auth.Rule{Path: "/", Require: "jwt"}), get("/", good(t, "", nil)+"x"))
	want := `Bearer realm="ergo", error="invalid_token", error_description="the token is not valid"`
	if got := o.Header.Get("WWW-Authenticate"); o.StatusCode != 401 || got != want {
		t.Errorf("status %d, WWW-Authenticate %q", o.StatusCode, got)
	}
}

func TestAGoodTokenPassesAndIsRemoved(t *testing.T) {
	c := base(auth.Rule{Path: "/", Require: "jwt"})
	o := try(t, c, get("/", good(t, "", nil)))
	if o.passed == nil {
		t.Fatalf("status %d, %s", o.StatusCode, o.x.Report.Detail)
	}
	if want := (exchange.Principal{Subject: "alice", Issuer: "idp", Method: "jwt"}); o.x.Principal != want {
		t.Errorf("Principal is %+v", o.x.Principal)
	}
	if got := o.passed.Header.Get("Authorization"); got != "" {
		t.Errorf("Authorization is sent on: %q", got)
	}
	c.JWT.Forward = true
	if o := try(t, c, get("/", good(t, "", nil))); o.passed == nil || o.passed.Header.Get("Authorization") == "" {
		t.Error("the token is removed although it should be forwarded")
	}
}

func TestScopesAndClaims(t *testing.T) {
	c := base(auth.Rule{Path: "/", Require: "jwt", Scopes: []string{"read", "write"},
		Claims: map[string][]string{"role": {"admin", "root"}, "level": {"3"}, "staff": {"true"}}})
	full := map[string]any{"role": []any{"user", "admin"}, "level": 3, "staff": true}
	without := func(name string, value any) map[string]any {
		m := map[string]any{}
		for k, v := range full {
			m[k] = v
		}
		m[name] = value
		return m
	}
	for name, tc := range map[string]struct {
		scope string
		extra map[string]any
		pass  bool
	}{
		"all there":         {"write other read", full, true},
		"one scope missing": {"read", full, false},
		"scope is a part":   {"read writer", full, false},
		"other role":        {"read write", without("role", "user"), false},
		"role in an object": {"read write", without("role", map[string]any{"admin": "admin"}), false},
		"nested list":       {"read write", without("role", []any{[]string{"admin"}}), false},
		"role missing":      {"read write", without("role", nil), false},
		"number as string":  {"read write", without("level", "3"), true},
		"not staff":         {"read write", without("staff", false), false},
	} {
		t.Run(name, func(t *testing.T) {
			o := try(t, c, get("/", good(t, tc.scope, tc.extra)))
			if (o.passed != nil) != tc.pass {
				t.Fatalf("passed %v, status %d: %s", o.passed != nil, o.StatusCode, o.x.Report.Detail)
			}
			if !tc.pass && (o.StatusCode != 403 || !strings.Contains(o.Header.Get("WWW-Authenticate"), `error="insufficient_scope"`) ||
				!strings.Contains(o.Header.Get("WWW-Authenticate"), `scope="read write"`)) {
				t.Errorf("status %d, WWW-Authenticate %q", o.StatusCode, o.Header.Get("WWW-Authenticate"))
			}
		})
	}
}

func TestLongestRuleWins(t *testing.T) {
	c := base(
		auth.Rule{Path: "/", Require: "none"},
		auth.Rule{Path: "/private/", Require: "jwt"},
		auth.Rule{Path: "/private/open", Require: "none"},
		auth.Rule{Path: "/private/open", Methods: []string{"POST"}, Require: "jwt"},
		auth.Rule{Path: "/reports", Methods: []string{"GET"}, Require: "jwt"},
		auth.Rule{Path: "/", Host: "*.secret.example", Require: "jwt"},
		auth.Rule{Path: "/", Host: "open.secret.example", Require: "none"},
		auth.Rule{Path: "/private", Host: "Free.Example.", Require: "none"},
	)
	for _, tc := range []struct {
		method, target string
		status         int
	}{
		{"GET", "http://x/", 200},
		{"GET", "http://x/privateer", 200},
		{"GET", "http://x/private", 401},
		{"GET", "http://x/private/", 401},
		{"GET", "http://x/private/open", 200},
		{"GET", "http://x/private/open/more", 200},
		{"GET", "http://x/private/openly", 401},
		{"POST", "http://x/private/open", 401},
		{"OPTIONS", "http://x/private/x", 401}, // a preflight is a request like others
		{"GET", "http://x/reports", 401},
		{"HEAD", "http://x/reports", 401},
		{"POST", "http://x/reports", 200},
		{"GET", "http://a.secret.example/", 401},
		{"GET", "http://A.SECRET.Example.:8443/", 401},
		{"GET", "http://secret.example/", 200},
		{"GET", "http://open.secret.example/", 200},
		{"GET", "http://free.example/private", 200},
		// Other ways to write /private.
		{"GET", "http://x//private", 401},
		{"GET", "http://x/%70rivate/", 401},
		{"GET", "http://x/private%2fx", 401},
		{"GET", "http://x/private;a=b/x", 401},
		{"GET", "http://x/private/open/../x", 400},
		{"GET", "http://x/open/%2e%2e/private", 400},
		{"GET", "http://x/%2570rivate", 400},
		{"GET", "http://x/private%00", 400},
	} {
		t.Run(tc.method+" "+tc.target, func(t *testing.T) {
			o := try(t, c, httptest.NewRequest(tc.method, tc.target, nil))
			if o.StatusCode != tc.status || (o.passed != nil) != (tc.status == 200) {
				t.Errorf("status %d, want %d", o.StatusCode, tc.status)
			}
		})
	}
}

func TestDefault(t *testing.T) {
	for value, status := range map[string]int{"": 401, "jwt": 401, "none": 200} {
		c := base()
		c.Default = value
		if o := try(t, c, get("/", "")); o.StatusCode != status {
			t.Errorf("default %q with issuers: status %d, want %d", value, o.StatusCode, status)
		}
	}
	var c auth.Config
	c.SetDefaults()
	if o := try(t, c, get("/", "")); o.StatusCode != 200 {
		t.Errorf("without any config: status %d", o.StatusCode)
	}
}

func TestTokenSources(t *testing.T) {
	token := good(t, "", nil)
	c := base(auth.Rule{Path: "/", Require: "jwt"})
	c.JWT.Cookie, c.JWT.Query = "sid", "jwt"
	request := func(target string, fields ...string) *http.Request {
		r := httptest.NewRequest("GET", target, nil)
		for i := 0; i < len(fields); i += 2 {
			r.Header.Add(fields[i], fields[i+1])
		}
		return r
	}
	for _, tc := range []struct {
		name   string
		r      *http.Request
		status int
		cookie string // that is sent on
		query  string
	}{
		{"scheme in any case", request("/", "Authorization", "bEARER  "+token), 200, "", ""},
		{"cookie", request("/", "Cookie", "a=1; sid="+token+"; b=2", "Cookie", "c=3"), 200, "a=1; b=2", ""},
		{"only the cookie", request("/", "Cookie", "sid="+token), 200, "", ""},
		{"query", request("/?a=1&jwt=" + token + "&b=2"), 200, "", "a=1&b=2"},
		{"header goes first", request("/?jwt=x", "Authorization", "Bearer "+token, "Cookie", "sid=x; a=1"), 200, "a=1", ""},
		{"bad header does not fall back", request("/", "Authorization", "Bearer x", "Cookie", "sid="+token), 401, "", ""},
		{"other scheme falls through", request("/", "Authorization", "Basic eA==", "Cookie", "sid="+token), 200, "", ""},
		{"empty header", request("/", "Authorization", ""), 401, "", ""},
		{"empty token", request("/", "Authorization", "Bearer"), 401, "", ""},
		{"two headers", request("/", "Authorization", "Bearer "+token, "Authorization", "Bearer "+token), 400, "", ""},
		{"two cookies", request("/", "Cookie", "sid="+token+"; sid="+token), 400, "", ""},
		{"two parameters", request("/?jwt=" + token + "&jwt=" + token), 400, "", ""},
		{"malformed parameter", request("/?jwt=%zz"), 400, "", ""},
		{"similar parameter", request("/?jwts=" + token), 401, "", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			o := try(t, c, tc.r)
			if o.StatusCode != tc.status {
				t.Fatalf("status %d, want %d: %s", o.StatusCode, tc.status, o.x.Report.Detail)
			}
			if o.passed == nil {
				return
			}
			if got := o.passed.Header.Get("Cookie"); got != tc.cookie {
				t.Errorf("Cookie sent on is %q, want %q", got, tc.cookie)
			}
			if got := o.passed.URL.RawQuery; got != tc.query {
				t.Errorf("query sent on is %q, want %q", got, tc.query)
			}
			if strings.Contains(o.passed.Header.Get("Authorization"), token) {
				t.Error("the token is sent on")
			}
		})
	}
	c.JWT.Cookie, c.JWT.Query = "", ""
	for _, r := range []*http.Request{request("/", "Cookie", "sid="+token), request("/?jwt=" + token)} {
		if o := try(t, c, r); o.StatusCode != 401 {
			t.Errorf("cookies and queries are looked at without being configured: status %d", o.StatusCode)
		}
	}
}

// broken cannot tell anything.
type broken struct{}

func (broken) Verify(*http.Request) (*auth.Identity, error) { return nil, io.ErrUnexpectedEOF }
func (broken) Strip(*http.Request)                          {}

func TestAVerifierThatFailsDenies(t *testing.T) {
	step, err := auth.NewWith(broken{}, base(auth.Rule{Path: "/", Require: "jwt"}), "edge-1")
	if err != nil {
		t.Fatal(err)
	}
	if o := serve(step, get("/", "x")); o.passed != nil || o.StatusCode != 401 {
		t.Errorf("status %d, passed %v", o.StatusCode, o.passed != nil)
	}
	if _, err := auth.NewWith(nil, base(auth.Rule{Path: "/", Require: "jwt"}), "edge-1"); err == nil {
		t.Error("a step that can verify nothing was made")
	}
}

func TestConfigValidation(t *testing.T) {
	for name, tc := range map[string]struct {
		change func(*auth.Config)
		key    string
	}{
		"good":                  {func(*auth.Config) {}, ""},
		"default":               {func(c *auth.Config) { c.Default = "yes" }, "default"},
		"realm":                 {func(c *auth.Config) { c.Realm = `a"b` }, "realm"},
		"no issuers":            {func(c *auth.Config) { c.JWT.Issuers = nil }, "jwt.issuers"},
		"same rule twice":       {func(c *auth.Config) { c.Rules = append(c.Rules, auth.Rule{Path: "/private", Require: "none"}) }, "rules"},
		"issuer twice":          {func(c *auth.Config) { c.JWT.Issuers = append(c.JWT.Issuers, c.JWT.Issuers[0]) }, "issuers[1].issuer"},
		"cookie":                {func(c *auth.Config) { c.JWT.Cookie = "a b" }, "cookie"},
		"query":                 {func(c *auth.Config) { c.JWT.Query = "a&b" }, "query"},
		"cache entries":         {func(c *auth.Config) { c.JWT.CacheEntries = 1 }, "cache_entries"},
		"cache age":             {func(c *auth.Config) { c.JWT.CacheAge = 0 }, "cache_age"},
		"no iss":                {func(c *auth.Config) { c.JWT.Issuers[0].Issuer = "" }, "issuer"},
		"no audience":           {func(c *auth.Config) { c.JWT.Issuers[0].Audiences = nil }, "audiences"},
		"empty audience":        {func(c *auth.Config) { c.JWT.Issuers[0].Audiences = []string{""} }, "audiences"},
		"no algorithm":          {func(c *auth.Config) { c.JWT.Issuers[0].Algorithms = nil }, "algorithms"},
		"algorithm none":        {func(c *auth.Config) { c.JWT.Issuers[0].Algorithms = []string{"none"} }, "algorithms[0]"},
		"no keys":               {func(c *auth.Config) { c.JWT.Issuers[0].Keys = nil }, "keys"},
		"leeway":                {func(c *auth.Config) { c.JWT.Issuers[0].Leeway = config.Duration(time.Hour) }, "leeway"},
		"key of nothing":        {func(c *auth.Config) { c.JWT.Issuers[0].Keys[0] = auth.Key{} }, ""},
		"short secret":          {func(c *auth.Config) { c.JWT.Issuers[0].Keys[0].Secret = config.NewSecret(secret[:31]) }, "secret"},
		"path":                  {func(c *auth.Config) { c.Rules[0].Path = "private" }, "path"},
		"path with dots":        {func(c *auth.Config) { c.Rules[0].Path = "/a/../b" }, "path"},
		"host with port":        {func(c *auth.Config) { c.Rules[0].Host = "x:80" }, "host"},
		"method":                {func(c *auth.Config) { c.Rules[0].Methods = []string{"get"} }, "methods[0]"},
		"require":               {func(c *auth.Config) { c.Rules[0].Require = "" }, "require"},
		"none with scopes":      {func(c *auth.Config) { c.Rules[0].Require, c.Rules[0].Scopes = "none", []string{"x"} }, "require"},
		"scope with a space":    {func(c *auth.Config) { c.Rules[0].Scopes = []string{"a b"} }, "scopes[0]"},
		"claim without a value": {func(c *auth.Config) { c.Rules[0].Claims = map[string][]string{"role": nil} }, "claims"},
	} {
		c := base(auth.Rule{Path: "/private/", Require: "jwt"})
		tc.change(&c)
		got := problems(c)
		if name == "good" && len(got) > 0 || name != "good" && (len(got) != 1 || got[0] != tc.key) {
			t.Errorf("%s: problems with %q, want one with %q", name, got, tc.key)
		}
	}
}

func TestMint(t *testing.T) {
	_, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	c := mint.Claims{Issuer: "idp", Audience: "api", Lifetime: time.Minute}
	if token, err := mint.EdDSA(private, "k1", time.Now(), c); err != nil || strings.Count(token, ".") != 2 {
		t.Errorf("EdDSA = %q, %v", token, err)
	}
	if _, err := mint.HS256(secret[:31], "", time.Now(), c); err == nil {
		t.Error("a short secret is used")
	}
	if _, err := mint.EdDSA(private[:5], "", time.Now(), c); err == nil {
		t.Error("half a key is used")
	}
	if _, err := mint.HS256(secret, "", time.Now(), mint.Claims{}); err == nil || errors.Is(err, io.EOF) {
		t.Error("a token without lifetime is made")
	}
}
