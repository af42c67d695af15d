//go:build unix

package h1

import (
	"io"
	"syscall"
)

// readNow reads what is there.
func (w *Wire) readNow(fd uintptr) {
	for {
		n, err := syscall.Read(int(fd), w.into)
		switch {
		case err == syscall.EINTR:
			continue
		case err == syscall.EAGAIN:
			w.got, w.gotErr = 0, nothing{}
		case err != nil:
			w.got, w.gotErr = 0, err
		case n == 0:
			w.got, w.gotErr = 0, io.EOF
		default:
			w.got, w.gotErr = n, nil
		}
		return
	}
}
