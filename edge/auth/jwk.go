package auth

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"slices"
)

// jwk is a JSON Web Key (RFC 7517; members of its kinds: RFC 7518, section 6,
// and RFC 8037).
type jwk struct {
	Kty    string   `json:"kty"`
	Use    string   `json:"use"`
	KeyOps []string `json:"key_ops"`
	Alg    string   `json:"alg"`
	Kid    string   `json:"kid"`
	Crv    string   `json:"crv"`
	N      string   `json:"n"`
	E      string   `json:"e"`
	X      string   `json:"x"`
	Y      string   `json:"y"`
	K      string   `json:"k"`
	D      string   `json:"d"` // private
}

// parseJWKs reads a key or a set of keys. Keys of a set that are not for
// checking signatures, or of a kind that is not known, are left out, as RFC
// 7517, section 5, wants it; one that is malformed is an error.
func parseJWKs(text []byte) ([]key, error) {
	var file struct {
		jwk
		Keys []jwk `json:"keys"`
	}
	if err := json.Unmarshal(text, &file); err != nil {
		return nil, fmt.Errorf("read JWK: %w", err)
	}
	if file.Keys == nil {
		file.Keys = []jwk{file.jwk}
	}
	var keys []key
	for i := range file.Keys {
		k := &file.Keys[i]
		if !k.verifies() {
			continue
		}
		public, err := k.public()
		if errors.Is(err, errUnknownKind) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("JWK %q: %w", k.Kid, err)
		}
		if len(k.Kid) > maxKeyID {
			return nil, fmt.Errorf("JWK with a kid of %d bytes, limit %d", len(k.Kid), maxKeyID)
		}
		keys = append(keys, key{id: k.Kid, alg: k.Alg, key: public})
	}
	if len(keys) == 0 {
		return nil, errors.New("holds no key that checks signatures with a known algorithm")
	}
	return keys, nil
}

// verifies reports whether the key is meant for checking signatures.
func (k *jwk) verifies() bool {
	return (k.Use == "" || k.Use == "sig") && (k.KeyOps == nil || slices.Contains(k.KeyOps, "verify"))
}

var errUnknownKind = errors.New("kind that is not known")

func (k *jwk) public() (any, error) {
	if k.D != "" {
		return nil, errPrivate
	}
	switch k.Kty {
	case "RSA":
		return k.rsa()
	case "EC":
		return k.ecdsa()
	case "OKP":
		if k.Crv != "Ed25519" {
			return nil, errUnknownKind
		}
		x, err := member("x", k.X, ed25519.PublicKeySize)
		return ed25519.PublicKey(x), err
	case "oct":
		secret, err := member("k", k.K, 0)
		if err == nil && len(secret) < minSecret {
			err = fmt.Errorf("secret of %d bytes, want at least %d", len(secret), minSecret)
		}
		return secret, err
	default:
		return nil, errUnknownKind
	}
}

func (k *jwk) rsa() (any, error) {
	n, err := member("n", k.N, 0)
	if err != nil {
		return nil, err
	}
	e, err := member("e", k.E, 0)
	if err != nil {
		return nil, err
	}
	exponent := new(big.Int).SetBytes(e)
	if exponent.BitLen() > 31 {
		return nil, fmt.Errorf("RSA key with an exponent of %d bits", exponent.BitLen())
	}
	public := &rsa.PublicKey{N: new(big.Int).SetBytes(n), E: int(exponent.Int64())}
	return public, checkPublic(public)
}

func (k *jwk) ecdsa() (any, error) {
	curves := map[string]elliptic.Curve{"P-256": elliptic.P256(), "P-384": elliptic.P384(), "P-521": elliptic.P521()}
	curve := curves[k.Crv]
	if curve == nil {
		return nil, errUnknownKind
	}
	size := (curve.Params().BitSize + 7) / 8
	x, err := member("x", k.X, size)
	if err != nil {
		return nil, err
	}
	y, err := member("y", k.Y, size)
	if err != nil {
		return nil, err
	}
	point := slices.Concat([]byte{4}, x, y) // uncompressed; SEC 1, section 2.3.3
	return ecdsa.ParseUncompressedPublicKey(curve, point)
}

// member decodes a base64url member of the given length; 0 is any but none.
func member(name, value string, length int) ([]byte, error) {
	b, err := base64.RawURLEncoding.DecodeString(value)
	if err != nil {
		return nil, fmt.Errorf("member %s: %w", name, err)
	}
	if len(b) == 0 || length != 0 && len(b) != length {
		return nil, fmt.Errorf("member %s has %d bytes, want %d", name, len(b), max(length, 1))
	}
	return b, nil
}
