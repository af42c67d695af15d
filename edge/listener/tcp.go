package listener

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/ergoproxy/ergo/shared/config"
	"github.com/pires/go-proxyproto"
)

// A tcpEndpoint accepts on one TCP socket, for HTTP/1 and HTTP/2.
type tcpEndpoint struct {
	s    *Server
	ln   net.Listener
	open *roster

	// mu guards the fields below it.
	mu      sync.Mutex
	live    *tcpService
	fronts  []*httpFront // one for each set of limits that has connections
	serving bool
}

// A tcpService is the settings of new connections and the server that gets them.
type tcpService struct {
	*settings
	*httpFront
}

// An httpFront is net/http for connections with the same limits.
type httpFront struct {
	http  *http.Server
	feed  *feed
	conns int // accepted for it and not closed; guarded by tcpEndpoint.mu
}

func (f *httpFront) close() {
	f.feed.Close()
	f.http.Close()
}

func newTCPEndpoint(s *Server, ln net.Listener) *tcpEndpoint {
	return &tcpEndpoint{s: s, ln: ln, open: newRoster()}
}

func (e *tcpEndpoint) addr() net.Addr { return e.ln.Addr() }

// use makes st count for new connections. net/http's server is kept if the
// limits are the same; a former one serves on what it has, and is closed at the
// first reload that finds it without connections.
func (e *tcpEndpoint) use(st *settings) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.live != nil && *e.live.limits == *st.limits {
		e.live = &tcpService{settings: st, httpFront: e.live.httpFront}
		return
	}
	e.fronts = slices.DeleteFunc(e.fronts, func(f *httpFront) bool {
		if f.conns > 0 {
			return false
		}
		f.close()
		return true
	})
	front := &httpFront{feed: newFeed(e.ln.Addr()), http: e.newHTTPServer(st)}
	e.fronts = append(e.fronts, front)
	if e.serving {
		e.hand(front)
	}
	e.live = &tcpService{settings: st, httpFront: front}
}

// enter returns the service for a new connection; leave has to follow.
func (e *tcpEndpoint) enter() *tcpService {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.live.conns++
	return e.live
}

func (e *tcpEndpoint) leave(f *httpFront) {
	e.mu.Lock()
	defer e.mu.Unlock()
	f.conns--
}

// hand lets net/http serve what comes through the feed of f.
func (e *tcpEndpoint) hand(f *httpFront) {
	e.s.tasks.Go(func() { f.http.Serve(f.feed) })
}

func (e *tcpEndpoint) newHTTPServer(st *settings) *http.Server {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	return &http.Server{
		Handler:                      http.HandlerFunc(e.s.serve),
		Protocols:                    protocols,
		DisableGeneralOptionsHandler: true,
		ReadHeaderTimeout:            st.limits.HeaderTimeout.Std(),
		IdleTimeout:                  st.limits.IdleTimeout.Std(),
		MaxHeaderBytes:               libraryHeaderBytes(st.limits),
		HTTP2: &http.HTTP2Config{
			MaxConcurrentStreams: st.limits.ConcurrentStreams,
			WriteByteTimeout:     st.limits.WriteTimeout.Std(),
		},
		ConnState: connState,
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			return withLink(ctx, c.(linked).clientLink())
		},
		ErrorLog: log.New(logWriter{e.s.deps.Logger}, "", 0),
	}
}

// A linked connection knows its link.
type linked interface{ clientLink() *link }

func (c *h1Conn) clientLink() *link { return c.link }
func (c *h2Conn) clientLink() *link { return c.link }

// connState is called by net/http.
func connState(nc net.Conn, state http.ConnState) {
	c, ok := nc.(*h1Conn)
	if !ok {
		return
	}
	switch state {
	case http.StateIdle:
		c.answered()
	case http.StateHijacked:
		c.hijacked()
	}
}

// serve accepts until the socket is closed. Each connection has a goroutine of
// its own until net/http takes it; their number is bounded by Limits.Connections.
func (e *tcpEndpoint) serve(ctx context.Context) {
	e.mu.Lock()
	e.serving = true
	for _, f := range e.fronts {
		e.hand(f)
	}
	e.mu.Unlock()
	for wait := time.Duration(0); ; {
		nc, err := e.ln.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			wait = min(max(2*wait, 5*time.Millisecond), time.Second)
			e.s.deps.Logger.Error().Err(err).Stringer("listen", e.ln.Addr()).Msg("accept")
			select {
			case <-time.After(wait):
			case <-ctx.Done():
			}
			continue
		}
		wait = 0
		svc := e.enter()
		if !e.s.admission.enter(svc.limits.Connections) {
			e.leave(svc.httpFront)
			e.s.crowded(e)
			nc.Close()
			continue
		}
		e.s.tasks.Go(func() { e.admit(ctx, svc, nc) })
	}
}

// admit brings a connection to the point where net/http can serve it.
func (e *tcpEndpoint) admit(ctx context.Context, svc *tcpService, nc net.Conn) {
	c := &sock{Conn: nc, remote: nc.RemoteAddr(), stall: svc.limits.WriteTimeout.Std()}
	c.onClose = func() {
		e.open.remove(c)
		e.s.admission.leave()
		e.leave(svc.httpFront)
	}
	if !e.open.add(c) {
		c.Close()
		return
	}
	peer := addrPort(nc.RemoteAddr())
	if svc.trusts(peer.Addr()) {
		var err error
		if peer, err = c.readProxyHeader(peer, svc.ProxyProtocol.HeaderTimeout); err != nil {
			e.deny(c, peer, "PROXY header refused", err)
			return
		}
	}
	if !e.s.admission.enterAddress(peer.Addr(), svc.limits.ConnectionsPerAddress) {
		e.s.crowded(e)
		e.deny(c, peer, "too many connections of one address", nil)
		return
	}
	if !c.also(func() { e.s.admission.leaveAddress(peer.Addr()) }) {
		e.s.admission.leaveAddress(peer.Addr())
		return
	}
	ready, err := e.prepare(ctx, svc, c, peer)
	if err != nil {
		e.answerClear(c, peer, err)
		e.deny(c, peer, "TLS handshake refused", err)
		return
	}
	svc.feed.put(ready)
}

