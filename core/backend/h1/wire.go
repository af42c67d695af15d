package h1

import (
	"errors"
	"io"
	"net"
	"syscall"
)

// A Wire is a TCP connection that can be asked, without waiting, whether
// something came in. TLS goes on top of it.
type Wire struct {
	*net.TCPConn
	raw    syscall.RawConn
	asking bool // Read does not wait, Write does not write
	asked  func(fd uintptr)
	one    [1]byte
	into   []byte
	got    int
	gotErr error
}

// NewWire returns a Wire over c.
func NewWire(c *net.TCPConn) (*Wire, error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return nil, err
	}
	w := &Wire{TCPConn: c, raw: raw}
	w.asked = w.readNow
	return w, nil
}

// nothing says that nothing came in. crypto/tls keeps a connection usable after
// such an error.
type nothing struct{}

func (nothing) Error() string   { return "nothing to read" }
func (nothing) Timeout() bool   { return true }
func (nothing) Temporary() bool { return true }

var errAsking = errors.New("connection is only asked for what came in")

// Read implements net.Conn.
func (w *Wire) Read(p []byte) (int, error) {
	if !w.asking {
		return w.TCPConn.Read(p)
	}
	w.into = p
	err := w.raw.Control(w.asked) // no deadline holds here
	w.into = nil
	if err != nil {
		return 0, err
	}
	return w.got, w.gotErr
}

// Write implements net.Conn.
func (w *Wire) Write(p []byte) (int, error) {
	if w.asking {
		return 0, errAsking
	}
	return w.TCPConn.Write(p)
}

// Quiet reports whether the connection is open and nothing that means anything
// came in. r is w or what stands on it: of TLS it also sees what was decrypted
// already, and takes in tickets and the like. Nobody may read or write
// meanwhile. What Quiet has read is lost: a connection that is not quiet must
// be closed. It costs one system call.
func (w *Wire) Quiet(r io.Reader) bool {
	w.asking = true
	n, err := r.Read(w.one[:])
	w.asking = false
	return n == 0 && errors.Is(err, nothing{})
}
