package listener

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"net/netip"
	"sync/atomic"

	"github.com/ergoproxy/ergo/shared/exchange"
)

// A link is one client connection as the handler's side sees it. It is filled
// in before the first request; only the count changes afterwards.
type link struct {
	client exchange.Client
	tls    *tls.ConnectionState // nil: clear text
	altSvc []string             // value of Alt-Svc; nil: none
	limits *Limits
	h1     *h1Conn // nil for HTTP/2 and HTTP/3

	handled atomic.Int64 // HTTP/3: handlers that have returned
}

type linkKey struct{}

func withLink(ctx context.Context, l *link) context.Context {
	return context.WithValue(ctx, linkKey{}, l)
}

func linkOf(r *http.Request) *link {
	l, _ := r.Context().Value(linkKey{}).(*link)
	return l
}

// ClientOf returns where r came from. Addr and Peer are both the other end of
// the connection, after a PROXY header from a trusted address. It returns the
// zero Client for a request that no Server of this package accepted. It costs a
// look-up in the request's context and no allocation.
func ClientOf(r *http.Request) exchange.Client {
	l := linkOf(r)
	if l == nil {
		return exchange.Client{}
	}
	c := l.client
	if r.ProtoMajor < 3 {
		c.Proto = r.Proto // HTTP/1.0, or HTTP/2.0 in clear text
	}
	return c
}

// newClient describes the other end of a connection.
func newClient(peer netip.AddrPort, proto string, state *tls.ConnectionState) exchange.Client {
	c := exchange.Client{Addr: peer, Peer: peer, Scheme: "http", Proto: proto}
	if state != nil {
		c.Scheme = "https"
		c.TLSVersion = state.Version
		c.TLSCipher = state.CipherSuite
		c.ServerName = state.ServerName
	}
	return c
}

// addrPort returns the address of a TCP or UDP end.
func addrPort(a net.Addr) netip.AddrPort {
	var ap netip.AddrPort
	switch a := a.(type) {
	case *net.TCPAddr:
		ap = a.AddrPort()
	case *net.UDPAddr:
		ap = a.AddrPort()
	}
	return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
}