func (e *tcpEndpoint) deny(c *sock, peer netip.AddrPort, why string, err error) {
	e.s.deps.Logger.Debug().Err(err).Stringer("client", peer).Stringer("listen", e.ln.Addr()).Msg(why)
	c.Close()
}

// answerClear tells a client that speaks HTTP where TLS is spoken.
func (e *tcpEndpoint) answerClear(c *sock, peer netip.AddrPort, err error) {
	var record tls.RecordHeaderError
	if !errors.As(err, &record) || record.Conn == nil || run(record.RecordHeader[:], 0, tokenByte) < 3 {
		return
	}
	e.s.refused(&link{client: newClient(peer, "HTTP/1.1", nil)}, clearOnTLS)
	refuseOn(c, clearOnTLS, e.s.deps.Name)
}

// readProxyHeader reads the header that a trusted peer has to begin with and
// returns the address in it; peer itself for a health check of the peer (LOCAL).
func (c *sock) readProxyHeader(peer netip.AddrPort, timeout config.Duration) (netip.AddrPort, error) {
	c.Conn.SetReadDeadline(time.Now().Add(timeout.Std()))
	defer c.Conn.SetReadDeadline(noDeadline)
	r := bufio.NewReaderSize(c.Conn, 256)
	h, err := proxyproto.Read(r)
	if err != nil {
		return peer, err
	}
	if n := r.Buffered(); n > 0 {
		rest, _ := r.Peek(n)
		c.early = append([]byte(nil), rest...)
	}
	if h.Command.IsLocal() {
		return peer, nil
	}
	source := addrPort(h.SourceAddr)
	if !source.IsValid() {
		return peer, fmt.Errorf("PROXY header with a source that is no TCP address: %v", h.TransportProtocol)
	}
	c.remote = net.TCPAddrFromAddrPort(source)
	return source, nil
}

// prepare does the TLS handshake, if there is one, and puts the HTTP/1 scanner
// or the HTTP/2 frame watch in front of net/http.
func (e *tcpEndpoint) prepare(ctx context.Context, svc *tcpService, c *sock, peer netip.AddrPort) (net.Conn, error) {
	l := &link{limits: svc.limits, altSvc: svc.altSvc}
	if svc.tcpTLS == nil {
		if !svc.speaks("h1") {
			return e.newH2Conn(svc, c, l, c, peer), nil
		}
		l.client = newClient(peer, "HTTP/1.1", nil)
		return e.newH1Conn(svc, c, l, c), nil
	}
	tc := tls.Server(c, svc.tcpTLS)
	ctx, cancel := context.WithTimeout(ctx, svc.limits.HandshakeTimeout.Std())
	defer cancel()
	if err := tc.HandshakeContext(ctx); err != nil {
		return nil, err
	}
	state := tc.ConnectionState()
	l.tls = &state
	if state.NegotiatedProtocol == "h2" {
		return e.newH2Conn(svc, c, l, tc, peer), nil
	}
	if !svc.speaks("h1") {
		return nil, errors.New("client did not negotiate a protocol that is spoken here")
	}
	l.client = newClient(peer, "HTTP/1.1", &state)
	return e.newH1Conn(svc, c, l, tc), nil
}

func (e *tcpEndpoint) newH2Conn(svc *tcpService, c *sock, l *link, over net.Conn, peer netip.AddrPort) *h2Conn {
	l.client = newClient(peer, "HTTP/2.0", l.tls)
	return &h2Conn{Conn: over, sock: c, link: l, frames: e.newFrameWatch(svc, l)}
}

func (e *tcpEndpoint) newH1Conn(svc *tcpService, c *sock, l *link, over halfCloser) *h1Conn {
	h2c := svc.speaks("h2c")
	l.h1 = &h1Conn{
		halfCloser: over, sock: c, link: l, name: e.s.deps.Name, refused: e.s.refused,
		scan: newScanner(&svc.rules, h2c),
	}
	if h2c {
		l.h1.frames = e.newFrameWatch(svc, l)
	}
	return l.h1
}

func (e *tcpEndpoint) newFrameWatch(svc *tcpService, l *link) *frameWatch {
	return newFrameWatch(svc.limits, func(no *refusal) { e.s.refused(l, no) })
}

// drain closes the socket, lets net/http end its connections (Connection: close,
// GOAWAY), and waits for all, hijacked ones included.
func (e *tcpEndpoint) drain(ctx context.Context) error {
	e.ln.Close()
	e.open.abort(false, tracked.unused)
	var ending sync.WaitGroup
	for _, f := range e.snapshot() {
		f.feed.Close()
		// Shutdown's error is that of ctx, which wait reports too.
		ending.Go(func() { f.http.Shutdown(ctx) })
	}
	ending.Wait()
	err := e.open.wait(ctx)
	e.close()
	return err
}

func (e *tcpEndpoint) close() {
	e.ln.Close()
	for _, f := range e.snapshot() {
		f.close()
	}
	e.open.abort(true, func(tracked) bool { return true })
}

func (e *tcpEndpoint) snapshot() []*httpFront {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.fronts)
}
