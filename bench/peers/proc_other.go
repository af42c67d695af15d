//go:build !linux

package peers

import (
	"errors"
	"os"
	"syscall"
)

var errLinuxOnly = errors.New("the bench runs on Linux only")

func ownGroup() *syscall.SysProcAttr { return nil }

func terminate(pid int) error {
	p, err := os.FindProcess(pid)
	if err != nil {
		return err
	}
	return p.Kill()
}

func killGroup(pid int) error { return terminate(pid) }

// RaiseFileLimit returns an error: nothing can be measured here.
func RaiseFileLimit(uint64) error { return errLinuxOnly }

func treeUsage(int) (usage, error) { return usage{}, errLinuxOnly }
