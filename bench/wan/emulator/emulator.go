// Package emulator is a wide area network on one machine, for real TCP and UDP:
// two network namespaces whose only link is a program that delays, loses, repeats,
// reorders and queues packets.
//
//	Near 10.98.0.1 ─TUN─▶ forwarder: linktest.Path out  ─TUN─▶ Far 10.98.0.2
//	               ◀─TUN─ forwarder: linktest.Path back ◀─TUN─
//
// It is for kernels without netem, and does what linktest does in memory, so that a
// link is judged by the same Conditions in a test and in the bench. A packet is timed
// when it is read from its device and written to the other one when it is due, on
// one real-time thread that looks after both at most every 0.1 ms and sleeps with the
// precision of the kernel. Counters say how late packets were delivered; a virtual
// machine that is not let run for 10 ms shows there. 200 Mbit/s of full packets and
// their acknowledgements take 0.3 of a CPU.
//
// The devices have an MTU of 1500 bytes, or the larger one of the Conditions. A packet
// above the MTU of the Conditions vanishes, fragments are not made: that is a path
// whose MTU is smaller than that of the link, and whose ICMP is lost. Only IPv4
// crosses. Both sides use the TCP congestion control of the network that the
// emulator was opened in, and a loopback of their own.
//
// Linux only. It takes CAP_NET_ADMIN and CAP_SYS_ADMIN, as root has them. Nothing
// that it makes has a name: all of it is gone after Close, or when the process is
// killed, as soon as nobody else uses it. Methods may be called concurrently.
package emulator

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os/exec"
	"time"

	"github.com/ergoproxy/ergo/shared/link/linktest"
)

// ErrUnavailable is matched by the error of Open if this machine, or this user of
// it, cannot have an emulated network. The error says what is missing.
var ErrUnavailable = errors.New("no emulated network here")

// deviceMTU is that of the devices unless the Conditions allow more.
const deviceMTU = 1500

// A Config says what the network is like when it is opened.
type Config struct {
	// Out is for packets from Near to Far, Back for the others. A Loss has a state:
	// it belongs to one direction.
	Out, Back linktest.Conditions
	// Seed of what happens at random. The same packets at the same times have the
	// same fates again.
	Seed uint64
}

// A WAN is an open network.
type WAN struct {
	Near, Far *Side

	out, back *direction
	stop      func() error
}

// Open makes a network. The error matches ErrUnavailable if that cannot be done
// here at all.
func Open(c Config) (*WAN, error) { return open(c) }

// Available returns nil if Open works, or what it is missing.
func Available() error {
	w, err := Open(Config{})
	if err != nil {
		return err
	}
	return w.Close()
}

// Set changes the conditions for packets sent from now on. The devices keep their
// MTU.
func (w *WAN) Set(out, back linktest.Conditions) {
	w.out.path.Set(out)
	w.back.path.Set(back)
}

// Counters returns what has happened so far to packets from Near to Far (out) and
// to the others.
func (w *WAN) Counters() (out, back Counters) { return w.out.counters(), w.back.counters() }

// Close ends the network; connections through it stall. It returns an error if
// forwarding had ended before. It must be called once.
func (w *WAN) Close() error { return w.stop() }

// A Side is a network that has one way out: to the other Side.
type Side struct {
	// Address is where the other side finds this one.
	Address netip.Addr

	namespace
}

// Inside calls f, and returns its error, on a thread of this side: sockets that f
// opens and processes that it starts belong there and stay there, while what else f
// does is as anywhere. f must not start goroutines that open sockets.
func (s *Side) Inside(f func() error) error { return s.inside(f) }

// Dial connects from this side. The address is an IP address and a port.
func (s *Side) Dial(ctx context.Context, network, address string) (conn net.Conn, err error) {
	err = s.Inside(func() (err error) {
		var d net.Dialer
		conn, err = d.DialContext(ctx, network, address)
		return err
	})
	return conn, err
}

// Listen accepts TCP connections at an address of this side.
func (s *Side) Listen(ctx context.Context, network, address string) (listener net.Listener, err error) {
	err = s.Inside(func() (err error) {
		var c net.ListenConfig
		listener, err = c.Listen(ctx, network, address)
		return err
	})
	return listener, err
}

// ListenPacket opens a UDP socket at an address of this side.
func (s *Side) ListenPacket(ctx context.Context, network, address string) (conn net.PacketConn, err error) {
	err = s.Inside(func() (err error) {
		var c net.ListenConfig
		conn, err = c.ListenPacket(ctx, network, address)
		return err
	})
	return conn, err
}

// Start starts a process in this side. It does not end with the network. One with
// Pdeathsig ends when this process does.
func (s *Side) Start(cmd *exec.Cmd) error { return s.Inside(cmd.Start) }

// Counters say what happened to the packets of one direction, and how well the
// emulator kept its own promise.
type Counters struct {
	linktest.Counters
	// Refused packets were to arrive and found no room: at most 65,536 may be under
	// way, and the device of the other side takes only so many. 0 in a run that counts.
	Refused int64
	// Lateness of packets behind the moment that the Conditions gave them.
	Late     int64         // packets that were more than LateBy late
	Latest   time.Duration // the largest
	Lateness time.Duration // the sum over Arrived packets
	Arrived  int64         // packets that were written to the other side, repeated ones twice
}

// LateBy is the lateness from which a packet counts as late.
const LateBy = time.Millisecond
