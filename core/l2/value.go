package l2

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/klauspost/compress/zstd"
)

// A Value is what one core has stored under a key for the others.
type Value struct {
	Head []byte
	Body []byte
	Tags []string

	// Epoch of the purge log when the fill of this value began: purges with a higher
	// one concern it.
	Epoch uint64

	// Expires is when the value leaves the cache, to the millisecond.
	Expires time.Time

	// Log is set by Get: the epoch of the purge log after the value was read, 0 if
	// there was none.
	Log uint64
}

// Parts of an encoded value; see the package doc.
const (
	fixedSize      = 1 + 8 + 8
	flagCompressed = 1

	// maxSealOverhead is what a Sealer may add to a text, in bytes.
	maxSealOverhead = 512

	// minSaving is the share of a body that compression has to save, 1/minSaving, for
	// the work of unpacking it at each Get.
	minSaving = 10
)

// errValue is why an opened value can't be read.
var errValue = errors.New("value that can't be read")

// codec encodes values. It may be used concurrently.
type codec struct {
	maxValue     int
	compressFrom int // 0: nothing is compressed
	encoder      *zstd.Encoder
	decoder      *zstd.Decoder
}

func newCodec(maxValue, compressFrom int) (*codec, error) {
	encoder, err := zstd.NewWriter(nil,
		zstd.WithEncoderLevel(zstd.SpeedFastest),
		zstd.WithEncoderConcurrency(1), // the writer is one goroutine
		zstd.WithEncoderCRC(false),     // the seal authenticates
		zstd.WithLowerEncoderMem(true))
	if err != nil {
		return nil, fmt.Errorf("zstd: %w", err)
	}
	decoder, err := zstd.NewReader(nil,
		zstd.WithDecoderConcurrency(0),   // as many as GOMAXPROCS: Gets unpack where they are called
		zstd.WithDecodeAllCapLimit(true)) // no more than the length that the value names
	if err != nil {
		return nil, fmt.Errorf("zstd: %w", err)
	}
	return &codec{maxValue: maxValue, compressFrom: compressFrom, encoder: encoder, decoder: decoder}, nil
}

// size returns how many bytes the value takes, encoded and not compressed.
func (c *codec) size(key []byte, v *Value) int {
	n := fixedSize + varintSize(len(v.Body)) + len(v.Body)
	n += varintSize(len(key)) + len(key)
	n += varintSize(len(v.Head)) + len(v.Head)
	n += varintSize(len(v.Tags))
	for _, t := range v.Tags {
		n += varintSize(len(t)) + len(t)
	}
	return n
}

func varintSize(n int) int {
	var b [binary.MaxVarintLen64]byte
	return binary.PutUvarint(b[:], uint64(n))
}

// encode appends the value to dst.
func (c *codec) encode(dst, key []byte, v *Value) []byte {
	body, flags := v.Body, byte(0)
	if c.compressFrom > 0 && len(body) >= c.compressFrom {
		packed := c.encoder.EncodeAll(body, make([]byte, 0, len(body)))
		if len(packed) <= len(body)-len(body)/minSaving {
			body, flags = packed, flagCompressed
		}
	}
	dst = append(dst, flags)
	dst = binary.BigEndian.AppendUint64(dst, v.Epoch)
	dst = binary.BigEndian.AppendUint64(dst, uint64(v.Expires.UnixMilli()))
	dst = binary.AppendUvarint(dst, uint64(len(v.Body)))
	dst = appendBytes(dst, key)
	dst = binary.AppendUvarint(dst, uint64(len(v.Tags)))
	for _, t := range v.Tags {
		dst = appendBytes(dst, t)
	}
	dst = appendBytes(dst, v.Head)
	return append(dst, body...)
}

func appendBytes[T string | []byte](dst []byte, s T) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(s))), s...)
}

// decode reads an encoded value, which has to be that of key. The result holds on
// to b. The error matches errValue.
func (c *codec) decode(b, key []byte) (Value, error) {
	if len(b) < fixedSize {
		return Value{}, fmt.Errorf("%w: %d bytes", errValue, len(b))
	}
	flags := b[0]
	v := Value{
		Epoch:   binary.BigEndian.Uint64(b[1:]),
		Expires: time.UnixMilli(int64(binary.BigEndian.Uint64(b[9:]))),
	}
	p := parser{rest: b[fixedSize:]}
	length := p.number(c.maxValue)
	ours := bytes.Equal(p.bytes(), key)
	v.Tags = p.tags()
	v.Head = p.bytes()
	switch {
	case p.err != nil:
		return Value{}, p.err
	case !ours:
		return Value{}, fmt.Errorf("%w: it is of another key", errValue)
	case flags&^flagCompressed != 0:
		return Value{}, fmt.Errorf("%w: flags %#x", errValue, flags)
	}
	var err error
	v.Body, err = c.body(p.rest, length, flags)
	return v, err
}

// body returns the body, of length bytes.
func (c *codec) body(b []byte, length int, flags byte) ([]byte, error) {
	if flags&flagCompressed != 0 {
		var err error
		if b, err = c.decoder.DecodeAll(b, make([]byte, 0, length)); err != nil {
			return nil, fmt.Errorf("%w: unpack the body: %v", errValue, err)
		}
	}
	if len(b) != length {
		return nil, fmt.Errorf("%w: body of %d bytes, want %d", errValue, len(b), length)
	}
	return b, nil
}

// parser takes parts off the front of rest. After an error it returns zero values.
type parser struct {
	rest []byte
	err  error
}

// number takes a number of at most most.
func (p *parser) number(most int) int {
	if p.err != nil {
		return 0
	}
	n, size := binary.Uvarint(p.rest)
	if size <= 0 || n > uint64(most) {
		p.err = fmt.Errorf("%w: length %d with %d bytes left", errValue, n, len(p.rest))
		return 0
	}
	p.rest = p.rest[size:]
	return int(n)
}

// bytes takes a length and as many bytes.
func (p *parser) bytes() []byte {
	n := p.number(len(p.rest))
	if p.err == nil && n > len(p.rest) {
		p.err = fmt.Errorf("%w: length %d with %d bytes left", errValue, n, len(p.rest))
	}
	if p.err != nil {
		return nil
	}
	b := p.rest[:n:n]
	p.rest = p.rest[n:]
	return b
}

// tags takes a number and as many tags. Each has a byte at least, so their number
// is bounded by what is there before memory is taken for them.
func (p *parser) tags() []string {
	n := p.number(len(p.rest))
	if n == 0 || p.err != nil {
		return nil
	}
	tags := make([]string, 0, min(n, 64))
	for range n {
		tags = append(tags, string(p.bytes()))
		if p.err != nil {
			return nil
		}
	}
	return tags
}
