package listener_test

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"testing"
	"time"
)

var kib = make([]byte, 1024)

var smallAnswer = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
	w.Header()["Content-Type"] = []string{"text/plain"}
	w.Write(kib)
})

const benchRequest = "GET /static/app.3f2a9c.js?v=12 HTTP/1.1\r\nHost: www.example.com\r\n" +
	"User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0\r\n" +
	"Accept: */*\r\nAccept-Language: en-US,en;q=0.5\r\nAccept-Encoding: gzip, deflate, br, zstd\r\n" +
	"Cookie: session=0123456789abcdef0123456789abcdef\r\n\r\n"

// exchangeH1 sends n keep-alive requests over c.
func exchangeH1(b *testing.B, c net.Conn) {
	r := bufio.NewReader(c)
	defer c.Close()
	for b.Loop() {
		if _, err := io.WriteString(c, benchRequest); err != nil {
			b.Fatal(err)
		}
		for {
			line, err := r.ReadSlice('\n')
			if err != nil {
				b.Fatal(err)
			}
			if len(line) == 2 {
				break
			}
		}
		if _, err := r.Discard(len(kib)); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkKeepAlive compares one HTTP/1 keep-alive client of an edge with one of
// plain net/http.
func BenchmarkKeepAlive(b *testing.B) {
	b.Run("edge", func(b *testing.B) {
		e := start(b, nil, defaultLimits(), smallAnswer)
		c := dial(b, e)
		c.SetDeadline(time.Time{})
		exchangeH1(b, c)
	})
	b.Run("net_http", func(b *testing.B) {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		must(b, err)
		srv := &http.Server{Handler: smallAnswer, ReadHeaderTimeout: patience, IdleTimeout: patience}
		go srv.Serve(ln)
		defer srv.Close()
		c, err := net.Dial("tcp", ln.Addr().String())
		must(b, err)
		exchangeH1(b, c)
	})
}

// BenchmarkProtocols is one client with one request at a time.
func BenchmarkProtocols(b *testing.B) {
	for _, p := range protos {
		b.Run(p.name, func(b *testing.B) {
			e := start(b, nil, defaultLimits(), smallAnswer)
			c := p.client(b)
			for b.Loop() {
				res, err := c.Get(p.url(e))
				must(b, err)
				io.Copy(io.Discard, res.Body)
				res.Body.Close()
			}
		})
	}
}
