package load

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
)

var goodAnswers = []struct {
	name, wire string
	toHead     bool
	status     int
	length     int64
	keepAlive  bool
	byClose    bool // complete only when the connection ends
}{
	{name: "length", wire: "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", status: 200, length: 5, keepAlive: true},
	{name: "length of zero", wire: "HTTP/1.1 404 Not Found\r\ncontent-length:0\r\n\r\n", status: 404, keepAlive: true},
	{name: "no reason", wire: "HTTP/1.1 200 \r\nContent-Length: 1\r\n\r\nx", status: 200, length: 1, keepAlive: true},
	{name: "chunked", wire: "HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n5\r\nhello\r\nA;x=y\r\n0123456789\r\n0\r\n\r\n", status: 200, length: 15, keepAlive: true},
	{name: "trailers", wire: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nA: b\r\nC: d\r\n\r\n", status: 200, length: 1, keepAlive: true},
	{name: "interim", wire: "HTTP/1.1 103 Early Hints\r\nLink: x\r\nContent-Length: 9\r\n\r\nHTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", status: 200, length: 2, keepAlive: true},
	{name: "no content", wire: "HTTP/1.1 204 No Content\r\n\r\n", status: 204, keepAlive: true},
	{name: "not modified", wire: "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", status: 304, keepAlive: true},
	{name: "to HEAD", wire: "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", toHead: true, status: 200, keepAlive: true},
	{name: "last one", wire: "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 1\r\n\r\nx", status: 200, length: 1},
	{name: "old version", wire: "HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\nx", status: 200, length: 1},
	{name: "old version kept", wire: "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 1\r\n\r\nx", status: 200, length: 1, keepAlive: true},
	{name: "ends by close", wire: "HTTP/1.1 200 OK\r\n\r\nhello", status: 200, length: 5, byClose: true},
}

func TestAnswerInPiecesOfEverySize(t *testing.T) {
	for _, row := range goodAnswers {
		t.Run(row.name, func(t *testing.T) {
			for size := 1; size <= len(row.wire); size++ {
				a := answer{toHead: row.toHead}
				a.reset()
				done := false
				for rest := row.wire; rest != ""; {
					piece := rest[:min(size, len(rest))]
					rest = rest[len(piece):]
					var err error
					if done, err = a.feed([]byte(piece)); err != nil {
						t.Fatalf("pieces of %d: %v", size, err)
					}
					// Truncation sweep: no proper prefix is a whole answer.
					if rest != "" && (done || a.end() && !row.byClose) {
						t.Fatalf("pieces of %d: complete with %q missing", size, rest)
					}
				}
				if done == row.byClose || !a.end() {
					t.Fatalf("pieces of %d: done %t, end %t", size, done, a.end())
				}
				if a.status != row.status || a.length != row.length || a.keepAlive != row.keepAlive {
					t.Fatalf("pieces of %d: status %d, length %d, keep-alive %t", size, a.status, a.length, a.keepAlive)
				}
			}
		})
	}
}

func TestMalformedAnswersAreRefused(t *testing.T) {
	for _, wire := range []string{
		"HTTP/2 200 OK\r\n", "ICY 200 OK\r\n", "HTTP/1.1 20 OK\r\n", "HTTP/1.1 2000\r\n", "HTTP/1.1 200 OK\nA: b\r\n",
		"HTTP/1.1 200 OK\r\nno colon\r\n", "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 1, 1\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n", "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n", "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "HTTP/1.5 200 OK\r\n", "HTTP/1.1 101 Switching Protocols\r\n\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nab",
		"HTTP/1.1 200 OK\r\nA: " + strings.Repeat("x", maxLine) + "\r\n", "HTTP/1.1 200 OK\r\n" + strings.Repeat("A: b\r\n", maxHead/6),
	} {
		var a answer
		a.reset()
		if _, err := a.feed([]byte(wire)); !errors.Is(err, errProtocol) {
			t.Errorf("%.60q: %v", wire, err)
		}
	}
}

func TestAnswerDoesNotAllocate(t *testing.T) {
	wire := []byte("HTTP/1.1 200 OK\r\nServer: nginx\r\nConnection: keep-alive\r\nContent-Length: 5\r\n\r\nhello")
	var a answer
	if n := testing.AllocsPerRun(100, func() {
		a.reset()
		if done, err := a.feed(wire); !done || err != nil {
			t.Fatal(done, err)
		}
	}); n != 0 {
		t.Errorf("%g allocations", n)
	}
}

// FuzzAnswer holds the parser against net/http: what both take, they must
// measure alike, and pieces must not matter.
func FuzzAnswer(f *testing.F) {
	for _, row := range goodAnswers {
		if !row.toHead {
			f.Add([]byte(row.wire), uint(3))
		}
	}
	f.Fuzz(func(t *testing.T, wire []byte, size uint) {
		var whole, pieces answer
		whole.reset()
		pieces.reset()
		done, err := whole.feed(wire)
		var pieceErr error
		step := int(size%64) + 1
		for rest := wire; len(rest) > 0 && pieceErr == nil; rest = rest[min(step, len(rest)):] {
			_, pieceErr = pieces.feed(rest[:min(step, len(rest))])
		}
		if (err == nil) != (pieceErr == nil) || err == nil && (pieces.length != whole.length || pieces.state != whole.state) {
			t.Fatalf("whole: %+v %v; in pieces of %d: %+v %v", whole, err, step, pieces, pieceErr)
		}
		if !done || whole.status < 200 {
			return
		}
		reader := bufio.NewReader(bytes.NewReader(wire))
		for {
			response, err := http.ReadResponse(reader, nil)
			if err != nil {
				return
			}
			length, err := io.Copy(io.Discard, response.Body)
			if response.StatusCode >= 200 || err != nil {
				if err == nil && (length != whole.length || response.StatusCode != whole.status) {
					t.Fatalf("net/http: status %d, %d bytes; here %d, %d", response.StatusCode, length, whole.status, whole.length)
				}
				return
			}
		}
	})
}
