package auth

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ergoproxy/ergo/shared/config"
	"github.com/ergoproxy/ergo/shared/requestpath"
)

// What a rule asks for.
const (
	requireNone = "none"
	requireJWT  = "jwt"
)

// Limits of a config.
const (
	maxIssuers = 64
	maxRules   = 1024
)

// Config says who must show what, where.
type Config struct {
	// JWT says which tokens are accepted.
	JWT JWT `yaml:"jwt"`

	// Rules say what a request must show. Of those that match, the one with the
	// longest path counts; of equally long ones that with a host, then that with
	// methods. Default: none.
	Rules []Rule `yaml:"rules"`

	// Default is what requests must show that no rule matches: "none" or "jwt".
	// Default: jwt if there are issuers, none otherwise.
	Default string `yaml:"default"`

	// Realm is what WWW-Authenticate calls the protected space. Default: ergo.
	Realm string `yaml:"realm"`
}

// JWT says which tokens are accepted (RFC 7519, 8725) and where they are looked
// for.
type JWT struct {
	// Issuers are those whose tokens are accepted. Default: none.
	Issuers []Issuer `yaml:"issuers"`

	// Cookie is the name of a cookie that may hold the token when there is no
	// Authorization: Bearer. Default: none; cookies are not looked at.
	Cookie string `yaml:"cookie"`

	// Query is the name of a query parameter that may hold the token when
	// neither Authorization nor the cookie does. URLs end up in histories and
	// logs; avoid it. Default: none; queries are not looked at.
	Query string `yaml:"query"`

	// Forward leaves the token in the request that is sent on. Default: false,
	// it is removed.
	Forward bool `yaml:"forward"`

	// CacheEntries is the number of verified tokens that are remembered, so
	// that their signature is not checked again; 64 to 1048576. 0 switches the
	// cache off. Default: 16384.
	CacheEntries int `yaml:"cache_entries"`

	// CacheAge is how long a verified token is remembered, at most 1h; its
	// expiry is checked each time nevertheless. Default: 60s.
	CacheAge config.Duration `yaml:"cache_age"`
}

// Issuer is one who signs tokens.
type Issuer struct {
	// Issuer is the value of the claim "iss", compared exactly. Required.
	Issuer string `yaml:"issuer"`

	// Audiences are the accepted values of the claim "aud"; a token needs one
	// of them. At least one is required.
	Audiences []string `yaml:"audiences"`

	// Algorithms are the accepted signatures: HS256, HS384, HS512, RS256,
	// RS384, RS512, PS256, PS384, PS512, ES256, ES384, ES512, EdDSA. At least
	// one is required.
	Algorithms []string `yaml:"algorithms"`

	// Keys verify the signatures. At least one is required.
	Keys []Key `yaml:"keys"`

	// Leeway is how much clocks may differ when times are checked; at most 5m.
	// Default: 30s.
	Leeway config.Duration `yaml:"leeway"`
}

// Key is a source of keys: either file or secret.
type Key struct {
	// File is a PEM file with public keys or certificates, or a JSON file with
	// a JWK or a JWK set (RFC 7517); at most 1MiB. Private keys are refused.
	File config.Path `yaml:"file"`

	// Secret is the shared secret of an HS algorithm, used byte by byte; at
	// least as long as the hash: 32 bytes for HS256, 48 for HS384, 64 for
	// HS512.
	Secret config.Secret `yaml:"secret"`

	// ID is the "kid" of tokens that this key verifies. Keys in JWK files have
	// their own. Default: none; the key is tried for tokens without a kid, and
	// for those with a kid that no other key of the issuer has.
	ID string `yaml:"id"`
}

