package listener

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
)

// A quicEndpoint accepts on one UDP socket, for HTTP/3.
type quicEndpoint struct {
	s         *Server
	conn      *net.UDPConn // given to quic-go as it is: GSO needs the type
	transport *quic.Transport
	ln        *quic.Listener
	open      *roster
	pending   atomic.Int64 // handshakes that are not done
	live      atomic.Pointer[quicService]
	leaving   context.Context // ended by drain
	leave     context.CancelFunc
	rejecting context.Context // ended when drain takes no more requests
	reject    context.CancelFunc
}

// A quicService is what http3 does for connections with the same settings.
type quicService struct {
	*settings
	conf *quic.Config
	http *http3.Server
}

// quicKeepAlive and quicDead keep a connection alive while a response has
// nothing to send, and find out in time when the client is gone.
const (
	quicKeepAlive = 15 * time.Second
	quicDead      = 40 * time.Second
)

// maxUniStreams is for the control and QPACK streams of HTTP/3 and a few that a
// client opens to grease (RFC 9114, section 6.2.3).
const maxUniStreams = 16

// retryPending is the number of handshakes at work above which a client has to
// show first that its address is its own (RFC 9000, section 8.1.2).
const retryPending = 128

func newQUICEndpoint(s *Server, conn *net.UDPConn, st *settings) (*quicEndpoint, error) {
	e := &quicEndpoint{s: s, conn: conn, open: newRoster()}
	e.leaving, e.leave = context.WithCancel(context.Background())
	e.rejecting, e.reject = context.WithCancel(context.Background())
	e.use(st)
	e.transport = &quic.Transport{
		Conn:                conn,
		StatelessResetKey:   (*quic.StatelessResetKey)(s.resetKey),
		TokenGeneratorKey:   (*quic.TokenGeneratorKey)(s.tokenKey),
		VerifySourceAddress: func(net.Addr) bool { return e.pressed() },
		ConnContext:         e.admit,
	}
	conf := e.live.Load().conf.Clone()
	conf.GetConfigForClient = func(*quic.ClientInfo) (*quic.Config, error) { return e.live.Load().conf, nil }
	tlsConf := &tls.Config{
		MinVersion: tls.VersionTLS13,
		NextProtos: []string{http3.NextProtoH3},
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
			return e.live.Load().quicTLS, nil
		},
	}
	var err error
	if e.ln, err = e.transport.Listen(tlsConf, conf); err != nil {
		e.leave()
		e.reject()
		return nil, err
	}
	return e, nil
}

func (e *quicEndpoint) addr() net.Addr { return e.conn.LocalAddr() }

func (e *quicEndpoint) use(st *settings) {
	e.live.Store(&quicService{
		settings: st,
		conf: &quic.Config{
			HandshakeIdleTimeout:  st.limits.HandshakeTimeout.Std() / 2, // the whole may take twice that
			MaxIdleTimeout:        quicDead,
			KeepAlivePeriod:       quicKeepAlive,
			MaxIncomingStreams:    int64(st.limits.ConcurrentStreams),
			MaxIncomingUniStreams: maxUniStreams,
			Allow0RTT:             false,
		},
		http: &http3.Server{
			Handler:        http.HandlerFunc(e.s.serve),
			MaxHeaderBytes: libraryHeaderBytes(st.limits),
			IdleTimeout:    st.limits.IdleTimeout.Std(),
			Logger:         slog.New(logHandler{log: e.s.deps.Logger}),
			ConnContext: func(ctx context.Context, _ *quic.Conn) context.Context {
				return withLink(ctx, admissionOf(ctx).link)
			},
		},
	})
}

// pressed reports whether clients have to validate their address first.
func (e *quicEndpoint) pressed() bool {
	return e.pending.Load() > retryPending ||
		e.s.admission.total.Load() > int64(e.live.Load().limits.Connections)*3/4
}

var (
	errTooManyConnections = errors.New("too many connections")
	errDraining           = errors.New("draining")
)

// A quicAdmission is the part that a connection has in the counts, from its
// first packet to its end.
type quicAdmission struct {
	handshake sync.Once
	e         *quicEndpoint
	link      *link // set once the handshake is done
}

func (a *quicAdmission) established() { a.handshake.Do(func() { a.e.pending.Add(-1) }) }

type quicAdmissionKey struct{}

func admissionOf(ctx context.Context) *quicAdmission {
	return ctx.Value(quicAdmissionKey{}).(*quicAdmission)
}

// admit is called by quic-go at a client's first packet.
func (e *quicEndpoint) admit(ctx context.Context, _ *quic.ClientInfo) (context.Context, error) {
	if e.leaving.Err() != nil {
		return nil, errDraining
	}
	if !e.s.admission.enter(e.live.Load().limits.Connections) {
		e.s.crowded(e)
		return nil, errTooManyConnections
	}
	a := &quicAdmission{e: e}
	e.pending.Add(1)
	context.AfterFunc(ctx, func() {
		a.established()
		e.s.admission.leave()
	})
	return context.WithValue(ctx, quicAdmissionKey{}, a), nil
}

// serve accepts connections until drain or close.
func (e *quicEndpoint) serve(ctx context.Context) {
	for {
		conn, err := e.ln.Accept(ctx)
		if err != nil {
			if ctx.Err() == nil && !errors.Is(err, quic.ErrServerClosed) {
				e.s.deps.Logger.Error().Err(err).Stringer("listen", e.addr()).Msg("accept")
			}
			return
		}
		admissionOf(conn.Context()).established()
		svc := e.live.Load()
		e.s.tasks.Go(func() { e.serveConn(svc, conn) })
	}
}

func (e *quicEndpoint) serveConn(svc *quicService, conn *quic.Conn) {
	peer := addrPort(conn.RemoteAddr())
	if !e.s.admission.enterAddress(peer.Addr(), svc.limits.ConnectionsPerAddress) {
		e.s.crowded(e)
		conn.CloseWithError(h3ExcessiveLoad, "too many connections of one address")
		return
	}
	defer e.s.admission.leaveAddress(peer.Addr())
	state := conn.ConnectionState().TLS
	l := &link{client: newClient(peer, "HTTP/3.0", &state), tls: &state, limits: svc.limits}
	admissionOf(conn.Context()).link = l
	raw, err := svc.http.NewRawServerConn(conn)
	if err != nil {
		conn.CloseWithError(h3NoError, "")
		return
	}
	c := &h3Conn{
		conn: conn, raw: raw, link: l, endpoint: e,
		slots: make(chan struct{}, svc.limits.ConcurrentStreams),
	}
	if !e.open.add(c) {
		c.abort()
		return
	}
	defer e.open.remove(c)
	c.serve()
}

// rejectAfter is how long a drain goes on serving new requests on connections
// that are open already, unless half of its time is less.
const rejectAfter = 5 * time.Second

// drain refuses new connections and waits for the open ones to end. RawServerConn
// cannot send GOAWAY, so a client learns nothing until its connection closes:
// that happens when it has nothing at work. One that always has is told by
// rejected streams after a while.
func (e *quicEndpoint) drain(ctx context.Context) error {
	e.leave()
	patience := rejectAfter
	if deadline, ok := ctx.Deadline(); ok {
		patience = min(patience, time.Until(deadline)/2)
	}
	defer time.AfterFunc(patience, e.reject).Stop()
	err := e.open.wait(ctx)
	e.close()
	return err
}

func (e *quicEndpoint) close() {
	e.ln.Close()
	e.leave()
	e.reject()
	e.open.abort(true, func(tracked) bool { return true })
	e.transport.Close()
	e.conn.Close()
}
