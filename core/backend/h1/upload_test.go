package h1_test

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ergoproxy/ergo/core/backend/h1"
)

func TestBadTrailersEndTheConnection(t *testing.T) {
	conn, backend, freed := connect(t, nil)
	req := request("POST", strings.NewReader("a"), -1)
	req.Trailer = http.Header{"X": {"a\r\nB: c"}}
	spawn(t, func() { closedByUs(t, backend) })
	_, err := conn.RoundTrip(t.Context(), req, nil)
	var invalid *h1.RequestError
	if !errors.As(err, &invalid) || freed.Load() != 0 {
		t.Errorf("%v, freed %d", err, freed.Load())
	}
}

func TestShortBodyEndsTheConnection(t *testing.T) {
	conn, backend, freed := connect(t, nil)
	done := make(chan string)
	spawn(t, func() { all, _ := io.ReadAll(backend.in); done <- string(all) })
	_, err := conn.RoundTrip(t.Context(), request("PUT", io.MultiReader(strings.NewReader("abc")), 5), nil)
	var invalid *h1.RequestError
	if !errors.As(err, &invalid) || freed.Load() != 0 {
		t.Errorf("%v, freed %d", err, freed.Load())
	}
	if got := <-done; !strings.HasSuffix(got, "\r\n\r\nabc") {
		t.Errorf("backend got %q", got)
	}
}

// A response may begin, and end, while the body is still being sent.
func TestBothDirectionsAtOnce(t *testing.T) {
	conn, backend, freed := connect(t, nil)
	pr, pw := io.Pipe()
	seen := make(chan string, 2)
	spawn(t, func() {
		r := backend.head(t)
		backend.say(ok + "Transfer-Encoding: chunked\r\n\r\n3\r\none\r\n")
		first := make([]byte, 2)
		io.ReadFull(r.Body, first)
		seen <- string(first)
		rest, err := io.ReadAll(r.Body)
		if err != nil {
			t.Errorf("backend reads the body: %v", err)
		}
		seen <- string(rest) + r.Trailer.Get("X-Up")
		backend.say("3\r\ntwo\r\n0\r\nX-Down: 7\r\n\r\n")
	})
	req := request("POST", pr, -1)
	req.Trailer = http.Header{"X-Up": nil}
	resp, err := conn.RoundTrip(t.Context(), req, nil)
	if err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 100)
	if n, err := resp.Body.Read(buf); string(buf[:n]) != "one" || err != nil {
		t.Fatalf("%q, %v", buf[:n], err)
	}
	pw.Write([]byte("up"))
	if got := <-seen; got != "up" {
		t.Errorf("backend got %q", got)
	}
	pw.Write([]byte("load"))
	req.Trailer.Set("X-Up", "42")
	pw.Close()
	if got := <-seen; got != "load42" {
		t.Errorf("backend got %q", got)
	}
	if rest, err := io.ReadAll(resp.Body); string(rest) != "two" || err != nil || resp.Trailer.Get("X-Down") != "7" {
		t.Errorf("%q, %v, trailer %v", rest, err, resp.Trailer)
	}
	eventually(t, "the connection is free", func() bool { return freed.Load() == 1 })
}

// The response is whole, the body is not: it gets a moment, then the connection
// is closed and the body too.
func TestEarlyResponseEndsAnUploadThatGoesOn(t *testing.T) {
	conn, backend, freed := connect(t, nil)
	spawn(t, func() { backend.head(t); backend.say("HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno") })
	body := &endless{closed: make(chan struct{})}
	resp, err := conn.RoundTrip(t.Context(), request("POST", body, 1<<40), nil)
	if err != nil || resp.StatusCode != 413 {
		t.Fatal(err)
	}
	if text, err := io.ReadAll(resp.Body); string(text) != "no" || err != nil {
		t.Errorf("%q, %v", text, err)
	}
	<-body.closed
	closedByUs(t, backend)
	if freed.Load() != 0 {
		t.Error("the connection is used again")
	}
}

