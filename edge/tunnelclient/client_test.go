package tunnelclient_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/ergoproxy/ergo/edge/tunnelclient"
	"github.com/ergoproxy/ergo/shared/config"
	"github.com/ergoproxy/ergo/shared/exchange"
	"github.com/ergoproxy/ergo/shared/proxystatus"
	"github.com/ergoproxy/ergo/shared/retry"
	"github.com/ergoproxy/ergo/shared/tunnel"
	"github.com/ergoproxy/ergo/shared/tunnel/tunneltest"
)

func TestLaneIsUsedAgain(t *testing.T) {
	e, _, _ := start(t, serveHello, nil)
	for range 20 {
		if body, err := e.get(); err != nil || body != "hello" {
			t.Fatalf("%q, %v", body, err)
		}
		res, err := e.RoundTrip(newRequest(t.Context(), "POST", strings.NewReader("abc")))
		if err != nil {
			t.Fatal(err)
		}
		io.Copy(io.Discard, res.Body)
		res.Body.Close()
	}
	if n := e.Counters().LanesOpened.Load(); n > 3 {
		t.Errorf("%d lanes for 40 exchanges, one after another", n)
	}
}

func TestLaneThatTheCoreLeavesIsNotUsedAgain(t *testing.T) {
	e, _, _ := start(t, func(l *tunnel.Lane) {
		if _, err := readHead(l); err == nil {
			l.Begin(0)
			answer(l, 200, "hello", true)
			l.Leave()
		}
	}, nil)
	for range 10 {
		if body, err := e.get(); err != nil || body != "hello" {
			t.Fatalf("%q, %v", body, err)
		}
	}
	if n := e.Counters().LanesOpened.Load(); n != 10 {
		t.Errorf("%d lanes opened, want 10", n)
	}
	if s := e.Status().Connections[0]; s.Lanes != 0 || s.Idle != 0 {
		t.Errorf("lanes that were left are kept: %+v", s)
	}
}

func TestResponseComesBackWhole(t *testing.T) {
	e, _, _ := start(t, func(l *tunnel.Lane) {
		if _, err := readHead(l); err != nil {
			return
		}
		l.Begin(0)
		l.WriteResponse(&tunnel.ResponseHead{Status: 103, Header: http.Header{"Link": {"</a>"}}, ContentLength: -1})
		l.WriteResponse(&tunnel.ResponseHead{Status: 206, Header: http.Header{"Etag": {"1"}}, ContentLength: 5, Trailer: []string{"X-Sum"}})
		l.WriteBody(context.Background(), []byte("hello"))
		l.WriteTrailers(http.Header{"X-Sum": {"9"}})
		l.WriteEnd(&tunnel.End{Report: exchange.Report{Route: "all", Status: 206}})
	}, nil)
	req := newRequest(t.Context(), "GET", nil)
	x := exchange.From(req.Context())
	var early []int
	x.Informational = func(status int, h http.Header) error {
		early = append(early, status)
		if h.Get("Link") != "</a>" {
			t.Errorf("1xx header %v", h)
		}
		return nil
	}
	res, err := e.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := res.Trailer["X-Sum"]; !ok {
		t.Error("the trailer is not announced")
	}
	b, err := io.ReadAll(res.Body)
	if err != nil || string(b) != "hello" || res.StatusCode != 206 || res.Header.Get("Content-Length") != "5" || res.ContentLength != 5 ||
		res.Trailer.Get("X-Sum") != "9" || len(early) != 1 || x.CoreReport.Route != "all" || x.Core != "core-1" || x.Carrier != "quic" {
		t.Errorf("%q %v %+v %v %+v", b, err, res, early, x)
	}
	if n, err := res.Body.Read(make([]byte, 1)); n != 0 || err != io.EOF {
		t.Errorf("a read after the end: %d, %v", n, err)
	}
}

