// Package mint signs tokens for demonstrations and tests: what an identity
// provider does for a real service. An edge never signs.
package mint

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// Claims say what a token holds.
type Claims struct {
	Issuer   string
	Subject  string
	Audience string
	Lifetime time.Duration // from now; required
	Scope    string        // words with spaces between; may be empty
	Extra    map[string]any
}

// HS256 returns a token signed with a secret of at least 32 bytes. KeyID is its
// kid; empty: none.
func HS256(secret []byte, keyID string, now time.Time, c Claims) (string, error) {
	if len(secret) < 32 {
		return "", fmt.Errorf("mint token: secret of %d bytes, want at least 32", len(secret))
	}
	return sign(jwt.SigningMethodHS256, secret, keyID, now, c)
}

// EdDSA returns a token signed with an Ed25519 key. KeyID is its kid; empty:
// none.
func EdDSA(key ed25519.PrivateKey, keyID string, now time.Time, c Claims) (string, error) {
	if len(key) != ed25519.PrivateKeySize {
		return "", fmt.Errorf("mint token: private key of %d bytes, want %d", len(key), ed25519.PrivateKeySize)
	}
	return sign(jwt.SigningMethodEdDSA, key, keyID, now, c)
}

func sign(method jwt.SigningMethod, key any, keyID string, now time.Time, c Claims) (string, error) {
	if c.Lifetime <= 0 {
		return "", errors.New("mint token: no lifetime")
	}
	claims := jwt.MapClaims{
		"iss": c.Issuer, "sub": c.Subject, "aud": c.Audience, "iat": now.Unix(), "exp": now.Add(c.Lifetime).Unix(),
	}
	if c.Scope != "" {
		claims["scope"] = c.Scope
	}
	maps.Copy(claims, c.Extra)
	token := jwt.NewWithClaims(method, claims)
	if keyID != "" {
		token.Header["kid"] = keyID
	}
	signed, err := token.SignedString(key)
	if err != nil {
		return "", fmt.Errorf("mint token: %w", err)
	}
	return signed, nil
}
