package h1_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ergoproxy/ergo/core/backend/h1"
)

// piped is connect over net.Pipe, for a bubble of testing/synctest.
func piped(headTimeout time.Duration, freed func()) (*h1.Conn, net.Conn) {
	client, server := net.Pipe()
	s := settings()
	s.HeadTimeout = headTimeout
	return h1.New(client, s, freed), server
}

func TestHeadTimeout(t *testing.T) {
	for name, say := range map[string]string{"silence": "", "slow head": ok + "A: b\r\n", "1xx and silence": "HTTP/1.1 103 x\r\n\r\n"} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				conn, backend := piped(wait, func() { t.Error("freed") })
				go func() {
					http.ReadRequest(bufio.NewReader(backend))
					<-time.After(wait / 2)
					if say != "" {
						io.WriteString(backend, say)
					}
				}()
				began := time.Now()
				_, err := conn.RoundTrip(t.Context(), request("GET", nil, 0), nil)
				if !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(began) != wait {
					t.Errorf("%v after %v", err, time.Since(began))
				}
			})
		})
	}
}

// The time for the head begins when the body was sent, and ends with the head:
// whatever else takes longer fails nothing, not even at the second exchange,
// which finds the deadline of the first.
func TestHeadTimeoutIsForTheHeadOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		freed := 0
		conn, backend := piped(wait, func() { freed++ })
		in := bufio.NewReader(backend)
		for range 2 {
			pr, pw := io.Pipe()
			go func() {
				pw.Write([]byte("a"))
				<-time.After(2 * wait)
				pw.Write([]byte("b"))
			}()
			go func() {
				if r, err := http.ReadRequest(in); err == nil {
					io.Copy(io.Discard, r.Body)
				}
				<-time.After(wait - 1)
				io.WriteString(backend, ok+"Content-Length: 4\r\n\r\nab")
				<-time.After(2 * wait)
				io.WriteString(backend, "cd")
			}()
			resp, err := conn.RoundTrip(t.Context(), request("PUT", pr, 2), nil)
			if err != nil {
				t.Fatal(err)
			}
			if body, err := io.ReadAll(resp.Body); string(body) != "abcd" || err != nil {
				t.Errorf("%q, %v", body, err)
			}
			synctest.Wait()
		}
		if freed != 2 {
			t.Errorf("freed %d times", freed)
		}
	})
}

// A deadline that is left over from the head takes nothing from TLS.
func TestLeftOverDeadlinesDoNotBreakTLS(t *testing.T) {
	srv := httptest.NewTLSServer(nil)
	defer srv.Close()
	synctest.Test(t, func(t *testing.T) {
		ours, theirs := net.Pipe()
		server := tls.Server(theirs, &tls.Config{Certificates: srv.TLS.Certificates, SessionTicketsDisabled: true})
		client := tls.Client(ours, &tls.Config{InsecureSkipVerify: true})
		conn := h1.New(client, &h1.Settings{HeadLimit: 8 << 10, HeadTimeout: wait}, func() {})
		go func() {
			server.Read(make([]byte, 1000))
			io.WriteString(server, ok+"Content-Length: 4\r\n\r\nab")
			<-time.After(2 * wait)
			io.WriteString(server, "cd")
		}()
		resp, err := conn.RoundTrip(t.Context(), request("GET", nil, 0), nil)
		if err != nil {
			t.Fatal(err)
		}
		if body, err := io.ReadAll(resp.Body); string(body) != "abcd" || err != nil {
			t.Errorf("%q, %v", body, err)
		}
	})
}

func TestCancel(t *testing.T) {
	const begun = ok + "Content-Length: 100\r\n\r\nabc"
	for name, tt := range map[string]struct {
		say  string
		body func() io.Reader
	}{
		"in the head":            {"", func() io.Reader { return nil }},
		"in a head begun":        {ok, func() io.Reader { return nil }},
		"in the body":            {begun, func() io.Reader { return nil }},
		"in the upload":          {"", func() io.Reader { return &endless{closed: make(chan struct{})} }},
		"in an upload that idle": {"", func() io.Reader { pr, _ := io.Pipe(); return pr }},
		"in both":                {begun, func() io.Reader { return &endless{closed: make(chan struct{})} }},
	} {
		t.Run(name, func(t *testing.T) {
			conn, backend, freed := connect(t, nil)
			ctx, cancel := context.WithCancel(t.Context())
			gone := make(chan struct{})
			spawn(t, func() {
				defer close(gone)
				backend.head(t)
				backend.say(tt.say)
				cancel()
				closedByUs(t, backend)
			})
			req := request("POST", tt.body(), -1)
			resp, err := conn.RoundTrip(ctx, req, nil)
			if err == nil {
				_, err = io.ReadAll(resp.Body)
			}
			if err == nil || freed.Load() != 0 {
				t.Errorf("%v, freed %d", err, freed.Load())
			}
			<-gone
		})
	}
}

func TestCanceledBeforeItIsSent(t *testing.T) {
	conn, _, freed := connect(t, nil)
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(io.ErrClosedPipe)
	if _, err := conn.RoundTrip(ctx, request("GET", nil, 0), nil); err != io.ErrClosedPipe || freed.Load() != 1 {
		t.Errorf("%v, freed %d", err, freed.Load())
	}
}

// A context that ends after the response does no harm to the next exchange.
func TestContextThatEndsLater(t *testing.T) {
	conn, backend, freed := connect(t, nil)
	spawn(t, func() {
		for range 2 {
			backend.head(t)
			backend.say(okEmpty)
		}
	})
	ctx, cancel := context.WithCancel(t.Context())
	if _, err := conn.RoundTrip(ctx, request("GET", nil, 0), nil); err != nil {
		t.Fatal(err)
	}
	cancel()
	if _, err := conn.RoundTrip(t.Context(), request("GET", nil, 0), nil); err != nil || freed.Load() != 2 {
		t.Errorf("%v, freed %d", err, freed.Load())
	}
}