// Rule says what requests must show that match all of path, host and methods.
type Rule struct {
	// Path is compared segment by segment, decoded, with its letters' case:
	// "/private/" covers /private, /private/ and all below. Required; "/" covers
	// everything.
	Path string `yaml:"path"`

	// Host is a host name without port, or "*.example.com" for all names below
	// example.com. Default: any host.
	Host string `yaml:"host"`

	// Methods limits the rule to these; GET includes HEAD. Mind that OPTIONS,
	// which browsers send without a token before cross-origin requests, is a
	// method like others. Default: any method.
	Methods []string `yaml:"methods"`

	// Require is "jwt", a valid token, or "none". Required.
	Require string `yaml:"require"`

	// Scopes are all needed in the token's "scope" or "scp" claim. Default:
	// none.
	Scopes []string `yaml:"scopes"`

	// Claims are further claims that the token must have, each with one of the
	// listed values; a claim that is a list needs one of them in it. Default:
	// none.
	Claims map[string][]string `yaml:"claims"`
}

// SetDefaults implements config.Defaulter.
func (c *Config) SetDefaults() {
	c.Realm = "ergo"
	c.JWT.SetDefaults()
}

// SetDefaults implements config.Defaulter.
func (c *JWT) SetDefaults() {
	c.CacheEntries = 16384
	c.CacheAge = config.Duration(time.Minute)
}

// SetDefaults implements config.Defaulter.
func (c *Issuer) SetDefaults() { c.Leeway = config.Duration(30 * time.Second) }

// Validate implements config.Validator.
func (c *Config) Validate(r *config.Report) {
	if c.Default != "" && c.Default != requireNone && c.Default != requireJWT {
		r.Errorf("default", "is %q, want none or jwt", c.Default)
	}
	if strings.ContainsFunc(c.Realm, func(c rune) bool { return c < 0x20 || c > 0x7e || c == '"' || c == '\\' }) {
		r.Errorf("realm", "holds quotes, backslashes, or bytes that are not printable ASCII")
	}
	if len(c.Rules) > maxRules {
		r.Errorf("rules", "has %d entries, want at most %d", len(c.Rules), maxRules)
	}
	if len(c.JWT.Issuers) == 0 && c.needsJWT() {
		r.Errorf("jwt.issuers", "is empty, but default or a rule requires jwt; want at least one")
	}
	compiled := compileRules(c.Rules)
	for i := 1; i < len(compiled); i++ {
		if compiled[i].same(&compiled[i-1]) {
			r.Errorf("rules", "has two with path %q, host %q and the same methods; one of them can never match",
				compiled[i].Path, compiled[i].Host)
		}
	}
}

func (c *Config) needsJWT() bool {
	return c.Default == requireJWT || slices.ContainsFunc(c.Rules, func(r Rule) bool { return r.Require == requireJWT })
}

// Validate implements config.Validator.
func (c *JWT) Validate(r *config.Report) {
	if len(c.Issuers) > maxIssuers {
		r.Errorf("issuers", "has %d entries, want at most %d", len(c.Issuers), maxIssuers)
	}
	seen := map[string]int{}
	for i := range c.Issuers {
		iss := c.Issuers[i].Issuer
		if first, ok := seen[iss]; ok {
			r.Errorf(fmt.Sprintf("issuers[%d].issuer", i), "%q is issuers[%d] already; give one issuer all its keys", iss, first)
			continue
		}
		seen[iss] = i
	}
	if c.Cookie != "" && !isToken(c.Cookie) {
		r.Errorf("cookie", "is %q, which is no cookie name", c.Cookie)
	}
	if strings.ContainsAny(c.Query, "&;=%+#") {
		r.Errorf("query", "is %q, want a parameter name without &;=%%+#", c.Query)
	}
	if c.CacheEntries != 0 && (c.CacheEntries < 64 || c.CacheEntries > 1<<20) {
		r.Errorf("cache_entries", "is %d, want 64 to 1048576, or 0 to switch the cache off", c.CacheEntries)
	}
	if age := c.CacheAge.Std(); c.CacheEntries > 0 && (age < time.Second || age > time.Hour) {
		r.Errorf("cache_age", "is %s, want 1s to 1h; cache_entries: 0 switches the cache off", c.CacheAge)
	}
}

