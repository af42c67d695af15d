//go:build !linux

package wan

import (
	"syscall"

	"github.com/ergoproxy/ergo/bench/wan/emulator"
)

func useCongestionControl(string) func(network, address string, conn syscall.RawConn) error {
	return func(string, string, syscall.RawConn) error { return emulator.ErrUnavailable }
}
