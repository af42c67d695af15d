package store

import (
	"context"
	"errors"
	"io"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// chunkSize is the size of every chunk but the last, and of the first one
	// until it is full.
	chunkSize = 1 << chunkShift
	// 32 KiB is the largest size that Go's allocator has a class for. Above it whole
	// pages of 8 KiB are given out, and a body of 33 KiB would take 40.
	chunkShift = 15
	// firstChunk is where a body of unknown length begins.
	firstChunk = 4 << 10
)

var (
	// ErrEnded is returned by the writing methods of a Body after Finish or Fail.
	ErrEnded = errors.New("body has ended")
	// ErrLength is returned when more or fewer bytes arrive than were announced.
	// Such a body has failed: it can't be stored.
	ErrLength = errors.New("body is not as long as announced")
	// ErrNoReader is returned to the writer of a relay that nobody reads: there
	// is no reason to go on.
	ErrNoReader = errors.New("body is not stored and has no reader")
)

// A Body is filled by one writer and read by any number of readers while it
// arrives.
//
//	stored   ┌──────────┬──────────┬──────────┬───────┐
//	         │ 32 KiB   │ 32 KiB   │ 32 KiB   │ rest  │   all of it is kept
//	         └──────────┴──────────┴──────────┴───────┘
//	           ▲ reader, from any offset          ▲ writer, never waits
//
//	relay    ┌ ─ ─ ─ ─ ─┬ ─ ─ ─ ─ ─┬──────────┬───────┐
//	           dropped    dropped  │ kept     │       │   at most a window
//	         └ ─ ─ ─ ─ ─┴ ─ ─ ─ ─ ─┴──────────┴───────┘
//	                                 ▲ slowest reader ▲ writer, waits for it
//
// It starts out stored. It becomes a relay, for good, when it is longer than
// the store keeps or when there is no room for it: then its readers still get
// every byte, but nobody can join them and it can't be put into the store.
//
// Memory is the garbage collector's: what is evicted, purged or dropped lives on
// while a reader looks at it, and no buffer is ever used twice. The bytes of a
// body count against the fill part of the store's capacity while nothing else
// counts them: while it is filled, and while readers hold it after it left the
// store. A Reader has to be closed for that.
//
// One goroutine writes; everything else may be called concurrently.
type Body struct {
	room     *room
	limit    int64         // bytes that can be stored
	window   int64         // bytes between writer and slowest reader of a relay
	patience time.Duration // that a relay has with slow readers, altogether
	size     int64         // bytes announced, or -1

	// sealed says that Finish was called on a body that is not a relay. From then
	// on chunks and written never change and are read without mu.
	sealed atomic.Bool

	mu      sync.Mutex
	chunks  [][]byte // chunk i holds the bytes from (base+i)*chunkSize
	base    int64    // chunks that were dropped
	written int64    // bytes from the writer
	kept    int64    // sum of the capacities of chunks
	charged int64    // what room counts for this body
	relay   bool
	ended   bool
	err     error // of Fail
	trailer any
	wake    chan struct{} // closed at the next change; nil while nobody waits
	readers *Reader       // list of those that are open
	owners  int           // entries of the store that have this body
	held    bool          // by its Fill
	waited  time.Duration // by the writer of a relay, for slow readers
}

func newBody(c *Config, r *room, size int64) *Body {
	return &Body{
		room: r, limit: c.MaxObject, window: c.Window, patience: c.Patience,
		size: max(size, -1), relay: size > c.MaxObject, held: true,
	}
}

// Append adds p to the body. It waits only in a relay, for the slowest reader;
// then the error may be the cause of ctx's end or ErrNoReader. Otherwise it is
// ErrEnded, or ErrLength if p does not fit the announced length.
func (b *Body) Append(ctx context.Context, p []byte) error {
	for len(p) > 0 {
		space, err := b.space(ctx, len(p))
		if err != nil {
			return err
		}
		n := copy(space, p)
		b.commit(n)
		p = p[n:]
	}
	return nil
}

