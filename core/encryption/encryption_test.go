package encryption_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/ergoproxy/ergo/core/encryption"
	"github.com/ergoproxy/ergo/shared/config"
)

// secretOf returns 32 bytes that depend on n.
func secretOf(n byte) []byte {
	b := bytes.Repeat([]byte{n}, encryption.KeySize)
	b[0] = ^n
	return b
}

func key(id string, n byte) encryption.Key {
	return encryption.Key{ID: id, Key: config.NewSecret([]byte(hex.EncodeToString(secretOf(n))))}
}

func newKeyring(t testing.TB, active string, keys ...encryption.Key) *encryption.Keyring {
	t.Helper()
	r, err := encryption.New(encryption.Config{Keys: keys, Active: active})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestKeyringOpensWhatItSealed(t *testing.T) {
	r := newKeyring(t, "k1", key("k1", 1))
	for _, plaintext := range []string{"", "x", "sixteen letters.", strings.Repeat("long ", 10_000)} {
		sealed := r.Seal([]byte("before"), []byte(plaintext), []byte("place"))
		if !bytes.HasPrefix(sealed, []byte("before")) {
			t.Fatalf("sealed text is not appended: %q...", sealed[:6])
		}
		sealed = sealed[len("before"):]
		if n := len(sealed) - len(plaintext); n > encryption.MaxOverhead {
			t.Errorf("%d bytes longer, want at most %d", n, encryption.MaxOverhead)
		}
		// A single letter is found in any text as long as this by chance.
		if len(plaintext) > 8 && bytes.Contains(sealed, []byte(plaintext)) {
			t.Error("the plaintext can be read")
		}
		got, err := r.Open([]byte("before"), sealed, []byte("place"))
		if err != nil || string(got) != "before"+plaintext {
			t.Errorf("opened %d bytes, %v, want %d appended", len(got), err, len(plaintext))
		}
	}
}

func TestSealedTextsOfTheSameTextDiffer(t *testing.T) {
	r := newKeyring(t, "k1", key("k1", 1))
	a, b := r.Seal(nil, []byte("text"), nil), r.Seal(nil, []byte("text"), nil)
	if bytes.Equal(a, b) {
		t.Error("two sealed texts are the same")
	}
}

func TestOpenRefuses(t *testing.T) {
	r := newKeyring(t, "k1", key("k1", 1))
	sealed := r.Seal(nil, []byte("plaintext"), []byte("place"))
	change := func(at int) []byte {
		b := slices.Clone(sealed)
		b[at] ^= 1
		return b
	}
	for _, tt := range []struct {
		name    string
		sealed  []byte
		context string
		want    error
	}{
		{"another place", sealed, "other place", encryption.ErrDamaged},
		{"no place", sealed, "", encryption.ErrDamaged},
		{"another version", change(0), "place", encryption.ErrDamaged},
		{"length of id", change(1), "place", encryption.ErrUnknownKey}, // k1 and a byte of the nonce
		{"id", change(2), "place", encryption.ErrUnknownKey},
		{"nonce, first half", change(5), "place", encryption.ErrDamaged},
		{"nonce, second half", change(20), "place", encryption.ErrDamaged},
		{"ciphertext", change(2 + 2 + 24), "place", encryption.ErrDamaged},
		{"tag", change(len(sealed) - 1), "place", encryption.ErrDamaged},
		{"a byte more", append(slices.Clone(sealed), 0), "place", encryption.ErrDamaged},
		{"empty id", append([]byte{1, 0}, sealed[4:]...), "place", encryption.ErrDamaged},
		{"long id", append([]byte{1, 33}, bytes.Repeat([]byte("k"), 100)...), "place", encryption.ErrDamaged},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := r.Open([]byte("dst"), tt.sealed, []byte(tt.context))
			if !errors.Is(err, tt.want) || string(got) != "dst" {
				t.Errorf("got %q, %v, want dst as it was and %v", got, err, tt.want)
			}
		})
	}
}

func TestOpenRefusesEveryPrefix(t *testing.T) {
	r := newKeyring(t, "k1", key("k1", 1))
	sealed := r.Seal(nil, []byte("plaintext"), nil)
	for n := range sealed {
		if _, err := r.Open(nil, sealed[:n], nil); !errors.Is(err, encryption.ErrDamaged) && !errors.Is(err, encryption.ErrUnknownKey) {
			t.Errorf("first %d bytes: %v", n, err)
		}
	}
}

func TestOpenRefusesAnotherKeyWithTheSameID(t *testing.T) {
	sealed := newKeyring(t, "k1", key("k1", 1)).Seal(nil, []byte("text"), nil)
	if _, err := newKeyring(t, "k1", key("k1", 2)).Open(nil, sealed, nil); !errors.Is(err, encryption.ErrDamaged) {
		t.Errorf("got %v, want ErrDamaged", err)
	}
}

