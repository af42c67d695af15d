package tunnelserver_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"go.uber.org/goleak"

	"github.com/ergoproxy/ergo/core/tunnelserver"
	"github.com/ergoproxy/ergo/shared/exchange"
	"github.com/ergoproxy/ergo/shared/tunnel"
	"github.com/ergoproxy/ergo/shared/tunnel/tunneltest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// logBuffer keeps what is logged.
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

// A core is a Server under test with what a scripted edge needs to reach it.
type core struct {
	*tunnelserver.Server
	ids  *tunneltest.Identities
	log  *logBuffer
	stop func()
}

func start(t *testing.T, h http.HandlerFunc, change func(*tunnelserver.Settings)) *core {
	t.Helper()
	return startWith(t, h, change, func(*tunnelserver.Server) {})
}

func startWith(t *testing.T, h http.HandlerFunc, change func(*tunnelserver.Settings), adjust func(*tunnelserver.Server)) *core {
	t.Helper()
	c := &core{ids: tunneltest.NewIdentities(t), log: new(logBuffer)}
	var settings tunnelserver.Settings
	settings.SetDefaults()
	settings.Listen = "127.0.0.1:0"
	if change != nil {
		change(&settings)
	}
	c.Server = tunnelserver.New(tunnelserver.Options{Core: "core-1", Settings: settings, TLS: c.ids.Core(),
		Peer: func(s tls.ConnectionState) string { return tunneltest.EdgeName(s) }, Handler: h,
		Generation: func() uint64 { return 7 }, Backends: func() int { return 2 }, Logger: zerolog.New(c.log)})
	adjust(c.Server)
	if err := c.Listen(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
	c.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
		if used := c.Budget().Used(); used != 0 {
			t.Errorf("%d bytes of the budget are reserved at the end", used)
		}
		if n := c.InFlight(); n != 0 {
			t.Errorf("%d exchanges are in flight at the end", n)
		}
	})
	t.Cleanup(c.stop)
	return c
}

// An edge is a scripted edge that has said HELLO.
type edge struct {
	*tunneltest.Conn
	t       *testing.T
	core    *core
	name    string
	hello   tunnel.Hello
	count   uint64
	carrier string
}

func (c *core) edge(t *testing.T, carrier, name string) *edge {
	t.Helper()
	e := &edge{t: t, core: c, name: name, carrier: carrier}
	conf := c.ids.Edge(t, name)
	if carrier == "quic" {
		e.Conn = tunneltest.DialQUIC(t, c.Addr().String(), conf)
	} else {
		e.Conn = tunneltest.DialTCP(t, c.Addr().String(), conf)
	}
	e.hello = tunneltest.Greet(t, e.Control, tunnel.Hello{Version: 1, Name: name})
	return e
}

func (e *edge) lane() *tunnel.Lane {
	e.t.Helper()
	if e.carrier == "quic" {
		return e.OpenLane(e.t)
	}
	e.count++
	l := tunneltest.DialTCP(e.t, e.core.Addr().String(), e.core.ids.Edge(e.t, e.name)).Control
	if _, err := l.Write(tunnel.AppendAttach(nil, tunnel.Attach{Session: e.hello.Session, Lane: e.count})); err != nil {
		e.t.Fatal(err)
	}
	return l
}

func request(method string) *tunnel.RequestHead {
	addr := netip.MustParseAddrPort("192.0.2.7:5000")
	return &tunnel.RequestHead{Method: method, Authority: "example.org", Target: "/a?b", Credit: 1 << 20, Header: http.Header{},
		ID:     exchange.NewID(time.Now()),
		Client: exchange.Client{Addr: addr, Peer: addr, Scheme: "https", Proto: "HTTP/2.0"}}
}

// send writes head, and body if there is one.
func send(t *testing.T, l *tunnel.Lane, head *tunnel.RequestHead, body string) {
	t.Helper()
	l.Begin(0)
	if err := l.WriteRequest(head); err != nil {
		t.Fatal(err)
	}
	var err error
	if head.HasBody {
		err = errors.Join(l.WriteBody(t.Context(), []byte(body)), l.WriteEnd(&tunnel.End{}))
	} else {
		err = l.Flush()
	}
	if err != nil {
		t.Fatal(err)
	}
}

// An answer is what an edge reads.
type answer struct {
	informational []int
	head          *tunnel.ResponseHead
	body          string
	in            *tunnel.BodyReader
	err           error
}

func readHead(l *tunnel.Lane) (tunnel.FrameType, *tunnel.ResponseHead, error) {
	h, err := l.Next()
	if err != nil {
		return 0, nil, err
	}
	payload, err := l.Payload(h.Length)
	if err != nil {
		return 0, nil, err
	}
	head, err := tunnel.ParseResponseHead(payload)
	return h.Type, head, err
}

func receive(l *tunnel.Lane) (a answer) {
	for {
		kind, head, err := readHead(l)
		if err != nil {
			a.err = err
			return a
		}
		if kind == tunnel.FrameInformational {
			a.informational = append(a.informational, head.Status)
			continue
		}
		a.head, a.in = head, tunnel.NewBodyReader(l)
		b, err := io.ReadAll(a.in)
		a.body, a.err = string(b), err
		return a
	}
}

// get sends a GET and expects 200 with the body.
func (e *edge) get(l *tunnel.Lane, body string) {
	e.t.Helper()
	send(e.t, l, request("GET"), "")
	if a := receive(l); a.err != nil || a.head.Status != 200 || a.body != body {
		e.t.Fatalf("GET: %+v", a)
	}
}

func code(err error) (tunnel.Code, bool) {
	var aborted *tunnel.AbortError
	if errors.As(err, &aborted) {
		return aborted.Code, true
	}
	return 0, false
}

func carriers(t *testing.T, f func(t *testing.T, carrier string)) {
	for _, carrier := range []string{"quic", "tcp"} {
		t.Run(carrier, func(t *testing.T) { f(t, carrier) })
	}
}

func hello(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "hello") }
