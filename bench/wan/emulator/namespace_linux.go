package emulator

import (
	"errors"
	"fmt"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// ownNamespace is the network that the calling thread is in.
const ownNamespace = "/proc/thread-self/ns/net"

// A namespace is a network without a name. It lives as long as a file, a socket or
// a process holds it; the descriptor here is one, and ends with this process.
type namespace struct {
	file *os.File
}

// away runs f on a thread that f may move to another network, and moves it back. The
// thread lives on: the kernel ends the processes that it has started (those with
// Pdeathsig) when it does. Only one that cannot go back is given up.
func away(f func() error) error {
	result := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		home, err := os.Open(ownNamespace)
		if err != nil {
			runtime.UnlockOSThread()
			result <- fmt.Errorf("find the own network namespace: %w", err)
			return
		}
		defer home.Close()
		err = f()
		if back := unix.Setns(int(home.Fd()), unix.CLONE_NEWNET); back != nil {
			err = errors.Join(err, fmt.Errorf("leave the network namespace: %w", back))
		} else {
			runtime.UnlockOSThread()
		}
		result <- err
	}()
	return <-result
}

// newNamespace makes a network with nothing in it but a loopback that is down.
func newNamespace() (n namespace, err error) {
	err = away(func() (err error) {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("make a network namespace: %w", err)
		}
		n.file, err = os.Open(ownNamespace)
		return err
	})
	return n, err
}

func (n namespace) close() error { return n.file.Close() }

// inside runs f on a thread that is in the namespace meanwhile.
func (n namespace) inside(f func() error) error {
	return away(func() error {
		if err := n.enter(); err != nil {
			return err
		}
		return f()
	})
}

// enter moves the calling thread. It may be called while the namespace is closed.
func (n namespace) enter() error {
	raw, err := n.file.SyscallConn()
	if err == nil {
		var setns error
		err = errors.Join(raw.Control(func(fd uintptr) { setns = unix.Setns(int(fd), unix.CLONE_NEWNET) }), setns)
	}
	if err != nil {
		return fmt.Errorf("enter the network namespace: %w", err)
	}
	return nil
}
