package h1

import (
	"bytes"
	"io"
	"net/http"
)

// A chunkState is where in the chunked coding (RFC 9112, section 7.1) a body is.
//
//	size [;extension] CRLF  data CRLF  ...  0 CRLF  [trailers]  CRLF
type chunkState struct {
	inside bool // a chunk's CRLF is still to come
	last   bool // the chunk of size 0 was read
	excess int  // bytes of overhead beyond what is reasonable
}

// maxExcess is how much overhead beyond the reasonable a body may have, in
// bytes: someone who sends chunks of one byte with long extensions costs us
// much and is paid for by nobody.
const maxExcess = 16 << 10

// readChunked reads data of as many chunks as are there. It waits only if there
// is nothing to return.
func (x *exchange) readChunked(p []byte) (n int, err error) {
	c := x.conn
	for n < len(p) {
		if n > 0 && !x.moreIsThere() {
			return n, nil
		}
		switch {
		case x.left > 0:
			m, err := c.readSome(p[n:][:min(int64(len(p)-n), x.left)])
			n += m
			x.left -= int64(m)
			if err != nil {
				return n, unexpected(err)
			}
		case x.chunks.last:
			return n, x.readTrailers()
		default:
			if err := x.nextChunk(); err != nil {
				return n, err
			}
		}
	}
	return n, nil
}

// moreIsThere reports whether the next step takes no wait.
func (x *exchange) moreIsThere() bool {
	got := x.conn.buf.unread()
	switch {
	case x.left > 0:
		return len(got) > 0
	case x.chunks.last:
		return bytes.HasPrefix(got, blankLine[:2]) || bytes.Contains(got, blankLine)
	case x.chunks.inside:
		return len(got) > 2 && bytes.IndexByte(got[2:], '\n') >= 0
	}
	return bytes.IndexByte(got, '\n') >= 0
}

// nextChunk reads the CRLF behind a chunk, and the head of the next.
func (x *exchange) nextChunk() error {
	c, s := x.conn, &x.chunks
	if s.inside {
		line, err := c.readLine()
		if err != nil {
			return err
		}
		if len(line) > 0 {
			return malformed("a chunk is longer than it said")
		}
		s.inside = false
	}
	line, err := c.readLine()
	if err != nil {
		return err
	}
	size, err := chunkSize(line)
	if err != nil {
		return err
	}
	s.excess = max(0, s.excess+len(line)+2-16-int(min(2*size, maxExcess)))
	if s.excess > maxExcess {
		return malformed("chunks have too much overhead")
	}
	x.left, s.inside, s.last = size, size > 0, size == 0
	return nil
}

// maxChunk is what a chunk must be smaller than, far from any overflow.
const maxChunk = 1 << 60

// chunkSize parses the head of a chunk. Extensions are read over: they are
// between the backend and us, and mean nothing to us (RFC 9112, section 7.1.1).
func chunkSize(line []byte) (int64, error) {
	size, digits := int64(0), 0
	for ; digits < len(line); digits++ {
		d := hexDigit(line[digits])
		if d < 0 {
			break
		}
		if size >= maxChunk>>4 {
			return 0, malformed("chunk size %.64q", line)
		}
		size = size<<4 | int64(d)
	}
	rest := bytes.TrimLeft(line[digits:], " \t")
	if digits == 0 || len(rest) > 0 && rest[0] != ';' || !validValue(string(rest)) {
		return 0, malformed("chunk size %.64q", line)
	}
	return size, nil
}

// hexDigit returns -1 for what is none.
func hexDigit(c byte) int {
	switch {
	case '0' <= c && c <= '9':
		return int(c - '0')
	case 'a' <= c && c <= 'f':
		return int(c-'a') + 10
	case 'A' <= c && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}

// readTrailers reads what is behind the last chunk. It returns io.EOF if all is
// well.
func (x *exchange) readTrailers() error {
	c := x.conn
	for len(c.buf.unread()) < 2 {
		if err := c.fill(); err != nil {
			return unexpected(err)
		}
	}
	if bytes.HasPrefix(c.buf.unread(), blankLine[:2]) {
		c.buf.r += 2
		return io.EOF
	}
	section, err := c.readSection(nil)
	if err != nil {
		return unexpected(err)
	}
	trailer, err := parseFields(section)
	if err != nil {
		return err
	}
	for name, values := range trailer {
		if framingField(name) {
			return malformed("trailer %s is not allowed", name)
		}
		if x.response.Trailer == nil {
			x.response.Trailer = make(http.Header, len(trailer))
		}
		x.response.Trailer[name] = values
	}
	return io.EOF
}
