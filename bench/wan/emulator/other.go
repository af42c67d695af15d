//go:build !linux

package emulator

import "fmt"

func open(Config) (*WAN, error) {
	return nil, fmt.Errorf("open an emulated network: %w: it runs on Linux only", ErrUnavailable)
}

// A namespace is nothing here.
type namespace struct{}

func (namespace) inside(func() error) error { return ErrUnavailable }
