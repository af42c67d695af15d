package listener

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"strings"
	"testing"
)

func testRules() *scanRules {
	return &scanRules{headBytes: 1024, urlBytes: 100, fields: 8, bodyBytes: 1000}
}

// scanIn feeds s to a scanner in pieces of size bytes and returns the first
// refusal and the scanner.
func scanIn(s string, size int, rules *scanRules) (*scanner, *refusal) {
	sc := newScanner(rules, false)
	for len(s) > 0 {
		n := min(size, len(s))
		if _, no := sc.scan([]byte(s[:n])); no != nil {
			return &sc, no
		}
		s = s[n:]
	}
	return &sc, nil
}

// refusals is the smuggling corpus: what must be refused, and why.
var refusals = []struct {
	name, in string
	want     *refusal
}{
	{"CL and TE", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n", badFraming},
	{"TE and CL", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n", badFraming},
	{"two CL", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nContent-Length: 4\r\n\r\n", badLengthCount},
	{"differing CL", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\n", badLengthCount},
	{"CL list", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4, 4\r\n\r\n", badLength},
	{"CL sign", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +4\r\n\r\n", badLength},
	{"CL negative", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n", badLength},
	{"CL empty", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n\r\n", badLength},
	{"CL overflow", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 18446744073709551620\r\n\r\n", badLength},
	{"CL hex", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0x4\r\n\r\n", badLength},
	{"CL over the limit", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1001\r\n\r\n", longBody},
	{"TE identity", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity\r\n\r\n", badCoding},
	{"TE gzip, chunked", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", badCoding},
	{"TE chunked twice", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, chunked\r\n\r\n", badCoding},
	{"TE xchunked", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n", badCoding},
	{"TE vertical tab", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \vchunked\r\n\r\n", badValue},
	{"TE quoted", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \"chunked\"\r\n\r\n", badCoding},
	{"TE empty", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \r\n\r\n", badCoding},
	{"two TE", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", badCodingCount},
	{"TE in 1.0", "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", badCodingVersion},
	{"space before colon", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length : 4\r\n\r\n", badColon},
	{"tab before colon", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding\t: chunked\r\n\r\n", badColon},
	{"no colon", "GET / HTTP/1.1\r\nHost: a\r\nNothing\r\n\r\n", badName},
	{"no name", "GET / HTTP/1.1\r\nHost: a\r\n: x\r\n\r\n", badName},
	{"name with NUL", "GET / HTTP/1.1\r\nHost: a\r\nX\x00Y: x\r\n\r\n", badName},
	{"name not ASCII", "GET / HTTP/1.1\r\nHost: a\r\nX\xc3\xa9: x\r\n\r\n", badName},
	{"obs-fold", "GET / HTTP/1.1\r\nHost: a\r\nX: y\r\n z\r\n\r\n", badFold},
	{"obs-fold of TE", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\r\n chunked\r\n\r\n", badCoding},
	{"fold of the first field", "GET / HTTP/1.1\r\n Host: a\r\n\r\n", badFold},
	{"bare LF after request line", "GET / HTTP/1.1\nHost: a\r\n\r\n", badRequestLine},
	{"bare LF after field", "GET / HTTP/1.1\r\nHost: a\nX: y\r\n\r\n", badValue},
	{"bare LF ends head", "GET / HTTP/1.1\r\nHost: a\r\n\n", badName},
	{"bare CR in value", "GET / HTTP/1.1\r\nHost: a\r\nX: y\rz\r\n\r\n", badLineEnd},
	{"bare CR in Host", "GET / HTTP/1.1\r\nHost: a\rb\r\n\r\n", badLineEnd},
	{"CR CR LF", "GET / HTTP/1.1\r\nHost: a\r\nX: y\r\r\n\r\n", badLineEnd},
	{"CR then no LF at the end", "GET / HTTP/1.1\r\nHost: a\r\n\rX", badLineEnd},
	{"NUL in value", "GET / HTTP/1.1\r\nHost: a\r\nX: \x00\r\n\r\n", badValue},
	{"control in value", "GET / HTTP/1.1\r\nHost: a\r\nX: a\x01b\r\n\r\n", badValue},
	{"DEL in value", "GET / HTTP/1.1\r\nHost: a\r\nX: a\x7fb\r\n\r\n", badValue},
	{"no Host", "GET / HTTP/1.1\r\nX: y\r\n\r\n", badHostMissing},
	{"two Host", "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", badHostCount},
	{"Host list", "GET / HTTP/1.1\r\nHost: a b\r\n\r\n", badHost},
	{"Host with user", "GET / HTTP/1.1\r\nHost: u@a\r\n\r\n", badHost},
	{"Host with path", "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", badHost},
	{"Host empty", "GET / HTTP/1.1\r\nHost: \r\n\r\n", badHost},
	{"Host too long", "GET / HTTP/1.1\r\nHost: " + strings.Repeat("a", 300) + "\r\n\r\n", badValue},
	{"absolute target, other Host", "GET http://a/ HTTP/1.1\r\nHost: b\r\n\r\n", badHostDiffers},
	{"absolute target, longer Host", "GET http://a/ HTTP/1.1\r\nHost: a.b\r\n\r\n", badHostDiffers},
	{"absolute target with user", "GET http://u@a/ HTTP/1.1\r\nHost: a\r\n\r\n", badAuthority},
	{"absolute target without host", "GET http:/// HTTP/1.1\r\nHost: a\r\n\r\n", badAuthority},
	{"other scheme", "GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n", badTarget},
	{"scheme with two s", "GET httpss://a/ HTTP/1.1\r\nHost: a\r\n\r\n", badTarget},
	{"relative target", "GET a HTTP/1.1\r\nHost: a\r\n\r\n", badTarget},
	{"authority target", "GET a:80 HTTP/1.1\r\nHost: a\r\n\r\n", badTarget},
	{"star without OPTIONS", "GET * HTTP/1.1\r\nHost: a\r\n\r\n", badTarget},
	{"target with fragment", "GET /#x HTTP/1.1\r\nHost: a\r\n\r\n", badTarget},
	{"target with tab", "GET /\t HTTP/1.1\r\nHost: a\r\n\r\n", badTarget},
	{"target with NUL", "GET /\x00 HTTP/1.1\r\nHost: a\r\n\r\n", badTarget},
	{"two spaces", "GET  / HTTP/1.1\r\nHost: a\r\n\r\n", badTarget},
	{"two spaces before version", "GET /  HTTP/1.1\r\nHost: a\r\n\r\n", badRequestLine},
	{"space after version", "GET / HTTP/1.1 \r\nHost: a\r\n\r\n", badRequestLine},
	{"HTTP/0.9", "GET /\r\nHost: a\r\n\r\n", badTarget},
	{"HTTP/2.0", "GET / HTTP/2.0\r\nHost: a\r\n\r\n", badVersion},
	{"HTTP/1.2", "GET / HTTP/1.2\r\nHost: a\r\n\r\n", badVersion},
	{"http/1.1", "GET / http/1.1\r\nHost: a\r\n\r\n", badRequestLine},
	{"short version", "GET / HTTP\r\nHost: a\r\n\r\n", badRequestLine},
	{"no method", " / HTTP/1.1\r\nHost: a\r\n\r\n", badMethod},
	{"empty line first", "\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", badMethod},
	{"method with colon", "GE:T / HTTP/1.1\r\nHost: a\r\n\r\n", badMethod},
	{"method too long", strings.Repeat("M", 33) + " / HTTP/1.1\r\nHost: a\r\n\r\n", badMethod},
	{"CONNECT", "CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n", badConnect},
	{"HTTP/2 preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", badTarget},
	{"long target", "GET /" + strings.Repeat("a", 100) + " HTTP/1.1\r\nHost: a\r\n\r\n", longTarget},
	{"long head", "GET / HTTP/1.1\r\nHost: a\r\nX: " + strings.Repeat("a", 1000) + "\r\n\r\n", longHead},
	{"many fields", "GET / HTTP/1.1\r\nHost: a\r\n" + strings.Repeat("X: y\r\n", 8) + "\r\n", manyFields},
	{"chunk size empty", chunked + "\r\n\r\n", badChunkSize},
	{"chunk size with 0x", chunked + "0x3\r\nabc\r\n0\r\n\r\n", badChunkSize},
	{"chunk size negative", chunked + "-3\r\nabc\r\n0\r\n\r\n", badChunkSize},
	{"chunk size with space", chunked + "3 \r\nabc\r\n0\r\n\r\n", badChunkSize},
	{"chunk size overflow", chunked + "fffffffffffffffff\r\n", badChunkSize},
	{"chunk size wraps", chunked + "10000000000000003\r\nabc\r\n0\r\n\r\n", badChunkSize},
	{"chunk over the limit", chunked + "3e9\r\n", longBody},
	{"chunks over the limit", chunked + "3e8\r\n" + strings.Repeat("x", 1000) + "\r\n1\r\n", longBody},
	{"chunk size with bare LF", chunked + "3\nabc\r\n0\r\n\r\n", badChunkSize},
	{"extension with bare LF", chunked + "3;a\nabc\r\n0\r\n\r\n", badChunkExt},
	{"extension with bare CR", chunked + "3;a\rb\r\nabc\r\n0\r\n\r\n", badLineEnd},
	{"extension too long", chunked + "3;" + strings.Repeat("a", 257) + "\r\nabc\r\n0\r\n\r\n", badChunkExt},
	{"chunk longer than its size", chunked + "3\r\nabcd\r\n0\r\n\r\n", badChunkEnd},
	{"chunk ends with LF", chunked + "3\r\nabc\n0\r\n\r\n", badChunkEnd},
	{"chunk ends with CR", chunked + "3\r\nabc\r0\r\n\r\n", badChunkEnd},
	{"framing in trailers", chunked + "0\r\nContent-Length: 3\r\n\r\n", badTrailer},
	{"fold in trailers", chunked + "0\r\n x: y\r\n\r\n", badFold},
	{"trailers too long", chunked + "0\r\nx: " + strings.Repeat("a", 4200) + "\r\n\r\n", longTrailer},
	{"fault in the second request", plain + plain + "GET / HTTP/1.1\r\nHost : a\r\n\r\n", badColon},
	{"body longer than its length", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc\x00", badMethod},
}

const (
	plain   = "GET / HTTP/1.1\r\nHost: a\r\n\r\n"
	chunked = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
)

func TestScannerRefuses(t *testing.T) {
	for _, tt := range refusals {
		t.Run(tt.name, func(t *testing.T) {
			for _, size := range []int{1, 2, 3, 7, 64, 1 << 20} {
				if _, no := scanIn(tt.in, size, testRules()); no != tt.want {
					t.Errorf("in pieces of %d: %v, want %v", size, no, tt.want)
				}
			}
		})
	}
}

// accepted is what must pass; each ends where a request ends.
var accepted = []string{
	plain,
	"GET /a?b=c%20d HTTP/1.0\r\n\r\n",
	"GET / HTTP/1.1\r\nhOST:\t a.example:8080 \t\r\nX:\r\nY: \xff\xfe\r\n\r\n",
	"GET / HTTP/1.1\r\nHost: [::1]:80\r\n\r\n",
	"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
	"GET http://A.example/x HTTP/1.1\r\nHost: a.example\r\n\r\n",
	"GET HTTPS://a:1?x HTTP/1.1\r\nHost: a:1\r\n\r\n",
	"GET http://a HTTP/1.1\r\nHost: a\r\n\r\n",
	"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
	"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0003\r\n\r\n\x00\r\n",
	"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:  CHUNKED \r\n\r\n3\r\n\r\n\x00\r\nA;x=\"y\"\r\n0123456789\r\n000\r\n\r\n",
	chunked + "1\r\na\r\n0\r\nX-T: v\r\nY-T:\r\n\r\n",
	"M-SEARCH / HTTP/1.1\r\nHost: a\r\n\r\n",
	"BASELINE-CONTROL-AND-MORE / HTTP/1.1\r\nHost: a\r\n\r\n",
}

func TestScannerAccepts(t *testing.T) {
	all := strings.Join(accepted, "")
	for _, in := range append(accepted[:len(accepted):len(accepted)], all) {
		for _, size := range []int{1, 2, 3, 7, 64, 1 << 20} {
			sc, no := scanIn(in, size, testRules())
			if no != nil || sc.state != atStart {
				t.Errorf("%q in pieces of %d: %v, ended in state %d", in, size, no, sc.state)
			}
		}
	}
}

// TestScannerKnowsWhereItIs cuts each accepted request at every place: before
// its end the scanner has to know that more must come.
func TestScannerKnowsWhereItIs(t *testing.T) {
	for _, in := range accepted {
		for n := 1; n < len(in); n++ {
			sc, no := scanIn(in[:n], 1, testRules())
			if no != nil || sc.midHead() == sc.midBody() {
				t.Fatalf("%q: %v, in head %v, in body %v", in[:n], no, sc.midHead(), sc.midBody())
			}
		}
	}
}

func TestScannerGivesBackTheFaultlessPart(t *testing.T) {
	good := plain + chunked + "3\r\nabc\r\n0\r\n\r\n"
	sc := newScanner(testRules(), false)
	whole, no := sc.scan([]byte(good + "GET / HTTP/1.1\r\nHost : a\r\n\r\n"))
	if no != badColon || whole != len(good) {
		t.Errorf("%d bytes, %v; want %d, %v", whole, no, len(good), badColon)
	}
}

func TestScannerPreface(t *testing.T) {
	for _, size := range []int{1, 5, 100} {
		sc := newScanner(testRules(), true)
		in := append(bytes.Clone(http2Preface), 0xff, 0)
		at := 0
		for at < len(in) && sc.state != opaque {
			n, no := sc.scan(in[at:min(at+size, len(in))])
			if no != nil {
				t.Fatal(no)
			}
			at += n
		}
		if at != len(http2Preface) || sc.state != opaque {
			t.Errorf("in pieces of %d: preface ended at %d in state %d", size, at, sc.state)
		}
		for _, in := range []string{"POST / HTTP/1.1\r\nHost: a\r\n\r\n", "PRIVATE / HTTP/1.1\r\nHost: a\r\n\r\n", plain} {
			sc := newScanner(testRules(), true)
			for _, b := range []byte(in) {
				if _, no := sc.scan([]byte{b}); no != nil {
					t.Fatalf("%q: %v", in, no)
				}
			}
			if sc.state != atStart {
				t.Errorf("%q ended in state %d", in, sc.state)
			}
		}
		sc = newScanner(testRules(), true)
		if _, no := sc.scan([]byte("PRI * HTTP/2.0\r\n\r\nXM\r\n\r\n")); no == nil {
			t.Error("half a preface was let through")
		}
	}
}

func TestScannerConnect(t *testing.T) {
	rules := testRules()
	rules.connect = true
	sc := newScanner(rules, false)
	head := "CONNECT a.example:443 HTTP/1.1\r\nHost: a.example:443\r\n\r\n"
	n, no := sc.scan([]byte(head + "\x16\x03\x01"))
	if no != nil || n != len(head) || sc.state != opaque {
		t.Errorf("%d bytes of %d, %v, state %d", n, len(head), no, sc.state)
	}
}

func TestScannerDoesNotAllocate(t *testing.T) {
	head := []byte(typicalHead)
	sc := newScanner(&scanRules{headBytes: 32 << 10, urlBytes: 8 << 10, fields: 128}, false)
	if n := testing.AllocsPerRun(100, func() { sc.scan(head) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// FuzzScanner holds the scanner to its promise: of what it lets through, net/http
// reads the same messages.
func FuzzScanner(f *testing.F) {
	for _, in := range accepted {
		f.Add([]byte(in), uint8(3))
	}
	for _, tt := range refusals {
		f.Add([]byte(tt.in), uint8(64))
	}
	f.Add([]byte(strings.Join(accepted, "")), uint8(255))
	f.Fuzz(func(t *testing.T, in []byte, size uint8) {
		borders, bytewise, no := bordersOf(in)
		piecewise, noPiece := scanIn(string(in), int(size)+1, testRules())
		if (no == nil) != (noPiece == nil) || no == nil && piecewise.state != bytewise.state {
			t.Fatalf("%q: in pieces of %d %v in state %d, byte by byte %v in state %d", in, int(size)+1, noPiece, piecewise.state, no, bytewise.state)
		}
		at := 0
		for _, end := range borders {
			if !readsAs(in[at:], end-at) {
				t.Fatalf("%q: the scanner ends the request %q at %d, net/http does not", in, in[at:], end-at)
			}
			at = end
		}
	})
}

// bordersOf returns where the requests of in end, as the scanner sees it.
func bordersOf(in []byte) (borders []int, sc *scanner, no *refusal) {
	s := newScanner(testRules(), false)
	for i := range in {
		if _, no := s.scan(in[i : i+1]); no != nil {
			return borders, &s, no
		}
		if s.state == atStart {
			borders = append(borders, i+1)
		}
	}
	return borders, &s, nil
}

// readsAs reports whether net/http takes the first end bytes of in for one
// request, or refuses it.
func readsAs(in []byte, end int) bool {
	rest := bytes.NewReader(in)
	r := bufio.NewReader(rest)
	req, err := http.ReadRequest(r)
	if err != nil {
		return true
	}
	if _, err := io.Copy(io.Discard, req.Body); err != nil {
		return true
	}
	return len(in)-rest.Len()-r.Buffered() == end
}

const typicalHead = "GET /static/app.3f2a9c.js?v=12 HTTP/1.1\r\n" +
	"Host: www.example.com\r\n" +
	"User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0\r\n" +
	"Accept: */*\r\n" +
	"Accept-Language: en-US,en;q=0.5\r\n" +
	"Accept-Encoding: gzip, deflate, br, zstd\r\n" +
	"Cookie: session=0123456789abcdef0123456789abcdef\r\n" +
	"Connection: keep-alive\r\n\r\n"

func BenchmarkScanner(b *testing.B) {
	head := []byte(typicalHead)
	sc := newScanner(&scanRules{headBytes: 32 << 10, urlBytes: 8 << 10, fields: 128}, false)
	b.SetBytes(int64(len(head)))
	for b.Loop() {
		if _, no := sc.scan(head); no != nil {
			b.Fatal(no)
		}
	}
}