func TestAbortsBecomeStages(t *testing.T) {
	for _, c := range []struct {
		name  string
		abort tunnel.Code
		stage retry.Stage
		why   proxystatus.Type
	}{
		{"refused", tunnel.RefusedCode(proxystatus.ConnectionLimitReached), retry.Refused, proxystatus.ConnectionLimitReached},
		{"failed", tunnel.NewCode(proxystatus.DNSError), retry.Unknown, proxystatus.DNSError},
		{"without a reason", tunnel.NewCode(proxystatus.None), retry.Unknown, proxystatus.ConnectionTerminated},
		{"unheard of", tunnel.Code(0xfe), retry.Unknown, proxystatus.ProxyInternalError},
	} {
		t.Run(c.name, func(t *testing.T) {
			e, _, _ := start(t, func(l *tunnel.Lane) { readHead(l); l.Abort(c.abort) }, nil)
			if _, err := e.get(); stage(err) != c.stage || reason(err) != c.why {
				t.Errorf("%v, stage %v", err, stage(err))
			}
		})
	}
}

func TestDeadConnectionFailsWhatIsUnderWay(t *testing.T) {
	begun := make(chan struct{}, 1)
	e, _, conn := start(t, func(l *tunnel.Lane) { readHead(l); begun <- struct{}{} }, nil)
	failed := make(chan error, 1)
	go func() { _, err := e.get(); failed <- err }()
	<-begun
	conn.Close()
	if err := <-failed; err == nil || stage(err) != retry.Unknown {
		t.Errorf("in flight: %v, stage %v", err, stage(err))
	}
	tunneltest.Wait(t, "the connection is gone", func() bool { return !e.Usable() })
	req := newRequest(t.Context(), "POST", nil)
	body := &closing{Reader: strings.NewReader("x")}
	req.Body = body
	if _, err := e.RoundTrip(req); stage(err) != retry.Unsent || reason(err) != proxystatus.DestinationUnavailable || !body.closed.Load() {
		t.Errorf("without a connection: %v, stage %v, body closed %v", err, stage(err), body.closed.Load())
	}
}

func TestCancelTellsTheCoreAndLosesTheLane(t *testing.T) {
	for _, when := range []string{"waiting", "uploading", "downloading"} {
		t.Run(when, func(t *testing.T) {
			codes, ready := make(chan error, 1), make(chan struct{})
			e, _, _ := start(t, func(l *tunnel.Lane) {
				head, err := readHead(l)
				if err != nil {
					return
				}
				l.Begin(0)
				if when == "downloading" {
					l.WriteResponse(&tunnel.ResponseHead{Status: 200, ContentLength: -1})
					l.WriteBody(context.Background(), []byte("begin"))
					l.Flush()
				}
				close(ready)
				if head.HasBody {
					_, err = io.Copy(io.Discard, tunnel.NewBodyReader(l))
				} else {
					_, err = l.Next()
				}
				codes <- err
			}, nil)
			ctx, cancel := context.WithCancel(t.Context())
			method, body := "GET", io.Reader(nil)
			if when == "uploading" {
				method, body = "POST", endless{}
			}
			got := make(chan error, 1)
			go func() {
				res, err := e.RoundTrip(newRequest(ctx, method, body))
				if err == nil {
					_, err = io.Copy(io.Discard, res.Body)
					res.Body.Close()
				}
				got <- err
			}()
			<-ready
			cancel()
			if err := <-got; !errors.Is(err, context.Canceled) {
				t.Errorf("the client gets %v", err)
			}
			var aborted *tunnel.AbortError
			if err := <-codes; !errors.As(err, &aborted) || aborted.Code.Type() != proxystatus.ConnectionTerminated {
				t.Errorf("the core reads %v", err)
			}
			tunneltest.Wait(t, "the lane is dropped and the budget whole", func() bool {
				s := e.Status().Connections[0]
				return s.Lanes == 0 && s.Idle == 0 && e.budget.Used() == 0
			})
		})
	}
}

