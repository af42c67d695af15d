package emulator

import (
	"errors"
	"fmt"
	"net/netip"
	"os"

	"golang.org/x/sys/unix"
)

// open is Open. What it has opened is closed by stop, in the opposite order.
func open(c Config) (w *WAN, err error) {
	var opened closers
	defer func() {
		if err != nil {
			opened.close()
			w, err = nil, fmt.Errorf("open an emulated network: %w", explain(err))
		}
	}()
	w = &WAN{out: newDirection(c.Seed, c.Out), back: newDirection(^c.Seed, c.Back)}
	mtu := max(deviceMTU, c.Out.MTU, c.Back.MTU)
	near, err := openSide(netip.MustParseAddr("10.98.0.1"), mtu, &opened)
	if err != nil {
		return nil, err
	}
	far, err := openSide(netip.MustParseAddr("10.98.0.2"), mtu, &opened)
	if err != nil {
		return nil, err
	}
	w.Near, w.Far = near.Side, far.Side
	wake, err := unix.Eventfd(0, unix.EFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("make an eventfd: %w", err)
	}
	opened = append(opened, func() error { return unix.Close(wake) })
	f := newForwarder(&wire{w.out, near.device, far.device}, &wire{w.back, far.device, near.device}, wake, mtu)
	ended := make(chan error, 1)
	go func() { ended <- f.run() }()
	w.stop = func() error {
		one := [8]byte{1} // in either byte order more than 0
		_, err := unix.Write(wake, one[:])
		return errors.Join(err, <-ended, opened.close())
	}
	return w, nil
}

// closers undo what was done, the last first.
type closers []func() error

func (c closers) close() error {
	var errs []error
	for i := len(c) - 1; i >= 0; i-- {
		errs = append(errs, c[i]())
	}
	return errors.Join(errs...)
}

// A sideDevice is a Side and the descriptor of its TUN device.
type sideDevice struct {
	*Side
	device int
}

func openSide(address netip.Addr, mtu int, opened *closers) (s sideDevice, err error) {
	congestionControl, err := os.ReadFile(congestionFile)
	if err != nil {
		return s, fmt.Errorf("read the congestion control of TCP: %w", err)
	}
	s.Side = &Side{Address: address}
	if s.namespace, err = newNamespace(); err != nil {
		return s, err
	}
	*opened = append(*opened, s.namespace.close)
	err = s.inside(func() error {
		if err := useCongestionControl(congestionControl); err != nil {
			return fmt.Errorf("set the congestion control of TCP: %w", err)
		}
		s.device, err = openDevice(mtu, address)
		return err
	})
	if err == nil {
		*opened = append(*opened, func() error { return unix.Close(s.device) })
	}
	return s, err
}
