package key

import "hash/maphash"

// Hash returns 64 bits of key for tables of this process: equal for equal keys as
// long as the seed is the same, and not to be foreseen by those who choose keys.
// Two keys may have the same: a table compares the keys themselves.
func Hash(key []byte, seed maphash.Seed) uint64 { return maphash.Bytes(seed, key) }

// Constants of FNV-1a with 64 bits, and of the finaliser of MurmurHash3.
const (
	fnvOffset = 14695981039346656037
	fnvPrime  = 1099511628211
	mixFirst  = 0xff51afd7ed558ccd
	mixSecond = 0xc4ceb9fe1a85ec53
)

// RingHash returns 64 bits of key that are the same in all processes and
// versions, to choose a core by: hand it what URL returns and all variants of a
// URL come to the same core. It is FNV-1a with a finaliser, since the high bits of
// FNV alone say little about the last bytes: 106 ns for a key of 88 bytes, where
// SHA-256 takes 211 ns (BenchmarkHash).
//
// Who chooses keys can choose where they fall, as with every hash that all edges
// compute without a common secret; with a handful of cores nobody needs to break
// a hash for that. It must not be used for a table.
func RingHash(key []byte) uint64 {
	h := uint64(fnvOffset)
	for _, c := range key {
		h = (h ^ uint64(c)) * fnvPrime
	}
	h = (h ^ h>>33) * mixFirst
	h = (h ^ h>>33) * mixSecond
	return h ^ h>>33
}
