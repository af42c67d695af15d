package tunnelclient_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"go.uber.org/goleak"

	"github.com/ergoproxy/ergo/edge/tunnelclient"
	"github.com/ergoproxy/ergo/shared/exchange"
	"github.com/ergoproxy/ergo/shared/link"
	"github.com/ergoproxy/ergo/shared/proxystatus"
	"github.com/ergoproxy/ergo/shared/retry"
	"github.com/ergoproxy/ergo/shared/tunnel"
	"github.com/ergoproxy/ergo/shared/tunnel/tunneltest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type logBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *logBuffer) has(text string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Contains(l.buf.String(), text)
}

// An edge is a Client under test.
type edge struct {
	*tunnelclient.Client
	t      *testing.T
	budget *tunnel.Budget
	log    *logBuffer
}

func connect(t *testing.T, ids *tunneltest.Identities, address string, change func(*tunnelclient.Settings)) *edge {
	t.Helper()
	e := &edge{t: t, log: new(logBuffer)}
	var s tunnelclient.Settings
	s.SetDefaults()
	s.Connections, s.Carrier = 1, "quic"
	if change != nil {
		change(&s)
	}
	e.budget = tunnel.NewBudget(int64(s.ReceiveMemory))
	e.Client = tunnelclient.New(tunnelclient.CoreConfig{Address: address, Name: "core-1"}, s, tunnelclient.Options{
		Link: link.New(s.Link),
		Edge: "edge-1", TLS: ids.Edge(t, "edge-1"), Budget: e.budget, Generation: func() uint64 { return 1 },
		Logger: zerolog.New(e.log), Changed: func() {}})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- e.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
		tunneltest.Wait(t, "the budget is whole, and nothing in flight", func() bool { return e.budget.Used() == 0 && e.InFlight() == 0 })
	})
	return e
}

func (e *edge) usable() {
	e.t.Helper()
	tunneltest.Wait(e.t, "the core is usable", e.Usable)
}

func newRequest(ctx context.Context, method string, body io.Reader) *http.Request {
	x := &exchange.Exchange{ID: exchange.NewID(time.Now()), Client: exchange.Client{Addr: netip.MustParseAddrPort("192.0.2.1:5"), Scheme: "http", Proto: "HTTP/1.1"}}
	req, err := http.NewRequestWithContext(exchange.With(ctx, x), method, "http://example.org/a", body)
	if err != nil {
		panic(err)
	}
	return req
}

func (e *edge) get() (string, error) {
	res, err := e.RoundTrip(newRequest(e.t.Context(), "GET", nil))
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	return string(b), err
}

// A fakeCore answers HELLO and PING and leaves the lanes to a script.
type fakeCore struct {
	*tunneltest.Core
	t     *testing.T
	ids   *tunneltest.Identities
	hello tunnel.Hello
}

func newCore(t *testing.T) *fakeCore {
	ids := tunneltest.NewIdentities(t)
	return &fakeCore{Core: tunneltest.Listen(t, ids.Core()), t: t, ids: ids, hello: tunnel.Hello{Version: 1, Name: "core-1",
		MaxLanes: 100, BodyCredit: 64 << 10, State: tunnel.State{Ready: true}}}
}

// accept takes the next QUIC connection; its control lane answers PINGs, its lanes
// go to script.
func (c *fakeCore) accept(script func(*tunnel.Lane)) *tunneltest.Conn {
	conn := c.AcceptQUIC(c.t)
	tunneltest.Answer(c.t, conn.Control, c.hello)
	go c.answerPings(conn)
	go func() {
		for {
			s, err := conn.QUIC.AcceptStream(context.Background())
			if err != nil {
				return
			}
			go script(tunnel.NewLane(tunnel.QUICStream(s), nil))
		}
	}()
	return conn
}

func (c *fakeCore) answerPings(conn *tunneltest.Conn) {
	for {
		m, err := tunneltest.ReadControl(conn.Control)
		if err != nil {
			return
		}
		if p, ok := m.(tunnel.Ping); ok {
			conn.Control.Write(tunnel.AppendPong(nil, tunnel.Pong{Nonce: p.Nonce, State: c.hello.State}))
		}
	}
}

func readHead(l *tunnel.Lane) (*tunnel.RequestHead, error) {
	h, err := l.Next()
	if err != nil {
		return nil, err
	}
	payload, err := l.Payload(h.Length)
	if err != nil {
		return nil, err
	}
	return tunnel.ParseRequestHead(payload)
}

// answer sends a response; an empty body and a nil error are good for any script.
func answer(l *tunnel.Lane, status int, body string, last bool) error {
	return errors.Join(l.WriteResponse(&tunnel.ResponseHead{Status: status, ContentLength: -1}),
		l.WriteBody(context.Background(), []byte(body)), l.WriteEnd(&tunnel.End{Last: last, Report: exchange.Report{Route: "all"}}))
}

// serveHello answers every exchange, reading bodies first.
func serveHello(l *tunnel.Lane) {
	for {
		head, err := readHead(l)
		if err != nil {
			l.Abort(0)
			return
		}
		l.Begin(0)
		if head.HasBody {
			if _, err := io.Copy(io.Discard, tunnel.NewBodyReader(l)); err != nil {
				l.Abort(0)
				return
			}
		}
		if answer(l, 200, "hello", false) != nil {
			return
		}
		l.End()
	}
}

// start connects an edge to a core whose lanes script serves.
func start(t *testing.T, script func(*tunnel.Lane), change func(*tunnelclient.Settings)) (*edge, *fakeCore, *tunneltest.Conn) {
	t.Helper()
	core := newCore(t)
	accepted := make(chan *tunneltest.Conn, 1)
	go func() { accepted <- core.accept(script) }()
	e := connect(t, core.ids, core.Address, change)
	conn := <-accepted
	e.usable()
	return e, core, conn
}

func stage(err error) retry.Stage { return retry.StageOf(err) }

func reason(err error) proxystatus.Type { return proxystatus.From("edge", err).Type }

type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

type closing struct {
	io.Reader
	closed atomic.Bool
}

func (c *closing) Close() error { c.closed.Store(true); return nil }

type counting struct {
	io.Reader
	n atomic.Int64
}

func (c *counting) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.n.Add(int64(n))
	return n, err
}