func TestDeadlineHasItsOwnCode(t *testing.T) {
	codes := make(chan error, 1)
	e, _, _ := start(t, func(l *tunnel.Lane) { readHead(l); _, err := l.Next(); codes <- err }, nil)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err := e.RoundTrip(newRequest(ctx, "GET", nil))
	if reason(err) != proxystatus.HTTPResponseTimeout {
		t.Errorf("%v", err)
	}
	var aborted *tunnel.AbortError
	if err := <-codes; !errors.As(err, &aborted) || aborted.Code.Type() != proxystatus.HTTPResponseTimeout {
		t.Errorf("the core reads %v", err)
	}
}

func TestEarlyAnswerEndsTheUpload(t *testing.T) {
	codes := make(chan error, 1)
	e, _, _ := start(t, func(l *tunnel.Lane) {
		readHead(l)
		l.Begin(0)
		answer(l, 413, "too large", true)
		_, err := io.Copy(io.Discard, tunnel.NewBodyReader(l))
		codes <- err
	}, nil)
	res, err := e.RoundTrip(newRequest(t.Context(), "POST", endless{}))
	if err != nil {
		t.Fatal(err)
	}
	if b, err := io.ReadAll(res.Body); err != nil || string(b) != "too large" {
		t.Errorf("%q, %v", b, err)
	}
	res.Body.Close()
	if err := <-codes; err == nil {
		t.Error("the endless upload ended")
	}
}

func TestBodyWaitsForContinue(t *testing.T) {
	asked := make(chan struct{})
	e, _, _ := start(t, func(l *tunnel.Lane) {
		head, err := readHead(l)
		if err != nil {
			return
		}
		l.Begin(0)
		if head.Header.Get("X-Refuse") != "" {
			answer(l, 417, "", true)
			return
		}
		close(asked)
		l.WriteResponse(&tunnel.ResponseHead{Status: 100, ContentLength: -1})
		l.Flush()
		b, _ := io.ReadAll(tunnel.NewBodyReader(l))
		answer(l, 200, string(b), true)
	}, nil)
	post := func(body io.Reader, refuse bool) (*http.Response, error) {
		req := newRequest(t.Context(), "POST", body)
		req.Header.Set("Expect", "100-continue")
		if refuse {
			req.Header.Set("X-Refuse", "1")
		}
		return e.RoundTrip(req)
	}
	res, err := post(readerFunc(func(p []byte) (int, error) {
		select {
		case <-asked:
			return copy(p, "hello"), io.EOF
		default:
			t.Error("the body is read before the core asks for it")
			return 0, io.EOF
		}
	}), false)
	if err != nil {
		t.Fatal(err)
	}
	if b, err := io.ReadAll(res.Body); err != nil || string(b) != "hello" {
		t.Errorf("%q, %v", b, err)
	}
	res.Body.Close()
	res, err = post(readerFunc(func([]byte) (int, error) { t.Error("the body is read though it was refused"); return 0, io.EOF }), true)
	if err != nil || res.StatusCode != 417 {
		t.Fatalf("%+v, %v", res, err)
	}
	io.Copy(io.Discard, res.Body)
	res.Body.Close()
}

func TestUpload(t *testing.T) {
	for name, c := range map[string]struct {
		length int64
		body   string
		ok     bool
	}{
		"as declared": {5, "hello", true},
		"unknown":     {-1, "hello", true},
		"too short":   {6, "hello", false},
		"too long":    {4, "hello", false},
	} {
		t.Run(name, func(t *testing.T) {
			e, _, _ := start(t, func(l *tunnel.Lane) {
				readHead(l)
				l.Begin(0)
				if b, err := io.ReadAll(tunnel.NewBodyReader(l)); err == nil {
					answer(l, 200, string(b), false)
				}
			}, nil)
			req := newRequest(t.Context(), "POST", readerFunc(strings.NewReader(c.body).Read))
			req.ContentLength = c.length
			res, err := e.RoundTrip(req)
			if ok := err == nil; ok != c.ok {
				t.Fatalf("%+v, %v", res, err)
			}
			if err != nil {
				return
			}
			if b, err := io.ReadAll(res.Body); err != nil || string(b) != c.body {
				t.Errorf("%q, %v", b, err)
			}
		})
	}
}

