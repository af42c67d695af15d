package key_test

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash/maphash"
	"testing"

	"github.com/ergoproxy/ergo/shared/cache/key"
)

// Edges of different versions must choose the same core.
func TestRingHashNeverChanges(t *testing.T) {
	for text, want := range map[string]uint64{
		"":                        0xefd01f60ba992926,
		"https://example.com/":    0x26363d14a74338d9,
		"https://example.com/a?b": 0xd3cdfdce5a9c2d74,
	} {
		if got := key.RingHash([]byte(text)); got != want {
			t.Errorf("%q: %#x, want %#x", text, got, want)
		}
	}
}

// Keys that differ in their last bytes only must not fall into the same place.
func TestRingHashSpreadsSimilarKeys(t *testing.T) {
	const places, keys = 16, 16_000
	var high, low [places]int
	for i := range keys {
		h := key.RingHash(fmt.Appendf(nil, "https://example.com/page/%d", i))
		high[h>>60]++
		low[h&15]++
	}
	for i := range places {
		if n := keys / places; high[i] < n*8/10 || high[i] > n*12/10 || low[i] < n*8/10 || low[i] > n*12/10 {
			t.Errorf("place %d has %d by the high bits and %d by the low ones, want about %d", i, high[i], low[i], n)
		}
	}
}

func TestHashDependsOnKeyAndSeed(t *testing.T) {
	one, two := maphash.MakeSeed(), maphash.MakeSeed()
	a, b := []byte("https://a/"), []byte("https://b/")
	if key.Hash(a, one) != key.Hash([]byte("https://a/"), one) || key.Hash(a, one) == key.Hash(b, one) || key.Hash(a, one) == key.Hash(a, two) {
		t.Error("want equal hashes for equal keys and seeds, and no others")
	}
}

// RingHash against what it was chosen over.
func BenchmarkHash(b *testing.B) {
	k := []byte("https://www.example.com/assets/js/app.3f2a.js?v=17&lang=de h:accept-language=de,en;q=0.5")
	seed := maphash.MakeSeed()
	for _, row := range []struct {
		name string
		hash func([]byte) uint64
	}{
		{"Hash", func(k []byte) uint64 { return key.Hash(k, seed) }},
		{"RingHash", key.RingHash},
		{"SHA-256", func(k []byte) uint64 { sum := sha256.Sum256(k); return binary.BigEndian.Uint64(sum[:]) }},
	} {
		b.Run(row.name, func(b *testing.B) {
			b.SetBytes(int64(len(k)))
			var sum uint64
			for b.Loop() {
				sum += row.hash(k)
			}
			if sum == 0 {
				b.Error("all hashes are 0")
			}
		})
	}
}
