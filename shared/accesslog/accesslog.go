// Package accesslog writes one line of JSON for each exchange at a tier, after it
// has ended: refusals, panics and exchanges that were cut short included.
//
//	request goroutine: handler ends ▸ encode ▸ queue ──▶ writer (Run): batch ▸ output
//	                                             └─ full: drop, count
//
// A request never waits for the output. The queue is bounded in lines and bytes;
// what does not fit is dropped, counted, and reported as a warning at most every
// ten seconds. The keys of a line, and their order, are in keys.go.
//
// Credentials never get into a line: no header field but User-Agent and Referer
// is logged, the latter without its query, and queries are off unless they are
// configured with redaction.
package accesslog

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"
)

const (
	reportEvery = 10 * time.Second      // between two warnings about dropped lines
	flushWithin = 3 * time.Second       // for what is queued when Run is told to end
	gatherFor   = 10 * time.Millisecond // how long a line may wait for others
	batchBytes  = 64 << 10              // lines written with one system call
	maxPooled   = 16 << 10              // larger line buffers are left to the garbage collector
)

// Log is an access log. Wrap, Refused, Reopen and Dropped may be called
// concurrently, and before, during and after Run.
type Log struct {
	config Config
	tier   string         // "edge" or "core"
	name   string         // of the tier, for the answers to panics
	errors zerolog.Logger // the tier's own log
	lines  zerolog.Logger // encodes into the queue
	redact map[string]bool
	off    bool // no output: lines are not made

	queue   chan *[]byte
	hurry   chan struct{} // buffered by one: half of the queue is full
	queued  atomic.Int64  // bytes in queue
	dropped atomic.Uint64
	buffers sync.Pool // *[]byte

	out      io.Writer                // owned by Run
	reopened atomic.Pointer[os.File]  // takes the place of out before the next batch
	failure  atomic.Pointer[logError] // of the last write, for the warning
}

// logError makes an error fit an atomic.Pointer.
type logError struct{ error }

// New opens the output of config. Tier is "edge" or "core", name its configured
// name, errors its own log. Nothing is written before Run.
func New(config Config, tier, name string, errors zerolog.Logger) (*Log, error) {
	var out io.Writer
	switch {
	case config.toFile():
		f, err := open(config.Output)
		if err != nil {
			return nil, err
		}
		out = f
	case config.Output == "stdout":
		out = os.Stdout
	case config.Output == "stderr":
		out = os.Stderr
	}
	return NewTo(out, config, tier, name, errors), nil
}

// NewTo returns a Log that writes to out, whatever config.Output says; nil means
// that no line is made. Out is used by one goroutine at a time.
func NewTo(out io.Writer, config Config, tier, name string, errors zerolog.Logger) *Log {
	l := &Log{
		config: config, tier: tier, name: name, errors: errors, out: out,
		queue:  make(chan *[]byte, config.Queue),
		hurry:  make(chan struct{}, 1),
		redact: redactSet(config.Redact),
		off:    out == nil,
	}
	l.buffers.New = func() any { return new([]byte) }
	l.lines = zerolog.New(queueWriter{l})
	return l
}

func open(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o640)
	if err != nil {
		return nil, fmt.Errorf("open access log: %w", err)
	}
	return f, nil
}

// Dropped returns how many lines were lost since the start: the queue was full,
// or the output refused them.
func (l *Log) Dropped() uint64 { return l.dropped.Load() }

// Reopen opens the output file anew, after it was moved away, and closes the old
// one when the lines before are written. If the file cannot be opened, the old
// one stays in use. Other outputs have nothing to reopen.
func (l *Log) Reopen() error {
	if l.off || !l.config.toFile() {
		return nil
	}
	f, err := open(l.config.Output)
	if err != nil {
		return err
	}
	if unused := l.reopened.Swap(f); unused != nil {
		unused.Close()
	}
	return nil
}

// Run writes what is queued until ctx ends, then what is still queued, which may
// take up to three seconds. It is called once. It returns an error when the
// output did not take the rest in time; that output may then still be blocked in
// a write of the goroutine that Run leaves behind.
func (l *Log) Run(ctx context.Context) error {
	if l.off {
		<-ctx.Done()
		return nil
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		l.write(ctx)
	}()
	<-ctx.Done()
	limit := time.NewTimer(flushWithin)
	defer limit.Stop()
	select {
	case <-done:
		return nil
	case <-limit.C:
		return fmt.Errorf("flush access log: the output did not take %d bytes within %s", l.queued.Load(), flushWithin)
	}
}