func TestUploadHeedsCredit(t *testing.T) {
	grant := make(chan struct{})
	e, core, conn := start(t, func(l *tunnel.Lane) {
		readHead(l)
		l.Begin(0)
		in := tunnel.NewBodyReader(l)
		if n, err := io.CopyN(io.Discard, in, 64<<10); err != nil {
			t.Error(n, err)
		}
		grant <- struct{}{}
		b, err := io.ReadAll(in)
		if err != nil || len(b) != 36<<10 {
			t.Errorf("%d bytes more, %v", len(b), err)
		}
		answer(l, 200, "", false)
	}, nil)
	_ = core
	sent := make(chan error, 1)
	body := &counting{Reader: bytes.NewReader(make([]byte, 100<<10))}
	go func() {
		res, err := e.RoundTrip(newRequest(t.Context(), "POST", readerFunc(body.Read)))
		if err == nil {
			_, err = io.Copy(io.Discard, res.Body)
		}
		sent <- err
	}()
	<-grant
	select {
	case err := <-sent:
		t.Fatalf("ended without credit: %v", err)
	default:
	}
	// The first lane after the control lane is stream 4.
	conn.Control.Write(tunnel.AppendCredit(nil, tunnel.Credit{Lane: 4, Exchange: 1, Limit: 100 << 10}))
	if err := <-sent; err != nil {
		t.Error(err)
	}
}

func TestUpgrade(t *testing.T) {
	e, _, _ := start(t, func(l *tunnel.Lane) {
		head, err := readHead(l)
		if err != nil || head.Upgrade != "echo" {
			t.Errorf("%+v, %v", head, err)
			return
		}
		l.Begin(0)
		l.WriteResponse(&tunnel.ResponseHead{Status: 101, Header: http.Header{"Upgrade": {"echo"}}, ContentLength: -1})
		l.Flush()
		in := tunnel.NewBodyReader(l)
		b := make([]byte, 100)
		for {
			n, err := in.Read(b)
			if n > 0 {
				l.WriteBody(context.Background(), b[:n])
				l.Flush()
			}
			if err != nil {
				break
			}
		}
		l.WriteEnd(&tunnel.End{Last: true})
		l.Leave()
	}, nil)
	req := newRequest(t.Context(), "GET", nil)
	req.Header.Set("Upgrade", "echo")
	res, err := e.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	s := res.Body.(interface {
		io.ReadWriteCloser
		CloseWrite() error
	})
	for range 10 {
		if _, err := s.Write([]byte("ping")); err != nil {
			t.Fatal(err)
		}
		b := make([]byte, 4)
		if _, err := io.ReadFull(s, b); err != nil || string(b) != "ping" {
			t.Fatalf("%q, %v", b, err)
		}
	}
	if err := s.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if b, err := io.ReadAll(s); err != nil || len(b) != 0 {
		t.Errorf("%q, %v", b, err)
	}
	s.Close()
	tunneltest.Wait(t, "the lane is dropped", func() bool { return e.Status().Connections[0].Lanes == 0 })
}

func TestUnsendableRequestIsTheClientsFault(t *testing.T) {
	e, _, _ := start(t, serveHello, nil)
	for name, change := range map[string]func(*http.Request){
		"huge":   func(r *http.Request) { r.Header.Set("A", strings.Repeat("x", tunnel.MaxHead)) },
		"syntax": func(r *http.Request) { r.Header["A B"] = []string{"1"} },
	} {
		req := newRequest(t.Context(), "GET", nil)
		change(req)
		_, err := e.RoundTrip(req)
		if reason(err) != proxystatus.HTTPRequestError {
			t.Errorf("%s: %v", name, err)
		}
		if status := proxystatus.From("edge", err).HTTPStatus(); name == "huge" && status != 431 {
			t.Errorf("%s: status %d", name, status)
		}
	}
	if body, err := e.get(); err != nil || body != "hello" {
		t.Errorf("the connection is lost: %q, %v", body, err)
	}
}

