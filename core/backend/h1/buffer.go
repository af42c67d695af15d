package h1

import (
	"bytes"
	"io"
	"sync"
)

// bufferSize is that of a pooled buffer, in bytes: a head and a small body in
// one read, and in the upload's few writes for large bodies.
const bufferSize = 32 << 10

// A buffer holds what was received and not consumed yet: bytes[r:w].
type buffer struct {
	bytes []byte
	r, w  int
}

var buffers = sync.Pool{New: func() any { return &buffer{bytes: make([]byte, bufferSize)} }}

func getBuffer() *buffer { return buffers.Get().(*buffer) }

// putBuffer leaves those that grew to the garbage collector.
func putBuffer(b *buffer) {
	if len(b.bytes) == bufferSize {
		b.r, b.w = 0, 0
		buffers.Put(b)
	}
}

// unread returns what is there.
func (b *buffer) unread() []byte { return b.bytes[b.r:b.w] }

// fill reads at least one byte more. The buffer grows when it is full, so the
// caller must bound what it leaves unread.
func (c *Conn) fill() error {
	b := c.buf
	if b.w == len(b.bytes) || b.r == b.w {
		b.w = copy(b.bytes, b.unread())
		b.r = 0
	}
	if b.w == len(b.bytes) {
		b.bytes = append(b.bytes, make([]byte, len(b.bytes))...)
	}
	n, err := c.read(b.bytes[b.w:])
	b.w += n
	return err
}

var blankLine = []byte("\r\n\r\n")

// readSection returns everything up to and including the next blank line, at
// most HeadLimit bytes. check, if there is one, sees what came so far. The error
// is io.EOF if there was nothing at all.
func (c *Conn) readSection(check func([]byte) error) (string, error) {
	b, seen := c.buf, 0
	for {
		got := b.unread()
		if check != nil {
			if err := check(got); err != nil {
				return "", err
			}
		}
		if i := bytes.Index(got[seen:], blankLine); i >= 0 {
			n := seen + i + len(blankLine)
			if n > c.settings.HeadLimit {
				return "", ErrHeadTooLarge
			}
			b.r += n
			return string(got[:n]), nil
		}
		if len(got) >= c.settings.HeadLimit {
			return "", ErrHeadTooLarge
		}
		seen = max(0, len(got)-len(blankLine)+1)
		if err := c.fill(); err != nil {
			if err == io.EOF && len(got) > 0 {
				err = io.ErrUnexpectedEOF
			}
			return "", err
		}
	}
}

// maxLine is the longest line of a chunk's head, in bytes without its CRLF.
const maxLine = 4 << 10

// readLine returns the next line without its CRLF. It is valid until the next
// read.
func (c *Conn) readLine() ([]byte, error) {
	b, seen := c.buf, 0
	for {
		got := b.unread()
		if i := bytes.IndexByte(got[seen:], '\n'); i >= 0 {
			n := seen + i
			if n == 0 || got[n-1] != '\r' {
				return nil, malformed("a line of the chunked coding does not end in CRLF")
			}
			b.r += n + 1
			return got[:n-1], nil
		}
		if len(got) > maxLine {
			return nil, malformed("a line of the chunked coding exceeds %d bytes", maxLine)
		}
		seen = len(got)
		if err := c.fill(); err != nil {
			return nil, unexpected(err)
		}
	}
}

// directRead is from how many bytes on a read goes past the buffer.
const directRead = 4 << 10

// readSome reads what is there, or waits for more.
func (c *Conn) readSome(p []byte) (int, error) {
	b := c.buf
	if b.r == b.w {
		if len(p) >= directRead {
			return c.read(p)
		}
		if err := c.fill(); err != nil {
			return 0, err
		}
	}
	n := copy(p, b.unread())
	b.r += n
	return n, nil
}

// unexpected is for an end of the connection where more must follow.
func unexpected(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}
