package load

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
)

// Limits of an answer's head and of a line in it.
const (
	maxHead = 64 << 10
	maxLine = 16 << 10
)

var errProtocol = errors.New("malformed HTTP/1.1 answer")

type answerState uint8

const (
	inStatusLine answerState = iota
	inHeader
	inLengthBody // left says how much is to come
	inCloseBody  // until the connection ends
	inChunkSize
	inChunk // left says how much is to come
	inChunkEnd
	inTrailer
	answered
)

// An answer reads one HTTP/1.1 response (RFC 9112) from pieces of any size, and
// keeps only what a load generator wants to know. The zero value is ready.
type answer struct {
	toHead    bool // the request was HEAD: no body follows
	state     answerState
	status    int
	length    int64 // body bytes so far, without chunk framing
	keepAlive bool

	left       int64 // of the body or chunk; -1 while no length was declared
	chunked    bool
	oldVersion bool // HTTP/1.0
	headSize   int
	line       []byte // the part of a line that came with earlier pieces
}

// reset prepares for the next answer and keeps memory.
func (a *answer) reset() {
	*a = answer{toHead: a.toHead, line: a.line[:0], left: -1, keepAlive: true}
}

// feed takes the next bytes of the connection and reports whether the answer is
// complete. Bytes past its end are an error: nothing was asked that they could
// answer. The error matches errProtocol.
func (a *answer) feed(b []byte) (bool, error) {
	for len(b) > 0 {
		switch a.state {
		case inLengthBody, inChunk:
			n := min(a.left, int64(len(b)))
			a.left -= n
			a.length += n
			b = b[n:]
			if a.left == 0 && a.state == inLengthBody {
				a.state = answered
			} else if a.left == 0 {
				a.state = inChunkEnd
			}
		case inCloseBody:
			a.length += int64(len(b))
			return false, nil
		case answered:
			return false, fmt.Errorf("%w: %d bytes after its end", errProtocol, len(b))
		default:
			line, rest, err := a.nextLine(b)
			if err != nil {
				return false, err
			}
			b = rest
			if line == nil {
				return false, nil
			}
			if err := a.takeLine(line); err != nil {
				return false, err
			}
			a.line = a.line[:0]
		}
	}
	return a.state == answered, nil
}

// end reports whether the answer is complete now that the connection has ended.
func (a *answer) end() bool { return a.state == answered || a.state == inCloseBody }

// nextLine returns a whole line without its end, or nil if b has none.
func (a *answer) nextLine(b []byte) (line, rest []byte, err error) {
	end := bytes.IndexByte(b, '\n')
	piece := b
	if end >= 0 {
		piece, rest = b[:end+1], b[end+1:]
	}
	a.headSize += len(piece)
	if len(a.line)+len(piece) > maxLine || a.headSize > maxHead && a.state <= inHeader {
		return nil, nil, fmt.Errorf("%w: line over %d or head over %d bytes", errProtocol, maxLine, maxHead)
	}
	if end < 0 || len(a.line) > 0 {
		a.line = append(a.line, piece...)
		piece = a.line
	}
	if end < 0 {
		return nil, nil, nil
	}
	line, found := bytes.CutSuffix(piece, []byte("\r\n"))
	if !found {
		return nil, nil, fmt.Errorf("%w: line %.40q without CR", errProtocol, piece)
	}
	return line, rest, nil
}

func (a *answer) takeLine(line []byte) error {
	switch a.state {
	case inStatusLine:
		return a.takeStatus(line)
	case inHeader:
		if len(line) > 0 {
			return a.takeField(line)
		}
		return a.endHead()
	case inChunkSize:
		size, _, _ := bytes.Cut(line, []byte(";"))
		n, err := strconv.ParseUint(string(bytes.TrimSpace(size)), 16, 62)
		if err != nil {
			return fmt.Errorf("%w: chunk size %.40q", errProtocol, line)
		}
		a.left, a.state = int64(n), inChunk
		if n == 0 {
			a.state = inTrailer
		}
	case inChunkEnd:
		if len(line) > 0 {
			return fmt.Errorf("%w: %.40q after a chunk", errProtocol, line)
		}
		a.state = inChunkSize
	case inTrailer:
		if len(line) == 0 {
			a.state = answered
		}
	}
	return nil
}

func (a *answer) takeStatus(line []byte) error {
	// "HTTP/1.1 200 OK"; the reason may be missing.
	if len(line) < 12 || string(line[:7]) != "HTTP/1." || line[7] != '0' && line[7] != '1' || line[8] != ' ' || len(line) > 12 && line[12] != ' ' {
		return fmt.Errorf("%w: status line %.40q", errProtocol, line)
	}
	status, err := strconv.Atoi(string(line[9:12]))
	if err != nil || status < 100 {
		return fmt.Errorf("%w: status line %.40q", errProtocol, line)
	}
	a.status, a.state = status, inHeader
	a.oldVersion = line[7] == '0'
	a.keepAlive = !a.oldVersion
	return nil
}

// takeField looks at the four names that matter, by length first.
func (a *answer) takeField(line []byte) error {
	colon := bytes.IndexByte(line, ':')
	if colon < 1 {
		return fmt.Errorf("%w: header line %.40q", errProtocol, line)
	}
	name, value := line[:colon], bytes.TrimSpace(line[colon+1:])
	switch {
	case colon == len("Content-Length") && bytes.EqualFold(name, []byte("Content-Length")):
		n, err := strconv.ParseUint(string(value), 10, 62)
		if err != nil || a.left >= 0 && a.left != int64(n) {
			return fmt.Errorf("%w: Content-Length %.40q", errProtocol, value)
		}
		a.left = int64(n)
	case colon == len("Transfer-Encoding") && bytes.EqualFold(name, []byte("Transfer-Encoding")):
		if !bytes.EqualFold(value, []byte("chunked")) {
			return fmt.Errorf("%w: Transfer-Encoding %.40q", errProtocol, value)
		}
		a.chunked = true
	case colon == len("Connection") && bytes.EqualFold(name, []byte("Connection")):
		if bytes.EqualFold(value, []byte("close")) {
			a.keepAlive = false
		} else if bytes.EqualFold(value, []byte("keep-alive")) {
			a.keepAlive = true
		}
	}
	return nil
}

// endHead finds out how long the body is (RFC 9112, section 6.3).
func (a *answer) endHead() error {
	switch {
	case a.status == 101:
		return fmt.Errorf("%w: 101 to a request without Upgrade", errProtocol)
	case a.status < 200: // an interim answer; the final one follows
		a.state, a.left, a.chunked, a.headSize = inStatusLine, -1, false, 0
	case a.toHead || a.status == 204 || a.status == 304:
		a.state = answered
	case a.chunked && a.oldVersion: // RFC 9112, section 6.1: its framing is faulty
		return fmt.Errorf("%w: Transfer-Encoding in HTTP/1.0", errProtocol)
	case a.chunked && a.left >= 0:
		return fmt.Errorf("%w: both Content-Length and Transfer-Encoding", errProtocol)
	case a.chunked:
		a.state = inChunkSize
	case a.left == 0:
		a.state = answered
	case a.left > 0:
		a.state = inLengthBody
	default:
		a.state, a.keepAlive = inCloseBody, false
	}
	return nil
}
