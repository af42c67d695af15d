// Package tunneltest plays one end of a tunnel by a script, for tests of the other
// end: a connection is dialled or accepted, over QUIC or TLS/TCP on the loopback
// interface, and the script reads and writes frames on its lanes, correct ones or
// not. Everything is closed when the test ends.
package tunneltest

import (
	"context"
	"crypto/tls"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/quic-go/quic-go"

	"github.com/ergoproxy/ergo/shared/tlsidentity"
	"github.com/ergoproxy/ergo/shared/tlsidentity/identitytest"
	"github.com/ergoproxy/ergo/shared/tunnel"
)

// Patience bounds every wait of a script.
const Patience = 10 * time.Second

// maxLanes is how many lanes a scripted core allows.
const maxLanes = 1024

// Identities are the TLS settings of one CA's tiers.
type Identities struct {
	authority *identitytest.Authority
	core      *tlsidentity.Credentials
}

// NewIdentities makes a CA and the certificate of a core called core-1.
func NewIdentities(t testing.TB) *Identities {
	a := identitytest.NewAuthority(t)
	return &Identities{a, a.Credentials(t, tlsidentity.Identity{Role: tlsidentity.Core, Name: "core-1"})}
}

// Core returns the settings of core-1.
func (i *Identities) Core() *tls.Config {
	return i.core.ServerConfig(tlsidentity.Keys{}, nil)
}

// Edge returns the settings with which the edge called name dials.
func (i *Identities) Edge(t testing.TB, name string) *tls.Config {
	return i.authority.Credentials(t, tlsidentity.Identity{Role: tlsidentity.Edge, Name: name}).ClientConfig(tlsidentity.Want{Name: "core-1"})
}

// EdgeName returns the name in the certificate of a peer that is an edge.
func EdgeName(state tls.ConnectionState) string {
	id, err := tlsidentity.Parse(state.PeerCertificates[0])
	if err != nil {
		return ""
	}
	return id.Name
}

// A Conn is a connection whose script the test writes. Control is its control
// lane, on which nothing was said yet.
type Conn struct {
	Control *tunnel.Lane
	QUIC    *quic.Conn // nil for TCP

	tcp     *tunnel.TCPStream
	running sync.WaitGroup // of tcp
}

// Close ends the connection at once.
func (c *Conn) Close() {
	if c.QUIC != nil {
		c.QUIC.CloseWithError(tunnel.CloseNormal, "")
		return
	}
	c.tcp.Close()
	c.running.Wait()
}

// Gone returns a context that ends when the far end has ended the connection.
func (c *Conn) Gone() context.Context {
	if c.QUIC != nil {
		return c.QUIC.Context()
	}
	return c.tcp.Context()
}

// OpenLane opens a lane over QUIC.
func (c *Conn) OpenLane(t testing.TB) *tunnel.Lane {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), Patience)
	defer cancel()
	s, err := c.QUIC.OpenStreamSync(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return tunnel.NewLane(tunnel.QUICStream(s), nil)
}

// AcceptLane waits for the next lane that the far end opens over QUIC.
func (c *Conn) AcceptLane(t testing.TB) *tunnel.Lane {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), Patience)
	defer cancel()
	s, err := c.QUIC.AcceptStream(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return tunnel.NewLane(tunnel.QUICStream(s), nil)
}

// DialQUIC connects to a core and opens the control lane.
func DialQUIC(t testing.TB, address string, conf *tls.Config) *Conn {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), Patience)
	defer cancel()
	c, err := quic.DialAddr(ctx, address, conf, tunnel.QUICConfig(0, tunnel.NewBudget(64<<20)))
	if err != nil {
		t.Fatal(err)
	}
	conn := &Conn{QUIC: c}
	t.Cleanup(conn.Close)
	conn.Control = conn.OpenLane(t)
	return conn
}

// DialTCP connects to a core. What the connection is, the first frame on Control
// says: HELLO makes a session, ATTACH a lane of one.
func DialTCP(t testing.TB, address string, conf *tls.Config) *Conn {
	t.Helper()
	dialer := tls.Dialer{NetDialer: &net.Dialer{Timeout: Patience}, Config: conf}
	c, err := dialer.DialContext(t.Context(), "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	conn := newTCPConn(c.(*tls.Conn))
	t.Cleanup(conn.Close)
	return conn
}

func newTCPConn(c *tls.Conn) *Conn {
	s := tunnel.NewTCPStream(c, 0)
	conn := &Conn{Control: tunnel.NewLane(s, nil), tcp: s}
	conn.running.Go(func() { s.Run() })
	return conn
}

// A Core is the listening end of a scripted core: UDP, TCP, or both on one port.
type Core struct {
	Address string

	conf *tls.Config
	tcp  net.Listener
	udp  net.PacketConn
	quic *quic.Listener

	mu       sync.Mutex // guards accepted
	accepted []*Conn    // over TCP
}

// Silence makes c answer nothing over UDP any more, as a machine that lost its
// power does.
func (c *Core) Silence() { c.udp.Close() }

// ListenTCP opens a TCP port for a scripted core. ListenUDP may follow.
func ListenTCP(t testing.TB, conf *tls.Config) *Core {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &Core{Address: l.Addr().String(), conf: conf, tcp: l}
	t.Cleanup(func() {
		l.Close()
		c.mu.Lock()
		defer c.mu.Unlock()
		for _, conn := range c.accepted {
			conn.Close()
		}
	})
	return c
}

// ListenUDP makes c answer on UDP from now on.
func (c *Core) ListenUDP(t testing.TB) {
	t.Helper()
	udp, err := net.ListenPacket("udp", c.Address)
	if err != nil {
		t.Fatal(err)
	}
	c.udp = udp
	transport := &quic.Transport{Conn: udp}
	t.Cleanup(func() { transport.Close(); udp.Close() })
	if c.quic, err = transport.Listen(c.conf, tunnel.QUICConfig(maxLanes, tunnel.NewBudget(64<<20))); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.quic.Close() })
}

