package stack_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/coder/websocket"

	"github.com/ergoproxy/ergo/deploy/demo"
)

// TestWebSocket runs over HTTP/1.1, in clear and with TLS, and over both carriers.
func TestWebSocket(t *testing.T) {
	tests := []struct {
		name string
		run  func(*testing.T, *cell)
	}{
		{"echo", testWebSocketEcho},
		{"ping", testWebSocketPing},
		{"client closes", testWebSocketClientCloses},
		{"backend closes", testWebSocketBackendCloses},
		{"both directions at once", testWebSocketBothWays},
		{"client vanishes", testWebSocketClientVanishes},
		{"backend vanishes", testWebSocketBackendVanishes},
		{"refused", testWebSocketRefused},
	}
	for _, carrier := range carriers {
		t.Run(carrier, func(t *testing.T) {
			in := install(t, carrier)
			for _, client := range http1 {
				for _, tt := range tests {
					t.Run(client+"/"+tt.name, func(t *testing.T) {
						t.Parallel()
						tt.run(t, newCell(t, in, client, "h1"))
					})
				}
				for _, backend := range []string{"h2", "h2c"} {
					t.Run(client+"/only "+backend, func(t *testing.T) {
						t.Parallel()
						testWebSocketNeedsHTTP1(t, newCell(t, in, client, backend))
					})
				}
			}
		})
	}
}

// dialWebSocket expects the exchange to be logged as e.
func (c *cell) dialWebSocket(t testing.TB, path string, e entry) (*websocket.Conn, *http.Response, error) {
	t.Helper()
	agent := c.in.book.agent(t)
	c.in.book.expect(agent, e)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	conn, res, err := websocket.Dial(ctx, c.url+path, &websocket.DialOptions{HTTPClient: c.http, Host: c.host(),
		HTTPHeader: http.Header{"User-Agent": {agent}}, Subprotocols: []string{"other", "echo"}})
	if err == nil {
		conn.SetReadLimit(8 << 20)
		t.Cleanup(func() { conn.CloseNow() })
	}
	return conn, res, err
}

// webSocket connects, and fails the test if that is refused.
func (c *cell) webSocket(t testing.TB, path string) *websocket.Conn {
	t.Helper()
	conn, res, err := c.dialWebSocket(t, path, entry{Status: 101})
	if err != nil {
		t.Fatal(err)
	}
	if conn.Subprotocol() != "echo" || res.Header.Get("X-Request-Id") == "" {
		t.Errorf("subprotocol %q, %v", conn.Subprotocol(), res.Header)
	}
	return conn
}

// onWebSocket has the backend accept and call f.
func (c *cell) onWebSocket(t testing.TB, f func(ctx context.Context, conn *websocket.Conn)) (path string) {
	return c.b.handle(func(w http.ResponseWriter, r *http.Request) {
		conn, err := websocket.Accept(w, r, &websocket.AcceptOptions{Subprotocols: []string{"echo"}, InsecureSkipVerify: true})
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.CloseNow()
		conn.SetReadLimit(8 << 20)
		f(r.Context(), conn)
	})
}

func testWebSocketEcho(t *testing.T, c *cell) {
	conn := c.webSocket(t, "/ws")
	mebibyte, _ := io.ReadAll(demo.NewPattern(1 << 20))
	for _, m := range []struct {
		kind websocket.MessageType
		text []byte
	}{
		{websocket.MessageText, []byte("hällo")}, {websocket.MessageBinary, []byte{0, 1, 2, 255}}, {websocket.MessageText, nil},
		{websocket.MessageBinary, mebibyte}, {websocket.MessageText, []byte("after")},
	} {
		if err := conn.Write(t.Context(), m.kind, m.text); err != nil {
			t.Fatal(err)
		}
		kind, got, err := conn.Read(t.Context())
		if err != nil || kind != m.kind || !bytes.Equal(got, m.text) {
			t.Fatalf("sent %d bytes of kind %v, got %d of %v, %v", len(m.text), m.kind, len(got), kind, err)
		}
	}
	if err := conn.Close(websocket.StatusNormalClosure, ""); err != nil {
		t.Error(err)
	}
}

