package emulator

import (
	"container/heap"
	"errors"
	"fmt"
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// readAtOnce is how many packets are read from one device before those that are
	// due are looked after.
	readAtOnce = 16
	// longestWait bounds a wait with nothing to do.
	longestWait = time.Second
	// turnTime is how much time lies at least between two looks at the devices. A
	// lone packet does not meet it; of many, several are carried with one wake-up,
	// and wake-ups are what costs: at 200 Mbit/s the forwarder takes 0.51 of a CPU
	// without it and 0.28 with it.
	turnTime = 100 * time.Microsecond
)

// A wire takes packets from one device to another.
type wire struct {
	*direction
	from, to int // file descriptors of TUN devices
}

// A forwarder carries packets over two wires, on one thread and without locks of
// its own: at 200 Mbit/s a hand-over to a second one would cost more than the rest.
type forwarder struct {
	wires [2]*wire
	wake  int // an eventfd; readable when it is time to end
	mtu   int

	waiting queue
	number  uint64
	turn    time.Time // when rest last returned
	free    []*packet
	spare   []byte // for what the path loses
}

func newForwarder(out, back *wire, wake, mtu int) *forwarder {
	return &forwarder{wires: [2]*wire{out, back}, wake: wake, mtu: mtu, spare: make([]byte, mtu)}
}

// run forwards until wake is readable.
func (f *forwarder) run() error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	defer hasten()()
	polled := []unix.PollFd{
		{Fd: int32(f.wires[0].from), Events: unix.POLLIN},
		{Fd: int32(f.wires[1].from), Events: unix.POLLIN},
		{Fd: int32(f.wake), Events: unix.POLLIN},
	}
	for {
		f.rest()
		wait := unix.NsecToTimespec(int64(f.deliver()))
		_, err := unix.Ppoll(polled, &wait, nil)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return fmt.Errorf("wait for packets: %w", err)
		}
		if polled[2].Revents != 0 {
			return nil
		}
		for i, w := range f.wires {
			if polled[i].Revents == 0 {
				continue
			}
			if err := f.take(w); err != nil {
				return err
			}
		}
	}
}

// rest waits until turnTime has passed since it last returned.
func (f *forwarder) rest() {
	now := time.Now()
	if pause := f.turn.Add(turnTime).Sub(now); pause > 0 {
		t := unix.NsecToTimespec(int64(pause))
		_ = unix.Nanosleep(&t, nil) // an interrupted rest is a shorter one
		now = time.Now()
	}
	f.turn = now
}

// hasten makes the thread wake up as exactly as the kernel can, and returns what
// ends that. Without these rights it forwards as well, only later.
func hasten() (relax func()) {
	// 1 ns instead of the 50 µs by which the kernel may put off a timer.
	_ = unix.Prctl(unix.PR_SET_TIMERSLACK, 1, 0, 0, 0)
	// The network is not a part of what is measured on it: it goes before all that is
	// not real-time itself. turnTime leaves the others most of the CPU.
	before, err := unix.SchedGetAttr(0, 0)
	if err == nil {
		err = unix.SchedSetAttr(0, &unix.SchedAttr{Policy: unix.SCHED_RR, Priority: 1, Flags: unix.SCHED_FLAG_RESET_ON_FORK}, 0)
	}
	return func() {
		_ = unix.Prctl(unix.PR_SET_TIMERSLACK, 0, 0, 0, 0) // 0: as it was at first
		if err == nil {
			_ = unix.SchedSetAttr(0, before, 0)
		}
	}
}

// take reads a few packets of a wire and decides when they arrive.
func (f *forwarder) take(w *wire) error {
	for range readAtOnce {
		n, err := unix.Read(w.from, f.spare)
		switch {
		case errors.Is(err, unix.EAGAIN):
			return nil
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return fmt.Errorf("read a packet: %w", err)
		case n == 0 || f.spare[0]>>4 != 4:
			continue // a neighbour discovery of IPv6
		}
		due, times := w.path.Send(time.Now(), n)
		for _, due := range due[:times] {
			f.schedule(w, due, f.spare[:n])
		}
	}
	return nil
}

// schedule keeps a copy of a packet until it is due.
func (f *forwarder) schedule(w *wire, due time.Time, data []byte) {
	if len(f.waiting) == maxUnderWay {
		w.refused()
		return
	}
	p := f.unused()
	f.number++
	p.due, p.number, p.to = due, f.number, w
	p.size = copy(p.data, data)
	heap.Push(&f.waiting, p)
}

func (f *forwarder) unused() *packet {
	last := len(f.free) - 1
	if last < 0 {
		return &packet{data: make([]byte, f.mtu)}
	}
	p := f.free[last]
	f.free = f.free[:last]
	return p
}

// deliver writes what is due and returns how long it is until the next packet is.
func (f *forwarder) deliver() time.Duration {
	for len(f.waiting) > 0 {
		p, now := f.waiting[0], time.Now()
		if now.Before(p.due) {
			return min(p.due.Sub(now), longestWait)
		}
		heap.Pop(&f.waiting)
		if _, err := unix.Write(p.to.to, p.data[:p.size]); err != nil {
			p.to.refused()
		} else {
			p.to.arrived(now.Sub(p.due))
		}
		f.free = append(f.free, p)
	}
	return longestWait
}