// endless is a body that never ends by itself, and blocks when it was closed.
type endless struct{ closed chan struct{} }

func (b *endless) Read(p []byte) (int, error) {
	select {
	case <-b.closed:
		return 0, net.ErrClosed
	default:
		return len(p), nil
	}
}

func (b *endless) Close() error {
	select {
	case <-b.closed:
	default:
		close(b.closed)
	}
	return nil
}

// An upload that ends shortly after the response leaves the connection usable.
func TestUploadMayEndAfterTheResponse(t *testing.T) {
	for _, pause := range []time.Duration{time.Millisecond, time.Second} {
		synctest.Test(t, func(t *testing.T) {
			freed := false
			conn, backend := piped(wait, func() { freed = true })
			pr, pw := io.Pipe()
			go func() {
				http.ReadRequest(bufio.NewReader(io.LimitReader(backend, 1000)))
				io.WriteString(backend, okEmpty)
				io.Copy(io.Discard, backend)
			}()
			if _, err := conn.RoundTrip(t.Context(), request("POST", pr, 2), nil); err != nil {
				t.Fatal(err)
			}
			if freed {
				t.Error("free although the body is still being sent")
			}
			<-time.After(pause)
			pw.Write([]byte("ab"))
			synctest.Wait()
			if freed != (pause < 10*time.Millisecond) {
				t.Errorf("after %v: freed %v", pause, freed)
			}
			conn.Close()
		})
	}
}

func TestExpectContinue(t *testing.T) {
	expect := func(body io.Reader) *http.Request {
		req := request("POST", body, 4)
		req.Header.Set("Expect", "100-Continue")
		return req
	}
	t.Run("100", func(t *testing.T) {
		conn, backend, freed := connect(t, nil)
		spawn(t, func() {
			r := backend.head(t)
			backend.say("HTTP/1.1 100 Continue\r\n\r\n")
			body, _ := io.ReadAll(r.Body)
			backend.say(ok + "Content-Length: 4\r\n\r\n" + string(body))
		})
		var told []int
		resp, err := conn.RoundTrip(t.Context(), expect(strings.NewReader("body")), func(status int, _ http.Header) error {
			told = append(told, status)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if body, err := io.ReadAll(resp.Body); string(body) != "body" || err != nil || len(told) != 1 || told[0] != 100 {
			t.Errorf("%q, %v, told %v", body, err, told)
		}
		eventually(t, "the connection is free", func() bool { return freed.Load() == 1 })
	})
	t.Run("final status", func(t *testing.T) {
		conn, backend, freed := connect(t, nil)
		spawn(t, func() { backend.head(t); backend.say("HTTP/1.1 417 No\r\nContent-Length: 0\r\n\r\n") })
		resp, err := conn.RoundTrip(t.Context(), expect(strings.NewReader("body")), nil)
		if err != nil || resp.StatusCode != 417 {
			t.Fatal(err)
		}
		if rest, err := io.ReadAll(backend.in); len(rest) > 0 || err != nil || freed.Load() != 0 {
			t.Errorf("backend got %q, %v; freed %d", rest, err, freed.Load())
		}
	})
	t.Run("silence", func(t *testing.T) {
		conn, backend, _ := connect(t, func(s *h1.Settings) { s.ContinueTimeout = time.Millisecond })
		spawn(t, func() {
			r := backend.head(t)
			io.Copy(io.Discard, r.Body)
			backend.say(okEmpty)
		})
		if _, err := conn.RoundTrip(t.Context(), expect(strings.NewReader("body")), nil); err != nil {
			t.Fatal(err)
		}
	})
	t.Run("no wait configured", func(t *testing.T) {
		conn, backend, _ := connect(t, func(s *h1.Settings) { s.ContinueTimeout = 0 })
		spawn(t, func() {
			r := backend.head(t)
			io.Copy(io.Discard, r.Body)
			backend.say(okEmpty)
		})
		if _, err := conn.RoundTrip(t.Context(), expect(strings.NewReader("body")), nil); err != nil {
			t.Fatal(err)
		}
	})
}
