package soak

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"

	"github.com/ergoproxy/ergo/bench/load"
	"github.com/ergoproxy/ergo/bench/peers"
)

// An entrance is where clients of one protocol come in.
type entrance struct {
	protocol load.Protocol
	address  string      // host:port
	trust    *tls.Config // nil: in clear
}

func newEntrance(e *peers.Ergo, protocol load.Protocol) (entrance, error) {
	if protocol == load.H1 {
		return entrance{protocol: protocol, address: e.Address()}, nil
	}
	trust, err := e.SiteTLS()
	return entrance{protocol: protocol, address: e.SiteAddress(), trust: trust}, err
}

func (e entrance) scheme() string {
	if e.trust == nil {
		return "http"
	}
	return "https"
}

func (e entrance) url() string { return e.scheme() + "://" + e.address }

// transport returns what keeps connections as clients do, and what closes them.
func (e entrance) transport() (http.RoundTripper, func() error) {
	if e.protocol == load.H3 {
		t := &http3.Transport{TLSClientConfig: e.trust, DisableCompression: true}
		return t, t.Close
	}
	t := e.tcp()
	t.MaxIdleConnsPerHost = maxUnderWay
	return t, func() error { t.CloseIdleConnections(); return nil }
}

// tcp returns a transport for HTTP/1.1 or HTTP/2.
func (e entrance) tcp() *http.Transport {
	var protocols http.Protocols
	protocols.SetHTTP1(e.protocol != load.H2)
	protocols.SetHTTP2(e.protocol == load.H2)
	return &http.Transport{Protocols: &protocols, TLSClientConfig: e.trust.Clone(), DisableCompression: true}
}

// source returns what makes single connections from an address.
func (e entrance) source(from net.IP) (source, error) {
	if e.protocol == load.H3 {
		return e.quic(from)
	}
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: from}, KeepAlive: -1}
	if e.protocol != load.H2 {
		return &h1Source{to: e, dialer: dialer}, nil
	}
	t := e.tcp()
	t.DialContext = dialer.DialContext
	return &h2Source{to: e, transport: t}, nil
}

// A source makes connections from one address.
type source interface {
	dial(ctx context.Context) (held, error)
	close() error
}

// A held connection takes requests until it is ended.
type held interface {
	http.RoundTripper
	// lost returns why the connection has ended, nil while it has not.
	lost() error
	end() error
}

// An h1Source makes connections for HTTP/1.1, by a client of its own: that of
// net/http closes a connection if its goroutines were short of CPU time for 50 ms.
type h1Source struct {
	to     entrance
	dialer net.Dialer
}

func (s *h1Source) dial(ctx context.Context) (held, error) {
	socket, err := s.dialer.DialContext(ctx, "tcp", s.to.address)
	if err != nil {
		return nil, err
	}
	if s.to.trust == nil {
		return &h1Held{socket, socket}, nil
	}
	trust := s.to.trust.Clone()
	trust.ServerName, _, _ = net.SplitHostPort(s.to.address)
	secure := tls.Client(socket, trust)
	if err := secure.HandshakeContext(ctx); err != nil {
		socket.Close()
		return nil, err
	}
	return &h1Held{socket, secure}, nil
}

func (s *h1Source) close() error { return nil }

type h1Held struct{ socket, conn net.Conn }

// RoundTrip gives up at the request's deadline, and heeds no other end of its
// context.
func (c *h1Held) RoundTrip(r *http.Request) (*http.Response, error) {
	deadline, _ := r.Context().Deadline()
	if err := c.conn.SetDeadline(deadline); err != nil {
		return nil, err
	}
	if err := r.Write(c.conn); err != nil {
		return nil, err
	}
	return http.ReadResponse(bufio.NewReader(c.conn), r)
}

// lost looks below TLS, where something may be left to read: that is life, too.
func (c *h1Held) lost() error {
	if err := c.socket.SetReadDeadline(time.Now().Add(time.Millisecond)); err != nil {
		return err
	}
	_, err := c.socket.Read(make([]byte, 1))
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return nil
	}
	return err
}

// end closes the socket without a word of TLS.
func (c *h1Held) end() error { return c.socket.Close() }

// An h2Source makes connections for HTTP/2.
type h2Source struct {
	to        entrance
	transport *http.Transport
}

func (s *h2Source) dial(ctx context.Context) (held, error) {
	conn, err := s.transport.NewClientConn(ctx, s.to.scheme(), s.to.address)
	if err != nil {
		return nil, err
	}
	return h2Held{conn}, nil
}

func (s *h2Source) close() error {
	s.transport.CloseIdleConnections()
	return nil
}

type h2Held struct{ *http.ClientConn }

func (c h2Held) lost() error { return c.Err() }
func (c h2Held) end() error  { return c.Close() }

// A quicSource makes connections for HTTP/3, all on one socket.
type quicSource struct {
	socket    *net.UDPConn
	transport *quic.Transport
	remote    *net.UDPAddr
	http      http3.Transport
	trust     *tls.Config
}

func (e entrance) quic(from net.IP) (source, error) {
	remote, err := net.ResolveUDPAddr("udp", e.address)
	if err != nil {
		return nil, err
	}
	socket, err := net.ListenUDP("udp", &net.UDPAddr{IP: from})
	if err != nil {
		return nil, err
	}
	trust := e.trust.Clone()
	trust.NextProtos, trust.ServerName = []string{http3.NextProtoH3}, remote.IP.String()
	return &quicSource{socket: socket, transport: &quic.Transport{Conn: socket}, remote: remote, trust: trust}, nil
}

func (s *quicSource) dial(ctx context.Context) (held, error) {
	conn, err := s.transport.Dial(ctx, s.remote, s.trust, &quic.Config{})
	if err != nil {
		return nil, err
	}
	return quicHeld{s.http.NewClientConn(conn)}, nil
}

func (s *quicSource) close() error { return errors.Join(s.transport.Close(), s.socket.Close()) }

type quicHeld struct{ *http3.ClientConn }

func (c quicHeld) lost() error { return context.Cause(c.Context()) }

func (c quicHeld) end() error {
	return c.CloseWithError(quic.ApplicationErrorCode(http3.ErrCodeNoError), "")
}
