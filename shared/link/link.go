package link

import (
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// initialPacket is the size of a packet that every path of QUIC carries, in bytes
// (RFC 9000, section 14).
const initialPacket = 1200

// Shared is what all Conns of a process have in common. It is safe for concurrent
// use.
type Shared struct {
	repair Repair
	pool   *pool
}

// New returns a Shared. The settings are valid.
func New(s Settings) *Shared { return &Shared{repair: s.Repair, pool: newPool(int64(s.Memory))} }

// Memory is what is held for repairs now, in bytes.
func (s *Shared) Memory() int64 { return s.pool.used.Load() }

// An Offer is what one end tells the other, over a channel that is authenticated
// and secret: how to call it, and what to sign reports to it with. The zero Offer
// is that of an end without a link.
type Offer struct {
	Version uint8
	Flow    uint32 // 24 bits
	Key     [16]byte
}

// A Conn is a datagram socket for quic.Transport. Packets to and from addresses
// without a Peer pass unchanged. It is safe for concurrent use as far as the socket
// below is; one goroutine reads at a time.
type Conn struct {
	shared *Shared
	start  time.Time
	socket socket

	mu    sync.Mutex // serialises changes of peers
	peers atomic.Pointer[table]
	seen  seen
}

// A seen is what the reading goroutine looked up last: packets that came in one read
// have one address.
type seen struct {
	from  net.Addr
	table *table
	peer  *Peer
}

// A table is immutable: both ways to find a Peer cost a read and no lock.
type table struct {
	byFlow map[uint32]*Peer
	byAddr map[netip.AddrPort]*Peer
}

func newConn(s *Shared) *Conn {
	c := &Conn{shared: s, start: time.Now()}
	c.peers.Store(&table{byFlow: map[uint32]*Peer{}, byAddr: map[netip.AddrPort]*Peer{}})
	return c
}

func (c *Conn) now() time.Duration { return time.Since(c.start) }

// change replaces the table by one that f has changed.
func (c *Conn) change(f func(*table)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	old := c.peers.Load()
	t := &table{byFlow: maps.Clone(old.byFlow), byAddr: maps.Clone(old.byAddr)}
	f(t)
	c.peers.Store(t)
}

// A Tally counts what the links of one tunnel do, one after the other or side by
// side. The zero value is ready. It is safe for concurrent use.
type Tally struct{ count counters }

// A Peer is the far end of one QUIC connection. Its methods may be called
// concurrently.
type Peer struct {
	conn     *Conn
	own      Offer
	receiver *receiver
	sender   atomic.Pointer[sender] // nil until Start
	count    *counters
	reportAt time.Duration     // when to see next whether a report is due; of the reading goroutine
	moves    atomic.Int64      // until when on the clock of conn no other move is looked at
	addrs    [2]netip.AddrPort // guarded by conn.mu: where it was, and where it may have moved to
}

// moveInterval is the shortest time between two moves of a peer.
const moveInterval = 100 * time.Millisecond

// ErrOff is the error of NewPeer where repair is switched off.
var ErrOff = errors.New("link repair is off")

// NewPeer makes ready for the far end of a connection at that address, which is
// counted in tally. Its Offer is for that end. From now on link packets of it are
// understood; ours leave when Start has been called. Whoever calls it calls Close
// when the connection has ended.
func (c *Conn) NewPeer(remote net.Addr, tally *Tally) (*Peer, error) {
	if c.shared.repair == Off {
		return nil, ErrOff
	}
	addr, err := addrPort(remote)
	if err != nil {
		return nil, err
	}
	p := &Peer{conn: c, count: &tally.count, addrs: [2]netip.AddrPort{addr}}
	p.own.Version = Version
	rand.Read(p.own.Key[:])
	c.change(func(t *table) {
		for taken := true; taken; _, taken = t.byFlow[p.own.Flow] {
			var random [3]byte
			rand.Read(random[:])
			p.own.Flow = get24(random[:])
		}
		p.receiver = newReceiver(c.shared.pool, p.count)
		t.byFlow[p.own.Flow] = p
		t.byAddr[addr] = p
	})
	return p, nil
}

// Offer returns what the far end has to know. A nil Peer has the zero Offer.
func (p *Peer) Offer() Offer {
	if p == nil {
		return Offer{}
	}
	return p.own
}

// Start begins to send what the far end has offered to understand, and returns p.
// If it is another version, or p is nil, p is closed and Start returns nil: packets
// stay as QUIC makes them.
func (p *Peer) Start(theirs Offer) *Peer {
	if p == nil {
		return nil
	}
	if theirs.Version != Version {
		p.Close()
		return nil
	}
	p.sender.CompareAndSwap(nil, newSender(p.conn, theirs, p.own.Key, p.count))
	return p
}

// Close ends the link to that peer, if p is not nil. Packets from and to it pass as
// they are.
func (p *Peer) Close() {
	if p == nil {
		return
	}
	p.conn.change(func(t *table) {
		delete(t.byFlow, p.own.Flow)
		for _, addr := range p.addrs {
			if t.byAddr[addr] == p {
				delete(t.byAddr, addr)
			}
		}
	})
	if s := p.sender.Load(); s != nil {
		s.close()
	}
	p.receiver.close()
}

// moved notes that the peer sends from another address, which QUIC will want to
// write to. There is room for one such address: a forged packet can take it, and
// then packets to the true one pass without repair.
func (p *Peer) moved(addr netip.AddrPort) {
	p.conn.change(func(t *table) {
		if t.byFlow[p.own.Flow] != p || t.byAddr[addr] != nil {
			return
		}
		if old := p.addrs[1]; t.byAddr[old] == p {
			delete(t.byAddr, old)
		}
		p.addrs[1] = addr
		t.byAddr[addr] = p
	})
}

// incoming takes a packet from the network and returns what is for QUIC: nil if it
// was for us alone. What it makes it possible to rebuild goes to deliver.
func (c *Conn) incoming(b []byte, from net.Addr, now time.Duration, deliver func(packet []byte)) []byte {
	if len(b) == 0 || b[0]&quicBit != 0 {
		return b
	}
	flow, ok := flowOf(b)
	if !ok {
		return nil
	}
	p := c.peers.Load().byFlow[flow]
	switch {
	case b[0] >= kindData && b[0] <= kindProbe:
		h, err := parseData(b)
		if err != nil {
			return nil
		}
		// To a connection that is gone, QUIC answers with a stateless reset: its
		// packets have to get there.
		if p != nil && p.knows(from) {
			if p.receiver.data(h, b[headerSize:], now, deliver) || now >= p.reportAt {
				p.report(now)
			}
		}
		return b[headerSize:]
	case b[0] == kindAgain:
		h, err := parseData(b)
		if err != nil || p == nil || !p.knows(from) || !p.receiver.again(h) {
			return nil
		}
		return b[headerSize:]
	case p == nil || !p.knows(from):
	case b[0] == kindReport:
		if s := p.sender.Load(); s != nil {
			s.report(b)
		}
	case b[0] == kindRequest:
		if s := p.sender.Load(); s != nil {
			s.resend(b)
		}
	case b[0]&^rowMask == kindParity:
		if h, err := parseParity(b); err == nil {
			p.receiver.parity(h, b[headerSize:], now, deliver)
		}
	}
	return nil
}

// knows reports whether the peer may be at that address. The reading goroutine alone
// calls it.
func (p *Peer) knows(from net.Addr) bool {
	now := seen{from, p.conn.peers.Load(), p}
	if now == p.conn.seen {
		return true
	}
	if !p.lookUp(from) {
		return false
	}
	p.conn.seen = now
	return true
}

func (p *Peer) lookUp(from net.Addr) bool {
	addr, err := addrPort(from)
	if err != nil {
		return false
	}
	at, known := p.conn.peers.Load().byAddr[addr]
	if known {
		return at == p
	}
	now := p.conn.now()
	if last := p.moves.Load(); int64(now) < last || !p.moves.CompareAndSwap(last, int64(now+moveInterval)) {
		return false
	}
	p.moved(addr)
	return true
}

// reportTick is how often it is looked whether a report is due, if nothing is urgent.
const reportTick = time.Millisecond

// report sends a report to the peer if it is time.
func (p *Peer) report(now time.Duration) {
	p.reportAt = now + reportTick
	s := p.sender.Load()
	if s == nil {
		return
	}
	rtt := s.rtt()
	if r, due := p.receiver.report(now, rtt); due {
		s.signal(r.append(nil, s.flow, s.theirs))
	}
	var room [maxWanted]uint32
	if number, wanted := p.receiver.wanted(room[:0], now, rtt); len(wanted) > 0 {
		s.signal(appendRequest(nil, s.flow, number, wanted, s.theirs))
	}
}

// outgoing sends packets of QUIC, each of size bytes.
func (c *Conn) outgoing(b []byte, size int, to net.Addr, oob []byte) error {
	if addr, err := addrPort(to); err == nil {
		if p := c.peers.Load().byAddr[addr]; p != nil {
			if s := p.sender.Load(); s != nil {
				return s.send(b, size, to, oob)
			}
		}
	}
	return c.socket.write(b, size, to, oob)
}

// addrPort returns an address in the one form that is used as a key.
func addrPort(a net.Addr) (netip.AddrPort, error) {
	udp, ok := a.(*net.UDPAddr)
	if !ok {
		return netip.AddrPort{}, fmt.Errorf("link to %v: not a UDP address", a)
	}
	addr := udp.AddrPort()
	return netip.AddrPortFrom(addr.Addr().Unmap(), addr.Port()), nil
}
