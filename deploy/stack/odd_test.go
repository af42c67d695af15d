package stack_test

import (
	"crypto/sha256"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/ergoproxy/ergo/deploy/demo"
)

// What only HTTP/1 has.
var oddRows = []row{
	{name: "http 1.0", run: testHTTP10, only: http1},
	{name: "http 1.0 keep-alive", run: testHTTP10KeepAlive, only: http1},
	{name: "pipelining", run: testPipelining, only: http1},
	{name: "options asterisk", run: testOptionsAsterisk, only: http1},
	{name: "undeclared request trailers", run: testUndeclaredTrailers, only: http1},
}

// write sends a head by hand, and after it body.
func (c *cell) write(t testing.TB, conn io.Writer, request, body string, status int, header ...string) {
	t.Helper()
	agent := c.in.book.agent(t)
	c.in.book.expect(agent, entry{Status: status})
	head := request + "\r\nHost: " + c.host() + "\r\nUser-Agent: " + agent + "\r\n"
	for i := 0; i < len(header); i += 2 {
		head += header[i] + ": " + header[i+1] + "\r\n"
	}
	if _, err := io.WriteString(conn, head+"\r\n"+body); err != nil {
		t.Fatal(err)
	}
}

func testHTTP10(t *testing.T, c *cell) {
	conn, in := c.raw(t)
	c.write(t, conn, "GET /stream?chunks=5&size=100 HTTP/1.0", "", 200)
	res, err := http.ReadResponse(in, nil)
	if err != nil {
		t.Fatal(err)
	}
	n, err := demo.CheckPattern(res.Body, 0)
	if len(res.TransferEncoding) != 0 || n != 500 || err != nil || !res.Close {
		t.Errorf("%v, %d bytes, %v, close %t", res.TransferEncoding, n, err, res.Close)
	}
	if _, err := in.ReadByte(); err != io.EOF {
		t.Errorf("after the answer: %v, want the connection closed", err)
	}
}

func testHTTP10KeepAlive(t *testing.T, c *cell) {
	conn, in := c.raw(t)
	for range 2 {
		c.write(t, conn, "GET /bytes/100 HTTP/1.0", "", 200, "Connection", "keep-alive")
		res, err := http.ReadResponse(in, nil)
		if err != nil {
			t.Fatal(err)
		}
		if n, err := demo.CheckPattern(res.Body, 0); n != 100 || err != nil {
			t.Errorf("%d bytes, %v", n, err)
		}
	}
}

// testPipelining sends many requests before it reads the first answer.
func testPipelining(t *testing.T, c *cell) {
	digest := fmt.Sprintf("%x", sha256.Sum256([]byte("whole")))
	conn, in := c.raw(t)
	for i := range 10 {
		if i%2 == 0 {
			c.write(t, conn, fmt.Sprintf("GET /bytes/%d HTTP/1.1", 1000+i), "", 200)
			continue
		}
		// Not /echo: it may answer before the body has come, and such an answer closes
		// the connection.
		c.write(t, conn, "POST /upload HTTP/1.1", "whole", 200, "Content-Length", "5")
	}
	for i := range 10 {
		res, err := http.ReadResponse(in, nil)
		if err != nil {
			t.Fatalf("answer %d: %v", i, err)
		}
		body, err := io.ReadAll(res.Body)
		if err != nil || i%2 == 0 && len(body) != 1000+i || i%2 == 1 && !strings.Contains(string(body), digest) {
			t.Errorf("answer %d has %d bytes, %v", i, len(body), err)
		}
	}
}

func testOptionsAsterisk(t *testing.T, c *cell) {
	conn, in := c.raw(t)
	c.write(t, conn, "OPTIONS * HTTP/1.1", "", 204)
	res, err := http.ReadResponse(in, nil)
	if err != nil {
		t.Fatal(err)
	}
	if res.StatusCode != 204 || res.Header.Get("Allow") != "OPTIONS *" {
		t.Errorf("status %d, %v", res.StatusCode, res.Header)
	}
	c.write(t, conn, "GET /bytes/10 HTTP/1.1", "", 200)
	if res, err := http.ReadResponse(in, nil); err != nil || res.StatusCode != 200 {
		t.Errorf("the next request on the connection: %v", err)
	}
}

func testUndeclaredTrailers(t *testing.T, c *cell) {
	conn, in := c.raw(t)
	body := "5\r\nhello\r\n0\r\nX-Late: undeclared\r\n\r\n"
	c.write(t, conn, "POST /headers HTTP/1.1", body, 200, "Transfer-Encoding", "chunked")
	res, err := http.ReadResponse(in, nil)
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	got := decode[demo.Reflection](t, string(text))
	// net/http's servers for HTTP/2 show a handler announced trailers only.
	if trailer := strings.Join(got.Trailer["X-Late"], ""); got.BodyLength != 5 || trailer != "undeclared" && c.backend == "h1" {
		t.Errorf("%d bytes, trailers %v", got.BodyLength, got.Trailer)
	}
}
