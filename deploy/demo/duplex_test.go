package demo_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/textproto"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/ergoproxy/ergo/deploy/demo"
)

// untouchable is a request body that must not be read.
type untouchable struct{ t *testing.T }

func (u untouchable) Read([]byte) (int, error) {
	u.t.Error("the body was sent although the server refused it")
	return 0, io.EOF
}

func TestUploadRefusesBeforeTheBodyIsSent(t *testing.T) {
	response, _ := do(t, client(t, "h1"), "POST", start(t, demo.Config{}).URL()+"/upload?refuse=413",
		untouchable{t}, "Expect", "100-continue")
	if response.StatusCode != 413 {
		t.Errorf("status %d", response.StatusCode)
	}
}

func TestEarlyHintsComeBeforeTheAnswer(t *testing.T) {
	eachProtocol(t, func(t *testing.T, c *http.Client, url string) {
		var hints []string
		ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{
			Got1xxResponse: func(code int, header textproto.MIMEHeader) error {
				if code == 103 {
					hints = append(hints, header["Link"]...)
				}
				return nil
			},
		})
		request, err := http.NewRequestWithContext(ctx, "GET", url+"/early-hints", nil)
		if err != nil {
			t.Fatal(err)
		}
		response, err := c.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		if len(hints) != 2 || response.StatusCode != 200 || response.Header.Get("Link") != "" {
			t.Errorf("hints %q, then %d with Link %q", hints, response.StatusCode, response.Header.Get("Link"))
		}
	})
}

func TestEchoAnswersWhileTheRequestGoesOn(t *testing.T) {
	eachProtocol(t, func(t *testing.T, c *http.Client, url string) {
		body, out := io.Pipe()
		request, err := http.NewRequestWithContext(t.Context(), "POST", url+"/echo", body)
		if err != nil {
			t.Fatal(err)
		}
		response, err := c.Do(request) // returns with the head, the body still open
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		lines := bufio.NewReader(response.Body)
		for _, line := range []string{"one\n", "two\n", "three\n"} {
			if _, err := io.WriteString(out, line); err != nil {
				t.Fatal(err)
			}
			if got, err := lines.ReadString('\n'); got != line || err != nil {
				t.Fatalf("echo %q, %v; want %q", got, err, line)
			}
		}
		out.Close()
		if rest, err := io.ReadAll(lines); len(rest) != 0 || err != nil {
			t.Errorf("after the end: %q, %v", rest, err)
		}
	})
}

func TestDieBreaksTheBody(t *testing.T) {
	eachProtocol(t, func(t *testing.T, c *http.Client, url string) {
		response, err := c.Get(url + "/die?after=100000&length=200000")
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		n, err := demo.CheckPattern(response.Body, 0)
		if n != 100_000 || err == nil || errors.Is(err, demo.ErrPattern) {
			t.Errorf("%d bytes, then %v", n, err)
		}
		if response.ContentLength != 200_000 {
			t.Errorf("Content-Length %d", response.ContentLength)
		}
		if response, err := c.Get(url + "/die?after=-1"); err == nil {
			response.Body.Close()
			t.Errorf("before the head: status %d", response.StatusCode)
		}
	})
}

func TestWebSocketEchoes(t *testing.T) {
	server := start(t, demo.Config{})
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	conn, _, err := websocket.Dial(ctx, server.URL()+"/ws", &websocket.DialOptions{
		Subprotocols: []string{"echo"}, HTTPHeader: http.Header{"Origin": {"https://elsewhere.example"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.CloseNow()
	conn.SetReadLimit(2 << 20)
	if conn.Subprotocol() != "echo" {
		t.Errorf("subprotocol %q", conn.Subprotocol())
	}
	for _, message := range []string{"hello", "", strings.Repeat("x", 1<<20)} {
		if err := conn.Write(ctx, websocket.MessageText, []byte(message)); err != nil {
			t.Fatal(err)
		}
		if _, got, err := conn.Read(ctx); string(got) != message || err != nil {
			t.Fatalf("%d bytes back, %v; want %d", len(got), err, len(message))
		}
	}
	if err := conn.Write(ctx, websocket.MessageText, make([]byte, 1<<20+1)); err != nil {
		t.Fatal(err)
	}
	if _, _, err := conn.Read(ctx); websocket.CloseStatus(err) != websocket.StatusMessageTooBig {
		t.Errorf("over the limit: %v", err)
	}
}

func TestRunCutsWebSocketsWhenItEnds(t *testing.T) {
	server, err := demo.Listen(demo.Config{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- server.Run(ctx) }()
	conn, _, err := websocket.Dial(t.Context(), server.URL()+"/ws", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.CloseNow()
	stop()
	if _, _, err := conn.Read(t.Context()); err == nil {
		t.Error("the WebSocket outlived the server")
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestRunLetsRequestsFinish(t *testing.T) {
	server, err := demo.Listen(demo.Config{Grace: 30 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- server.Run(ctx) }()
	body, out := io.Pipe()
	request, err := http.NewRequestWithContext(t.Context(), "POST", server.URL()+"/echo", body)
	if err != nil {
		t.Fatal(err)
	}
	response, err := client(t, "h1").Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	stop()
	if _, err := io.WriteString(out, "still there"); err != nil {
		t.Fatal(err)
	}
	out.Close()
	if text, err := io.ReadAll(response.Body); string(text) != "still there" || err != nil {
		t.Errorf("%q, %v", text, err)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestListenNamesTheTakenPort(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	_, err = demo.Listen(demo.Config{Name: "blue", Address: taken.Addr().String()})
	if err == nil || !strings.Contains(err.Error(), taken.Addr().String()) || !strings.Contains(err.Error(), "blue") {
		t.Errorf("error %v", err)
	}
}

func TestTLSSpeaksBothVersions(t *testing.T) {
	lender := httptest.NewTLSServer(nil) // for its certificate
	defer lender.Close()
	server := start(t, demo.Config{TLS: lender.TLS})
	for _, http2 := range []bool{false, true} {
		transport := lender.Client().Transport.(*http.Transport).Clone()
		transport.Protocols = new(http.Protocols)
		transport.Protocols.SetHTTP1(!http2)
		transport.Protocols.SetHTTP2(http2)
		transport.TLSClientConfig.NextProtos = nil
		_, text := do(t, &http.Client{Transport: transport}, "GET", server.URL()+"/headers", nil)
		var got demo.Reflection
		if err := json.Unmarshal([]byte(text), &got); err != nil {
			t.Fatal(err)
		}
		if want := map[bool]string{false: "HTTP/1.1", true: "HTTP/2.0"}[http2]; got.Proto != want || !got.TLS {
			t.Errorf("%s, TLS %t; want %s", got.Proto, got.TLS, want)
		}
		transport.CloseIdleConnections()
	}
}
