package store

import (
	"context"
	"math"
	"time"
)

// becomeRelay gives up keeping the body. What the slowest reader still needs
// stays, and goes as it is read. b.mu is held.
func (b *Body) becomeRelay() {
	b.relay = true
	b.dropRead()
	b.settle()
}

// slowest returns the lowest position of a reader that still gets bytes, whether
// there is one, and whether one of them has read everything. b.mu is held.
func (b *Body) slowest() (pos int64, found, waiting bool) {
	pos = math.MaxInt64
	for r := b.readers; r != nil; r = r.next {
		if r.lagged {
			continue
		}
		found = true
		pos = min(pos, r.pos)
		waiting = waiting || r.pos >= b.written
	}
	return pos, found, waiting
}

// dropRead drops the chunks of a relay that every reader has passed. A reader's
// position moves only when it is done with the bytes. b.mu is held.
func (b *Body) dropRead() {
	if !b.relay {
		return
	}
	pos, _, _ := b.slowest()
	pos = min(pos, b.written)
	// The last chunk stays: the writer may be writing into it.
	for len(b.chunks) > 1 && (b.base+1)*chunkSize <= pos {
		b.kept -= int64(cap(b.chunks[0]))
		b.chunks[0] = nil
		b.chunks = b.chunks[1:]
		b.base++
	}
}

// waitForReaders waits until the slowest reader is less than a window behind
// the writer and returns how many bytes may be written. A reader that is behind
// while another one waits for more is given patience, all such waits together;
// after that it is cut off, since one slow client must not hold up the others
// that happened to ask for the same. b.mu is held, but not while it waits.
func (b *Body) waitForReaders(ctx context.Context) (int64, error) {
	for {
		pos, found, waiting := b.slowest()
		switch {
		case b.ended:
			return 0, ErrEnded
		case !found:
			return 0, ErrNoReader
		case b.written-min(pos, b.written) < b.window:
			return b.window - (b.written - min(pos, b.written)), nil
		case ctx.Err() != nil:
			return 0, context.Cause(ctx)
		case waiting && b.waited >= b.patience:
			b.cutOff()
			continue
		}
		b.waitForChange(ctx, waiting)
	}
}

// waitForChange waits for a change, for the end of ctx or, if limited, for the
// end of the patience. b.mu is held, but not while it waits.
func (b *Body) waitForChange(ctx context.Context, limited bool) {
	var timeout <-chan time.Time
	if limited {
		timer := time.NewTimer(b.patience - b.waited)
		defer timer.Stop()
		timeout = timer.C
	}
	wake := b.waiter()
	began := time.Now()
	b.mu.Unlock()
	select {
	case <-wake:
	case <-ctx.Done():
	case <-timeout:
	}
	b.mu.Lock()
	if limited {
		b.waited += time.Since(began)
	}
}

// cutOff ends the readers that are a window behind. b.mu is held.
func (b *Body) cutOff() {
	for r := b.readers; r != nil; r = r.next {
		if b.written-r.pos >= b.window {
			r.lagged = true
		}
	}
	b.dropRead()
	b.settle()
	b.broadcast()
}

// growRelay makes sure that there is space in the last chunk. Its bytes are not
// charged: a window is what any connection may have, not the cache's. b.mu is
// held.
func (b *Body) growRelay() {
	if b.spare() > 0 {
		return
	}
	b.replaceLast(b.written%chunkSize, chunkSize, false)
	b.dropRead()
}
