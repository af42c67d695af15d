package listener

import (
	"bytes"
	"encoding/binary"
	"errors"
	"net"
	"os"
	"time"
)

// A frameWatch follows the frames that an HTTP/2 client sends (RFC 9113, section
// 4.1) and bounds what net/http leaves unbounded: the time that a head or another
// frame may take to arrive, and the number of frames that cost the server work
// and the client nothing. Only the nine bytes of each frame's header are looked
// at. It is not safe for concurrent use.
type frameWatch struct {
	limits  *Limits
	refused func(*refusal)

	preface int     // bytes of the connection preface seen
	header  [9]byte // of the frame that is arriving
	have    int     // bytes of header
	left    int     // bytes of the payload to come
	kind    byte
	inBlock bool // HEADERS came without END_HEADERS

	began  time.Time // when what is incomplete began; zero: nothing is
	budget float64   // control frames that may come now
	filled time.Time // when budget was last filled
	failed error
}

const (
	frameData         = 0x0
	frameHeaders      = 0x1
	framePriority     = 0x2
	frameReset        = 0x3
	frameSettings     = 0x4
	framePing         = 0x6
	frameContinuation = 0x9
	framePriorityRFC  = 0x10 // PRIORITY_UPDATE, RFC 9218

	flagAck        = 0x1
	flagEndStream  = 0x1
	flagEndHeaders = 0x4
)

// controlBurst is how many seconds' worth of control frames may come at once.
const controlBurst = 10

func newFrameWatch(limits *Limits, refused func(*refusal)) *frameWatch {
	return &frameWatch{
		limits: limits, refused: refused, filled: time.Now(),
		budget: float64(limits.ControlFrames * controlBurst),
	}
}

// begin takes over after the preface; rest came with it.
func (f *frameWatch) begin(rest []byte) {
	f.preface = len(http2Preface)
	f.failed = f.follow(rest)
	f.mark()
}

// read reads from c into p on behalf of net/http's HTTP/2 server.
func (f *frameWatch) read(c net.Conn, p []byte) (int, error) {
	if f.failed != nil {
		return 0, f.failed
	}
	if f.began.IsZero() {
		return f.took(c, p)
	}
	c.SetReadDeadline(f.began.Add(f.limits.HeaderTimeout.Std()))
	n, err := f.took(c, p)
	c.SetReadDeadline(time.Time{})
	if err != nil && errors.Is(err, os.ErrDeadlineExceeded) {
		f.refused(slowHead)
		f.failed = slowHead
		return n, slowHead
	}
	return n, err
}

func (f *frameWatch) took(c net.Conn, p []byte) (int, error) {
	n, err := c.Read(p)
	if fault := f.follow(p[:n]); fault != nil {
		f.failed = fault
		return 0, fault
	}
	f.mark()
	return n, err
}

// mark notes since when something is incomplete.
func (f *frameWatch) mark() {
	incomplete := f.have > 0 || f.inBlock || f.left > 0 && f.kind != frameData || f.preface < len(http2Preface)
	switch {
	case !incomplete:
		f.began = time.Time{}
	case f.began.IsZero():
		f.began = time.Now()
	}
}

// follow looks at the frames in p.
func (f *frameWatch) follow(p []byte) error {
	if f.preface < len(http2Preface) {
		n := min(len(p), len(http2Preface)-f.preface)
		if !bytes.Equal(p[:n], http2Preface[f.preface:f.preface+n]) {
			f.refused(badPreface)
			return badPreface
		}
		f.preface += n
		p = p[n:]
	}
	for len(p) > 0 {
		if f.left > 0 {
			n := min(f.left, len(p))
			f.left -= n
			p = p[n:]
			continue
		}
		n := copy(f.header[f.have:], p)
		f.have += n
		p = p[n:]
		if f.have == len(f.header) {
			f.have = 0
			if err := f.frame(); err != nil {
				return err
			}
		}
	}
	return nil
}

// frame looks at a frame's header.
func (f *frameWatch) frame() error {
	f.left = int(binary.BigEndian.Uint32(f.header[:4]) >> 8)
	f.kind = f.header[3]
	flags := f.header[4]
	switch f.kind {
	case frameHeaders, frameContinuation:
		f.inBlock = flags&flagEndHeaders == 0
		if f.kind == frameHeaders || f.left > 0 {
			return nil
		}
	case frameData:
		if f.left > 0 || flags&flagEndStream != 0 {
			return nil
		}
	case framePing, frameSettings:
		if flags&flagAck != 0 {
			return nil
		}
	case frameReset, framePriority, framePriorityRFC:
	default:
		return nil
	}
	return f.spend()
}

// spend pays for one control frame.
func (f *frameWatch) spend() error {
	rate := float64(f.limits.ControlFrames)
	if rate == 0 {
		return nil
	}
	if f.budget < 1 {
		now := time.Now()
		f.budget = min(rate*controlBurst, f.budget+now.Sub(f.filled).Seconds()*rate)
		f.filled = now
	}
	if f.budget < 1 {
		f.refused(floodedFrames)
		return floodedFrames
	}
	f.budget--
	return nil
}

// An h2Conn is the connection that net/http's HTTP/2 server reads, over TLS. It
// is no *tls.Conn: net/http takes it for clear text and waits for the preface,
// which every HTTP/2 client sends.
type h2Conn struct {
	net.Conn
	link   *link
	sock   *sock
	frames *frameWatch
}

func (c *h2Conn) Read(p []byte) (int, error) {
	n, err := c.frames.read(c.Conn, p)
	if n > 0 {
		c.sock.use()
	}
	return n, err
}