// ReadFrom adds what src delivers up to its io.EOF, and reports how many bytes
// that were. The error is that of src, or one of Append. Neither ends the body:
// what follows is Finish or Fail.
func (b *Body) ReadFrom(ctx context.Context, src io.Reader) (int64, error) {
	var total int64
	for {
		if b.full() {
			// The length is known and reached: the end has to follow.
			return total, atEnd(src)
		}
		space, err := b.space(ctx, 1)
		if err != nil {
			return total, err
		}
		n, err := src.Read(space)
		b.commit(n)
		total += int64(n)
		if err == io.EOF {
			return total, nil
		}
		if err != nil {
			return total, err
		}
	}
}

// atEnd reads on until src says that it ends, or delivers a byte too many.
func atEnd(src io.Reader) error {
	var p [1]byte
	for range 100 { // as io.ErrNoProgress elsewhere
		n, err := src.Read(p[:])
		switch {
		case n > 0:
			return ErrLength
		case err == io.EOF:
			return nil
		case err != nil:
			return err
		}
	}
	return io.ErrNoProgress
}

func (b *Body) full() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.size >= 0 && b.written == b.size
}

// space returns memory for the next bytes, at least one, in the best case need
// of them. The caller fills a part of it and calls commit.
func (b *Body) space(ctx context.Context, need int) ([]byte, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	room := int64(need)
	switch {
	case b.ended:
		return nil, ErrEnded
	case b.size >= 0 && b.written+room > b.size:
		return nil, ErrLength
	case !b.relay && b.written >= b.limit:
		b.becomeRelay()
	}
	if !b.relay && !b.grow(need) {
		b.becomeRelay()
	}
	room = chunkSize
	if b.relay {
		var err error
		if room, err = b.waitForReaders(ctx); err != nil {
			return nil, err
		}
		b.growRelay()
	}
	last := b.chunks[len(b.chunks)-1]
	used := b.written - (b.base+int64(len(b.chunks))-1)*chunkSize
	end := min(int64(len(last)), used+room)
	if b.size >= 0 {
		end = min(end, used+b.size-b.written)
	}
	if !b.relay {
		end = min(end, used+b.limit-b.written)
	}
	return last[used:end], nil
}

// spare reports the unused bytes at the end of the last chunk. b.mu is held.
func (b *Body) spare() int64 {
	if len(b.chunks) == 0 {
		return 0
	}
	last := b.base + int64(len(b.chunks)) - 1
	return last*chunkSize + int64(len(b.chunks[len(b.chunks)-1])) - b.written
}

// grow makes sure that there is space for at least a byte. It reports false if
// the store has no room for it. b.mu is held.
func (b *Body) grow(need int) bool {
	if b.spare() > 0 {
		return true
	}
	at := b.written % chunkSize // in the last chunk, which is full: 0 or a short chunk's length
	want := int64(chunkSize)
	switch {
	case b.size >= 0:
		want = min(chunkSize, b.size-(b.written-at))
	case b.written < chunkSize:
		// The first chunk doubles, so that a short body of unknown length does
		// not take 32 KiB. Copying up to 28 KiB once is cheaper than a list of
		// chunks of all sizes.
		want = firstChunk
		for want < at+int64(need) && want < chunkSize {
			want *= 2
		}
	}
	return b.replaceLast(at, want, true)
}

// replaceLast makes the last chunk, of which used bytes are in use, one of want
// bytes; with used zero it adds one. It reports false if charge is set and the
// store has no room. b.mu is held.
func (b *Body) replaceLast(used, want int64, charge bool) bool {
	fresh := chunk(want)
	more, old := int64(cap(fresh)), int64(0)
	if used > 0 {
		old = int64(cap(b.chunks[len(b.chunks)-1]))
	}
	if charge && b.room != nil {
		if !b.room.take(more - old) {
			return false
		}
		b.charged += more - old
	}
	b.kept += more - old
	if used == 0 {
		b.chunks = append(b.chunks, fresh)
		return true
	}
	// Readers may be looking at the old chunk: they keep it.
	last := len(b.chunks) - 1
	copy(fresh, b.chunks[last][:used])
	b.chunks[last] = fresh
	return true
}

