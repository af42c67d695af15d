package stack_test

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/ergoproxy/ergo/deploy/demo"
)

var bodyRows = []row{
	{name: "big upload", run: testUpload},
	{name: "empty post", run: testEmptyPost},
	{name: "trickled body", run: testTrickledBody},
	{name: "both ways at once", run: testEcho},
	{name: "response trailers", run: testResponseTrailers},
	{name: "request trailers", run: testRequestTrailers},
	{name: "early answer", run: testEarlyAnswer},
}

// patternSum is the sha256 of the first n bytes of the pattern.
func patternSum(n int64) string {
	hash := sha256.New()
	io.Copy(hash, demo.NewPattern(n))
	return hex.EncodeToString(hash.Sum(nil))
}

var uploadSum = patternSum(uploadSize)

func testUpload(t *testing.T, c *cell) {
	req := c.request(t, "POST", "/upload", io.NopCloser(demo.NewPattern(uploadSize)))
	req.ContentLength = uploadSize
	_, body := c.read(t, req)
	got := decode[demo.Upload](t, body)
	if got.Length != uploadSize || got.SHA256 != uploadSum {
		t.Errorf("backend got %d bytes, sha256 %s; want %d, %s", got.Length, got.SHA256, int64(uploadSize), uploadSum)
	}
}

// testEmptyPost checks that a body of length 0 is declared as such, and that no
// body is made out of none.
func testEmptyPost(t *testing.T, c *cell) {
	for _, body := range []io.Reader{nil, http.NoBody} {
		got := c.seen(t, c.request(t, "POST", "/headers", body))
		if got.ContentLength != 0 || got.BodyLength != 0 || len(got.TransferEncoding) != 0 {
			t.Errorf("POST with body %v: length %d, %d bytes, %v", body, got.ContentLength, got.BodyLength, got.TransferEncoding)
		}
	}
	// Of unknown length, and nothing in it.
	if got := c.seen(t, c.request(t, "POST", "/headers", io.NopCloser(strings.NewReader("")))); got.BodyLength != 0 {
		t.Errorf("empty body of unknown length: %d bytes", got.BodyLength)
	}
}

// testTrickledBody sends a body of declared length byte by byte: each must reach
// the backend before the next is sent.
func testTrickledBody(t *testing.T, c *cell) {
	const text = "trickle"
	seen := make(chan byte)
	path := c.b.handle(func(w http.ResponseWriter, r *http.Request) {
		one := make([]byte, 1)
		for n := 0; n < len(text); n++ {
			if _, err := io.ReadFull(r.Body, one); err != nil {
				return
			}
			seen <- one[0]
		}
		n, err := r.Body.Read(one)
		fmt.Fprint(w, r.ContentLength, n, err)
	})
	body, in := io.Pipe()
	req := c.request(t, "POST", path, body)
	req.ContentLength = int64(len(text))
	go func() {
		for i := range text {
			io.WriteString(in, text[i:i+1])
			if i == len(text)-1 {
				in.Close() // net/http's client for HTTP/2 keeps the last byte back until then
			}
			if got := <-seen; got != text[i] {
				t.Errorf("byte %d is %q", i, got)
			}
		}
	}()
	if _, answer := c.read(t, req); answer != "7 0 EOF" {
		t.Errorf("answer %q", answer)
	}
}

// testEcho sends a piece only after the one before has come back.
func testEcho(t *testing.T, c *cell) {
	body, out := io.Pipe()
	defer out.Close()
	res := c.do(t, c.request(t, "POST", "/echo", body))
	back := bufio.NewReader(res.Body)
	for i := range 20 {
		piece := fmt.Sprintf("piece %d %s\n", i, strings.Repeat("x", i*i*10))
		if _, err := io.WriteString(out, piece); err != nil {
			t.Fatal(err)
		}
		if got, err := back.ReadString('\n'); got != piece || err != nil {
			t.Fatalf("piece %d came back as %d bytes, %v", i, len(got), err)
		}
	}
	out.Close()
	if rest, err := io.ReadAll(back); len(rest) != 0 || err != nil {
		t.Errorf("after the end: %q, %v", rest, err)
	}
}

func testResponseTrailers(t *testing.T, c *cell) {
	res, body := c.get(t, "/trailers", "TE", "trailers")
	sum := sha256.Sum256([]byte(body))
	if got := res.Trailer.Get("Demo-Sha256"); got != hex.EncodeToString(sum[:]) {
		t.Errorf("declared trailer %q of body %q", got, body)
	}
	if got := res.Trailer.Get("Demo-Late"); got != c.backend {
		t.Errorf("undeclared trailer %q, want %q", got, c.backend)
	}
}

// testRequestTrailers sends trailers that are announced; no client of the standard
// library can send others.
func testRequestTrailers(t *testing.T, c *cell) {
	req := c.request(t, "POST", "/headers", nil)
	req.Trailer = http.Header{"X-Sum": nil, "X-Late": nil}
	req.Body = atEOF{io.NopCloser(strings.NewReader("body with trailers")), func() {
		req.Trailer["X-Sum"] = []string{"42"}
		req.Trailer["X-Late"] = []string{"at last", "twice"}
	}}
	req.ContentLength = -1
	got := c.seen(t, req, "TE", "trailers")
	if got.BodyLength != 18 || got.Trailer.Get("X-Sum") != "42" || strings.Join(got.Trailer["X-Late"], "|") != "at last|twice" {
		t.Errorf("%d bytes, trailers %v", got.BodyLength, got.Trailer)
	}
}

// atEOF calls end before it reports the end of the body.
type atEOF struct {
	io.ReadCloser
	end func()
}

func (b atEOF) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err == io.EOF {
		b.end()
	}
	return n, err
}

// testEarlyAnswer has the backend answer for good while the upload goes on: the
// client gets that answer, not an error.
func testEarlyAnswer(t *testing.T, c *cell) {
	for _, status := range []int{401, 413} {
		path := c.b.handle(func(w http.ResponseWriter, r *http.Request) {
			io.ReadFull(r.Body, make([]byte, 100))
			w.Header().Set("Content-Type", "text/plain")
			w.WriteHeader(status)
			io.WriteString(w, "no")
		})
		body, out := io.Pipe()
		sent := make(chan struct{})
		go func() {
			defer close(sent)
			// Far more than all buffers between hold, until the client is told to stop.
			io.Copy(out, demo.NewPattern(1<<40))
		}()
		req := c.request(t, "POST", path, body)
		res, text := c.read(t, req)
		if res.StatusCode != status || text != "no" {
			t.Errorf("status %d, %q", res.StatusCode, text)
		}
		body.Close()
		await(t, sent, "the end of the upload")
	}
}
