package emulator

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"

	"golang.org/x/sys/unix"
)

const (
	tunFile = "/dev/net/tun"
	// deviceName is the same in both namespaces.
	deviceName = "wan"
	// deviceQueue is how many packets a device holds that the forwarder has not read:
	// more than TCP sends at once on a path of 200 Mbit/s, so that only the Path drops.
	deviceQueue = 10_000
	// congestionFile names the congestion control of new TCP sockets. It is another
	// file in each namespace.
	congestionFile = "/proc/sys/net/ipv4/tcp_congestion_control"
)

// openDevice makes a TUN device in the namespace of the calling thread. Packets
// that leave the namespace are read from the descriptor, and those written to it
// arrive there. The device exists as long as the descriptor is open.
func openDevice(mtu int, address netip.Addr) (fd int, err error) {
	fd, err = unix.Open(tunFile, unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("open %s: %w", tunFile, err)
	}
	defer func() {
		if err != nil {
			unix.Close(fd)
		}
	}()
	request, err := unix.NewIfreq(deviceName)
	if err != nil {
		return -1, err
	}
	request.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
	if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, request); err != nil {
		return -1, fmt.Errorf("make a TUN device: %w", err)
	}
	return fd, configure(mtu, address)
}

// configure gives the device its address in a network of both sides, and brings it
// and the loopback up.
func configure(mtu int, address netip.Addr) error {
	socket, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open a socket: %w", err)
	}
	defer unix.Close(socket)
	ip, mask := address.As4(), [4]byte{255, 255, 255, 0}
	const up = unix.IFF_UP | unix.IFF_RUNNING
	for _, step := range []struct {
		what, device string
		ioctl        uint
		set          func(*unix.Ifreq) error
	}{
		{"MTU", deviceName, unix.SIOCSIFMTU, func(r *unix.Ifreq) error { r.SetUint32(uint32(mtu)); return nil }},
		{"queue", deviceName, unix.SIOCSIFTXQLEN, func(r *unix.Ifreq) error { r.SetUint32(deviceQueue); return nil }},
		{"address", deviceName, unix.SIOCSIFADDR, func(r *unix.Ifreq) error { return r.SetInet4Addr(ip[:]) }},
		{"netmask", deviceName, unix.SIOCSIFNETMASK, func(r *unix.Ifreq) error { return r.SetInet4Addr(mask[:]) }},
		{"flags", deviceName, unix.SIOCSIFFLAGS, func(r *unix.Ifreq) error { r.SetUint16(up); return nil }},
		{"flags", "lo", unix.SIOCSIFFLAGS, func(r *unix.Ifreq) error { r.SetUint16(up); return nil }},
	} {
		request, err := unix.NewIfreq(step.device)
		if err == nil {
			err = step.set(request)
		}
		if err == nil {
			err = unix.IoctlIfreq(socket, step.ioctl, request)
		}
		if err != nil {
			return fmt.Errorf("set %s of %s: %w", step.what, step.device, err)
		}
	}
	return nil
}

// useCongestionControl has new TCP connections of the calling thread's namespace
// use that algorithm.
func useCongestionControl(name []byte) error {
	current, err := os.ReadFile(congestionFile)
	if err == nil && string(current) != string(name) {
		err = os.WriteFile(congestionFile, name, 0)
	}
	return err
}

// explain adds what a user can do to the errors of a machine that lacks something.
func explain(err error) error {
	switch {
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES):
		return fmt.Errorf("%w: %w; it takes CAP_NET_ADMIN and CAP_SYS_ADMIN: run it as root", ErrUnavailable, err)
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, unix.ENODEV), errors.Is(err, unix.ENXIO):
		return fmt.Errorf("%w: %w; it takes the kernel module tun and its device %s", ErrUnavailable, err, tunFile)
	case errors.Is(err, unix.EINVAL), errors.Is(err, unix.ENOSYS):
		return fmt.Errorf("%w: %w; it takes a kernel with network namespaces", ErrUnavailable, err)
	default:
		return err
	}
}
