package tunnelserver_test

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/ergoproxy/ergo/shared/exchange"
	"github.com/ergoproxy/ergo/shared/proxystatus"
	"github.com/ergoproxy/ergo/shared/tunnel"
	"github.com/ergoproxy/ergo/shared/tunnel/tunneltest"
)

func TestResponseWriter(t *testing.T) {
	for name, c := range map[string]struct {
		method  string
		handler http.HandlerFunc
		check   func(answer) bool
	}{
		"implicit 200": {"GET", hello, func(a answer) bool { return a.err == nil && a.head.Status == 200 && a.body == "hello" }},
		"nothing at all": {"GET", func(http.ResponseWriter, *http.Request) {}, func(a answer) bool {
			return a.err == nil && a.head.Status == 200 && a.body == ""
		}},
		"informational heads": {"GET", func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(102)
			w.WriteHeader(103)
			w.WriteHeader(404)
			w.WriteHeader(500) // too late
		}, func(a answer) bool {
			return a.err == nil && len(a.informational) == 2 && a.informational[1] == 103 && a.head.Status == 404
		}},
		"more informational heads than there may be": {"GET", func(w http.ResponseWriter, _ *http.Request) {
			for range 100 {
				w.WriteHeader(103)
			}
		}, func(a answer) bool {
			return a.err == nil && len(a.informational) == tunnel.MaxInformational && a.head.Status == 200
		}},
		"HEAD": {"HEAD", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "5")
			if _, err := io.WriteString(w, "hello"); err != http.ErrBodyNotAllowed {
				panic(err)
			}
		}, func(a answer) bool { return a.err == nil && a.head.ContentLength == 5 && a.body == "" }},
		"204": {"GET", func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(204)
			w.Write([]byte("x"))
		}, func(a answer) bool { return a.err == nil && a.head.Status == 204 && a.body == "" }},
		"304 tells the length": {"GET", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "99")
			w.WriteHeader(304)
		}, func(a answer) bool { return a.err == nil && a.head.Status == 304 && a.head.ContentLength == 99 }},
		"shorter than declared": {"GET", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "6")
			io.WriteString(w, "hello")
		}, func(a answer) bool { return aborted(a, proxystatus.HTTPResponseIncomplete) }},
		"longer than declared": {"GET", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "4")
			if _, err := io.WriteString(w, "hello"); err != http.ErrContentLength {
				panic(err)
			}
		}, func(a answer) bool { return aborted(a, proxystatus.HTTPResponseIncomplete) }},
		"trailers": {"GET", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Trailer", "X-Sum, Grpc-Status")
			w.Header().Set("Grpc-Status", "early") // not of the head
			w.Header().Set(http.TrailerPrefix+"X-Before", "1")
			io.WriteString(w, "hello")
			w.Header().Set("X-Sum", "9")
			w.Header().Set("Grpc-Status", "0")
			w.Header().Set(http.TrailerPrefix+"X-After", "2")
		}, func(a answer) bool {
			tr := a.in.Trailer
			return a.err == nil && len(a.head.Header) == 0 && len(a.head.Trailer) == 2 && tr.Get("X-Sum") == "9" &&
				tr.Get("Grpc-Status") == "0" && tr.Get("X-After") == "2" && tr.Get("X-Before") == "1"
		}},
		"panic before the head": {"GET", func(http.ResponseWriter, *http.Request) { panic("oops") }, func(a answer) bool {
			return a.head == nil && aborted(a, proxystatus.ProxyInternalError)
		}},
		"ErrAbortHandler in the body": {"GET", func(w http.ResponseWriter, _ *http.Request) {
			io.WriteString(w, "hello")
			w.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		}, func(a answer) bool { return aborted(a, proxystatus.HTTPResponseIncomplete) }},
		"a status that is none": {"GET", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(99) }, func(a answer) bool {
			return aborted(a, proxystatus.ProxyInternalError)
		}},
		"a field that HTTP does not allow": {"GET", func(w http.ResponseWriter, _ *http.Request) {
			w.Header()["A B"] = []string{"1"}
		}, func(a answer) bool { return aborted(a, proxystatus.HTTPProtocolError) }},
		"a head that is too large": {"GET", func(w http.ResponseWriter, _ *http.Request) {
			w.Header()["A"] = []string{strings.Repeat("x", tunnel.MaxHead)}
		}, func(a answer) bool { return aborted(a, proxystatus.HTTPResponseHeaderSectionSize) }},
		"an upgrade that nobody asked for": {"GET", func(w http.ResponseWriter, _ *http.Request) {
			if _, err := w.(interface {
				Upgrade() (io.ReadWriteCloser, error)
			}).Upgrade(); err != http.ErrNotSupported {
				panic(err)
			}
		}, func(a answer) bool { return a.err == nil && a.head.Status == 200 }},
	} {
		t.Run(name, func(t *testing.T) {
			core := start(t, c.handler, nil)
			e := core.edge(t, "quic", "edge-1")
			l := e.lane()
			send(t, l, request(c.method), "")
			if a := receive(l); !c.check(a) {
				t.Errorf("%+v %+v", a, a.head)
			}
			// Whatever happened to the exchange, the connection serves others.
			l = e.lane()
			send(t, l, request(c.method), "")
			if a := receive(l); !c.check(a) {
				t.Errorf("second time: %+v", a)
			}
			if core.Counters().Violations.Load() != 0 {
				t.Error("counted as a violation")
			}
		})
	}
}

