package coding

import (
	"errors"
	"fmt"
	"io"
)

// ErrBusy says that as many answers are coded as the settings allow. The answer
// is to go out as it is, and at once: waiting for a place would be a queue.
var ErrBusy = errors.New("too many answers are being compressed")

// ErrClosed is the error of an Encoder that was closed or aborted.
var ErrClosed = errors.New("encoder is closed")

// An Effort says how much work an answer is worth.
type Effort uint8

const (
	Passing Effort = iota // sent once: Settings.Levels
	Stored                // kept and sent often: Settings.StoredLevels
)

// A Coder chooses codings and makes Encoders. It starts nothing and needs no
// closing. It is safe for concurrent use.
type Coder struct {
	settings Settings
	types    types
	slots    *slots
}

// New returns a Coder for settings that have passed Validate; it panics on media
// types that have not.
func New(s Settings) *Coder {
	return &Coder{settings: s, types: compileTypes(s.Types), slots: newSlots(s.MaxConcurrent)}
}

// Stats returns what the encoders of c do right now.
func (c *Coder) Stats() Stats { return c.slots.stats() }

// NewWriter returns an Encoder that writes to w what is written to it, coded. Size
// is the length of the content in bytes, or negative if it is not known; with zstd,
// Close fails if the content had another length.
//
// Nothing is written to w before the Encoder is written to. So NewWriter comes
// before Apply: if its error is ErrBusy, what is applied is Identity. Every Encoder
// must be closed or aborted.
func (c *Coder) NewWriter(w io.Writer, coding Coding, effort Effort, size int64) (*Encoder, error) {
	levels := &c.settings.Levels
	if effort == Stored {
		levels = &c.settings.StoredLevels
	}
	k, err := levels.kind(coding)
	if err != nil {
		return nil, err
	}
	held, ok := c.slots.take(k)
	if !ok {
		return nil, ErrBusy
	}
	if held == nil {
		if held, err = newCodec(k); err != nil {
			c.slots.give(k, nil)
			return nil, fmt.Errorf("make encoder for %s: %w", coding, err)
		}
	}
	held.reset(w, size)
	return &Encoder{codec: held, kind: k, slots: c.slots}, nil
}

// An Encoder codes the content of one answer. It is for one goroutine at a time.
type Encoder struct {
	codec   codec // nil when closed or aborted
	kind    kind
	slots   *slots
	pending bool // something was written since the last Flush
}

// Write codes p. The errors are those of the writer below.
func (e *Encoder) Write(p []byte) (int, error) {
	if e.codec == nil {
		return 0, ErrClosed
	}
	if len(p) == 0 {
		return 0, nil
	}
	e.pending = true
	return e.codec.Write(p)
}

// Flush writes all that was written so far in such a way that it can be decoded. It
// makes the output longer, so it is for streams that pause. Without something
// written since the last one it does nothing. It does not flush the writer below.
func (e *Encoder) Flush() error {
	if e.codec == nil {
		return ErrClosed
	}
	if !e.pending {
		return nil
	}
	e.pending = false
	return e.codec.Flush()
}

// Close writes the end of the content. The Encoder is then of no further use,
// whatever the error.
func (e *Encoder) Close() error {
	if e.codec == nil {
		return ErrClosed
	}
	err := e.codec.Close()
	e.Abort()
	return err
}

// Abort gives the Encoder up without writing the end, so that who decodes sees that
// it is missing. After Close, and a second time, it does nothing: it may be deferred.
func (e *Encoder) Abort() {
	if e.codec == nil {
		return
	}
	e.codec.reset(io.Discard, -1) // the next user may be long in coming: don't keep the writer
	e.slots.give(e.kind, e.codec)
	e.codec = nil
}