func testWebSocketPing(t *testing.T, c *cell) {
	conn := c.webSocket(t, "/ws")
	conn.CloseRead(t.Context())
	for range 3 {
		if err := conn.Ping(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

func testWebSocketClientCloses(t *testing.T, c *cell) {
	closed := make(chan websocket.CloseError, 1)
	conn := c.webSocket(t, c.onWebSocket(t, func(ctx context.Context, conn *websocket.Conn) {
		_, _, err := conn.Read(ctx)
		e, _ := errors.AsType[websocket.CloseError](err)
		closed <- e
	}))
	if err := conn.Close(4321, "enough"); err != nil {
		t.Error(err)
	}
	if got := await(t, closed, "the close frame"); got.Code != 4321 || got.Reason != "enough" {
		t.Errorf("backend saw %+v", got)
	}
}

func testWebSocketBackendCloses(t *testing.T, c *cell) {
	conn := c.webSocket(t, c.onWebSocket(t, func(ctx context.Context, conn *websocket.Conn) { conn.Close(4001, "restarting") }))
	_, _, err := conn.Read(t.Context())
	if e, ok := errors.AsType[websocket.CloseError](err); !ok || e.Code != 4001 || e.Reason != "restarting" {
		t.Errorf("client saw %v", err)
	}
}

// testWebSocketBothWays sends in both directions without waiting for the other.
func testWebSocketBothWays(t *testing.T, c *cell) {
	const messages, size = 100, 64 << 10
	send := func(ctx context.Context, conn *websocket.Conn) error {
		for i := range messages {
			if err := conn.Write(ctx, websocket.MessageBinary, bytes.Repeat([]byte{byte(i)}, size)); err != nil {
				return err
			}
		}
		return nil
	}
	receive := func(ctx context.Context, conn *websocket.Conn) error {
		for i := range messages {
			_, got, err := conn.Read(ctx)
			if err != nil {
				return err
			}
			if len(got) != size || got[0] != byte(i) || got[size-1] != byte(i) {
				return fmt.Errorf("message %d has %d bytes, begins with %d", i, len(got), got[0])
			}
		}
		return nil
	}
	both := func(ctx context.Context, conn *websocket.Conn) error {
		sent := make(chan error, 1)
		go func() { sent <- send(ctx, conn) }()
		return errors.Join(receive(ctx, conn), <-sent)
	}
	atBackend := make(chan error, 1)
	conn := c.webSocket(t, c.onWebSocket(t, func(ctx context.Context, conn *websocket.Conn) {
		atBackend <- both(ctx, conn)
		conn.Read(ctx) // the close frame
	}))
	if err := both(t.Context(), conn); err != nil {
		t.Error("client: ", err)
	}
	if err := await(t, atBackend, "the backend's messages"); err != nil {
		t.Error("backend: ", err)
	}
	conn.Close(websocket.StatusNormalClosure, "")
}

func testWebSocketClientVanishes(t *testing.T, c *cell) {
	gone := make(chan struct{})
	conn := c.webSocket(t, c.onWebSocket(t, func(ctx context.Context, conn *websocket.Conn) {
		conn.Read(ctx)
		close(gone)
	}))
	conn.CloseNow()
	awaitGone(t, gone)
}

func testWebSocketBackendVanishes(t *testing.T, c *cell) {
	conn := c.webSocket(t, c.onWebSocket(t, func(ctx context.Context, conn *websocket.Conn) { conn.CloseNow() }))
	if _, _, err := conn.Read(t.Context()); err == nil {
		t.Error("client still reads")
	}
}

// testWebSocketRefused checks that a refusal passes as the answer it is.
func testWebSocketRefused(t *testing.T, c *cell) {
	path := c.b.handle(func(w http.ResponseWriter, r *http.Request) { http.Error(w, "no such room", http.StatusForbidden) })
	_, res, err := c.dialWebSocket(t, path, entry{Status: 403})
	if err == nil || res == nil || res.StatusCode != 403 {
		t.Fatalf("%v, %v", res, err)
	}
	if text, _ := io.ReadAll(res.Body); !strings.Contains(string(text), "no such room") {
		t.Errorf("%q", text)
	}
}

func testWebSocketNeedsHTTP1(t *testing.T, c *cell) {
	_, res, err := c.dialWebSocket(t, "/ws", entry{Status: 502, ProxyStatus: "http_upgrade_failed"})
	if err == nil || res == nil || res.StatusCode != 502 || !strings.Contains(res.Header.Get("Proxy-Status"), "http_upgrade_failed") {
		t.Errorf("%v, %v", res, err)
	}
}