// Listen opens UDP and TCP for a scripted core.
func Listen(t testing.TB, conf *tls.Config) *Core {
	t.Helper()
	c := ListenTCP(t, conf)
	c.ListenUDP(t)
	return c
}

// AcceptQUIC waits for an edge to connect over QUIC and to open its control lane.
func (c *Core) AcceptQUIC(t testing.TB) *Conn {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), Patience)
	defer cancel()
	q, err := c.quic.Accept(ctx)
	if err != nil {
		t.Fatal(err)
	}
	conn := &Conn{QUIC: q}
	t.Cleanup(conn.Close)
	conn.Control = conn.AcceptLane(t)
	return conn
}

// AcceptTCP waits for an edge to connect over TCP: for a session or for a lane.
func (c *Core) AcceptTCP(t testing.TB) *Conn {
	t.Helper()
	conn, err := c.TryAcceptTCP()
	if err != nil {
		t.Fatal(err)
	}
	return conn
}

// TryAcceptTCP is AcceptTCP for goroutines that outlive the test's last line: it
// returns an error when the test is over.
func (c *Core) TryAcceptTCP() (*Conn, error) {
	raw, err := c.tcp.Accept()
	if err != nil {
		return nil, err
	}
	s := tls.Server(raw, c.conf)
	ctx, cancel := context.WithTimeout(context.Background(), Patience)
	defer cancel()
	if err := s.HandshakeContext(ctx); err != nil {
		raw.Close()
		return nil, err
	}
	conn := newTCPConn(s)
	c.mu.Lock()
	c.accepted = append(c.accepted, conn)
	c.mu.Unlock()
	return conn, nil
}

// ReadControl reads a message of a control lane.
func ReadControl(l *tunnel.Lane) (any, error) {
	h, err := l.Next()
	if err != nil {
		return nil, err
	}
	payload, err := l.Payload(h.Length)
	if err != nil {
		return nil, err
	}
	return tunnel.ParseControl(h.Type, payload)
}

// Greet says hello on the control lane, as the end that calls first, and returns
// what the other end says.
func Greet(t testing.TB, l *tunnel.Lane, h tunnel.Hello) tunnel.Hello {
	t.Helper()
	if _, err := l.Write(tunnel.AppendHello(nil, &h)); err != nil {
		t.Fatal(err)
	}
	return readHello(t, l)
}

// Answer reads the HELLO of an edge and answers with h.
func Answer(t testing.TB, l *tunnel.Lane, h tunnel.Hello) tunnel.Hello {
	t.Helper()
	theirs := readHello(t, l)
	if _, err := l.Write(tunnel.AppendHello(nil, &h)); err != nil {
		t.Fatal(err)
	}
	return theirs
}

func readHello(t testing.TB, l *tunnel.Lane) tunnel.Hello {
	t.Helper()
	m, err := ReadControl(l)
	hello, ok := m.(tunnel.Hello)
	if !ok {
		t.Fatalf("%+v, %v, want HELLO", m, err)
	}
	return hello
}

// Wait polls until ok says so, and fails the test when Patience is over.
func Wait(t testing.TB, what string, ok func() bool) {
	t.Helper()
	deadline := time.NewTimer(Patience)
	defer deadline.Stop()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline.C:
			t.Fatalf("still waiting: %s", what)
		}
	}
}

// Pair returns the two ends of a lane, without credit: over QUIC, or over TLS/TCP.
func Pair(t testing.TB, overQUIC bool) (edge, core *tunnel.Lane) {
	t.Helper()
	ids := NewIdentities(t)
	listener := Listen(t, ids.Core())
	dialled := make(chan *Conn, 1)
	if !overQUIC {
		go func() { dialled <- listener.AcceptTCP(t) }()
		edge = DialTCP(t, listener.Address, ids.Edge(t, "edge-1")).Control
		return edge, (<-dialled).Control
	}
	client := DialQUIC(t, listener.Address, ids.Edge(t, "edge-1"))
	// A stream exists for the peer when its first byte comes.
	if _, err := client.Control.Write(tunnel.AppendPing(nil, tunnel.Ping{})); err != nil {
		t.Fatal(err)
	}
	server := listener.AcceptQUIC(t)
	if m, err := ReadControl(server.Control); err != nil {
		t.Fatal(m, err)
	}
	return client.Control, server.Control
}
