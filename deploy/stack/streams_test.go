package stack_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"

	"github.com/ergoproxy/ergo/deploy/demo"
)

var streamRows = []row{
	{name: "early hints", run: testEarlyHints},
	{name: "continue", run: testContinue},
	{name: "continue refused", run: testContinueRefused},
	{name: "events", run: testEvents},
	{name: "slow reader", run: testSlowReader},
}

func testEarlyHints(t *testing.T, c *cell) {
	var hints []string
	req := c.request(t, "GET", "/early-hints", nil)
	req = req.WithContext(httptrace.WithClientTrace(req.Context(), &httptrace.ClientTrace{
		Got1xxResponse: func(code int, header textproto.MIMEHeader) error {
			if code == 103 {
				hints = append(hints, header["Link"]...)
			}
			return nil
		},
	}))
	res, body := c.read(t, req)
	linkAfter := res.Header.Get("Link") != ""
	want := []string{"</style.css>; rel=preload; as=style", "</script.js>; rel=preload; as=script"}
	if !slices.Equal(hints, want) || res.StatusCode != 200 || linkAfter || !strings.Contains(body, c.backend+" answered") {
		t.Errorf("hints %q, then %d with Link %q", hints, res.StatusCode, res.Header.Get("Link"))
	}
}

// A gatedBody may be read only after the client was told to go on.
type gatedBody struct {
	t       testing.TB
	allowed atomic.Bool
	rest    io.Reader
}

func (b *gatedBody) Read(p []byte) (int, error) {
	if !b.allowed.Load() {
		b.t.Error("the body was sent without a 100 (Continue)")
	}
	return b.rest.Read(p)
}

// testContinue has the backend read the body, which is what makes it ask for it.
func testContinue(t *testing.T, c *cell) {
	if c.client == "h3" {
		s, req := c.openH3(t, "/headers")
		res := s.next(t)
		if res.StatusCode != 100 {
			t.Fatalf("status %d before the body was sent", res.StatusCode)
		}
		io.WriteString(s, "hello")
		s.Close()
		res = s.next(t)
		c.in.book.answered(req.UserAgent(), res.StatusCode)
		text, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		if got := decode[demo.Reflection](t, string(text)); res.StatusCode != 200 || got.BodyLength != 5 {
			t.Errorf("status %d, backend got %d bytes", res.StatusCode, got.BodyLength)
		}
		return
	}
	body := &gatedBody{t: t, rest: strings.NewReader("hello")}
	req := c.request(t, "POST", "/upload", body)
	req.ContentLength = 5
	req = req.WithContext(httptrace.WithClientTrace(req.Context(), &httptrace.ClientTrace{Got100Continue: func() { body.allowed.Store(true) }}))
	res, text := c.read(t, req, "Expect", "100-continue")
	if got := decode[demo.Upload](t, text); res.StatusCode != 200 || got.Length != 5 {
		t.Errorf("status %d, backend got %d bytes", res.StatusCode, got.Length)
	}
}

// testContinueRefused has the backend refuse before it reads: no byte of the body
// may be sent by the client.
func testContinueRefused(t *testing.T, c *cell) {
	if c.client == "h3" {
		s, req := c.openH3(t, c.b.handle(func(w http.ResponseWriter, r *http.Request) {
			http.Error(w, "refused before the body was read", http.StatusRequestEntityTooLarge)
		}))
		res := s.next(t)
		if res.StatusCode != 413 {
			t.Fatalf("status %d before the body was sent", res.StatusCode)
		}
		c.in.book.answered(req.UserAgent(), res.StatusCode)
		if text, err := io.ReadAll(res.Body); err != nil || !strings.Contains(string(text), "refused before") {
			t.Errorf("%q, %v", text, err)
		}
		s.Close()
		return
	}
	req := c.request(t, "POST", "/upload?refuse=413", &gatedBody{t: t, rest: strings.NewReader("hello")})
	req.ContentLength = 5
	res, text := c.read(t, req, "Expect", "100-continue")
	if res.StatusCode != 413 || !strings.Contains(text, "refused before") {
		t.Errorf("status %d, %q", res.StatusCode, text)
	}
}

// An h3Stream is a request whose steps the test takes by itself, since HTTP/3
// clients do not wait for 100 (Continue).
type h3Stream struct{ *http3.RequestStream }

