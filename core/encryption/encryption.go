// Package encryption seals what a core keeps outside of its own memory, so that
// whoever holds the storage can neither read nor forge it, nor move it to another
// place.
//
// A Sealer is one key; a Keyring has several, of which one is active and seals
// while all of them open. So keys are rotated without losing what is stored:
//
//	add the new key to every core ▸ make it active on every core ▸ when all that
//	the old key sealed has expired, take the old key away
//
// A sealed text carries the id of its key. Sizes are bytes:
//
//	+------------+----------+---------+-----------+------------+---------+
//	| version: 1 | id len.  | key id  | nonce: 24 | ciphertext | tag: 16 |
//	|  (is 1)    |    1     | 1 to 32 |           |            |         |
//	+------------+----------+---------+-----------+------------+---------+
//
// Version, id and the caller's context are authenticated with it. The context
// says what the text is and where it belongs; opened with another one it is
// damaged.
//
// The cipher is XAES-256-GCM (c2sp.org/XAES-256-GCM): AES-256-GCM under a key that
// is derived from the first half of the nonce (NIST SP 800-108r1, CMAC). With plain
// AES-GCM and random nonces a key is used up after 2^32 texts (NIST SP 800-38D,
// section 8.3), which a busy cache passes within weeks, and several cores cannot
// share a counter. Here 2^80 texts have a collision risk of 2^-32. It costs two AES
// blocks and a key schedule more for each text. It is not key-committing; keys
// come from the operator alone, so nobody can play two of them off against each
// other.
//
// The 32 bytes of a key file are not used themselves. HKDF-SHA-256 (RFC 5869)
// makes two keys of them under different labels: one seals, one makes names.
//
// A text that does not open gives ErrUnknownKey or ErrDamaged. All methods may be
// called concurrently.
package encryption

import (
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
)

// Sizes in bytes.
const (
	KeySize  = 32 // of a key
	NameSize = sha256.Size
	MaxID    = 32 // of the id of a key

	// MaxOverhead is how much longer a sealed text may be than the text.
	MaxOverhead = 2 + MaxID + nonceSize + tagSize
)

// MaxKeys is how many keys a Keyring may have. Each is one more name to look
// under, and a rotation needs two.
const MaxKeys = 8

// version is the first byte of a sealed text.
const version = 1

// Why a text does not open.
var (
	// ErrUnknownKey: it was sealed with a key that is not there, or no longer.
	ErrUnknownKey = errors.New("sealed with a key that is not in the keyring")
	// ErrDamaged: it was changed, cut short, sealed for another context, or by
	// another key with the same id.
	ErrDamaged = errors.New("damaged, or sealed for another place")
)

// A Sealer seals and opens with one key. It is immutable.
type Sealer struct {
	id      string
	header  []byte // version, length of the id, id
	cipher  *xaes
	nameKey []byte
}

// NewSealer returns a Sealer of the key, of KeySize bytes, under an id: 1 to 32
// letters, digits, dots, hyphens and underscores.
func NewSealer(id string, key []byte) (*Sealer, error) {
	if err := checkID(id); err != nil {
		return nil, err
	}
	if len(key) != KeySize {
		return nil, fmt.Errorf("key %s has %d bytes, want %d", id, len(key), KeySize)
	}
	sealKey, err := hkdf.Key(sha256.New, key, nil, "ergo encryption 1 seal", KeySize)
	if err != nil {
		return nil, fmt.Errorf("derive from key %s: %w", id, err)
	}
	nameKey, err := hkdf.Key(sha256.New, key, nil, "ergo encryption 1 names", KeySize)
	if err != nil {
		return nil, fmt.Errorf("derive from key %s: %w", id, err)
	}
	header := append([]byte{version, byte(len(id))}, id...)
	return &Sealer{id: id, header: header, cipher: newXAES(sealKey), nameKey: nameKey}, nil
}

// ID returns the id of the key.
func (s *Sealer) ID() string { return s.id }

// Seal appends the sealed plaintext to dst. Open has to be given the same
// context. plaintext and the room behind dst may not overlap.
func (s *Sealer) Seal(dst, plaintext, context []byte) []byte {
	var nonce [nonceSize]byte
	rand.Read(nonce[:]) // never fails: it ends the process instead
	dst = slices.Grow(dst, len(s.header)+nonceSize+len(plaintext)+tagSize)
	dst = append(dst, s.header...)
	dst = append(dst, nonce[:]...)
	return s.cipher.seal(dst, &nonce, plaintext, s.authenticated(context))
}

