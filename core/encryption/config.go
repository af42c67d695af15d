package encryption

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/ergoproxy/ergo/shared/config"
)

// Config names the keys of a Keyring. All cores that share a storage need the
// same ones.
type Config struct {
	// The keys, 1 to 8. All of them open, one of them seals.
	Keys []Key `yaml:"keys"`
	// ID of the key that seals. Required, also with one key: so a new key can reach
	// every core before one of them seals with it.
	Active string `yaml:"active"`
}

// Key is one key of 32 bytes.
type Key struct {
	// Name of the key, which stands in clear text in what it seals: 1 to 32 letters,
	// digits, dots, hyphens and underscores. A name is never used for another key
	// again.
	ID string `yaml:"id"`
	// The key as 64 hex digits, `openssl rand -hex 32`, or as 44 characters of base64,
	// `openssl rand -base64 32`. Required.
	Key config.Secret `yaml:"key"`
}

// Validate reports what is wrong with c.
func (c *Config) Validate(r *config.Report) {
	if n := len(c.Keys); n == 0 || n > MaxKeys {
		r.Errorf("keys", "has %d keys, want 1 to %d such as {id: k1, key: {file: k1.key}}", n, MaxKeys)
	}
	ids, seen := make([]string, 0, len(c.Keys)), map[string]int{}
	for i, k := range c.Keys {
		key := fmt.Sprintf("keys[%d]", i)
		if first := slices.Index(ids, k.ID); first >= 0 {
			r.Errorf(key+".id", "%q is the id of keys[%d] already", k.ID, first)
		}
		ids = append(ids, k.ID)
		secret, err := parseKey(k.Key.Reveal())
		if err != nil {
			continue // which the key itself reports
		}
		if first, ok := seen[string(secret)]; ok {
			r.Errorf(key+".key", "is the same key as keys[%d], want another one", first)
		}
		seen[string(secret)] = i
	}
	switch {
	case c.Active == "":
		r.Errorf("active", "is required, want the id of the key that seals, one of: %s", strings.Join(ids, ", "))
	case !slices.Contains(ids, c.Active):
		r.Errorf("active", "%q is no key, want one of: %s", c.Active, strings.Join(ids, ", "))
	}
}

// Validate reports what is wrong with k.
func (k *Key) Validate(r *config.Report) {
	r.Check("id", checkID(k.ID))
	if _, err := parseKey(k.Key.Reveal()); err != nil {
		r.Errorf("key", "%v", err)
	}
}

// sealers returns the keys, the active one first.
func (c *Config) sealers() ([]*Sealer, error) {
	var r config.Report
	c.Validate(&r)
	var problems []error
	for _, p := range r.Problems() {
		problems = append(problems, errors.New(p.String()))
	}
	var sealers []*Sealer
	for i, k := range c.Keys {
		key, err := parseKey(k.Key.Reveal())
		if err != nil {
			problems = append(problems, fmt.Errorf("keys[%d].key: %w", i, err))
			continue
		}
		s, err := NewSealer(k.ID, key)
		if err != nil {
			problems = append(problems, fmt.Errorf("keys[%d]: %w", i, err))
			continue
		}
		if k.ID == c.Active {
			sealers = slices.Insert(sealers, 0, s)
		} else {
			sealers = append(sealers, s)
		}
	}
	return sealers, errors.Join(problems...)
}

// checkID returns what is wrong with the id of a key.
func checkID(id string) error {
	const want = "want 1 to 32 letters, digits, dots, hyphens and underscores such as 2026-11"
	if id == "" || len(id) > MaxID {
		return fmt.Errorf("has %d characters, %s", len(id), want)
	}
	for _, c := range []byte(id) {
		if !strings.ContainsRune("-_.", rune(c)) && (c < '0' || c > '9') && (c|0x20 < 'a' || c|0x20 > 'z') {
			return fmt.Errorf("%q has %q in it, %s", id, c, want)
		}
	}
	return nil
}

// parseKey reads a key. Its errors never hold a part of it.
func parseKey(text []byte) ([]byte, error) {
	const want = "want 32 random bytes as 64 hex digits (openssl rand -hex 32) or 44 characters of base64 (openssl rand -base64 32)"
	var key []byte
	var err error
	switch len(text) {
	case 0:
		return nil, fmt.Errorf("is required, %s", want)
	case hex.EncodedLen(KeySize):
		if key, err = hex.DecodeString(string(text)); err != nil {
			return nil, fmt.Errorf("has 64 characters that are not all hex digits, %s", want)
		}
	case base64.StdEncoding.EncodedLen(KeySize):
		key, err = base64.StdEncoding.Strict().DecodeString(string(text))
		if err != nil || len(key) != KeySize {
			return nil, fmt.Errorf("has 44 characters that are not base64 of 32 bytes, %s", want)
		}
	default:
		return nil, fmt.Errorf("has %d characters, %s", len(text), want)
	}
	if bytes.Count(key, key[:1]) == KeySize {
		return nil, fmt.Errorf("is one byte 32 times, %s", want)
	}
	return key, nil
}
