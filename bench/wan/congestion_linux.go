package wan

import (
	"fmt"
	"syscall"

	"golang.org/x/sys/unix"
)

// useCongestionControl has a TCP socket, and those that it accepts, use that
// algorithm.
func useCongestionControl(name string) func(network, address string, conn syscall.RawConn) error {
	return func(_, _ string, conn syscall.RawConn) error {
		var set error
		if err := conn.Control(func(fd uintptr) {
			set = unix.SetsockoptString(int(fd), unix.IPPROTO_TCP, unix.TCP_CONGESTION, name)
		}); err != nil {
			return err
		}
		if set != nil {
			return fmt.Errorf("set congestion control %s: %w", name, set)
		}
		return nil
	}
}