func TestLanesHaveALimit(t *testing.T) {
	release := make(chan struct{})
	e, _, _ := start(t, func(l *tunnel.Lane) {
		readHead(l)
		<-release
		l.Begin(0)
		answer(l, 200, "hello", false)
	}, func(s *tunnelclient.Settings) { s.Lanes = 2 })
	got := make(chan error, 2)
	for range 2 {
		go func() { _, err := e.get(); got <- err }()
	}
	tunneltest.Wait(t, "two exchanges", func() bool { return e.Status().Connections[0].Lanes == 2 })
	if _, err := e.get(); stage(err) != retry.Unsent || reason(err) != proxystatus.ConnectionLimitReached {
		t.Errorf("third: %v", err)
	}
	close(release)
	if err := errors.Join(<-got, <-got); err != nil {
		t.Error(err)
	}
}

func TestReceiveMemoryThatIsUsedUpRefuses(t *testing.T) {
	e, _, _ := start(t, serveHello, func(s *tunnelclient.Settings) { s.ReceiveMemory = config.Bytes(tunnel.MinWindow) })
	ready := make(chan struct{})
	res, err := e.RoundTrip(newRequest(t.Context(), "GET", nil))
	if err != nil {
		t.Fatal(err)
	}
	close(ready)
	if _, err := e.get(); stage(err) != retry.Unsent || reason(err) != proxystatus.ConnectionLimitReached {
		t.Errorf("second: %v", err)
	}
	io.Copy(io.Discard, res.Body)
	if _, err := e.get(); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

func TestIdleLanesArePruned(t *testing.T) {
	e, _, _ := start(t, serveHello, func(s *tunnelclient.Settings) { s.LaneIdle = config.Duration(100 * time.Millisecond) })
	if _, err := e.get(); err != nil {
		t.Fatal(err)
	}
	tunneltest.Wait(t, "no lane is left", func() bool { return e.Status().Connections[0].Lanes == 0 })
	if _, err := e.get(); err != nil {
		t.Error(err)
	}
}

func TestDrainingCoreKeepsTheConnectionUntilItIsIdle(t *testing.T) {
	release := make(chan struct{})
	e, _, conn := start(t, func(l *tunnel.Lane) {
		readHead(l)
		<-release
		l.Begin(0)
		answer(l, 200, "hello", false)
	}, nil)
	got := make(chan error, 1)
	go func() { _, err := e.get(); got <- err }()
	tunneltest.Wait(t, "the exchange", func() bool { return e.Status().Connections[0].Lanes == 1 })
	conn.Control.Write(tunnel.AppendState(nil, tunnel.State{Draining: true}))
	tunneltest.Wait(t, "the state", e.Draining)
	if _, err := e.get(); stage(err) != retry.Unsent {
		t.Errorf("new exchange: %v", err)
	}
	if conn.Gone().Err() != nil {
		t.Error("the connection was cut")
	}
	close(release)
	if err := <-got; err != nil {
		t.Errorf("in flight: %v", err)
	}
	<-conn.Gone().Done()
	if !tunnel.Closed(context.Cause(conn.Gone())) {
		t.Errorf("the core learns %v", context.Cause(conn.Gone()))
	}
}

func TestCoreThatStopsAnsweringIsGivenUp(t *testing.T) {
	core := newCore(t)
	e := connect(t, core.ids, core.Address, func(s *tunnelclient.Settings) { s.DeadAfter = config.Duration(200 * time.Millisecond) })
	conn := core.AcceptQUIC(t)
	tunneltest.Answer(t, conn.Control, core.hello)
	e.usable()
	core.Silence()
	tunneltest.Wait(t, "the connection is given up", func() bool { return e.Counters().Deaths.Load() == 1 })
	if e.Usable() {
		t.Error("usable")
	}
}
