package coding

import (
	"fmt"
	"io"
	"time"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// Windows bound the memory of an encoder, and of the client that decodes.
const (
	// zstdWindow is far below the 8 MiB that a client must be able to read (RFC 9659,
	// section 3): few answers are longer.
	zstdWindow = 1 << 20 // bytes
	// brotliWindow is 512 KiB, as a power of two. The encoder holds twice as much.
	brotliWindow = 19
)

// A codec is an encoder of a library that can be used again.
type codec interface {
	io.Writer
	Flush() error
	Close() error
	// reset begins new content of size bytes, negative if not known, for w.
	reset(w io.Writer, size int64)
}

// A kind of codec can do another's work.
type kind struct {
	coding Coding
	level  int
}

// kind returns the kind of codec that l asks for.
func (l *Levels) kind(c Coding) (kind, error) {
	switch c {
	case Gzip:
		return kind{c, l.Gzip}, nil
	case Brotli:
		return kind{c, l.Brotli}, nil
	case Zstd:
		return kind{c, l.Zstd}, nil
	}
	return kind{}, fmt.Errorf("there is no encoder for %q", string(c))
}

func newCodec(k kind) (codec, error) {
	switch k.coding {
	case Gzip:
		w, err := gzip.NewWriterLevel(nil, k.level)
		return gzipCodec{w}, err
	case Brotli:
		return brotliCodec{brotli.NewWriterOptions(nil, brotli.WriterOptions{Quality: k.level, LGWin: brotliWindow})}, nil
	}
	w, err := zstd.NewWriter(nil,
		zstd.WithEncoderLevel(zstd.EncoderLevel(k.level)),
		zstd.WithWindowSize(zstdWindow),
		zstd.WithEncoderConcurrency(1), // in the goroutine that writes
		zstd.WithLowerEncoderMem(true),
		zstd.WithEncoderCRC(false)) // TLS, QUIC and TCP have theirs, and it costs time at both ends
	return zstdCodec{w}, err
}

type gzipCodec struct{ *gzip.Writer }

func (c gzipCodec) reset(w io.Writer, _ int64) {
	c.Reset(w)
	c.ModTime = time.Unix(0, 0) // none (RFC 1952, section 2.3.1); the zero Time is a day in 2042
}

type zstdCodec struct{ *zstd.Encoder }

func (c zstdCodec) reset(w io.Writer, size int64) {
	// With the size in the frame, a client takes no more memory than it needs.
	c.ResetContentSize(w, size)
}

type brotliCodec struct{ *brotli.Writer }

func (c brotliCodec) reset(w io.Writer, _ int64) { c.Reset(w) }