func aborted(a answer, want proxystatus.Type) bool {
	c, ok := code(a.err)
	return ok && c.Type() == want && !c.Refused()
}

func TestPanicIsLoggedWithItsStack(t *testing.T) {
	core := start(t, func(http.ResponseWriter, *http.Request) { panic("oops") }, nil)
	l := core.edge(t, "quic", "edge-1").lane()
	send(t, l, request("GET"), "")
	receive(l)
	if !core.log.has("handler panicked") || !core.log.has("exchange_test.go") {
		t.Error("no log line, or without the stack")
	}
}

func TestRequestArrivesWithItsFacts(t *testing.T) {
	core := start(t, func(w http.ResponseWriter, r *http.Request) {
		x := exchange.From(r.Context())
		body, err := io.ReadAll(r.Body)
		if err != nil || string(body) != "hello" || r.Method != "POST" || r.Host != "example.org" || r.RequestURI != "/a?b" || r.ContentLength != 5 ||
			x.Client.Proto != "HTTP/2.0" || x.Client.Scheme != "https" || x.Attempt != 1 || time.Until(x.Deadline) > time.Minute || x.Deadline.IsZero() {
			t.Errorf("%q, %v, %+v, %+v", body, err, r, x)
		}
		if _, ok := r.Context().Deadline(); !ok {
			t.Error("the context has no deadline")
		}
		x.Report.Route = "all"
	}, nil)
	carriers(t, func(t *testing.T, carrier string) {
		l := core.edge(t, carrier, "edge-1").lane()
		h := request("POST")
		h.HasBody, h.ContentLength, h.Attempt, h.Remaining = true, 5, 1, time.Minute
		send(t, l, h, "hello")
		if a := receive(l); a.err != nil || a.in.Report.Route != "all" || a.in.Report.BytesIn != 5 || a.in.Report.Name != "core-1" || a.in.Last {
			t.Errorf("%+v %+v", a, a.in)
		}
	})
}

func TestLaneServesManyExchanges(t *testing.T) {
	core := start(t, hello, nil)
	carriers(t, func(t *testing.T, carrier string) {
		e := core.edge(t, carrier, "edge-1")
		l := e.lane()
		for range 50 {
			e.get(l, "hello")
		}
	})
}

func TestContinueIsAskedForOnTheFirstRead(t *testing.T) {
	core := start(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-Refuse") != "" {
			w.WriteHeader(417)
			return
		}
		io.Copy(w, r.Body)
	}, nil)
	e := core.edge(t, "quic", "edge-1")
	l := e.lane()
	h := request("POST")
	h.HasBody, h.ContentLength, h.Continue = true, 5, true
	l.Begin(0)
	if err := errors.Join(l.WriteRequest(h), l.Flush()); err != nil {
		t.Fatal(err)
	}
	if kind, head, err := readHead(l); err != nil || kind != tunnel.FrameInformational || head.Status != 100 {
		t.Fatalf("%#x %+v %v", kind, head, err)
	}
	if err := errors.Join(l.WriteBody(t.Context(), []byte("hello")), l.WriteEnd(&tunnel.End{})); err != nil {
		t.Fatal(err)
	}
	if a := receive(l); a.err != nil || a.body != "hello" || a.informational != nil {
		t.Errorf("%+v", a)
	}

	l = e.lane()
	h.Header["X-Refuse"] = []string{"1"}
	if err := errors.Join(l.WriteRequest(h), l.Flush()); err != nil {
		t.Fatal(err)
	}
	if a := receive(l); a.err != nil || a.head.Status != 417 || a.informational != nil || !a.in.Last {
		t.Errorf("refused: %+v", a)
	}
}

func TestAnswerBeforeTheBodyIsThereLeavesTheLane(t *testing.T) {
	core := start(t, hello, nil)
	carriers(t, func(t *testing.T, carrier string) {
		l := core.edge(t, carrier, "edge-1").lane()
		h := request("POST")
		h.HasBody, h.ContentLength = true, -1
		l.Begin(0)
		if err := errors.Join(l.WriteRequest(h), l.WriteBody(t.Context(), []byte("begin")), l.Flush()); err != nil {
			t.Fatal(err)
		}
		if a := receive(l); a.err != nil || a.body != "hello" || !a.in.Last {
			t.Errorf("%+v, last %v", a, a.in != nil && a.in.Last)
		}
	})
}

