package encryption

import (
	"bytes"
	"crypto/sha3"
	"encoding/hex"
	"testing"
)

// The vectors of c2sp.org/XAES-256-GCM.
func TestXAESMatchesVectors(t *testing.T) {
	for _, v := range []struct {
		name       string
		key        byte // 32 times
		k1         string
		additional string
		sealed     string
	}{
		{"MSB of L is 0", 1, "e531954aca063d5b8d9c47a47d4cc6f0", "", "ce546ef63c9cc60765923609b33a9a1974e96e52daf2fcf7075e2271"},
		{"MSB of L is 1", 3, "23810ec50edb99f374409466ed1f4b7b", "c2sp.org/XAES-256-GCM", "986ec1832593df5443a179437fd083bf3fdb41abd740a21f71eb769d"},
	} {
		t.Run(v.name, func(t *testing.T) {
			nonce := [nonceSize]byte([]byte("ABCDEFGHIJKLMNOPQRSTUVWX"))
			x := newXAES(bytes.Repeat([]byte{v.key}, KeySize))
			if got := hex.EncodeToString(x.k1[:]); got != v.k1 {
				t.Errorf("K1 is %s, want %s", got, v.k1)
			}
			sealed := x.seal(nil, &nonce, []byte("XAES-256-GCM"), []byte(v.additional))
			if got := hex.EncodeToString(sealed); got != v.sealed {
				t.Errorf("sealed %s, want %s", got, v.sealed)
			}
			plaintext, err := x.open(nil, &nonce, sealed, []byte(v.additional))
			if err != nil || string(plaintext) != "XAES-256-GCM" {
				t.Errorf("opened %q, %v", plaintext, err)
			}
			if _, err := x.open(nil, &nonce, sealed, []byte("other")); err == nil {
				t.Error("opened with other additional data")
			}
		})
	}
}

// The accumulated test of c2sp.org/XAES-256-GCM: random keys, nonces, texts and
// additional data from one SHAKE-128, everything sealed hashed by another.
func TestXAESMatchesAccumulatedVectors(t *testing.T) {
	random, hash := sha3.NewSHAKE128(), sha3.NewSHAKE128()
	read := func(n int) []byte {
		b := make([]byte, n)
		random.Read(b)
		return b
	}
	for range 10_000 {
		key := read(KeySize)
		nonce := [nonceSize]byte(read(nonceSize))
		plaintext := read(int(read(1)[0]))
		additional := read(int(read(1)[0]))
		x := newXAES(key)
		sealed := x.seal(nil, &nonce, plaintext, additional)
		opened, err := x.open(nil, &nonce, sealed, additional)
		if err != nil || !bytes.Equal(opened, plaintext) {
			t.Fatalf("opened %x, %v, want %x", opened, err, plaintext)
		}
		hash.Write(sealed)
	}
	sum := make([]byte, 32)
	hash.Read(sum)
	if got, want := hex.EncodeToString(sum), "e6b9edf2df6cec60c8cbd864e2211b597fb69a529160cd040d56c0c210081939"; got != want {
		t.Errorf("hash of 10,000 texts is %s, want %s", got, want)
	}
}
