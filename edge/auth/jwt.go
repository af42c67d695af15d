package auth

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/ergoproxy/ergo/shared/exchange"
	"github.com/golang-jwt/jwt/v5"
)

const (
	maxToken = 8 << 10 // bytes; longer tokens are refused before anything is decoded
	maxKeyID = 256     // bytes of a kid
	maxTries = 4       // signature checks that one token can cause
)

// Codes of RFC 6750, section 3.1.
const (
	codeInvalidToken   = "invalid_token"
	codeInvalidRequest = "invalid_request"
)

// Causes that a token is rejected for before its signature is checked.
var (
	errTooLong       = fmt.Errorf("token longer than %d bytes", maxToken)
	errUnknownIssuer = errors.New("the issuer is not configured")
	errAlgorithm     = errors.New("the issuer does not use this algorithm")
	errUnknownKey    = errors.New("the issuer has no such key")
	errNeedsKeyID    = fmt.Errorf("no kid, and more than %d keys could have signed it", maxTries)
)

// JWTVerifier checks signed tokens (RFC 7519) as RFC 8725 advises. It is
// immutable but for its cache, and may be used concurrently.
//
// Which key checks a token is decided by the issuer that the token names, its
// algorithm, and its kid, in a table made at the start: nothing is ever fetched,
// whatever jku, x5u, x5c or jwk say. A key is used with algorithms of its own
// kind alone, so that no public key can be mistaken for an HMAC secret.
type JWTVerifier struct {
	source  source
	issuers map[string]*issuer
	parser  *jwt.Parser
	claims  map[string]bool // those that rules ask for
	cache   *tokenCache     // nil: off
	now     func() time.Time
}

// issuer is an Issuer ready for use.
type issuer struct {
	keys      map[string]*keyTable // by algorithm
	leeway    time.Duration
	validator *jwt.Validator
}

// NewJWTVerifier reads the keys of config. Claims names the claims that are kept
// in the Identity.
func NewJWTVerifier(config JWT, claims map[string]bool) (*JWTVerifier, error) {
	return newJWTVerifier(config, claims, time.Now)
}

func newJWTVerifier(config JWT, claims map[string]bool, now func() time.Time) (*JWTVerifier, error) {
	v := &JWTVerifier{
		source:  source{cookie: config.Cookie, query: config.Query, keep: config.Forward},
		issuers: make(map[string]*issuer, len(config.Issuers)),
		claims:  claims,
		now:     now,
		// The claims are validated by the issuer's validator, which is known
		// only when they are read.
		parser: jwt.NewParser(jwt.WithValidMethods(algorithmNames()), jwt.WithStrictDecoding(), jwt.WithoutClaimsValidation()),
	}
	if config.CacheEntries > 0 {
		v.cache = newTokenCache(config.CacheEntries, config.CacheAge.Std())
	}
	for _, c := range config.Issuers {
		keys, err := issuerKeys(c)
		if err != nil {
			return nil, fmt.Errorf("auth: issuer %q: %w", c.Issuer, err)
		}
		v.issuers[c.Issuer] = &issuer{
			keys:   keys,
			leeway: c.Leeway.Std(),
			validator: jwt.NewValidator(jwt.WithIssuer(c.Issuer), jwt.WithAudience(c.Audiences...), jwt.WithExpirationRequired(),
				jwt.WithIssuedAt(), jwt.WithLeeway(c.Leeway.Std()), jwt.WithTimeFunc(now)),
		}
	}
	return v, nil
}

// Strip implements Verifier.
func (v *JWTVerifier) Strip(r *http.Request) { v.source.strip(r) }

// Verify implements Verifier.
func (v *JWTVerifier) Verify(r *http.Request) (*Identity, error) {
	token, err := v.source.token(r)
	if err != nil {
		return nil, err
	}
	if len(token) > maxToken {
		return nil, rejected(errTooLong)
	}
	if v.cache == nil {
		identity, _, err := v.verify(token)
		return identity, err
	}
	key := sha256.Sum256([]byte(token))
	now := v.now()
	if identity := v.cache.get(key, now); identity != nil {
		return identity, nil
	}
	identity, until, err := v.verify(token)
	if err != nil {
		return nil, err
	}
	v.cache.put(key, identity, until, now)
	return identity, nil
}

// verify checks token and returns until when it is valid, leeway included.
func (v *JWTVerifier) verify(token string) (*Identity, time.Time, error) {
	head, err := readHead(token)
	if err != nil {
		return nil, time.Time{}, rejected(err)
	}
	c := claims{wanted: v.claims}
	var iss *issuer
	_, err = v.parser.ParseWithClaims(token, &c, func(*jwt.Token) (any, error) {
		if iss = v.issuers[c.issuer]; iss == nil {
			return nil, errUnknownIssuer
		}
		keys := iss.keys[head.alg]
		if keys == nil {
			return nil, errAlgorithm
		}
		return keys.candidates(head)
	})
	if err != nil {
		return nil, time.Time{}, rejected(err)
	}
	if err := iss.validator.Validate(&c); err != nil {
		return nil, time.Time{}, rejected(err)
	}
	return &Identity{
		Principal: exchange.Principal{Subject: c.subject, Issuer: c.issuer, Method: "jwt"},
		Scopes:    c.scopes,
		Claims:    c.extra,
	}, c.expiresAt.Add(iss.leeway), nil
}

// rejected tells the client in constant words what is wrong with its token.
func rejected(cause error) *RejectedError {
	description := "the token is not valid"
	switch {
	case errors.Is(cause, jwt.ErrTokenExpired):
		description = "the token has expired"
	case errors.Is(cause, jwt.ErrTokenNotValidYet), errors.Is(cause, jwt.ErrTokenUsedBeforeIssued):
		description = "the token is not valid yet"
	case errors.Is(cause, errTooLong):
		description = "the token is too long"
	}
	return &RejectedError{Code: codeInvalidToken, Description: description, Err: cause}
}
