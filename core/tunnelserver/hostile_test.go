package tunnelserver_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/quic-go/quic-go"

	"github.com/ergoproxy/ergo/core/tunnelserver"
	"github.com/ergoproxy/ergo/shared/proxystatus"
	"github.com/ergoproxy/ergo/shared/tunnel"
	"github.com/ergoproxy/ergo/shared/tunnel/tunneltest"
)

func frame(t tunnel.FrameType, payload []byte) []byte {
	return append(tunnel.AppendHeader(nil, tunnel.Header{Type: t, Length: len(payload)}), payload...)
}

func headFrame(h *tunnel.RequestHead) []byte {
	b, err := tunnel.AppendRequestHead(nil, h)
	if err != nil {
		panic(err)
	}
	return frame(tunnel.FrameHead, b)
}

// honest keeps an edge busy that does nothing wrong, until the returned function
// is called, and fails the test if one of its exchanges fails.
func (c *core) honest(t *testing.T) (stop func()) {
	t.Helper()
	e := c.edge(t, "quic", "honest")
	l := e.lane()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan int)
	go func() {
		n := 0
		for ; n == 0 || ctx.Err() == nil; n++ {
			l.Begin(0)
			err := errors.Join(l.WriteRequest(request("GET")), l.Flush())
			if a := receive(l); err != nil || a.err != nil || a.body != "hello" {
				t.Errorf("honest exchange %d: %v, %+v", n, err, a)
				break
			}
		}
		done <- n
	}()
	return sync.OnceFunc(func() {
		cancel()
		if n := <-done; n == 0 {
			t.Error("no honest exchange was served")
		}
	})
}

func readAll(w http.ResponseWriter, r *http.Request) {
	if r.Method == "POST" {
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			panic(http.ErrAbortHandler)
		}
	}
	io.WriteString(w, "hello")
}

// withBody returns a HEAD that says that a body of length follows.
func withBody(length int64) []byte {
	h := request("POST")
	h.HasBody, h.ContentLength = true, length
	return headFrame(h)
}

