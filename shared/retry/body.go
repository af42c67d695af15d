package retry

import (
	"errors"
	"io"
	"math"
	"net/http"
	"sync"
)

// DefaultBodyLimit is how many bytes of a body are kept for a retry when
// nothing else is configured.
const DefaultBodyLimit = 64 << 10

var (
	// ErrDetached is what a reader of an earlier try reads once a later try
	// has begun, or the Body was closed.
	ErrDetached = errors.New("request body belongs to a later try")
	// ErrNotReplayable is returned by Body.Try when more than the limit has
	// been read, or reading ended in an error.
	ErrNotReplayable = errors.New("request body can't be read from its start again")
)

// A Body gives each try of a request its own reader of one stream: what earlier
// tries read comes from memory, the rest from the stream.
//
//	stream   ▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓░░░░░░░░░░░░░   ▓ read by some try, ░ still to come
//	kept     ▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓                at most limit bytes, else dropped
//	try 1    ▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓  detached, perhaps still inside a Read
//	try 2    ▓▓▓▓▓▓  goes on in kept, then in the stream
//
// An http.RoundTripper may return while it still reads its request's body
// (net/http says so), thus try 1 may sit in a Read of the stream when try 2
// starts. Try 2 then waits for that Read, whose bytes are kept and not lost.
//
// All methods are safe for concurrent use. Memory is taken when the first byte
// arrives, grows with what was read, and goes back to a pool when the limit is
// passed or the Body is closed.
type Body struct {
	stream io.ReadCloser
	limit  int

	mu       sync.Mutex
	change   sync.Cond // reading ended, or a reader was detached
	kept     []byte    // what was read, from the first byte, while len(kept) <= limit
	passed   bool      // more than limit was read: kept is gone
	end      error     // what ended the stream, io.EOF included
	reading  bool      // some reader is inside stream.Read, without mu
	current  *reader   // of the latest try
	final    bool      // no try follows the current one
	isClosed bool
}

// NewBody returns a Body over stream that keeps at most limit bytes; 0 keeps
// none, so that only a body of which nothing was read can be tried again. It
// returns nil for a nil stream and for http.NoBody: such requests need no Body.
func NewBody(stream io.ReadCloser, limit int) *Body {
	if stream == nil || stream == http.NoBody {
		return nil
	}
	b := &Body{stream: stream, limit: limit}
	b.change.L = &b.mu
	return b
}

// Replayable reports whether another try could read the body from its start.
// It is true for a nil Body.
func (b *Body) Replayable() bool {
	if b == nil {
		return true
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.replayable()
}

func (b *Body) replayable() bool {
	// One whose sender broke off would break off again.
	whole := b.end == nil || b.end == io.EOF
	return whole && !b.passed && !b.isClosed && !b.final
}

// Try detaches the reader of the try before and returns one that starts at the
// first byte. Closing it says only that this try needs no more; the stream is
// closed by Body.Close, or by that Close once Commit was called. The error is
// ErrNotReplayable.
func (b *Body) Try() (io.ReadCloser, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.replayable() {
		return nil, ErrNotReplayable
	}
	b.current = &reader{body: b}
	b.change.Broadcast()
	return b.current, nil
}

// Err returns what ended the stream before its end, or nil: the fault of
// whoever sends the body, not of whoever receives it.
func (b *Body) Err() error {
	if b == nil {
		return nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.end == io.EOF {
		return nil
	}
	return b.end
}

// Commit says that the current try is the last one: nothing more is kept, and
// closing its reader closes the stream. It does nothing on a nil Body.
func (b *Body) Commit() {
	if b == nil {
		return
	}
	b.mu.Lock()
	b.final = true
	done := b.current != nil && b.current.closed
	b.mu.Unlock()
	if done {
		b.Close()
	}
}

// Close detaches every reader, frees the memory and closes the stream. A Read
// of the stream that is under way ends when the stream's Close ends it, as it
// does for bodies of net/http; Close does not wait for that. It does nothing on
// a nil Body, and the second time.
func (b *Body) Close() error {
	if b == nil {
		return nil
	}
	b.mu.Lock()
	if b.isClosed {
		b.mu.Unlock()
		return nil
	}
	b.isClosed = true
	b.current = nil
	b.drop()
	b.change.Broadcast()
	b.mu.Unlock()
	return b.stream.Close()
}

// drop frees what is kept.
func (b *Body) drop() {
	putBuffer(b.kept)
	b.kept = nil
}

// reader is the body as one try sees it. Its fields belong to Body.mu.
type reader struct {
	body   *Body
	offset int // bytes of kept that were delivered
	closed bool
}

// Read delivers kept bytes first, then bytes of the stream.
func (r *reader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	b := r.body
	b.mu.Lock()
	defer b.mu.Unlock()
	for {
		switch {
		case b.current != r || r.closed:
			return 0, ErrDetached
		case r.offset < len(b.kept):
			n := copy(p, b.kept[r.offset:])
			r.offset += n
			return n, nil
		case b.end != nil:
			return 0, b.end
		case !b.reading:
			return b.readStream(r, p)
		}
		b.change.Wait()
	}
}

// Close ends this try's reading.
func (r *reader) Close() error {
	b := r.body
	b.mu.Lock()
	r.closed = true
	done := b.final && b.current == r
	b.change.Broadcast()
	b.mu.Unlock()
	if done {
		return b.Close()
	}
	return nil
}

// readStream reads from the stream for r. It is called with b.mu held and gives
// it up while it reads.
func (b *Body) readStream(r *reader, p []byte) (int, error) {
	// A reader gets here only when it has delivered all that is kept, so once
	// no later try can come there is nothing left to keep.
	room := b.limit - len(b.kept)
	if !b.passed && (b.final || room == 0) {
		b.passed = true
		b.drop()
	}
	keep := !b.passed
	if keep {
		// Never more than can be kept: a try that begins during this Read
		// relies on it.
		p = p[:min(len(p), room)]
	}
	b.reading = true
	b.mu.Unlock()
	n, err := b.stream.Read(p)
	b.mu.Lock()
	b.reading = false
	b.change.Broadcast()
	if err != nil {
		b.end = err
	}
	if keep && !b.isClosed {
		b.kept = appendKept(b.kept, p[:n])
		r.offset += n
	}
	if b.current != r {
		return 0, ErrDetached
	}
	return n, err
}

// bufferSizes are the steps in which kept grows. What is larger is left to the
// garbage collector.
var bufferSizes = [...]int{4 << 10, 16 << 10, 64 << 10, 256 << 10}

var buffers [len(bufferSizes)]sync.Pool

// appendKept appends p to a buffer of the pool, moving to a larger one when it
// is full.
func appendKept(kept, p []byte) []byte {
	need := len(kept) + len(p)
	if need <= cap(kept) || len(p) == 0 {
		return append(kept, p...)
	}
	grown := append(getBuffer(need), kept...)
	putBuffer(kept)
	return append(grown, p...)
}

func getBuffer(need int) []byte {
	for i, size := range bufferSizes {
		if need > size {
			continue
		}
		if b, ok := buffers[i].Get().(*[]byte); ok {
			return (*b)[:0]
		}
		return make([]byte, 0, size)
	}
	return make([]byte, 0, min(2*need, math.MaxInt32))
}

func putBuffer(b []byte) {
	for i, size := range bufferSizes {
		if cap(b) == size {
			buffers[i].Put(&b)
			return
		}
	}
}
