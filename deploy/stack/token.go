package stack

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"time"

	"github.com/ergoproxy/ergo/edge/auth/mint"
)

// secretFile holds the secret that tokens of `ergo up` are signed with.
const secretFile = "token.secret"

// writeToken settles how tokens are verified: with the key that was given, or
// with a secret drawn here.
func (s *Stack) writeToken(p *plan) error {
	switch {
	case p.TokenPath == "":
		return nil
	case p.TokenKey != "":
		p.Key = p.TokenKey
		return nil
	}
	raw := make([]byte, 32)
	rand.Read(raw)
	s.Secret = []byte(hex.EncodeToString(raw))
	p.Key, p.Algorithm = "{secret: {file: "+secretFile+"}}", "HS256"
	return os.WriteFile(filepath.Join(s.Dir, secretFile), append(s.Secret, '\n'), 0o600)
}

// Token returns a token for subject that the edges of s accept for a day.
func (s *Stack) Token(subject string) (string, error) {
	if s.Secret == nil {
		return "", errors.New("mint token: the stack has no secret of its own")
	}
	return mint.HS256(s.Secret, "", time.Now(), mint.Claims{Issuer: "ergo-up", Subject: subject, Audience: "ergo", Lifetime: 24 * time.Hour})
}
