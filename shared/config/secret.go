package config

import (
	"bytes"
	"fmt"
	"io"
	"os"
)

// maxSecret is the size limit of a secret in bytes.
const maxSecret = 64 << 10

// redacted is what a Secret prints, whichever way it is printed.
const redacted = "[redacted]"

// Secret is a value that does not stand in the config file but in another file,
// {file: PATH}, or in the environment, {env: NAME}. Load reads it: at most 64
// KiB, not empty, without the line break at its end. It prints as "[redacted]"
// with every verb and encoder. The zero value is not set.
type Secret struct {
	// In an unexported field of some struct fmt doesn't ask for a String method
	// but takes a value apart, and with a verb that does not fit it follows one
	// pointer on the way. It never follows two. A closure would hide as well,
	// but then no two configs are equal to reflect.DeepEqual.
	held **heldSecret
}

type heldSecret struct {
	source string // "file" or "env"
	name   string // path or variable
	value  []byte
}

func newSecret(held *heldSecret) Secret { return Secret{&held} }

// NewSecret returns a Secret that holds a copy of value, for a config that is
// made by a program.
func NewSecret(value []byte) Secret {
	return newSecret(&heldSecret{value: bytes.Clone(value)})
}

// Reveal returns the secret, nil if it is not set. The bytes may not be changed.
func (s Secret) Reveal() []byte {
	if s.held == nil {
		return nil
	}
	return (*s.held).value
}

// IsZero reports whether the secret is not set.
func (s Secret) IsZero() bool { return s.held == nil }

// Describe says what may be written for a Secret.
func (Secret) Describe() string { return "{file: PATH} or {env: NAME}" }

// String returns "[redacted]".
func (Secret) String() string { return redacted }

// GoString returns "[redacted]".
func (Secret) GoString() string { return redacted }

// Format writes "[redacted]" for every verb.
func (Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// MarshalText returns "[redacted]".
func (Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// MarshalJSON returns "[redacted]" as a JSON string.
func (Secret) MarshalJSON() ([]byte, error) { return []byte(`"` + redacted + `"`), nil }

// fromEnv reads the environment variable that s names.
func (s *heldSecret) fromEnv() error {
	value, ok := os.LookupEnv(s.name)
	switch {
	case !ok:
		return fmt.Errorf("the environment variable %s is not set", s.name)
	case len(value) > maxSecret:
		return fmt.Errorf("the environment variable %s is larger than %v", s.name, Bytes(maxSecret))
	}
	return s.set([]byte(value), "the environment variable "+s.name)
}

// set takes content as the value, without one line break at its end.
func (s *heldSecret) set(content []byte, source string) error {
	if rest, ok := bytes.CutSuffix(content, []byte("\n")); ok {
		content, _ = bytes.CutSuffix(rest, []byte("\r"))
	}
	if len(content) == 0 {
		return fmt.Errorf("%s is empty", source)
	}
	s.value = content
	return nil
}
