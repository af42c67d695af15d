package auth

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/golang-jwt/jwt/v5"
)

const (
	minSecret  = 32      // bytes of an HMAC secret (RFC 7518, section 3.2)
	minRSA     = 2048    // bits (section 3.3)
	maxRSA     = 8192    // bits; a check costs the square of it
	maxKeyFile = 1 << 20 // bytes
	maxKeys    = 64      // of one issuer
)

// algorithms says for each algorithm (RFC 7518, section 3.1; RFC 8037) whether
// a key is of its kind. None of them takes a key of another kind's type: that is
// what keeps a public key from being used as an HMAC secret.
var algorithms = map[string]func(key any) bool{
	"HS256": isSecret(32), "HS384": isSecret(48), "HS512": isSecret(64),
	"RS256": isRSA, "RS384": isRSA, "RS512": isRSA,
	"PS256": isRSA, "PS384": isRSA, "PS512": isRSA,
	"ES256": isECDSA(elliptic.P256()), "ES384": isECDSA(elliptic.P384()), "ES512": isECDSA(elliptic.P521()),
	"EdDSA": isEd25519,
}

func algorithmNames() []string { return slices.Sorted(maps.Keys(algorithms)) }

func isSecret(length int) func(any) bool {
	return func(key any) bool {
		secret, ok := key.([]byte)
		return ok && len(secret) >= length
	}
}

func isRSA(key any) bool { _, ok := key.(*rsa.PublicKey); return ok }

func isECDSA(curve elliptic.Curve) func(any) bool {
	return func(key any) bool {
		public, ok := key.(*ecdsa.PublicKey)
		return ok && public.Curve == curve
	}
}

func isEd25519(key any) bool { _, ok := key.(ed25519.PublicKey); return ok }

// key is one key of an issuer.
type key struct {
	id  string
	alg string // the only algorithm that it is for; "": each of its kind
	key any    // []byte, *rsa.PublicKey, *ecdsa.PublicKey or ed25519.PublicKey
}

// keyTable holds the keys of one issuer for one algorithm.
type keyTable struct {
	byID    map[string][]jwt.VerificationKey
	unnamed []jwt.VerificationKey
	all     []jwt.VerificationKey
}

// candidates returns the keys that may have signed a token with this head: at
// most maxTries.
func (t *keyTable) candidates(h head) (jwt.VerificationKeySet, error) {
	keys := t.all
	if h.hasKid {
		if keys = t.byID[h.kid]; len(keys) == 0 {
			keys = t.unnamed
		}
	}
	switch {
	case len(keys) == 0:
		return jwt.VerificationKeySet{}, errUnknownKey
	case len(keys) > maxTries:
		return jwt.VerificationKeySet{}, errNeedsKeyID
	default:
		return jwt.VerificationKeySet{Keys: keys}, nil
	}
}

// issuerKeys loads the keys of an issuer into one table for each algorithm.
// Every algorithm must have a key, and every key an algorithm.
func issuerKeys(c Issuer) (map[string]*keyTable, error) {
	keys, err := c.loadKeys()
	if err != nil {
		return nil, err
	}
	return keyTables(keys, c.Algorithms)
}

func (c *Issuer) loadKeys() ([]key, error) {
	var keys []key
	for i := range c.Keys {
		loaded, err := c.Keys[i].load()
		if err != nil {
			return nil, fmt.Errorf("keys[%d]: %w", i, err)
		}
		keys = append(keys, loaded...)
	}
	return keys, nil
}

func keyTables(keys []key, algs []string) (map[string]*keyTable, error) {
	if len(keys) > maxKeys {
		return nil, fmt.Errorf("%d keys, limit %d", len(keys), maxKeys)
	}
	used := make([]bool, len(keys))
	tables := make(map[string]*keyTable, len(algs))
	for _, alg := range algs {
		table := &keyTable{byID: map[string][]jwt.VerificationKey{}}
		for i, k := range keys {
			if !algorithms[alg](k.key) || k.alg != "" && k.alg != alg {
				continue
			}
			used[i] = true
			table.add(k)
		}
		if err := table.check(); err != nil {
			return nil, fmt.Errorf("%s: %w", alg, err)
		}
		tables[alg] = table
	}
	if i := slices.Index(used, false); i >= 0 {
		return nil, fmt.Errorf("a key of type %T, id %q, fits none of the algorithms %s", keys[i].key, keys[i].id, strings.Join(algs, ", "))
	}
	return tables, nil
}