// write is the writer.
func (l *Log) write(ctx context.Context) {
	report := time.NewTicker(reportEvery)
	defer report.Stop()
	batch := make([]byte, 0, batchBytes+maxPooled)
	var reported uint64
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case line := <-l.queue:
			l.gather(ctx)
			batch = l.writeBatch(batch, line)
		case <-report.C:
			reported = l.reportDropped(reported)
		}
	}
	for {
		select {
		case line := <-l.queue:
			batch = l.writeBatch(batch, line)
			continue
		default:
		}
		break
	}
	l.reportDropped(reported)
	l.swapOutput()
	if f, ok := l.out.(*os.File); ok && l.config.toFile() {
		if err := f.Close(); err != nil {
			l.errors.Warn().Err(err).Msg("access log not closed cleanly")
		}
	}
}

// gather lets further lines come before the first is written, unless the queue
// fills up: at a low rate every line would wake a thread and cost a system call,
// which is more than making the line does.
func (l *Log) gather(ctx context.Context) {
	timer := time.NewTimer(gatherFor)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-l.hurry:
	case <-ctx.Done():
	}
}

// writeBatch writes line and what else is queued, up to batchBytes, with one
// call. It returns batch for the next time.
func (l *Log) writeBatch(batch []byte, line *[]byte) []byte {
	l.swapOutput()
	batch = l.take(batch[:0], line)
	lines := uint64(1)
	for len(batch) < batchBytes {
		select {
		case line = <-l.queue:
			batch = l.take(batch, line)
			lines++
			continue
		default:
		}
		break
	}
	if _, err := l.out.Write(batch); err != nil {
		l.dropped.Add(lines)
		l.failure.Store(&logError{err})
	}
	if cap(batch) > 4*batchBytes {
		batch = make([]byte, 0, batchBytes+maxPooled)
	}
	return batch
}

func (l *Log) take(batch []byte, line *[]byte) []byte {
	batch = append(batch, *line...)
	l.queued.Add(-int64(len(*line)))
	if cap(*line) <= maxPooled {
		l.buffers.Put(line)
	}
	return batch
}

func (l *Log) swapOutput() {
	f := l.reopened.Swap(nil)
	if f == nil {
		return
	}
	if old, ok := l.out.(io.Closer); ok {
		if err := old.Close(); err != nil {
			l.errors.Warn().Err(err).Msg("access log not closed cleanly")
		}
	}
	l.out = f
}

// reportDropped warns when lines were dropped since reported of them had been,
// and returns how many are reported now.
func (l *Log) reportDropped(reported uint64) uint64 {
	dropped := l.dropped.Load()
	if dropped == reported {
		return reported
	}
	var cause error
	if failure := l.failure.Swap(nil); failure != nil {
		cause = failure.error
	}
	l.errors.Warn().Err(cause).Uint64("lines", dropped-reported).Uint64("lines_total", dropped).Msg("access log lines dropped")
	return dropped
}

// queueWriter is the end of the encoder: it copies a line into the queue, or
// drops it.
type queueWriter struct{ log *Log }

var errQueueFull = errors.New("access log queue is full")

// Write implements io.Writer. It never blocks and never fails: zerolog would
// print the error to the standard error output.
func (w queueWriter) Write(line []byte) (int, error) {
	if err := w.log.enqueue(line); err != nil {
		w.log.dropped.Add(1)
	}
	return len(line), nil
}

func (l *Log) enqueue(line []byte) error {
	size := int64(len(line))
	if l.queued.Add(size) > int64(l.config.QueueBytes) {
		l.queued.Add(-size)
		return errQueueFull
	}
	buffer := l.buffers.Get().(*[]byte)
	*buffer = append((*buffer)[:0], line...)
	select {
	case l.queue <- buffer:
		if len(l.queue) > cap(l.queue)/2 || l.queued.Load() > int64(l.config.QueueBytes)/2 {
			select {
			case l.hurry <- struct{}{}:
			default:
			}
		}
		return nil
	default:
		l.buffers.Put(buffer)
		l.queued.Add(-size)
		return errQueueFull
	}
}