func (s h3Stream) next(t testing.TB) *http.Response {
	t.Helper()
	res, err := s.ReadResponse()
	if err != nil {
		t.Fatal(err)
	}
	return res
}

// openH3 sends a head that waits for a 100. The method is one for which quic-go does
// not declare the absence of a body.
func (c *cell) openH3(t testing.TB, path string) (h3Stream, *http.Request) {
	t.Helper()
	req := c.request(t, "REPORT", path, nil)
	req.Header.Set("Expect", "100-continue")
	conn, err := quic.DialAddr(req.Context(), req.URL.Host, h3TLS(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.CloseWithError(0, "") })
	stream, err := (&http3.Transport{}).NewClientConn(conn).OpenRequestStream(req.Context())
	if err != nil {
		t.Fatal(err)
	}
	stream.SetDeadline(time.Now().Add(patience))
	if err := stream.SendRequestHeader(req); err != nil {
		t.Fatal(err)
	}
	return h3Stream{stream}, req
}

func h3TLS(c *cell) *tls.Config { return clientTLS(c.in.CA, http3.NextProtoH3) }

// testEvents has the backend produce an event only when the client has seen the
// one before: nothing on the way may hold an event back.
func testEvents(t *testing.T, c *cell) {
	const events = 5
	seen := make(chan int, events)
	path := c.b.handle(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		for i := range events {
			fmt.Fprintf(w, "id: %d\ndata: tick\n\n", i)
			flush(w)
			select {
			case got := <-seen:
				if got != i {
					t.Errorf("client saw %d, want %d", got, i)
				}
			case <-r.Context().Done():
				t.Errorf("client never saw event %d", i)
				return
			}
		}
	})
	res := c.do(t, c.request(t, "GET", path, nil))
	lines := bufio.NewScanner(res.Body)
	for i := range events {
		for _, want := range []string{fmt.Sprintf("id: %d", i), "data: tick", ""} {
			if !lines.Scan() || lines.Text() != want {
				t.Fatalf("line %q, want %q, %v", lines.Text(), want, lines.Err())
			}
		}
		seen <- i
	}
	if lines.Scan() || lines.Err() != nil {
		t.Errorf("after the last event: %q, %v", lines.Text(), lines.Err())
	}
}

// Sizes of the slow reader's body. The windows and socket buffers between a client
// that does not read and the backend hold far less than maxInFlight.
const (
	slowBody    = 512 << 20
	maxInFlight = 96 << 20
)

// testSlowReader reads the first byte and then nothing: the backend has to stop,
// while other exchanges of the same tunnel go on. Then the client leaves.
func testSlowReader(t *testing.T, c *cell) {
	var written atomic.Int64
	gone := make(chan struct{})
	path := c.b.handle(func(w http.ResponseWriter, r *http.Request) {
		defer close(gone)
		w.Header().Set("Content-Length", fmt.Sprint(slowBody))
		demo.NewPattern(slowBody).WriteTo(countingWriter{w, &written})
	})
	req := c.request(t, "GET", path, nil)
	ctx, leave := context.WithCancel(req.Context())
	defer leave()
	res := c.do(t, req.WithContext(ctx))
	if _, err := io.ReadFull(res.Body, make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	other := newCell(t, c.in, c.client, c.backend)
	settled(t, &written, func() { testGet(t, other) })
	if n := written.Load(); n > maxInFlight {
		t.Errorf("backend could write %d bytes that nobody reads", n)
	}
	leave()
	c.expect(req, entry{Status: 200, Aborted: "client", ProxyStatus: "connection_terminated"})
	await(t, gone, "the backend to notice that the client left")
}

type countingWriter struct {
	io.Writer
	n *atomic.Int64
}

func (w countingWriter) Write(p []byte) (int, error) {
	n, err := w.Writer.Write(p)
	w.n.Add(int64(n))
	return n, err
}

// settled calls meanwhile until n has not moved for a while.
func settled(t testing.TB, n *atomic.Int64, meanwhile func()) {
	t.Helper()
	last, since := int64(-1), time.Now()
	eventually(t, "the backend stops writing", func() bool {
		meanwhile()
		if now := n.Load(); now != last {
			last, since = now, time.Now()
		}
		return time.Since(since) > 200*time.Millisecond
	})
}

var errLeft = errors.New("the test left")
