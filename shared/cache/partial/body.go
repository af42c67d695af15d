package partial

import (
	"context"
	"fmt"
	"io"
)

// A Source holds the bytes of a representation, which may still be arriving.
type Source interface {
	// At returns stored bytes that begin at off, as many as are at hand in one
	// slice. It waits until there is at least one, and returns an error if there
	// will be none, or when ctx ends. The slice is read-only and valid until the
	// next call. Off is inside of the representation.
	At(ctx context.Context, off int64) ([]byte, error)
}

// A Body is the body of an Answer: an io.Reader and an io.WriterTo. WriteTo does
// not copy; it writes each slice of the Source when it is there, so that a writer
// that is to pass on bytes at once can flush in its Write.
//
// An error of the Source ends the body, and io.ErrUnexpectedEOF stands for its
// io.EOF: the length is promised already, so that the message must be broken off.
type Body struct {
	ctx    context.Context
	source Source
	pieces []piece // still to come, the first perhaps begun
	taken  int64   // bytes of the first, its text included, that are taken
	ahead  []byte  // taken from the source, not read yet
	err    error   // of the source; stays
}

// Body returns the body of a, read from source. Ctx ends its waiting for bytes
// that arrive late.
func (a *Answer) Body(ctx context.Context, source Source) *Body {
	return &Body{ctx: ctx, source: source, pieces: a.pieces}
}

// Read implements io.Reader. It returns what is there rather than wait for more.
func (b *Body) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if text := b.text(); text != "" {
		n := copy(p, text)
		b.taken += int64(n)
		return n, nil
	}
	if err := b.fetch(); err != nil {
		return 0, err
	}
	n := copy(p, b.ahead)
	b.ahead = b.ahead[n:]
	return n, nil
}

// WriteTo implements io.WriterTo.
func (b *Body) WriteTo(w io.Writer) (int64, error) {
	var written int64
	for {
		text := b.text()
		if text == "" && b.done() {
			return written, nil
		}
		n, err := b.writeNext(w, text)
		written += int64(n)
		if err != nil {
			return written, err
		}
	}
}

// writeNext writes text, or a slice of the source where there is none.
func (b *Body) writeNext(w io.Writer, text string) (int, error) {
	if text != "" {
		n, err := io.WriteString(w, text)
		b.taken += int64(n)
		return n, short(n, len(text), err)
	}
	if err := b.fetch(); err != nil {
		return 0, err
	}
	size := len(b.ahead)
	n, err := w.Write(b.ahead)
	b.ahead = b.ahead[n:]
	return n, short(n, size, err)
}

func short(n, want int, err error) error {
	if err == nil && n < want {
		return io.ErrShortWrite
	}
	return err
}

// done reports whether all was read.
func (b *Body) done() bool { return len(b.ahead) == 0 && len(b.pieces) == 0 }

// text goes on to the next piece if one ends here, and returns what text comes
// next: "" if stored bytes do, or nothing.
func (b *Body) text() string {
	if len(b.ahead) > 0 {
		return ""
	}
	for len(b.pieces) > 0 && b.taken == b.pieces[0].len() {
		b.pieces, b.taken = b.pieces[1:], 0
	}
	if len(b.pieces) == 0 || b.taken >= int64(len(b.pieces[0].text)) {
		return ""
	}
	return b.pieces[0].text[b.taken:]
}

// fetch makes sure that ahead holds bytes, where text has none. It returns io.EOF
// at the end of the body.
func (b *Body) fetch() error {
	if len(b.ahead) > 0 || b.err != nil {
		return b.err
	}
	if len(b.pieces) == 0 {
		return io.EOF
	}
	span := b.pieces[0].span
	off := span.From + b.taken - int64(len(b.pieces[0].text))
	got, err := b.source.At(b.ctx, off)
	switch {
	case err == io.EOF:
		err = io.ErrUnexpectedEOF
	case err == nil && len(got) == 0:
		err = io.ErrNoProgress
	}
	if err != nil {
		b.err = fmt.Errorf("read stored bytes at %d: %w", off, err)
		return b.err
	}
	if left := span.To - off; int64(len(got)) > left {
		got = got[:left]
	}
	b.ahead = got
	b.taken += int64(len(got))
	return nil
}
