package tunnelclient_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/ergoproxy/ergo/edge/tunnelclient"
	"github.com/ergoproxy/ergo/shared/proxystatus"
	"github.com/ergoproxy/ergo/shared/tunnel"
	"github.com/ergoproxy/ergo/shared/tunnel/tunneltest"
)

var session = tunnel.SessionID{1}

// serveTCP answers on TCP, sessions and lanes, until the listener closes.
func serveTCP(core *tunneltest.Core, state tunnel.State, script func(*tunnel.Lane)) {
	hello := tunnel.Hello{Version: 1, Name: "core-1", Session: session, MaxLanes: 100, State: state}
	for {
		conn, err := core.TryAcceptTCP()
		if err != nil {
			return
		}
		go func() {
			lane := conn.Control
			a, ok, err := lane.Attached()
			switch {
			case err != nil:
			case ok && a.Session == session:
				script(lane)
			case ok:
				lane.Abort(tunnel.CodeSessionUnknown)
			default:
				if _, err := tunneltest.ReadControl(lane); err != nil {
					return
				}
				lane.Write(tunnel.AppendHello(nil, &hello))
				for {
					m, err := tunneltest.ReadControl(lane)
					if err != nil {
						return
					}
					if p, ok := m.(tunnel.Ping); ok {
						lane.Write(tunnel.AppendPong(nil, tunnel.Pong{Nonce: p.Nonce, State: state}))
					}
				}
			}
		}()
	}
}

func TestFallsBackToTCPAndReturnsToQUIC(t *testing.T) {
	ids := tunneltest.NewIdentities(t)
	listener := tunneltest.ListenTCP(t, ids.Core())
	go serveTCP(listener, tunnel.State{Ready: true}, serveHello)
	start := time.Now()
	e := connect(t, ids, listener.Address, func(s *tunnelclient.Settings) { s.Carrier = "auto" })
	e.usable()
	if took := time.Since(start); took > 2*time.Second {
		t.Errorf("usable over TCP after %v", took)
	}
	if s := e.Status(); s.Carrier != tunnelclient.TCP {
		t.Errorf("carrier %q", s.Carrier)
	}

	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for n := 0; ctx.Err() == nil; n++ {
			if body, err := e.get(); err != nil || body != "hello" {
				t.Errorf("exchange %d: %q, %v", n, body, err)
				return
			}
		}
	}()
	listener.ListenUDP(t)
	core := &fakeCore{Core: listener, t: t, ids: ids, hello: tunnel.Hello{Version: 1, Name: "core-1", MaxLanes: 100,
		BodyCredit: 64 << 10, State: tunnel.State{Ready: true}}}
	core.accept(serveHello)
	// The TCP session stays, and stands by.
	tunneltest.Wait(t, "QUIC carries exchanges", func() bool { return e.Status().Carrier == tunnelclient.QUIC })
	cancel()
	<-done
}

func TestTCPCarriesEverything(t *testing.T) {
	ids := tunneltest.NewIdentities(t)
	listener := tunneltest.ListenTCP(t, ids.Core())
	lost := make(chan error, 1)
	go serveTCP(listener, tunnel.State{Ready: true}, func(l *tunnel.Lane) {
		for {
			head, err := readHead(l)
			if err != nil {
				return
			}
			l.Begin(0)
			switch head.Header.Get("X-Do") {
			case "refuse":
				l.Abort(tunnel.RefusedCode(proxystatus.ConnectionLimitReached))
				return
			case "wait":
				_, err := l.Next()
				lost <- err
				return
			}
			n, err := int64(0), error(nil)
			if head.HasBody {
				n, err = io.Copy(io.Discard, tunnel.NewBodyReader(l))
			}
			if err != nil || answer(l, 200, string(make([]byte, n)), false) != nil {
				return
			}
			l.End()
		}
	})
	e := connect(t, ids, listener.Address, func(s *tunnelclient.Settings) { s.Carrier = "tcp" })
	e.usable()
	do := func(ctx context.Context, what string, body io.Reader) (*http.Response, error) {
		req := newRequest(ctx, "POST", body)
		req.Header.Set("X-Do", what)
		return e.RoundTrip(req)
	}
	for range 10 {
		res, err := do(t.Context(), "", io.LimitReader(endless{}, 1<<20))
		if err != nil {
			t.Fatal(err)
		}
		if b, err := io.ReadAll(res.Body); err != nil || len(b) != 1<<20 {
			t.Fatalf("%d bytes, %v", len(b), err)
		}
	}
	// A lane is lost when the answer is read before the sender of the request has
	// noticed that it is done, which the scheduler may bring about now and then.
	if n := e.Counters().LanesOpened.Load(); n > 5 {
		t.Errorf("%d lanes for 10 exchanges one after another", n)
	}
	if _, err := do(t.Context(), "refuse", nil); stage(err).String() != "refused" {
		t.Errorf("refused: %v, stage %v", err, stage(err))
	}
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond) // dialling the lane included
	defer cancel()
	if _, err := do(ctx, "wait", nil); reason(err) != proxystatus.HTTPResponseTimeout {
		t.Errorf("timeout: %v", err)
	}
	var aborted *tunnel.AbortError
	if err := <-lost; !errors.As(err, &aborted) || aborted.Code.Type() != proxystatus.HTTPResponseTimeout {
		t.Errorf("the core reads %v", err)
	}
	tunneltest.Wait(t, "lanes that were lost are dropped", func() bool { return e.Status().Connections[0].Lanes == 0 })
}

func TestCancelGoesOverTheControlLaneToo(t *testing.T) {
	ids := tunneltest.NewIdentities(t)
	listener := tunneltest.ListenTCP(t, ids.Core())
	cancels := make(chan tunnel.Cancel, 1)
	go func() {
		control, err := listener.TryAcceptTCP()
		if err != nil {
			return
		}
		tunneltest.ReadControl(control.Control)
		control.Control.Write(tunnel.AppendHello(nil, &tunnel.Hello{Version: 1, Name: "core-1", Session: session, MaxLanes: 9, State: tunnel.State{Ready: true}}))
		listener.TryAcceptTCP() // a lane that nobody reads
		for {
			m, err := tunneltest.ReadControl(control.Control)
			if err != nil {
				return
			}
			if c, ok := m.(tunnel.Cancel); ok {
				cancels <- c
			}
		}
	}()
	e := connect(t, ids, listener.Address, func(s *tunnelclient.Settings) { s.Carrier = "tcp" })
	e.usable()
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := e.RoundTrip(newRequest(ctx, "POST", endless{})); err == nil {
		t.Error("no error")
	}
	if c := <-cancels; c.Lane != 1 || c.Code.Type() != proxystatus.HTTPResponseTimeout {
		t.Errorf("%+v", c)
	}
}