func join(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

func TestViolationOnALaneCostsTheConnection(t *testing.T) {
	random := make([]byte, 4096)
	rand.NewChaCha8([32]byte{1}).Read(random)
	random[0] = 0x2f // no frame type
	body := frame(tunnel.FrameBody, []byte("hello"))
	trailers := frame(tunnel.FrameTrailers, []byte{0})
	for name, b := range map[string][]byte{
		"random bytes":                random,
		"an oversized length":         {byte(tunnel.FrameHead), 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff},
		"an unknown frame type":       {0x3f, 0x00},
		"a body without a head":       body,
		"a response from an edge":     {byte(tunnel.FrameResponse), 0x00},
		"HELLO on a lane":             tunnel.AppendHello(nil, &tunnel.Hello{Version: 1}),
		"a head that is no head":      frame(tunnel.FrameHead, []byte("nonsense")),
		"a head inside a body":        join(withBody(-1), body, headFrame(request("GET"))),
		"trailers twice":              join(withBody(-1), trailers, trailers),
		"a body frame after trailers": join(withBody(-1), trailers, body),
		"an empty body frame":         join(withBody(-1), frame(tunnel.FrameBody, nil)),
		"a body longer than declared": join(withBody(4), body),
		"a body shorter":              join(withBody(6), body, frame(tunnel.FrameEnd, nil)),
		"a body after none":           join(headFrame(request("GET")), body),
		"an END that is no list":      join(withBody(-1), frame(tunnel.FrameEnd, []byte{1})),
		"a body beyond the credit":    join(withBody(-1), frame(tunnel.FrameBody, make([]byte, tunnel.MaxBodyFrame))),
	} {
		t.Run(name, func(t *testing.T) {
			core := start(t, readAll, func(s *tunnelserver.Settings) { s.BodyCredit = tunnel.MinWindow })
			stop := core.honest(t)
			e := core.edge(t, "quic", "hostile")
			lane := e.OpenLane(t)
			go lane.Stream.Write(b) // ends with the connection
			select {
			case <-e.Gone().Done():
			case <-time.After(tunneltest.Patience):
				t.Fatal("the connection goes on")
			}
			var app *quic.ApplicationError
			if err := context.Cause(e.Gone()); !errors.As(err, &app) || app.ErrorCode != tunnel.CloseProtocol {
				t.Errorf("closed with %v", err)
			}
			tunneltest.Wait(t, "a log line", func() bool { return core.log.has("edge broke the tunnel protocol") })
			stop()
			if n := core.Counters().Violations.Load(); n != 1 {
				t.Errorf("%d violations counted", n)
			}
		})
	}
}

func TestViolationOnALaneEndsTheTCPSession(t *testing.T) {
	core := start(t, readAll, nil)
	defer core.honest(t)()
	e := core.edge(t, "tcp", "hostile")
	other := e.lane()
	e.get(other, "hello")
	if _, err := e.lane().Stream.Write([]byte{0x3f, 0}); err != nil {
		t.Fatal(err)
	}
	<-e.Gone().Done()
	<-other.Context().Done()
	tunneltest.Wait(t, "a log line", func() bool { return core.log.has("edge broke the tunnel protocol") })
}

func TestViolationOnTheControlLaneCostsTheConnection(t *testing.T) {
	for name, b := range map[string][]byte{
		"HELLO again":        tunnel.AppendHello(nil, &tunnel.Hello{Version: 1, Name: "hostile"}),
		"STATE of an edge":   tunnel.AppendState(nil, tunnel.State{}),
		"ATTACH":             tunnel.AppendAttach(nil, tunnel.Attach{}),
		"an exchange":        headFrame(request("GET")),
		"a long message":     {byte(tunnel.FramePing), 0x80, 0x00, 0x20, 0x00},
		"PINGs without end":  bytes.Repeat(tunnel.AppendPing(nil, tunnel.Ping{}), tunnel.MaxPings+1),
		"half a CREDIT":      frame(tunnel.FrameCredit, []byte{1, 1}),
		"extension messages": bytes.Repeat([]byte{0x40, 0}, 1000),
	} {
		t.Run(name, func(t *testing.T) {
			core := start(t, readAll, nil)
			stop := core.honest(t)
			e := core.edge(t, "quic", "hostile")
			e.Control.Write(b)
			select {
			case <-e.Gone().Done():
			case <-time.After(tunneltest.Patience):
				t.Fatal("the connection goes on")
			}
			stop()
			tunneltest.Wait(t, "a log line", func() bool { return core.log.has("edge broke the tunnel protocol") })
		})
	}
}

func TestNameInHelloMustBeThatOfTheCertificate(t *testing.T) {
	carriers(t, func(t *testing.T, carrier string) {
		core := start(t, readAll, nil)
		defer core.honest(t)()
		conf := core.ids.Edge(t, "edge-1")
		var c *tunneltest.Conn
		if carrier == "quic" {
			c = tunneltest.DialQUIC(t, core.Addr().String(), conf)
		} else {
			c = tunneltest.DialTCP(t, core.Addr().String(), conf)
		}
		c.Control.Write(tunnel.AppendHello(nil, &tunnel.Hello{Version: 1, Name: "edge-2"}))
		<-c.Gone().Done()
		tunneltest.Wait(t, "a log line", func() bool { return core.log.has("edge turned away") && core.log.has("edge-2") })
	})
}

func TestConnectionsHaveALimit(t *testing.T) {
	core := start(t, hello, func(s *tunnelserver.Settings) { s.Connections = 2 })
	e := core.edge(t, "quic", "edge-1")
	core.edge(t, "tcp", "edge-1")
	third := tunneltest.DialQUIC(t, core.Addr().String(), core.ids.Edge(t, "edge-1"))
	third.Control.Write(tunnel.AppendHello(nil, &tunnel.Hello{Version: 1, Name: "edge-1"}))
	<-third.Gone().Done()
	tunneltest.Wait(t, "a log line", func() bool { return core.log.has("too many connections") })
	e.get(e.lane(), "hello")
	if n := len(core.Status()); n != 2 {
		t.Errorf("%d connections in the status", n)
	}
}

func TestTCPLanesOfOthersAreRefused(t *testing.T) {
	core := start(t, hello, func(s *tunnelserver.Settings) { s.Lanes = 2 })
	e := core.edge(t, "tcp", "edge-1")
	attach := func(edge string, a tunnel.Attach) *tunnel.Lane {
		l := tunneltest.DialTCP(t, core.Addr().String(), core.ids.Edge(t, edge)).Control
		l.Write(tunnel.AppendAttach(nil, a))
		return l
	}
	refused := func(what string, l *tunnel.Lane) {
		t.Helper()
		_, err := l.Next()
		if c, ok := code(err); !ok || c != tunnel.CodeSessionUnknown {
			t.Errorf("%s: %v", what, err)
		}
	}
	refused("unknown session", attach("edge-1", tunnel.Attach{Lane: 1}))
	refused("session of another edge", attach("edge-2", tunnel.Attach{Session: e.hello.Session, Lane: 1}))
	first := e.lane()
	e.get(first, "hello")
	refused("a number that is taken", attach("edge-1", tunnel.Attach{Session: e.hello.Session, Lane: 1}))
	e.get(e.lane(), "hello")
	refused("one more than there may be", e.lane())
	e.get(first, "hello")
}

func TestHundredThousandLanes(t *testing.T) {
	core := start(t, readAll, func(s *tunnelserver.Settings) { s.Lanes = 64 })
	defer core.honest(t)()
	e := core.edge(t, "quic", "hostile")
	opened := 0
	for range 100_000 {
		s, err := e.QUIC.OpenStream()
		if err != nil {
			continue
		}
		s.Write([]byte{byte(tunnel.FrameHead)}) // begun, and never ended
		opened++
	}
	if opened > 64 {
		t.Errorf("%d lanes could be opened, limit 64", opened)
	}
}

func TestLanesLeftAloneAreGivenUp(t *testing.T) {
	core := startPatient(t, 100*time.Millisecond)
	defer core.honest(t)()
	e := core.edge(t, "quic", "hostile")
	half := e.OpenLane(t)
	half.Stream.Write(headFrame(request("GET"))[:20])
	_, err := half.Next()
	if c, ok := code(err); !ok || !c.Refused() || c.Type() != proxystatus.ConnectionReadTimeout {
		t.Errorf("half a HEAD: %v", err)
	}
	tunneltest.Wait(t, "a log line", func() bool { return core.log.has("half of a HEAD") })

	tcp := core.edge(t, "tcp", "hostile")
	_, err = tcp.lane().Next()
	if c, ok := code(err); !ok || !c.Refused() {
		t.Errorf("no HEAD at all: %v", err)
	}
	tunneltest.Wait(t, "a log line", func() bool { return core.log.has("no HEAD came") })
	tcp.get(tcp.lane(), "hello")
	e.get(e.OpenLane(t), "hello")
}

func startPatient(t *testing.T, headTimeout time.Duration) *core {
	return startWith(t, readAll, nil, func(s *tunnelserver.Server) { s.SetHeadTimeout(headTimeout) })
}

func TestRequestThatIsNoneCostsItsLane(t *testing.T) {
	core := start(t, readAll, nil)
	e := core.edge(t, "quic", "edge-1")
	first := e.lane()
	e.get(first, "hello")
	for name, change := range map[string]func(*tunnel.RequestHead){
		"target":    func(h *tunnel.RequestHead) { h.Target = "x:y" },
		"no target": func(h *tunnel.RequestHead) { h.Target = "" },
		"authority": func(h *tunnel.RequestHead) { h.Authority = "a b" },
	} {
		h := request("GET")
		change(h)
		l := e.lane()
		send(t, l, h, "")
		_, err := l.Next()
		if name == "target" && err == nil {
			continue // an opaque target is for the router to refuse
		}
		if c, ok := code(err); !ok || c.Refused() || c.Type() != proxystatus.HTTPRequestError {
			t.Errorf("%s: %v", name, err)
		}
	}
	e.get(first, "hello")
	if !core.log.has("exchange refused: not a valid request") || core.Counters().Violations.Load() != 0 {
		t.Error("not logged, or counted as a violation")
	}
}

func TestCreditForLanesThatAreNotThereIsIgnored(t *testing.T) {
	core := start(t, readAll, nil)
	e := core.edge(t, "quic", "edge-1")
	l := e.lane()
	e.get(l, "hello")
	for lane := range uint64(1000) {
		e.Control.Write(tunnel.AppendCredit(nil, tunnel.Credit{Lane: 4 * lane, Exchange: 99, Limit: 1 << 61}))
	}
	e.get(l, "hello")
}
