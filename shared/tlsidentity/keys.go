package tlsidentity

import (
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/x509"
	"fmt"
)

// MinSecret is the shortest secret that DeriveKeys takes, in bytes.
const MinSecret = 16

// Keys are what a tier needs to be the same after a restart, or the same as
// its twin: with them a far end learns in one round trip that its connection
// is gone, and resumes its session. They are as secret as a private key.
type Keys struct {
	SessionTicket  [32]byte // seals TLS session tickets (RFC 8446, section 4.6.1)
	StatelessReset [32]byte // makes stateless reset tokens (RFC 9000, section 10.3)
	Token          [32]byte // seals address validation tokens (RFC 9000, section 8.1)
}

// DeriveKeys makes the keys out of secret by HKDF-SHA-256 (RFC 5869), each
// under its own label: none of them says anything about the others. The same
// secret gives the same keys. The error is about a secret shorter than
// MinSecret.
func DeriveKeys(secret []byte) (Keys, error) {
	if len(secret) < MinSecret {
		return Keys{}, fmt.Errorf("secret of %d bytes, want at least %d", len(secret), MinSecret)
	}
	var k Keys
	for _, d := range []struct {
		key   *[32]byte
		label string
	}{
		{&k.SessionTicket, "ergo/1 session ticket"},
		{&k.StatelessReset, "ergo/1 stateless reset"},
		{&k.Token, "ergo/1 address token"},
	} {
		b, err := hkdf.Key(sha256.New, secret, nil, d.label, len(d.key))
		if err != nil {
			return Keys{}, fmt.Errorf("derive key: %w", err)
		}
		copy(d.key[:], b)
	}
	return k, nil
}

// Keys derives the keys from secret, or, when it is empty, from the private key
// of the credentials: a restart then keeps them, a new certificate with a new
// key does not.
func (c *Credentials) Keys(secret []byte) (Keys, error) {
	if len(secret) > 0 {
		return DeriveKeys(secret)
	}
	der, err := x509.MarshalPKCS8PrivateKey(c.now.Load().cert.PrivateKey)
	if err != nil {
		return Keys{}, fmt.Errorf("derive keys from the private key: %w", err)
	}
	return DeriveKeys(der)
}