func (t *keyTable) add(k key) {
	t.all = append(t.all, k.key)
	if k.id == "" {
		t.unnamed = append(t.unnamed, k.key)
	} else {
		t.byID[k.id] = append(t.byID[k.id], k.key)
	}
}

func (t *keyTable) check() error {
	if len(t.all) == 0 {
		return errors.New("none of the keys is of its kind")
	}
	for id, keys := range t.byID {
		if len(keys) > maxTries {
			return fmt.Errorf("%d keys with the id %q, limit %d", len(keys), id, maxTries)
		}
	}
	return nil
}

// load reads the keys that k names.
func (k *Key) load() ([]key, error) {
	if !k.Secret.IsZero() {
		secret := k.Secret.Reveal()
		if len(secret) < minSecret {
			return nil, fmt.Errorf("secret of %d bytes, want at least %d", len(secret), minSecret)
		}
		return []key{{id: k.ID, key: bytes.Clone(secret)}}, nil
	}
	text, err := readKeyFile(string(k.File))
	if err != nil {
		return nil, err
	}
	var keys []key
	if json := bytes.TrimSpace(text); len(json) > 0 && json[0] == '{' {
		keys, err = parseJWKs(json)
	} else {
		keys, err = parsePEM(text, k.ID)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", k.File, err)
	}
	return keys, nil
}

func readKeyFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxKeyFile+1))
	if err != nil {
		return nil, err
	}
	if len(text) > maxKeyFile {
		return nil, fmt.Errorf("%s is larger than %d bytes", path, maxKeyFile)
	}
	return text, nil
}

func parsePEM(text []byte, id string) ([]key, error) {
	var keys []key
	for {
		var block *pem.Block
		if block, text = pem.Decode(text); block == nil {
			break
		}
		public, err := parseBlock(block)
		if err != nil {
			return nil, err
		}
		keys = append(keys, key{id: id, key: public})
	}
	if len(keys) == 0 {
		return nil, errors.New("holds neither PEM blocks nor a JWK")
	}
	if len(bytes.TrimSpace(text)) > 0 {
		return nil, errors.New("holds something after the last PEM block")
	}
	return keys, nil
}

func parseBlock(block *pem.Block) (public any, err error) {
	switch block.Type {
	case "PUBLIC KEY":
		public, err = x509.ParsePKIXPublicKey(block.Bytes)
	case "RSA PUBLIC KEY":
		public, err = x509.ParsePKCS1PublicKey(block.Bytes)
	case "CERTIFICATE":
		var cert *x509.Certificate
		if cert, err = x509.ParseCertificate(block.Bytes); err == nil {
			public = cert.PublicKey
		}
	default:
		if strings.HasSuffix(block.Type, "PRIVATE KEY") {
			return nil, errPrivate
		}
		return nil, fmt.Errorf("PEM block %q, want a public key or a certificate", block.Type)
	}
	if err != nil {
		return nil, err
	}
	return public, checkPublic(public)
}

var errPrivate = errors.New("holds a private key; an edge checks tokens and needs only the public one")

// checkPublic refuses keys that are too weak, too costly, or of a kind that no
// algorithm takes.
func checkPublic(public crypto.PublicKey) error {
	switch k := public.(type) {
	case *rsa.PublicKey:
		if bits := k.N.BitLen(); bits < minRSA || bits > maxRSA {
			return fmt.Errorf("RSA key of %d bits, want %d to %d", bits, minRSA, maxRSA)
		}
		if k.E < 3 || k.E%2 == 0 {
			return fmt.Errorf("RSA key with the exponent %d", k.E)
		}
		return nil
	case *ecdsa.PublicKey:
		if k.Curve != elliptic.P256() && k.Curve != elliptic.P384() && k.Curve != elliptic.P521() {
			return errors.New("ECDSA key on another curve than P-256, P-384 and P-521")
		}
		return nil
	case ed25519.PublicKey:
		return nil
	default:
		return fmt.Errorf("key of type %T, want RSA, ECDSA or Ed25519", public)
	}
}