func TestRotationKeepsWhatIsSealed(t *testing.T) {
	r := newKeyring(t, "old", key("old", 1))
	sealed := r.Seal(nil, []byte("text"), nil)
	oldName := r.Names(nil, []byte("key"))[0]

	reload := func(active string, keys ...encryption.Key) {
		t.Helper()
		if err := r.Reload(encryption.Config{Keys: keys, Active: active}); err != nil {
			t.Fatal(err)
		}
	}
	reload("old", key("old", 1), key("new", 2))
	if r.Active() != "old" || r.Names(nil, []byte("key"))[0] != oldName {
		t.Errorf("a key that is only added is used already")
	}
	reload("new", key("old", 1), key("new", 2))
	if text, err := r.Open(nil, sealed, nil); err != nil || string(text) != "text" {
		t.Errorf("opened %q, %v with the old key in the ring", text, err)
	}
	names := r.Names(nil, []byte("key"))
	if len(names) != 2 || names[0] == oldName || names[1] != oldName {
		t.Errorf("names are %x, want a new one and then %x", names, oldName)
	}
	again := r.Seal(nil, []byte("text"), nil)
	reload("new", key("new", 2))
	if _, err := r.Open(nil, sealed, nil); !errors.Is(err, encryption.ErrUnknownKey) {
		t.Errorf("got %v without the old key, want ErrUnknownKey", err)
	}
	if text, err := r.Open(nil, again, nil); err != nil || string(text) != "text" {
		t.Errorf("opened %q, %v, want what the new key has sealed", text, err)
	}
}

func TestReloadThatFailsChangesNothing(t *testing.T) {
	r := newKeyring(t, "k1", key("k1", 1))
	sealed := r.Seal(nil, []byte("text"), nil)
	err := r.Reload(encryption.Config{Keys: []encryption.Key{key("k2", 2)}, Active: "k1"})
	if err == nil || !strings.Contains(err.Error(), `active: "k1" is no key, want one of: k2`) {
		t.Errorf("got %v", err)
	}
	if _, err := r.Open(nil, sealed, nil); err != nil {
		t.Errorf("open after a reload that failed: %v", err)
	}
}

func TestKeyringMayBeReloadedInUse(t *testing.T) {
	keys := []encryption.Key{key("k1", 1), key("k2", 2)}
	r := newKeyring(t, "k1", keys...)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 200 {
				if _, err := r.Open(nil, r.Seal(nil, []byte("text"), nil), nil); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	for i := range 200 {
		if err := r.Reload(encryption.Config{Keys: keys, Active: keys[i%2].ID}); err != nil {
			t.Fatal(err)
		}
	}
	wg.Wait()
}

func TestNamesSayNothing(t *testing.T) {
	a, b := newKeyring(t, "k1", key("k1", 1)), newKeyring(t, "k1", key("k1", 2))
	name := func(r *encryption.Keyring, data string) [encryption.NameSize]byte {
		return r.Names(nil, []byte(data))[0]
	}
	if name(a, "x") == name(a, "y") || name(a, "x") == name(b, "x") {
		t.Error("names of other data, or under another key, are the same")
	}
	if name(a, "x") != name(newKeyring(t, "k1", key("k1", 1)), "x") {
		t.Error("the name of the same data under the same key differs")
	}
}

func TestConfigRefuses(t *testing.T) {
	good := hex.EncodeToString(secretOf(1))
	with := func(id, secret string) encryption.Config {
		return encryption.Config{Active: id, Keys: []encryption.Key{{ID: id, Key: config.NewSecret([]byte(secret))}}}
	}
	for _, tt := range []struct {
		name string
		cfg  encryption.Config
		want string
	}{
		{"nothing", encryption.Config{}, "keys: has 0 keys"},
		{"too many", encryption.Config{Keys: make([]encryption.Key, 9)}, "keys: has 9 keys, want 1 to 8"},
		{"no active", encryption.Config{Keys: []encryption.Key{key("k1", 1)}}, "active: is required"},
		{"empty id", with("", good), "want 1 to 32 letters"},
		{"long id", with(strings.Repeat("k", 33), good), "has 33 characters"},
		{"id with a space", with("k 1", good), `has ' ' in it`},
		{"no key", encryption.Config{Active: "k", Keys: []encryption.Key{{ID: "k"}}}, "keys[0].key: is required"},
		{"31 bytes", with("k", good[:62]), "keys[0].key: has 62 characters"},
		{"no hex", with("k", "x"+good[1:]), "are not all hex digits"},
		{"no base64", with("k", strings.Repeat("!", 44)), "are not base64"},
		{"base64 of 33 bytes", with("k", base64.StdEncoding.EncodeToString(make([]byte, 33))), "are not base64 of 32 bytes"},
		{"raw bytes", with("k", string(secretOf(1))), "has 32 characters, want 32 random bytes as 64 hex digits"},
		{"placeholder", with("k", strings.Repeat("00", 32)), "is one byte 32 times"},
		{"id twice", encryption.Config{Active: "k", Keys: []encryption.Key{key("k", 1), key("k", 2)}}, "keys[1].id"},
		{"key twice", encryption.Config{Active: "k", Keys: []encryption.Key{key("k", 1), key("l", 1)}}, "keys[1].key: is the same key as keys[0]"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := encryption.New(tt.cfg)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want it to say %q", err, tt.want)
			}
			if err != nil && strings.Contains(err.Error(), good[:32]) {
				t.Errorf("the error shows the key: %v", err)
			}
		})
	}
}