// A transport to a backend reads on after the handler returned. It must neither
// get bytes of the next exchange nor keep any of the budget.
func TestReadOfTheBodyAfterTheHandlerFails(t *testing.T) {
	late := make(chan error, 1)
	core := start(t, func(w http.ResponseWriter, r *http.Request) {
		reading := make(chan struct{})
		go func() {
			r.Body.Read(make([]byte, 3))
			close(reading)
			_, err := io.Copy(io.Discard, r.Body)
			late <- err
		}()
		<-reading
	}, nil)
	carriers(t, func(t *testing.T, carrier string) {
		l := core.edge(t, carrier, "edge-1").lane()
		h := request("POST")
		h.HasBody, h.ContentLength = true, -1
		l.Begin(0)
		if err := errors.Join(l.WriteRequest(h), l.WriteBody(t.Context(), []byte("abc")), l.Flush()); err != nil {
			t.Fatal(err)
		}
		if a := receive(l); a.err != nil || !a.in.Last {
			t.Errorf("%+v", a)
		}
		if err := <-late; err == nil {
			t.Error("the late read found the end of a body that has none")
		}
		tunneltest.Wait(t, "the budget is whole", func() bool { return core.Budget().Used() == 0 })
	})
}

func TestUpgradeCarriesBothDirections(t *testing.T) {
	core := start(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Upgrade", "echo")
		s, err := w.(interface {
			Upgrade() (io.ReadWriteCloser, error)
		}).Upgrade()
		if err != nil {
			t.Error(err)
			return
		}
		io.Copy(s, s)
		s.Close()
	}, nil)
	carriers(t, func(t *testing.T, carrier string) {
		l := core.edge(t, carrier, "edge-1").lane()
		h := request("GET")
		h.Upgrade = "echo"
		l.Begin(0)
		if err := errors.Join(l.WriteRequest(h), l.Flush()); err != nil {
			t.Fatal(err)
		}
		kind, head, err := readHead(l)
		if err != nil || kind != tunnel.FrameResponse || head.Status != 101 || head.Header.Get("Upgrade") != "echo" {
			t.Fatalf("%#x %+v %v", kind, head, err)
		}
		in := tunnel.NewBodyReader(l)
		for range 10 {
			if err := errors.Join(l.WriteBody(t.Context(), []byte("ping")), l.Flush()); err != nil {
				t.Fatal(err)
			}
			b := make([]byte, 4)
			if _, err := io.ReadFull(in, b); err != nil || string(b) != "ping" {
				t.Fatalf("%q %v", b, err)
			}
		}
		if err := l.WriteEnd(&tunnel.End{}); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadAll(in); err != nil || !in.Last {
			t.Errorf("%v, last %v", err, in.Last)
		}
	})
}

func TestUpgradeThatIsRefusedLeavesTheLane(t *testing.T) {
	core := start(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(403) }, nil)
	l := core.edge(t, "quic", "edge-1").lane()
	h := request("GET")
	h.Upgrade = "websocket"
	send(t, l, h, "")
	if a := receive(l); a.err != nil || a.head.Status != 403 || !a.in.Last {
		t.Errorf("%+v", a)
	}
}

func TestCancelReachesTheHandler(t *testing.T) {
	ended := make(chan error, 1)
	core := start(t, func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(200)
		w.(http.Flusher).Flush()
		<-r.Context().Done()
		ended <- r.Context().Err()
	}, nil)
	carriers(t, func(t *testing.T, carrier string) {
		l := core.edge(t, carrier, "edge-1").lane()
		send(t, l, request("GET"), "")
		if _, head, err := readHead(l); err != nil || head.Status != 200 {
			t.Fatal(head, err)
		}
		l.Abort(tunnel.NewCode(proxystatus.ConnectionTerminated))
		if err := <-ended; err == nil {
			t.Error("no error")
		}
	})
}

// The ABORT on the lane stands behind body bytes that nobody reads.
func TestCancelOvertakesABodyOnTCP(t *testing.T) {
	ended := make(chan struct{})
	core := start(t, func(_ http.ResponseWriter, r *http.Request) {
		<-r.Context().Done()
		close(ended)
	}, nil)
	e := core.edge(t, "tcp", "edge-1")
	l := e.lane()
	h := request("POST")
	h.HasBody, h.ContentLength = true, -1
	l.Begin(0)
	if err := errors.Join(l.WriteRequest(h), l.WriteBody(t.Context(), make([]byte, 256<<10)), l.Flush()); err != nil {
		t.Fatal(err)
	}
	tunneltest.Wait(t, "the exchange", func() bool { return core.InFlight() == 1 })
	if _, err := e.Control.Write(tunnel.AppendCancel(nil, tunnel.Cancel{Lane: 1, Code: tunnel.NewCode(proxystatus.ConnectionTerminated)})); err != nil {
		t.Fatal(err)
	}
	<-ended
}