// Open appends to dst the plaintext of what Seal returned. The error matches
// ErrUnknownKey if it has another key's id, or else ErrDamaged; dst is then
// returned as it was.
func (s *Sealer) Open(dst, sealed, context []byte) ([]byte, error) {
	id, rest, err := cutHeader(sealed)
	if err != nil {
		return dst, err
	}
	if string(id) != s.id {
		return dst, fmt.Errorf("%w: %q", ErrUnknownKey, id)
	}
	return s.open(dst, rest, context)
}

// open opens what follows the header of a sealed text.
func (s *Sealer) open(dst, rest, context []byte) ([]byte, error) {
	if len(rest) < nonceSize+tagSize {
		return dst, fmt.Errorf("%w: %d bytes after the key id, want at least %d", ErrDamaged, len(rest), nonceSize+tagSize)
	}
	nonce := [nonceSize]byte(rest)
	plaintext, err := s.cipher.open(dst, &nonce, rest[nonceSize:], s.authenticated(context))
	if err != nil {
		return dst, ErrDamaged
	}
	return plaintext, nil
}

// authenticated returns the additional data. The header says its own length, so
// no two pairs of header and context give the same.
func (s *Sealer) authenticated(context []byte) []byte {
	return append(slices.Clip(s.header), context...)
}

// Name returns a name for data that says nothing about it to those without the
// key: HMAC-SHA-256. The same data has the same name for as long as the key
// lives.
func (s *Sealer) Name(data []byte) [NameSize]byte {
	mac := hmac.New(sha256.New, s.nameKey)
	mac.Write(data)
	return [NameSize]byte(mac.Sum(nil))
}

// cutHeader returns the key's id and what follows the header.
func cutHeader(sealed []byte) (id, rest []byte, err error) {
	if len(sealed) < 2 {
		return nil, nil, fmt.Errorf("%w: %d bytes", ErrDamaged, len(sealed))
	}
	if sealed[0] != version {
		return nil, nil, fmt.Errorf("%w: format version %d, want %d", ErrDamaged, sealed[0], version)
	}
	n := int(sealed[1])
	if n == 0 || n > MaxID || n > len(sealed)-2 {
		return nil, nil, fmt.Errorf("%w: key id of %d bytes in %d", ErrDamaged, n, len(sealed))
	}
	return sealed[2 : 2+n], sealed[2+n:], nil
}

// A Keyring seals with its active key and opens with every key it has.
type Keyring struct {
	keys atomic.Pointer[keys]
}

// keys is one generation of a Keyring, never changed once it is stored.
type keys struct {
	ordered []*Sealer // the active one first
	byID    map[string]*Sealer
}

// New returns the Keyring of a config. The error lists all that Validate finds.
func New(cfg Config) (*Keyring, error) {
	r := &Keyring{}
	if err := r.Reload(cfg); err != nil {
		return nil, err
	}
	return r, nil
}

// Reload puts the keys of cfg in the place of those that r has. With an error
// nothing has changed.
func (r *Keyring) Reload(cfg Config) error {
	sealers, err := cfg.sealers()
	if err != nil {
		return err
	}
	next := &keys{ordered: sealers, byID: make(map[string]*Sealer, len(sealers))}
	for _, s := range sealers {
		next.byID[s.id] = s
	}
	r.keys.Store(next)
	return nil
}

// Active returns the id of the key that seals.
func (r *Keyring) Active() string { return r.keys.Load().ordered[0].id }

// Seal appends the plaintext, sealed with the active key, to dst; see
// Sealer.Seal.
func (r *Keyring) Seal(dst, plaintext, context []byte) []byte {
	return r.keys.Load().ordered[0].Seal(dst, plaintext, context)
}

// Open appends to dst the plaintext of what was sealed with one of the keys. The
// error matches ErrUnknownKey or ErrDamaged; dst is then returned as it was.
func (r *Keyring) Open(dst, sealed, context []byte) ([]byte, error) {
	id, rest, err := cutHeader(sealed)
	if err != nil {
		return dst, err
	}
	s, ok := r.keys.Load().byID[string(id)]
	if !ok {
		return dst, fmt.Errorf("%w: %q", ErrUnknownKey, id)
	}
	return s.open(dst, rest, context)
}

// Names appends to dst the names that data has under each key, the active key's
// first: what is stored goes under the first, what is looked for may be under
// any. So what a key has sealed is found for as long as the key is there.
func (r *Keyring) Names(dst [][NameSize]byte, data []byte) [][NameSize]byte {
	for _, s := range r.keys.Load().ordered {
		dst = append(dst, s.Name(data))
	}
	return dst
}
