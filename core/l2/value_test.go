package l2

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

var testExpires = time.UnixMilli(1_800_000_000_123)

func testCodec(t testing.TB, compressFrom int) *codec {
	t.Helper()
	c, err := newCodec(1<<20, compressFrom)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func noise(n int) []byte {
	b := make([]byte, n)
	source := rand.NewChaCha8([32]byte{1})
	source.Read(b)
	return b
}

func TestValuesRoundTrip(t *testing.T) {
	text := bytes.Repeat([]byte("text that repeats itself. "), 100)
	for _, tt := range []struct {
		name   string
		value  Value
		packed bool
	}{
		{"empty", Value{Head: []byte{}, Body: []byte{}}, false},
		{"small", Value{Head: []byte("head"), Body: []byte("body"), Tags: []string{"a", "b"}, Epoch: 7}, false},
		{"text", Value{Head: []byte("head"), Body: text}, true},
		{"noise", Value{Head: []byte{}, Body: noise(4 << 10), Tags: []string{strings.Repeat("t", 300)}, Epoch: 1 << 60}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := testCodec(t, 1<<10)
			tt.value.Expires = testExpires
			b := c.encode(nil, []byte("key"), &tt.value)
			size := c.size([]byte("key"), &tt.value)
			if tt.packed != (len(b) < size) || len(b) > size {
				t.Errorf("%d bytes, size says %d, want compressed: %v", len(b), size, tt.packed)
			}
			got, err := c.decode(b, []byte("key"))
			if err != nil || !reflect.DeepEqual(got, tt.value) {
				t.Errorf("got %+v, %v, want %+v", got, err, tt.value)
			}
		})
	}
}

func TestNothingIsCompressedIfSwitchedOff(t *testing.T) {
	c := testCodec(t, 0)
	v := Value{Body: make([]byte, 10_000), Expires: testExpires}
	if n := len(c.encode(nil, nil, &v)); n != c.size(nil, &v) {
		t.Errorf("%d bytes, want %d", n, c.size(nil, &v))
	}
}

func TestDecodeRefuses(t *testing.T) {
	c := testCodec(t, 1)
	v := Value{Head: []byte("head"), Body: bytes.Repeat([]byte("body"), 10), Tags: []string{"tag"}, Expires: testExpires}
	packed := c.encode(nil, []byte("key"), &v)
	plain := testCodec(t, 0).encode(nil, []byte("key"), &v)
	if packed[0] != flagCompressed || plain[0] != 0 {
		t.Fatalf("flags are %#x and %#x", packed[0], plain[0])
	}
	change := func(b []byte, at int, to byte) []byte {
		b = slices.Clone(b)
		b[at] = to
		return b
	}
	for _, tt := range []struct {
		name string
		b    []byte
		key  string
	}{
		{"another key", plain, "kez"},
		{"a prefix of the key", plain, "ke"},
		{"unknown flag", change(plain, 0, 2), "key"},
		{"body longer than said", append(slices.Clone(plain), 0), "key"},
		{"body said to be longer", change(plain, fixedSize, 41), "key"},
		{"unpacked longer than said", change(packed, fixedSize, 39), "key"},
		{"unpacked shorter than said", change(packed, fixedSize, 41), "key"},
		{"not compressed though it says so", change(plain, 0, flagCompressed), "key"},
		{"key longer than the rest", change(plain, fixedSize+1, 127), "key"},
		{"more tags than bytes", change(plain, fixedSize+5, 127), "key"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if v, err := c.decode(tt.b, []byte(tt.key)); !errors.Is(err, errValue) {
				t.Errorf("got %+v, %v, want errValue", v, err)
			}
		})
	}
	for _, b := range [][]byte{packed, plain} {
		for n := range b {
			if _, err := c.decode(b[:n], []byte("key")); !errors.Is(err, errValue) {
				t.Errorf("first %d of %d bytes: got %v, want errValue", n, len(b), err)
			}
		}
	}
	small, err := newCodec(39, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := small.decode(plain, []byte("key")); !errors.Is(err, errValue) {
		t.Errorf("a body above max_value: got %v, want errValue", err)
	}
}

// FuzzDecode reads what could only come from a core with the keys, and must not
// take more memory than the value may have, or panic.
func FuzzDecode(f *testing.F) {
	packer, plain := testCodec(f, 1), testCodec(f, 0)
	v := Value{Head: []byte("head"), Body: bytes.Repeat([]byte("body"), 10), Tags: []string{"a", "b"}, Expires: testExpires}
	f.Add(packer.encode(nil, []byte("key"), &v))
	f.Add(plain.encode(nil, []byte("key"), &v))
	f.Add(plain.encode(nil, []byte("key"), &Value{}))
	f.Add([]byte{})
	f.Add(bytes.Repeat([]byte{0xff}, 64))
	f.Fuzz(func(t *testing.T, b []byte) {
		v, err := packer.decode(b, []byte("key"))
		if err != nil {
			if !errors.Is(err, errValue) {
				t.Errorf("got %v", err)
			}
			return
		}
		again, err := plain.decode(plain.encode(nil, []byte("key"), &v), []byte("key"))
		if err != nil || !reflect.DeepEqual(again, v) {
			t.Errorf("got %+v, %v, want %+v", again, err, v)
		}
	})
}
