package linktest

import (
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// receiveQueue is how many packets an end holds that nobody has read: about what
// a socket of 7 MiB has room for.
const receiveQueue = 4096

// A Conn is one end of a Pair: a net.PacketConn in memory.
type Conn struct {
	local  *net.UDPAddr
	seen   atomic.Pointer[net.UDPAddr] // as the other end sees it
	out    *Path
	peer   atomic.Pointer[Conn]
	in     chan datagram
	closed chan struct{}
	once   sync.Once

	mu       sync.Mutex // guards all below
	deadline time.Time
	changed  chan struct{} // closed when the deadline changes
}

type datagram struct {
	packet []byte
	from   *net.UDPAddr
}

// Pair returns two connected ends: what a sends goes over there, what b sends over
// back. Several pairs may share a Path. The timers are those of the time package, so a synctest bubble runs it in
// virtual time.
func Pair(there, back *Path) (a, b *Conn) {
	a = newConn(&net.UDPAddr{IP: net.IPv4(10, 0, 0, 1), Port: 1}, there)
	b = newConn(&net.UDPAddr{IP: net.IPv4(10, 0, 0, 2), Port: 2}, back)
	a.peer.Store(b)
	b.peer.Store(a)
	return a, b
}

func newConn(local *net.UDPAddr, out *Path) *Conn {
	c := &Conn{local: local, out: out, in: make(chan datagram, receiveQueue), closed: make(chan struct{}), changed: make(chan struct{})}
	c.seen.Store(local)
	return c
}

// Rebind changes the address from which the other end sees packets come, as a NAT
// does that has forgotten a mapping. LocalAddr stays. What the other end sends to
// the old address from now on vanishes.
func (c *Conn) Rebind(to *net.UDPAddr) { c.seen.Store(to) }

// Replace returns a new other end, at the address of the one before, that sends over
// back: the process there has been started anew.
func (c *Conn) Replace(back *Path) *Conn {
	b := newConn(c.peer.Load().local, back)
	b.peer.Store(c)
	c.peer.Store(b)
	return b
}

// Inject puts a packet that claims to be from that address before this end, at
// once, as somebody elsewhere may do.
func (c *Conn) Inject(packet []byte, from *net.UDPAddr) {
	c.arrive(datagram{append([]byte(nil), packet...), from})
}

func (c *Conn) arrive(d datagram) {
	select {
	case c.in <- d:
	default: // its socket is full
	}
}

// WriteTo sends b to the other end. Packets for other addresses than its own
// vanish.
func (c *Conn) WriteTo(b []byte, to net.Addr) (int, error) {
	select {
	case <-c.closed:
		return 0, net.ErrClosed
	default:
	}
	peer := c.peer.Load()
	if udp, ok := to.(*net.UDPAddr); !ok || key(udp) != key(peer.seen.Load()) {
		return len(b), nil
	}
	now := time.Now()
	at, n := c.out.Send(now, len(b))
	for _, at := range at[:n] {
		d := datagram{append([]byte(nil), b...), c.seen.Load()}
		time.AfterFunc(at.Sub(now), func() { peer.arrive(d) })
	}
	return len(b), nil
}

// key returns an address in the one form in which two of them can be compared.
func key(a *net.UDPAddr) netip.AddrPort {
	addr := a.AddrPort()
	return netip.AddrPortFrom(addr.Addr().Unmap(), addr.Port())
}

func (c *Conn) ReadFrom(b []byte) (int, net.Addr, error) {
	for {
		c.mu.Lock()
		deadline, changed := c.deadline, c.changed
		c.mu.Unlock()
		var expired <-chan time.Time
		var timer *time.Timer
		if !deadline.IsZero() {
			timer = time.NewTimer(time.Until(deadline))
			expired = timer.C
		}
		d, err := c.receive(expired, changed)
		if timer != nil {
			timer.Stop()
		}
		if d.packet != nil {
			return copy(b, d.packet), d.from, nil
		}
		if err != nil {
			return 0, nil, err
		}
	}
}

// receive returns a packet, an error, or neither if the deadline has changed.
func (c *Conn) receive(expired <-chan time.Time, changed <-chan struct{}) (datagram, error) {
	select {
	case d := <-c.in:
		return d, nil
	case <-expired:
		return datagram{}, os.ErrDeadlineExceeded
	case <-changed:
		return datagram{}, nil
	case <-c.closed:
		return datagram{}, net.ErrClosed
	}
}

func (c *Conn) Close() error {
	c.once.Do(func() { close(c.closed) })
	return nil
}

func (c *Conn) LocalAddr() net.Addr { return c.local }

func (c *Conn) SetReadDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.deadline = t
	close(c.changed)
	c.changed = make(chan struct{})
	return nil
}

func (c *Conn) SetDeadline(t time.Time) error    { return c.SetReadDeadline(t) }
func (c *Conn) SetWriteDeadline(time.Time) error { return nil }

// SetReadBuffer and SetWriteBuffer are what quic-go asks of a socket; the queue
// here has its size.
func (c *Conn) SetReadBuffer(int) error  { return nil }
func (c *Conn) SetWriteBuffer(int) error { return nil }
