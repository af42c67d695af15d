package store

import (
	"context"
	"errors"
	"io"
	"sync/atomic"
)

var (
	// ErrRelay is returned for what only a body that is kept can do: joining it
	// late, reading at an offset, being stored.
	ErrRelay = errors.New("body is not kept")
	// ErrLagged is what a reader of a relay gets when it has kept faster ones
	// waiting for too long.
	ErrLagged = errors.New("reader is too slow for a body that is not kept")
	// ErrUnfinished is returned for what only a whole body can do.
	ErrUnfinished = errors.New("body is not complete")
	// ErrReaderClosed is what a closed Reader reads.
	ErrReaderClosed = errors.New("body reader is closed")
)

// A Reader is one look at a Body. It implements io.ReadCloser and io.WriterTo.
// It belongs to one goroutine, except for Close.
type Reader struct {
	body       *Body
	ctx        context.Context
	pos        int64 // written with body.mu held until the body is sealed
	prev, next *Reader
	lagged     bool
	closed     atomic.Bool // written with body.mu held
}

// Reader returns a reader of the bytes from an offset on, which may not have
// arrived yet. Its Reads wait until ctx ends at most; it has to be closed. The
// error is ErrRelay once bytes arrived at a body that is not kept.
func (b *Body) Reader(ctx context.Context, from int64) (*Reader, error) {
	r := &Reader{body: b, ctx: ctx, pos: max(from, 0)}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.relay && b.written > 0 {
		return nil, ErrRelay
	}
	r.next = b.readers
	if r.next != nil {
		r.next.prev = r
	}
	b.readers = r
	b.settle()
	return r, nil
}

// Close ends the reading. It may be called during a Read, which ends then, and
// more than once.
func (r *Reader) Close() error {
	b := r.body
	b.mu.Lock()
	defer b.mu.Unlock()
	if r.closed.Swap(true) {
		return nil
	}
	if r.prev != nil {
		r.prev.next = r.next
	} else {
		b.readers = r.next
	}
	if r.next != nil {
		r.next.prev = r.prev
	}
	b.dropRead()
	b.settle()
	b.broadcast()
	return nil
}

// Read waits for at least one byte. After the last one it returns io.EOF or the
// error of Fail; before that, ErrLagged, ErrReaderClosed or the cause of the
// context's end.
func (r *Reader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	src, err := r.await()
	if err != nil {
		return 0, err
	}
	n := copy(p, src)
	r.advance(n)
	return n, nil
}

// WriteTo writes everything to w, chunk by chunk, without a copy in between. The
// error is that of w, or one of Read other than io.EOF.
func (r *Reader) WriteTo(w io.Writer) (int64, error) {
	var total int64
	for {
		src, err := r.await()
		if err == io.EOF {
			return total, nil
		}
		if err != nil {
			return total, err
		}
		n, err := w.Write(src)
		n = min(max(n, 0), len(src))
		r.advance(n)
		total += int64(n)
		switch {
		case err != nil:
			return total, err
		case n < len(src):
			return total, io.ErrShortWrite
		}
	}
}

// await returns the bytes at the reader's position, as many as lie in one chunk.
// They stay valid at least until advance.
func (r *Reader) await() ([]byte, error) {
	b := r.body
	if b.sealed.Load() && r.pos < b.written && !r.closed.Load() {
		return b.at(r.pos), nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for {
		switch {
		case r.closed.Load():
			return nil, ErrReaderClosed
		case r.lagged:
			return nil, ErrLagged
		case r.pos < b.written:
			return b.at(r.pos), nil
		case b.err != nil:
			return nil, b.err
		case b.ended:
			return nil, io.EOF
		case r.ctx.Err() != nil:
			return nil, context.Cause(r.ctx)
		}
		wake := b.waiter()
		b.mu.Unlock()
		select {
		case <-wake:
		case <-r.ctx.Done():
		}
		b.mu.Lock()
	}
}

// at returns the bytes that arrived from pos to the end of its chunk. b.mu is
// held, or the body is sealed.
func (b *Body) at(pos int64) []byte {
	i := pos >> chunkShift
	c := b.chunks[i-b.base]
	end := min(int64(len(c)), b.written-i<<chunkShift)
	return c[pos&(chunkSize-1) : end : end]
}

// advance says that the reader has no more use for n bytes.
func (r *Reader) advance(n int) {
	b := r.body
	if b.sealed.Load() {
		r.pos += int64(n)
		return
	}
	b.mu.Lock()
	r.pos += int64(n)
	if b.relay && !r.closed.Load() {
		b.dropRead()
		b.settle()
		b.broadcast()
	}
	b.mu.Unlock()
}

// ReadAt implements io.ReaderAt on a body that has ended whole; before that, it
// returns ErrUnfinished, and ErrRelay if the bytes are not kept.
func (b *Body) ReadAt(p []byte, off int64) (int, error) {
	switch {
	case !b.Storable():
		return 0, ErrRelay
	case !b.sealed.Load():
		return 0, ErrUnfinished
	case off < 0:
		return 0, errors.New("negative offset")
	}
	n := 0
	for n < len(p) && off < b.written {
		m := copy(p[n:], b.at(off))
		n, off = n+m, off+int64(m)
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// Wait waits until the body has ended and returns the error of Fail, or the
// cause of ctx's end.
func (b *Body) Wait(ctx context.Context) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	for !b.ended {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		wake := b.waiter()
		b.mu.Unlock()
		select {
		case <-wake:
		case <-ctx.Done():
		}
		b.mu.Lock()
	}
	return b.err
}

// waiter returns a channel that is closed at the next change. A channel and not
// a sync.Cond, since whoever waits has a context. b.mu is held.
func (b *Body) waiter() <-chan struct{} {
	if b.wake == nil {
		b.wake = make(chan struct{})
	}
	return b.wake
}

func (b *Body) broadcast() {
	if b.wake != nil {
		close(b.wake)
		b.wake = nil
	}
}