func TestConfigReadsKeysFromFiles(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("hex.key", strings.ToUpper(hex.EncodeToString(secretOf(1)))+"\n")
	write("base64.key", base64.StdEncoding.EncodeToString(secretOf(2))+"\r\n")
	write("bad.key", "secret")
	write("good.yaml", "active: b\nkeys:\n  - {id: a, key: {file: hex.key}}\n  - {id: b, key: {file: base64.key}}\n")
	write("bad.yaml", "active: c\nkeys:\n  - {id: a, key: {file: bad.key}}\n  - {id: b, key: {file: none.key}}\n")

	var good, bad encryption.Config
	if _, err := config.Load(filepath.Join(dir, "good.yaml"), &good); err != nil {
		t.Fatal(err)
	}
	r, err := encryption.New(good)
	if err != nil {
		t.Fatal(err)
	}
	if text, err := newKeyring(t, "b", key("b", 2)).Open(nil, r.Seal(nil, []byte("text"), nil), nil); err != nil || string(text) != "text" {
		t.Errorf("opened %q, %v: the file's key is not the one it holds", text, err)
	}

	_, err = config.Load(filepath.Join(dir, "bad.yaml"), &bad)
	if err == nil {
		t.Fatal("bad keys are taken")
	}
	for _, want := range []string{"bad.yaml:3:", "keys[0].key: has 6 characters", "none.key", `active: "c" is no key, want one of: a, b`} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want it to say %q", err, want)
		}
	}
}

func TestNewSealerRefuses(t *testing.T) {
	if _, err := encryption.NewSealer("k", make([]byte, 16)); err == nil {
		t.Error("a key of 16 bytes is taken")
	}
	if _, err := encryption.NewSealer("ü", make([]byte, 32)); err == nil {
		t.Error("an id that is not ASCII is taken")
	}
}

func TestSealerOpensOnlyItsOwn(t *testing.T) {
	s, err := encryption.NewSealer("k1", secretOf(1))
	if err != nil {
		t.Fatal(err)
	}
	sealed := s.Seal(nil, []byte("text"), nil)
	if text, err := s.Open(nil, sealed, nil); err != nil || string(text) != "text" || s.ID() != "k1" {
		t.Errorf("opened %q, %v", text, err)
	}
	other := newKeyring(t, "k2", key("k2", 1)).Seal(nil, []byte("text"), nil)
	if _, err := s.Open(nil, other, nil); !errors.Is(err, encryption.ErrUnknownKey) {
		t.Errorf("got %v, want ErrUnknownKey", err)
	}
}

// golden is "text", sealed with key 1 for "place". What is stored has to open after
// an update too.
var golden, _ = hex.DecodeString("01026b3123aae09417de0028c5abdb77fb9a4b773d7d794f273b00fd2b81e18d0c81ece2f3f1e18607eaa9d05e166c6f")

func TestGoldenTextOpens(t *testing.T) {
	text, err := newKeyring(t, "k1", key("k1", 1)).Open(nil, golden, []byte("place"))
	if err != nil || string(text) != "text" {
		t.Errorf("opened %q, %v", text, err)
	}
}

// FuzzOpen looks for a text that opens though it was never sealed.
func FuzzOpen(f *testing.F) {
	r := newKeyring(f, "k1", key("k1", 1), key("k2", 2))
	sealed := golden // the same in every process that takes part
	f.Add(sealed, []byte("other place"))
	f.Add(sealed[:len(sealed)-1], []byte("place"))
	f.Add([]byte{}, []byte{})
	f.Add([]byte{1, 255}, []byte{})
	f.Add([]byte("\x01\x02k2"), []byte{})
	f.Add(append([]byte{2}, sealed[1:]...), []byte("place"))
	f.Fuzz(func(t *testing.T, b, context []byte) {
		dst, err := r.Open([]byte("dst"), b, context)
		if err == nil && bytes.Equal(b, sealed) && string(context) == "place" {
			return
		}
		if !errors.Is(err, encryption.ErrDamaged) && !errors.Is(err, encryption.ErrUnknownKey) {
			t.Errorf("got %v", err)
		}
		if string(dst) != "dst" {
			t.Errorf("dst became %q", dst)
		}
	})
}

func BenchmarkSeal(b *testing.B) { benchmark(b, true) }
func BenchmarkOpen(b *testing.B) { benchmark(b, false) }

func benchmark(b *testing.B, seal bool) {
	r := newKeyring(b, "k1", key("k1", 1))
	for _, size := range []int{1 << 10, 64 << 10} {
		plaintext, context := make([]byte, size), []byte("https://example.com/some/path")
		sealed := r.Seal(nil, plaintext, context)
		b.Run(config.Bytes(size).String(), func(b *testing.B) {
			buf := make([]byte, 0, size+encryption.MaxOverhead)
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				if seal {
					r.Seal(buf, plaintext, context)
				} else if _, err := r.Open(buf, sealed, context); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