// Validate implements config.Validator. It reads the key files.
func (c *Issuer) Validate(r *config.Report) {
	if c.Issuer == "" {
		r.Errorf("issuer", "is missing, want the value of the claim iss")
	}
	if len(c.Audiences) == 0 || slices.Contains(c.Audiences, "") {
		r.Errorf("audiences", "is empty or holds an empty one, want the values of the claim aud: a token for another service must not be accepted here")
	}
	if len(c.Algorithms) == 0 {
		r.Errorf("algorithms", "is empty, want some of %s", strings.Join(algorithmNames(), ", "))
	}
	for i, alg := range c.Algorithms {
		if _, known := algorithms[alg]; !known {
			r.Errorf(fmt.Sprintf("algorithms[%d]", i), "%q is not known, want some of %s", alg, strings.Join(algorithmNames(), ", "))
		}
	}
	if len(c.Keys) == 0 {
		r.Errorf("keys", "is empty, want at least one such as {file: token.pem}")
	}
	if c.Leeway.Std() > 5*time.Minute {
		r.Errorf("leeway", "is %s, want at most 5m", c.Leeway)
	}
	c.validateKeys(r)
}

// validateKeys reports algorithms without a key and keys without an algorithm.
// Of a key that cannot be read, or an unknown algorithm, that has been said.
func (c *Issuer) validateKeys(r *config.Report) {
	for _, alg := range c.Algorithms {
		if _, known := algorithms[alg]; !known {
			return
		}
	}
	keys, err := c.loadKeys()
	if err != nil || len(c.Algorithms) == 0 || len(keys) == 0 {
		return
	}
	_, err = keyTables(keys, c.Algorithms)
	r.Check("keys", err)
}

// Validate implements config.Validator. It reads the key file.
func (c *Key) Validate(r *config.Report) {
	if (c.File == "") == c.Secret.IsZero() {
		r.Errorf("", "has neither or both of file and secret, want one of them")
	}
	if !c.Secret.IsZero() && len(c.Secret.Reveal()) < minSecret {
		r.Errorf("secret", "has %d bytes, want at least %d", len(c.Secret.Reveal()), minSecret)
	}
	if c.File != "" {
		_, err := c.load()
		r.Check("file", err)
	}
	if len(c.ID) > maxKeyID {
		r.Errorf("id", "has %d bytes, want at most %d", len(c.ID), maxKeyID)
	}
}

// Validate implements config.Validator.
func (c *Rule) Validate(r *config.Report) {
	if err := requestpath.CheckPrefix(c.Path); err != nil {
		r.Errorf("path", "%v", err)
	}
	if name := strings.TrimPrefix(c.Host, "*."); c.Host != "" && (name == "" || strings.ContainsAny(name, "*:/ ")) {
		r.Errorf("host", "is %q, want a name without port, or *.name", c.Host)
	}
	for i, method := range c.Methods {
		if !isToken(method) || method != strings.ToUpper(method) {
			r.Errorf(fmt.Sprintf("methods[%d]", i), "is %q, want a method name in upper case", method)
		}
	}
	switch c.Require {
	case requireJWT:
	case requireNone:
		if len(c.Scopes) > 0 || len(c.Claims) > 0 {
			r.Errorf("require", "is none, but scopes or claims are asked for; want jwt")
		}
	default:
		r.Errorf("require", "is %q, want jwt or none", c.Require)
	}
	for i, scope := range c.Scopes {
		if scope == "" || strings.ContainsAny(scope, " \"\\") {
			r.Errorf(fmt.Sprintf("scopes[%d]", i), "is %q, want a word without spaces and quotes", scope)
		}
	}
	for name, values := range c.Claims {
		if name == "" || len(values) == 0 {
			r.Errorf("claims", "%q has no value listed, want at least one that the claim may have", name)
		}
	}
}

func isToken(s string) bool {
	for i := range len(s) {
		c := s[i]
		if c <= 0x20 || c >= 0x7f || strings.IndexByte(`"(),/:;<=>?@[\]{}`, c) >= 0 {
			return false
		}
	}
	return s != ""
}
