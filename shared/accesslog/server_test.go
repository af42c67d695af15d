package accesslog_test

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/ergoproxy/ergo/shared/accesslog"
	"github.com/ergoproxy/ergo/shared/exchange"
)

// line is what the tests below look at.
type line struct {
	Status          int
	BytesIn         int `json:"bytes_in"`
	BytesOut        int `json:"bytes_out"`
	Aborted, Detail string
}

// overHTTP1 serves one exchange of client with h over a real connection and
// returns its line.
func overHTTP1(t *testing.T, h http.HandlerFunc, client func(server *httptest.Server)) line {
	t.Helper()
	text := logged(t, defaults(), func(l *accesslog.Log) {
		ended := make(chan struct{})
		wrapped := accesslog.Wrap(l, h)
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			defer close(ended)
			wrapped.ServeHTTP(w, r.WithContext(exchange.With(r.Context(), record())))
		}))
		defer server.Close()
		client(server)
		<-ended
	})
	var got line
	if err := json.Unmarshal([]byte(text), &got); err != nil {
		t.Fatalf("%q: %v", text, err)
	}
	return got
}

func TestAClientThatLeavesOverHTTP1(t *testing.T) {
	got := overHTTP1(t, func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "half")
		http.NewResponseController(w).Flush()
		<-r.Context().Done()
	}, func(server *httptest.Server) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		r, _ := http.NewRequestWithContext(ctx, "GET", server.URL, nil)
		res, err := http.DefaultTransport.RoundTrip(r)
		if err != nil {
			t.Error(err)
			return
		}
		cancel()
		res.Body.Close()
	})
	if got != (line{Status: 200, BytesOut: 4, Aborted: "client", Detail: "client went away"}) {
		t.Errorf("logged %+v", got)
	}
}

func TestAClientThatLeavesInItsBody(t *testing.T) {
	got := overHTTP1(t, func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		panic(http.ErrAbortHandler)
	}, func(server *httptest.Server) {
		conn, err := net.Dial("tcp", server.Listener.Addr().String())
		if err != nil {
			t.Error(err)
			return
		}
		io.WriteString(conn, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nhalf")
		conn.Close()
	})
	if got.Aborted != "client" || got.BytesIn != 4 || got.Status != 0 {
		t.Errorf("logged %+v", got)
	}
}

func TestInformationalResponsesAreNotFinal(t *testing.T) {
	got := overHTTP1(t, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusEarlyHints)
		w.WriteHeader(http.StatusAccepted)
	}, func(server *httptest.Server) {
		res, err := http.Get(server.URL)
		if err != nil {
			t.Error(err)
			return
		}
		res.Body.Close()
	})
	if got != (line{Status: 202}) {
		t.Errorf("logged %+v", got)
	}
}

// The server may have read bytes of the new protocol together with the head.
func TestUpgradeLosesNoByteAndCountsAll(t *testing.T) {
	got := overHTTP1(t, func(w http.ResponseWriter, r *http.Request) {
		conn, buffered, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		text, err := buffered.ReadString('!')
		if err != nil || text != "early late!" {
			t.Errorf("read %q, %v", text, err)
		}
		io.WriteString(buffered, "HTTP/1.1 101 Switching Protocols\r\n\r\n")
		buffered.Flush()
	}, func(server *httptest.Server) {
		conn, err := net.Dial("tcp", server.Listener.Addr().String())
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		io.WriteString(conn, "GET / HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\nearly ")
		io.WriteString(conn, "late!")
		if status, err := bufio.NewReader(conn).ReadString('\n'); err != nil || !strings.Contains(status, "101") {
			t.Errorf("read %q, %v", status, err)
		}
	})
	if got != (line{Status: 101, BytesIn: 11, BytesOut: 36}) {
		t.Errorf("logged %+v", got)
	}
}
