package encryption

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/subtle"
)

const (
	nonceSize    = 24
	gcmNonceSize = 12
	tagSize      = 16
)

// xaes is XAES-256-GCM under one key, as c2sp.org/XAES-256-GCM describes it: the
// first 12 bytes of a nonce make, with the key, the key of AES-256-GCM, and the
// last 12 are its nonce.
type xaes struct {
	block cipher.Block
	k1    [aes.BlockSize]byte // the subkey of CMAC (NIST SP 800-38B, section 6.1)
}

// newXAES takes a key of KeySize bytes.
func newXAES(key []byte) *xaes {
	x := &xaes{block: newAES(key)}
	x.block.Encrypt(x.k1[:], x.k1[:])
	var carry byte
	for i := len(x.k1) - 1; i >= 0; i-- {
		x.k1[i], carry = x.k1[i]<<1|carry, x.k1[i]>>7
	}
	x.k1[len(x.k1)-1] ^= carry * 0b1000_0111
	return x
}

// derive returns the AES-256-GCM of a nonce. The input of CMAC is one block, so
// each half of the key takes one encryption.
func (x *xaes) derive(nonce *[nonceSize]byte) cipher.AEAD {
	var key [KeySize]byte
	for i := range byte(2) {
		half := key[int(i)*aes.BlockSize:][:aes.BlockSize]
		half[1], half[2] = i+1, 'X' // counter of 16 bits, label, and a zero byte
		copy(half[4:], nonce[:gcmNonceSize])
		subtle.XORBytes(half, half, x.k1[:])
		x.block.Encrypt(half, half)
	}
	gcm, err := cipher.NewGCM(newAES(key[:]))
	if err != nil {
		panic("encryption: " + err.Error()) // not with a block of 16 bytes
	}
	return gcm
}

func (x *xaes) seal(dst []byte, nonce *[nonceSize]byte, plaintext, additional []byte) []byte {
	return x.derive(nonce).Seal(dst, nonce[gcmNonceSize:], plaintext, additional)
}

func (x *xaes) open(dst []byte, nonce *[nonceSize]byte, ciphertext, additional []byte) ([]byte, error) {
	return x.derive(nonce).Open(dst, nonce[gcmNonceSize:], ciphertext, additional)
}

func newAES(key []byte) cipher.Block {
	block, err := aes.NewCipher(key)
	if err != nil {
		panic("encryption: " + err.Error()) // not with a key of KeySize bytes
	}
	return block
}