// chunk returns n bytes, or somewhat more: as many as the allocator would waste
// otherwise, so that what we count is what it takes.
func chunk(n int64) []byte {
	b := slices.Grow([]byte(nil), int(n))
	return b[:min(cap(b), chunkSize)]
}

func (b *Body) commit(n int) {
	if n == 0 {
		return
	}
	b.mu.Lock()
	b.written += int64(n)
	b.broadcast()
	b.mu.Unlock()
}

// Finish says that all bytes have arrived, and what came with the end. It
// returns ErrLength if fewer than announced did, which fails the body, and
// ErrEnded if it has ended before.
func (b *Body) Finish(trailer any) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ended {
		return ErrEnded
	}
	if b.size >= 0 && b.written < b.size {
		b.end(ErrLength)
		return ErrLength
	}
	b.trailer = trailer
	if !b.relay {
		b.trim()
		b.sealed.Store(true)
	}
	b.end(nil)
	return nil
}

// Fail ends the body with an error that its readers get after the bytes that
// arrived; io.EOF becomes io.ErrUnexpectedEOF. It does nothing to a body that
// has ended.
func (b *Body) Fail(err error) {
	if err == io.EOF || err == nil {
		err = io.ErrUnexpectedEOF
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.ended {
		b.end(err)
	}
}

func (b *Body) end(err error) {
	b.ended, b.err = true, err
	b.settle()
	b.broadcast()
}

// trim gives back the unused end of the last chunk if it is more than a 32nd of
// the body. Copying at most 32 KiB, once, is worth it for a body that stays.
func (b *Body) trim() {
	if spare := b.spare(); spare == 0 || spare*32 <= b.written {
		return
	}
	used := b.written % chunkSize
	if used == 0 { // a last chunk without a byte
		last := len(b.chunks) - 1
		b.kept -= int64(cap(b.chunks[last]))
		b.chunks = b.chunks[:last]
	} else {
		b.replaceLast(used, used, false)
	}
}

// settle makes room count what it should: all that is kept while the Fill holds
// it, and later while readers do but no entry of the store. For a moment both
// the Fill and an entry count it, which is better than neither. b.mu is held.
func (b *Body) settle() {
	if b.room == nil {
		return
	}
	var want int64
	if b.held || b.owners == 0 && b.readers != nil {
		want = b.kept
		if b.relay {
			want = min(want, b.charged) // its window is not counted
		}
	}
	b.room.add(want - b.charged)
	b.charged = want
}

// own counts an entry that has this body; disown takes it back.
func (b *Body) own() {
	b.mu.Lock()
	b.owners++
	b.settle()
	b.mu.Unlock()
}

func (b *Body) disown() {
	b.mu.Lock()
	b.owners--
	b.settle()
	b.mu.Unlock()
}

// release says that the Fill is done with this body.
func (b *Body) release() {
	b.mu.Lock()
	b.held = false
	b.settle()
	b.mu.Unlock()
}

// Len reports how many bytes have arrived.
func (b *Body) Len() int64 {
	if b.sealed.Load() {
		return b.written
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.written
}

// Size reports how long the body is: known once it has ended whole, or from the
// start if a length was announced.
func (b *Body) Size() (n int64, known bool) {
	if b.sealed.Load() {
		return b.written, true
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ended && b.err == nil {
		return b.written, true
	}
	return max(b.size, 0), b.size >= 0
}

// Done reports whether the body has ended, and the error of Fail.
func (b *Body) Done() (bool, error) {
	if b.sealed.Load() {
		return true, nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.ended, b.err
}

// Trailer returns what Finish was given, or nil before that.
func (b *Body) Trailer() any {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.trailer
}

// Storable reports whether the body could still be put into the store: it is no
// relay and has not failed.
func (b *Body) Storable() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return !b.relay && b.err == nil
}

// memory reports the bytes that the body takes, beside the Body itself.
func (b *Body) memory() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	const header = 24 // of a slice
	return b.kept + header*int64(cap(b.chunks))
}
