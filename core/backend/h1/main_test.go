package h1_test

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/ergoproxy/ergo/core/backend/h1"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// wait is how long a test waits for what must happen.
const wait = 10 * time.Second

func settings() *h1.Settings {
	return &h1.Settings{HeadLimit: 8 << 10, HeadTimeout: wait, ContinueTimeout: wait}
}

// canned is a net.Conn from which a text is read, step bytes at a time.
type canned struct {
	net.Conn // nil: what is not below must not be used
	in       *strings.Reader
	step     int

	mu     sync.Mutex
	out    bytes.Buffer
	closed bool
}

func (c *canned) Read(p []byte) (int, error) {
	if c.step > 0 && len(p) > c.step {
		p = p[:c.step]
	}
	return c.in.Read(p)
}

func (c *canned) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.out.Write(p)
}

func (c *canned) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	return nil
}

func (c *canned) SetReadDeadline(time.Time) error { return nil }

func (c *canned) isClosed() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.closed
}

// An outcome is what became of one exchange.
type outcome struct {
	response      *http.Response
	informational []int
	body          string
	headErr       error
	bodyErr       error
	kept          bool // the connection may be used again
	closed        bool
	left          int // bytes of the canned text that were not read
}

// answerTo gives text as the answer to a request.
func answerTo(method, text string, step int) outcome {
	var o outcome
	c := &canned{in: strings.NewReader(text), step: step}
	conn := h1.New(c, settings(), func() { o.kept = true })
	req, _ := http.NewRequest(method, "http://backend/", nil)
	o.response, o.headErr = conn.RoundTrip(context.Background(), req, func(status int, _ http.Header) error {
		o.informational = append(o.informational, status)
		return nil
	})
	if o.headErr == nil {
		var body []byte
		body, o.bodyErr = io.ReadAll(o.response.Body)
		o.body = string(body)
		o.response.Body.Close()
	}
	o.closed, o.left = c.isClosed(), c.in.Len()
	return o
}

// A peer is the backend's end of a real connection.
type peer struct {
	*net.TCPConn
	in *bufio.Reader
}

// head reads the head of a request, and no body.
func (p *peer) head(t testing.TB) *http.Request {
	t.Helper()
	r, err := http.ReadRequest(p.in)
	if err != nil {
		t.Errorf("backend reads: %v", err)
		return &http.Request{Body: http.NoBody}
	}
	return r
}

func (p *peer) say(text string) { io.WriteString(p, text) }

// tcp returns both ends of a connection over loopback.
func tcp(t testing.TB) (*net.TCPConn, *peer) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	client, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	server, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close(); server.Close() })
	server.SetDeadline(time.Now().Add(wait))
	return client.(*net.TCPConn), &peer{server.(*net.TCPConn), bufio.NewReader(server)}
}

// connect returns a Conn, its backend and how often it was freed.
func connect(t testing.TB, change func(*h1.Settings)) (*h1.Conn, *peer, *atomic.Int32) {
	t.Helper()
	s := settings()
	if change != nil {
		change(s)
	}
	client, server := tcp(t)
	freed := new(atomic.Int32)
	return h1.New(client, s, func() { freed.Add(1) }), server, freed
}

// request makes one; a body of a known length if length is not -1.
func request(method string, body io.Reader, length int64) *http.Request {
	req, err := http.NewRequest(method, "http://backend/path?q=1", body)
	if err != nil {
		panic(err)
	}
	if body != nil {
		req.ContentLength = length
	}
	return req
}

// spawn runs f, and the test waits for it.
func spawn(t testing.TB, f func()) {
	done := make(chan struct{})
	go func() { defer close(done); f() }()
	t.Cleanup(func() { <-done })
}

// eventually waits until ok.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(wait)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("never happened: %s", what)
		}
		<-tick.C
	}
}

// closedByUs waits until the backend sees the end of the connection.
func closedByUs(t testing.TB, p *peer) {
	t.Helper()
	if _, err := io.Copy(io.Discard, p.in); err != nil && !strings.Contains(err.Error(), "reset") {
		t.Errorf("the connection is not closed: %v", err)
	}
}
