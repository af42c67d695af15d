package backend

import (
	"bufio"
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/ergoproxy/ergo/shared/exchange"
)

// A connection that the backend closed, or on which it said what nobody asked
// for, is never used: not even a POST fails, and no answer goes to another
// request than its own.
func TestUnusedConnectionsAreLookedAtBeforeUse(t *testing.T) {
	const answer = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n"
	ends := map[string]func(c net.Conn){
		"closed":             func(c net.Conn) { c.Close() },
		"unasked response":   func(c net.Conn) { io.WriteString(c, answer+"evil") },
		"unasked and closed": func(c net.Conn) { io.WriteString(c, answer+"evil"); c.Close() },
	}
	for name, end := range ends {
		for _, secure := range []bool{false, true} {
			p, said := poisonedBackend(t, secure, func(c net.Conn) {
				io.WriteString(c, answer+"good")
				end(c)
			})
			for range 3 {
				x := &exchange.Exchange{Start: time.Now()}
				req := httptest.NewRequest("POST", "/", nil)
				resp, err := p.RoundTrip(req.WithContext(exchange.With(t.Context(), x)))
				if err != nil {
					t.Fatalf("%s, TLS %v: %v", name, secure, err)
				}
				if body, err := io.ReadAll(resp.Body); string(body) != "good" || err != nil || x.Report.Attempts != 1 || x.Report.ConnReused {
					t.Errorf("%s, TLS %v: %q, %v, %+v", name, secure, body, err, x.Report)
				}
				<-said
				awaitPoison(t, p)
			}
		}
	}
}

// awaitPoison waits until the unused connection is no longer good. What it reads
// to learn that is the first of many bytes, or an end, which stays.
func awaitPoison(t *testing.T, p *Pool) {
	conns := (*p.endpoints.Load())[0].conns
	deadline := time.Now().Add(10 * time.Second)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for {
		conns.mu.Lock()
		poisoned := len(conns.idle) == 0 || !conns.idle[0].quiet()
		conns.mu.Unlock()
		if poisoned {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("the connection stays good")
		}
		<-tick.C
	}
}

// poisonedBackend calls answer for one request on each connection, then says so
// and waits until the other end closes.
func poisonedBackend(t *testing.T, secure bool, answer func(net.Conn)) (*Pool, chan struct{}) {
	said := make(chan struct{}, 10)
	srv := httptest.NewUnstartedServer(nil)
	srv.StartTLS() // for its certificate
	srv.Close()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	scheme := "http://"
	if secure {
		scheme = "https://"
		l = tls.NewListener(l, &tls.Config{Certificates: srv.TLS.Certificates})
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			if _, err := http.ReadRequest(bufio.NewReader(c)); err == nil {
				answer(c)
				said <- struct{}{}
				io.Copy(io.Discard, c)
			}
			c.Close()
		}
	}()
	var cfg Config
	cfg.SetDefaults()
	cfg.TLS.InsecureSkipVerify = true
	cfg.Endpoints = []Endpoint{{URL: scheme + l.Addr().String()}}
	p, err := New("web", cfg, Deps{Log: zerolog.Nop()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := p.Drain(ctx); err != nil {
			t.Error(err)
		}
		l.Close()
		<-done
	})
	return p, said
}
