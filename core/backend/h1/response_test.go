package h1_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"strings"
	"testing"

	"github.com/ergoproxy/ergo/core/backend/h1"
)

const ok = "HTTP/1.1 200 OK\r\n"

func TestGoodResponses(t *testing.T) {
	tests := []struct {
		name, method, text string
		status             int
		body               string
		kept               bool
	}{
		{"length", "GET", ok + "Content-Length: 5\r\n\r\nhello", 200, "hello", true},
		{"no body", "GET", ok + "Content-Length: 0\r\n\r\n", 200, "", true},
		{"no reason", "GET", "HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", 200, "", true},
		{"empty reason", "GET", "HTTP/1.1 299 \r\nContent-Length: 0\r\n\r\n", 299, "", true},
		{"same lengths", "GET", ok + "Content-Length: 2\r\nContent-Length: 2\r\n\r\nab", 200, "ab", true},
		{"spaces around the value", "GET", ok + "Content-Length: \t 2 \t\r\n\r\nab", 200, "ab", true},
		{"until closed", "GET", ok + "\r\nto the end", 200, "to the end", false},
		{"close asked for", "GET", ok + "Content-Length: 2\r\nConnection: x, Close\r\n\r\nab", 200, "ab", false},
		{"chunked", "GET", ok + "Transfer-Encoding: Chunked\r\n\r\n3\r\nabc\r\n0A\r\n0123456789\r\n0\r\n\r\n", 200, "abc0123456789", true},
		{"chunk extensions", "GET", ok + "Transfer-Encoding: chunked\r\n\r\n3 ;a=\"b\"\r\nabc\r\n0;x\r\n\r\n", 200, "abc", true},
		{"empty chunked", "GET", ok + "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 200, "", true},
		{"HEAD", "HEAD", ok + "Content-Length: 5\r\n\r\n", 200, "", true},
		{"HEAD chunked", "HEAD", ok + "Transfer-Encoding: chunked\r\n\r\n", 200, "", true},
		{"HEAD without length", "HEAD", ok + "\r\n", 200, "", true},
		{"204", "GET", "HTTP/1.1 204 No Content\r\n\r\n", 204, "", true},
		{"304 with length", "GET", "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", 304, "", true},
		{"1.0", "GET", "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nab", 200, "ab", false},
		{"1.0 keep-alive", "GET", "HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\nContent-Length: 2\r\n\r\nab", 200, "ab", true},
		{"1.0 keep-alive until closed", "GET", "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n\r\nab", 200, "ab", false},
		{"informational first", "GET", "HTTP/1.1 103 Early\r\nA: b\r\n\r\nHTTP/1.1 199 x\r\n\r\n" + ok + "Content-Length: 2\r\n\r\nab", 200, "ab", true},
		{"obs-text", "GET", ok + "X: \xe4\xff\r\nContent-Length: 0\r\n\r\n", 200, "", true},
		{"unknown status", "GET", "HTTP/1.1 999 x\r\nContent-Length: 0\r\n\r\n", 999, "", true},
	}
	for _, tt := range tests {
		for _, step := range []int{0, 1, 7} {
			o := answerTo(tt.method, tt.text, step)
			if o.headErr != nil || o.bodyErr != nil {
				t.Errorf("%s: head %v, body %v", tt.name, o.headErr, o.bodyErr)
				continue
			}
			if o.response.StatusCode != tt.status || o.body != tt.body || o.kept != tt.kept || o.closed == tt.kept {
				t.Errorf("%s in steps of %d: %d %q, kept %v, closed %v", tt.name, step, o.response.StatusCode, o.body, o.kept, o.closed)
			}
		}
	}
}

func TestHostileHeads(t *testing.T) {
	tests := map[string]string{
		"no HTTP":                 "SSH-2.0-OpenSSH_9.6\r\n",
		"HTTP/2":                  "HTTP/2.0 200 OK\r\n\r\n",
		"HTTP/1.2":                "HTTP/1.2 200 OK\r\n\r\n",
		"lower case":              "http/1.1 200 OK\r\n\r\n",
		"space before":            " HTTP/1.1 200 OK\r\n\r\n",
		"empty line before":       "\r\n" + ok + "\r\n",
		"status of two digits":    "HTTP/1.1 20 OK\r\n\r\n",
		"status of four digits":   "HTTP/1.1 2000 OK\r\n\r\n",
		"status with sign":        "HTTP/1.1 +20 OK\r\n\r\n",
		"status below 100":        "HTTP/1.1 099 OK\r\n\r\n",
		"two spaces":              "HTTP/1.1  200 OK\r\n\r\n",
		"CR in reason":            "HTTP/1.1 200 O\rK\r\n\r\n",
		"NUL in reason":           "HTTP/1.1 200 O\x00K\r\n\r\n",
		"bare LF":                 "HTTP/1.1 200 OK\nContent-Length: 0\r\n\r\n",
		"bare LF in value":        ok + "A: b\nContent-Length: 0\r\n\r\n",
		"bare CR in value":        ok + "A: b\rc\r\n\r\n",
		"NUL in value":            ok + "A: b\x00c\r\n\r\n",
		"DEL in value":            ok + "A: b\x7fc\r\n\r\n",
		"folded line":             ok + "A: b\r\n c\r\n\r\n",
		"folded first line":       ok + " A: b\r\n\r\n",
		"space before colon":      ok + "Content-Length : 5\r\n\r\nhello",
		"no colon":                ok + "Nonsense\r\n\r\n",
		"empty name":              ok + ": x\r\n\r\n",
		"name with umlaut":        ok + "N\xe4me: x\r\n\r\n",
		"lengths that differ":     ok + "Content-Length: 1\r\nContent-Length: 2\r\n\r\nab",
		"length list":             ok + "Content-Length: 2, 2\r\n\r\nab",
		"length with sign":        ok + "Content-Length: +2\r\n\r\nab",
		"negative length":         ok + "Content-Length: -2\r\n\r\nab",
		"hexadecimal length":      ok + "Content-Length: 0x2\r\n\r\nab",
		"length with underscore":  ok + "Content-Length: 1_0\r\n\r\n0123456789",
		"empty length":            ok + "Content-Length: \r\n\r\n",
		"length of 64 bits":       ok + "Content-Length: 9223372036854775808\r\n\r\n",
		"length and coding":       ok + "Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"gzip, chunked":           ok + "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
		"chunked twice":           ok + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"identity":                ok + "Transfer-Encoding: identity\r\n\r\n",
		"chunked with vt":         ok + "Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n",
		"coding in 1.0":           "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"framing as trailer":      ok + "Transfer-Encoding: chunked\r\nTrailer: Content-Length\r\n\r\n0\r\n\r\n",
		"101 nobody asked for":    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n",
		"informational malformed": "HTTP/1.1 103 Early\r\nA b\r\n\r\n" + ok + "\r\n",
	}
	for name, text := range tests {
		o := answerTo("GET", text, 0)
		if !errors.Is(o.headErr, h1.ErrMalformed) || o.kept || !o.closed {
			t.Errorf("%s: %v, kept %v, closed %v", name, o.headErr, o.kept, o.closed)
		}
	}
}

func TestHostileChunks(t *testing.T) {
	tests := map[string]string{
		"no size":               "\r\n\r\n",
		"no digit":              "x\r\n",
		"sign":                  "+3\r\nabc\r\n0\r\n\r\n",
		"prefix":                "0x3\r\nabc\r\n0\r\n\r\n",
		"space before":          " 3\r\nabc\r\n0\r\n\r\n",
		"space inside":          "3 3\r\nabc\r\n0\r\n\r\n",
		"size of 64 bits":       "ffffffffffffffff\r\nabc",
		"size that wraps":       "10000000000000003\r\nabc\r\n0\r\n\r\n",
		"bare LF":               "3\nabc\r\n0\r\n\r\n",
		"CR in extension":       "3;a\rb\r\nabc\r\n0\r\n\r\n",
		"LF in extension":       "3;a\nb\r\nabc\r\n0\r\n\r\n",
		"longer than it said":   "3\r\nabcd\r\n0\r\n\r\n",
		"no CRLF behind":        "3\r\nabc0\r\n\r\n",
		"LF behind":             "3\r\nabc\n0\r\n\r\n",
		"endless line":          "3;" + strings.Repeat("x", 100<<10),
		"endless extensions":    strings.Repeat("1;"+strings.Repeat("x", 1000)+"\r\na\r\n", 100) + "0\r\n\r\n",
		"framing trailer":       "0\r\nContent-Length: 3\r\n\r\n",
		"malformed trailer":     "0\r\nA b\r\n\r\n",
		"trailer with bare LF":  "0\r\nA: b\nC: d\r\n\r\n",
		"folded trailer":        "0\r\nA: b\r\n c\r\n\r\n",
		"trailers without end":  "0\r\nA: " + strings.Repeat("x", 100<<10),
		"coding among trailers": "0\r\nTransfer-Encoding: chunked\r\n\r\n",
	}
	for name, text := range tests {
		for _, step := range []int{0, 1} {
			o := answerTo("GET", ok+"Transfer-Encoding: chunked\r\n\r\n"+text, step)
			refused := errors.Is(o.bodyErr, h1.ErrMalformed) || name == "trailers without end" && errors.Is(o.bodyErr, h1.ErrHeadTooLarge)
			if o.headErr != nil || !refused || o.kept || !o.closed {
				t.Errorf("%s: head %v, body %q, %v, kept %v, closed %v", name, o.headErr, o.body, o.bodyErr, o.kept, o.closed)
			}
		}
	}
}

func TestHeadLimitIsExact(t *testing.T) {
	limit := settings().HeadLimit
	for _, tt := range []struct {
		length int
		fits   bool
	}{{limit, true}, {limit + 1, false}, {10 * limit, false}} {
		text := ok + "Content-Length: 0\r\nX: \r\n\r\n"
		text = strings.Replace(text, "X: ", "X: "+strings.Repeat("x", tt.length-len(text)), 1)
		for _, step := range []int{0, 100} {
			o := answerTo("GET", text, step)
			if tt.fits != (o.headErr == nil) || !tt.fits && !errors.Is(o.headErr, h1.ErrHeadTooLarge) {
				t.Errorf("head of %d bytes, limit %d: %v", tt.length, limit, o.headErr)
			}
		}
	}
}

// A head larger than the buffer makes it grow.
func TestHeadLargerThanTheBuffer(t *testing.T) {
	s := settings()
	s.HeadLimit = 256 << 10
	value := strings.Repeat("x", 200<<10)
	c := &canned{in: strings.NewReader(ok + "Content-Length: 2\r\nX: " + value + "\r\n\r\nab"), step: 5000}
	resp, err := h1.New(c, s, func() {}).RoundTrip(context.Background(), request("GET", nil, 0), nil)
	if err != nil || resp.Header.Get("X") != value {
		t.Fatalf("%v", err)
	}
	if body, err := io.ReadAll(resp.Body); string(body) != "ab" || err != nil {
		t.Errorf("%q, %v", body, err)
	}
}

// Bytes behind a response must never become the response to another request.
func TestBytesBehindAResponseEndTheConnection(t *testing.T) {
	second := ok + "Content-Length: 4\r\n\r\nevil"
	for name, first := range map[string]string{
		"length":  ok + "Content-Length: 2\r\n\r\nab",
		"chunked": ok + "Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n",
		"none":    "HTTP/1.1 204 No Content\r\n\r\n",
		"304":     "HTTP/1.1 304 Not Modified\r\nContent-Length: 4\r\n\r\n",
	} {
		for _, behind := range []string{second, "x", "\r\n"} {
			o := answerTo("GET", first+behind, 0)
			if o.headErr != nil || o.bodyErr != nil || o.body != "ab" && o.body != "" || o.kept || !o.closed {
				t.Errorf("%s and %q behind: %v, %v, %q, kept %v", name, behind, o.headErr, o.bodyErr, o.body, o.kept)
			}
		}
	}
	if o := answerTo("HEAD", ok+"Content-Length: 2\r\n\r\nab", 0); o.kept || !o.closed {
		t.Error("a HEAD with a body leaves the connection open")
	}
}

func TestEveryPrefixOfAResponseFails(t *testing.T) {
	for _, text := range []string{
		ok + "Server: x\r\nContent-Length: 5\r\n\r\nhello",
		"HTTP/1.1 103 Early\r\nLink: </a>\r\n\r\n" + ok + "Content-Length: 1\r\n\r\na",
		ok + "Transfer-Encoding: chunked\r\nTrailer: A\r\n\r\n5;x=y\r\nhello\r\n1\r\n!\r\n0\r\nA: b\r\n\r\n",
		ok + "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
	} {
		for n := range len(text) {
			o := answerTo("GET", text[:n], 0)
			if o.headErr == nil && o.bodyErr == nil || o.kept || !o.closed {
				t.Errorf("%q: body %q, kept %v, closed %v", text[:n], o.body, o.kept, o.closed)
			}
			if n > 0 && !errors.Is(errors.Join(o.headErr, o.bodyErr), io.ErrUnexpectedEOF) && !strings.Contains(text[:n], "Early\r\nLink: </a>\r\n\r\n") {
				t.Errorf("%q: %v, %v", text[:n], o.headErr, o.bodyErr)
			}
		}
		if o := answerTo("GET", text, 0); o.headErr != nil || o.bodyErr != nil || !o.kept {
			t.Errorf("whole: %v, %v, kept %v", o.headErr, o.bodyErr, o.kept)
		}
	}
}

func TestTrailersOfTheResponse(t *testing.T) {
	o := answerTo("GET", ok+"Transfer-Encoding: chunked\r\nTrailer: A, x-sum\r\n\r\n1\r\na\r\n0\r\nx-sum: 1\r\nX-Sum: 2\r\nMore: 3\r\n\r\n", 0)
	want := http.Header{"A": nil, "X-Sum": {"1", "2"}, "More": {"3"}}
	if !reflect.DeepEqual(o.response.Trailer, want) || o.response.Header["Trailer"] != nil {
		t.Errorf("trailer %v, header %v", o.response.Trailer, o.response.Header)
	}
}

func TestInformationalResponsesAreLimited(t *testing.T) {
	flood := strings.Repeat("HTTP/1.1 103 Early\r\n\r\n", h1.MaxInformational)
	if o := answerTo("GET", flood+ok+"Content-Length: 0\r\n\r\n", 0); o.headErr != nil || len(o.informational) != h1.MaxInformational {
		t.Errorf("%v after %d", o.headErr, len(o.informational))
	}
	if o := answerTo("GET", flood+"HTTP/1.1 100 x\r\n\r\n"+ok+"\r\n", 0); !errors.Is(o.headErr, h1.ErrTooManyInformational) || !o.closed {
		t.Errorf("one more: %v", o.headErr)
	}
}

// reference reads text as net/http does.
func reference(method, text string) (o outcome) {
	r := bufio.NewReader(strings.NewReader(text))
	req := request(method, nil, 0)
	for seen := 0; ; seen++ {
		o.response, o.headErr = http.ReadResponse(r, req)
		if o.headErr == nil && seen > h1.MaxInformational {
			o.headErr = h1.ErrTooManyInformational
		}
		if o.headErr != nil {
			return o
		}
		if code := o.response.StatusCode; code >= 200 || code == 101 || code < 100 {
			break
		}
		o.informational = append(o.informational, o.response.StatusCode)
	}
	body, err := io.ReadAll(o.response.Body)
	o.body, o.bodyErr = string(body), err
	o.left = r.Buffered()
	o.kept = err == nil && !o.response.Close && o.left == 0
	return o
}

// compare says how an outcome of ours contradicts net/http's; "" if it does not.
// We may refuse more, and never less.
func compare(ours, theirs outcome) string {
	switch {
	case ours.headErr != nil:
		return ""
	case theirs.headErr != nil:
		return fmt.Sprintf("net/http refuses the head: %v", theirs.headErr)
	}
	a, b := ours.response, theirs.response
	if len(a.Header["Connection"]) > 0 && len(b.Header["Connection"]) == 0 {
		delete(a.Header, "Connection") // net/http removes it with its close
	}
	if b.Header.Get("Pragma") == "no-cache" {
		delete(a.Header, "Cache-Control") // net/http makes one up
		delete(b.Header, "Cache-Control")
	}
	switch {
	case a.StatusCode != b.StatusCode, a.Status != b.Status, a.Proto != b.Proto, a.ContentLength != b.ContentLength:
		return fmt.Sprintf("%q %d, net/http %q %d", a.Status, a.ContentLength, b.Status, b.ContentLength)
	case !reflect.DeepEqual(a.Header, b.Header):
		return fmt.Sprintf("header %q, net/http %q", a.Header, b.Header)
	case !reflect.DeepEqual(ours.informational, theirs.informational):
		return fmt.Sprintf("informational %v, net/http %v", ours.informational, theirs.informational)
	case ours.bodyErr != nil:
		return ""
	case theirs.bodyErr != nil:
		return fmt.Sprintf("body %q, net/http refuses it: %v", ours.body, theirs.bodyErr)
	case ours.body != theirs.body:
		return fmt.Sprintf("body %q, net/http %q", ours.body, theirs.body)
	case len(a.Trailer) != len(b.Trailer) || len(a.Trailer) > 0 && !reflect.DeepEqual(a.Trailer, b.Trailer):
		return fmt.Sprintf("trailer %q, net/http %q", a.Trailer, b.Trailer)
	case ours.kept && !theirs.kept:
		return fmt.Sprintf("the connection is kept, net/http left %d bytes, close %v", theirs.left, b.Close)
	}
	return ""
}

// FuzzResponse: whatever we accept, net/http accepts and reads in the same way,
// to the same byte; and no cut by the network changes what we read.
func FuzzResponse(f *testing.F) {
	for _, seed := range []string{
		ok + "Content-Length: 5\r\n\r\nhello",
		ok + "Content-Length: 1\r\nContent-Length: 1\r\nConnection: close\r\n\r\nabc",
		ok + "Transfer-Encoding: chunked\r\nTrailer: A,B\r\n\r\n3;x\r\nabc\r\n0\r\nA: 1\r\nB: 2\r\n\r\n",
		ok + "Transfer-Encoding: chunked\r\n\r\n3 \r\nabc\r\n0\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
		"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 0\r\n\r\n",
		"HTTP/1.1 103 x\r\nLink: a\r\n\r\nHTTP/1.1 304 \r\nContent-Length: 9\r\nETag: x\r\n\r\n",
		"HTTP/1.1 204 x\r\nTransfer-Encoding: chunked\r\n\r\n",
		ok + "pragma: no-cache\r\nX-\xff: \x00\r\n\r\nall",
		ok + "A: b\r\n c\r\n\r\n",
	} {
		for _, method := range []string{"GET", "HEAD"} {
			f.Add(method == "HEAD", seed, 3)
		}
	}
	f.Fuzz(func(t *testing.T, head bool, text string, step int) {
		method := map[bool]string{false: "GET", true: "HEAD"}[head]
		ours := answerTo(method, text, 0)
		if diff := compare(ours, reference(method, text)); diff != "" {
			t.Error(diff)
		}
		if ours.kept == ours.closed {
			t.Errorf("kept %v, closed %v", ours.kept, ours.closed)
		}
		cut := answerTo(method, text, max(step, 1))
		// A connection in small steps may be kept before more bytes come: that is
		// what Wire.Quiet is for.
		if (cut.headErr == nil) != (ours.headErr == nil) || (cut.bodyErr == nil) != (ours.bodyErr == nil) || cut.body != ours.body {
			t.Errorf("in steps of %d: %v %v %q, at once %v %v %q", step, cut.headErr, cut.bodyErr, cut.body, ours.headErr, ours.bodyErr, ours.body)
		}
	})
}

func TestAllocationsOfAnExchange(t *testing.T) {
	if raceDetector {
		t.Skip("the race detector allocates")
	}
	c := &looped{text: ok + "Date: x\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nhello"}
	conn := h1.New(c, settings(), func() {})
	req, buf := request("GET", nil, 0), make([]byte, 100)
	req.Header.Set("User-Agent", "x")
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	got := testing.AllocsPerRun(1000, func() {
		resp, err := conn.RoundTrip(ctx, req, nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := resp.Body.Read(buf); err != io.EOF {
			t.Fatal(err)
		}
	})
	// The exchange, the head, the header's map (2) and values, the watch on ctx (2).
	if got > 8 {
		t.Errorf("%v allocations, want at most 8", got)
	}
}

// looped answers the same again and again.
type looped struct {
	canned
	text string
}

func (c *looped) Write(p []byte) (int, error) { return len(p), nil }
func (c *looped) Read(p []byte) (int, error)  { return copy(p, c.text), nil }
