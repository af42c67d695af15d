package tunnelserver_test

import (
	"context"
	"io"
	"net/http"
	"testing"

	"github.com/ergoproxy/ergo/core/tunnelserver"
	"github.com/ergoproxy/ergo/shared/proxystatus"
	"github.com/ergoproxy/ergo/shared/tunnel"
	"github.com/ergoproxy/ergo/shared/tunnel/tunneltest"
)

func TestBudgetThatIsUsedUpRefuses(t *testing.T) {
	release := make(chan struct{})
	core := start(t, func(_ http.ResponseWriter, r *http.Request) { <-release }, func(s *tunnelserver.Settings) {
		s.BodyCredit, s.ReceiveMemory = 32<<10, 64<<10
	})
	e := core.edge(t, "quic", "edge-1")
	h := request("POST")
	h.HasBody, h.ContentLength = true, -1
	for range 2 {
		send(t, e.lane(), h, "x")
	}
	tunneltest.Wait(t, "two exchanges", func() bool { return core.InFlight() == 2 })
	l := e.lane()
	send(t, l, h, "x")
	_, err := l.Next()
	if c, ok := code(err); !ok || !c.Refused() || c.Type() != proxystatus.ConnectionLimitReached {
		t.Errorf("third: %v", err)
	}
	close(release)
	tunneltest.Wait(t, "the budget is whole", func() bool { return core.Budget().Used() == 0 })
}

func TestDrain(t *testing.T) {
	release := make(chan struct{})
	core := start(t, func(w http.ResponseWriter, _ *http.Request) {
		<-release
		io.WriteString(w, "done")
	}, nil)
	e := core.edge(t, "quic", "edge-1")
	l := e.lane()
	send(t, l, request("GET"), "")
	tunneltest.Wait(t, "the exchange", func() bool { return core.InFlight() == 1 })
	drained := make(chan error, 1)
	go func() { drained <- core.Drain(t.Context()) }()
	for {
		m, err := tunneltest.ReadControl(e.Control)
		if err != nil {
			t.Fatal(err)
		}
		if s, ok := m.(tunnel.State); ok && s.Draining && !s.Ready {
			break
		}
	}
	late := tunneltest.DialQUIC(t, core.Addr().String(), core.ids.Edge(t, "edge-2"))
	late.Control.Write(tunnel.AppendHello(nil, &tunnel.Hello{Version: 1, Name: "edge-2"}))
	if m, err := tunneltest.ReadControl(late.Control); err == nil {
		t.Errorf("a new connection is greeted with %+v", m)
	}
	close(release)
	if a := receive(l); a.err != nil || a.body != "done" {
		t.Errorf("in flight: %+v", a)
	}
	select {
	case err := <-drained:
		t.Fatalf("drained while the edge is connected: %v", err)
	default:
	}
	e.Close()
	if err := <-drained; err != nil {
		t.Error(err)
	}
}

func TestEndOfTheGraceRefuses(t *testing.T) {
	core := start(t, hello, nil)
	e := core.edge(t, "quic", "edge-1")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := core.Drain(ctx); err == nil {
		t.Error("drained while the edge is connected")
	}
	l := e.lane()
	send(t, l, request("GET"), "")
	_, err := l.Next()
	if c, ok := code(err); !ok || !c.Refused() {
		t.Errorf("%v", err)
	}
}

func TestShutdownTellsTheEdges(t *testing.T) {
	core := start(t, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, nil)
	e := core.edge(t, "quic", "edge-1")
	l := e.lane()
	send(t, l, request("GET"), "")
	tunneltest.Wait(t, "the exchange", func() bool { return core.InFlight() == 1 })
	core.stop()
	<-e.Gone().Done()
	if !tunnel.Closed(context.Cause(e.Gone())) {
		t.Errorf("the edge learns %v", context.Cause(e.Gone()))
	}
}
