package stack_test

import (
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/ergoproxy/ergo/deploy/demo"
)

var headRows = []row{
	{name: "get", run: testGet},
	{name: "head", run: testHead},
	{name: "not modified", run: testNotModified},
	{name: "range", run: testRange},
	{name: "several ranges", run: testRanges},
	{name: "bodiless status", run: testBodilessStatus},
	{name: "large head", run: testLargeHead},
	{name: "repeated fields", run: testRepeatedFields},
	{name: "raw target", run: testRawTarget},
	{name: "unknown method", run: testUnknownMethod},
}

func testGet(t *testing.T, c *cell) {
	res, body := c.get(t, "/bytes/1000")
	if n, err := demo.CheckPattern(strings.NewReader(body), 0); n != 1000 || err != nil {
		t.Errorf("%d bytes, %v", n, err)
	}
	if res.StatusCode != 200 || res.ContentLength != 1000 || res.Header.Get("Demo-Backend") != c.backend {
		t.Errorf("status %d, length %d, from %q", res.StatusCode, res.ContentLength, res.Header.Get("Demo-Backend"))
	}
}

func testHead(t *testing.T, c *cell) {
	res, body := c.read(t, c.request(t, "HEAD", "/bytes/123456", nil))
	if res.StatusCode != 200 || res.ContentLength != 123456 || body != "" || res.Header.Get("Etag") != `"pattern-123456"` {
		t.Errorf("status %d, length %d, %q, %v", res.StatusCode, res.ContentLength, body, res.Header)
	}
	// The connection must still be good: no byte of a body may have come.
	testGet(t, c)
}

func testNotModified(t *testing.T, c *cell) {
	for _, method := range []string{"GET", "HEAD"} {
		res, body := c.read(t, c.request(t, method, "/bytes/5000", nil), "If-None-Match", `"pattern-5000"`)
		if res.StatusCode != 304 || body != "" || res.Header.Get("Etag") != `"pattern-5000"` {
			t.Errorf("%s: status %d, %q, %v", method, res.StatusCode, body, res.Header)
		}
	}
	testGet(t, c)
}

func testRange(t *testing.T, c *cell) {
	res, body := c.get(t, "/bytes/100000", "Range", "bytes=70000-79999")
	n, err := demo.CheckPattern(strings.NewReader(body), 70000)
	if res.StatusCode != 206 || n != 10000 || err != nil || res.Header.Get("Content-Range") != "bytes 70000-79999/100000" {
		t.Errorf("status %d, %d bytes, %v, %v", res.StatusCode, n, err, res.Header)
	}
	res, _ = c.get(t, "/bytes/100", "Range", "bytes=200-")
	if res.StatusCode != 416 || res.Header.Get("Content-Range") != "bytes */100" {
		t.Errorf("beyond the end: status %d, %v", res.StatusCode, res.Header)
	}
}

func testRanges(t *testing.T, c *cell) {
	res, body := c.get(t, "/bytes/100000", "Range", "bytes=0-99,50000-50099")
	kind, params, err := mime.ParseMediaType(res.Header.Get("Content-Type"))
	if res.StatusCode != 206 || kind != "multipart/byteranges" || err != nil {
		t.Fatalf("status %d, %v", res.StatusCode, res.Header)
	}
	parts := multipart.NewReader(strings.NewReader(body), params["boundary"])
	for _, from := range []int64{0, 50000} {
		part, err := parts.NextPart()
		if err != nil {
			t.Fatal(err)
		}
		if n, err := demo.CheckPattern(part, from); n != 100 || err != nil {
			t.Errorf("part from %d: %d bytes, %v", from, n, err)
		}
		if want := fmt.Sprintf("bytes %d-%d/100000", from, from+99); part.Header.Get("Content-Range") != want {
			t.Errorf("Content-Range %q, want %q", part.Header.Get("Content-Range"), want)
		}
	}
}

func testBodilessStatus(t *testing.T, c *cell) {
	for _, status := range []int{204, 205, 304} {
		path := c.b.handle(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("X-Kept", "yes")
			w.WriteHeader(status)
		})
		res, body := c.get(t, path)
		if res.StatusCode != status || body != "" || res.Header.Get("X-Kept") != "yes" {
			t.Errorf("%d: got %d, %q, %v", status, res.StatusCode, body, res.Header)
		}
	}
	testGet(t, c)
}

// testLargeHead sends heads near the limits of the edge (32 KiB) and of the
// backend pool (64 KiB), and one above the former.
func testLargeHead(t *testing.T, c *cell) {
	big := strings.Repeat("v", 4000)
	path := c.b.handle(func(w http.ResponseWriter, r *http.Request) {
		for i := range 12 {
			w.Header().Set(fmt.Sprintf("X-Back-%d", i), r.Header.Get("X-Big-0"))
		}
		fmt.Fprint(w, len(r.Header.Get("X-Big-6")))
	})
	req := c.request(t, "GET", path, nil)
	for i := range 7 {
		req.Header.Set(fmt.Sprintf("X-Big-%d", i), big)
	}
	res, body := c.read(t, req)
	if res.StatusCode != 200 || body != "4000" || res.Header.Get("X-Back-11") != big {
		t.Errorf("status %d, body %q", res.StatusCode, body)
	}
}

// testRepeatedFields checks that lines of one name stay apart and in order.
func testRepeatedFields(t *testing.T, c *cell) {
	cookies := []string{"a=1; Path=/; HttpOnly", "b=2; Expires=Wed, 21 Oct 2037 07:28:00 GMT"}
	path := c.b.handle(func(w http.ResponseWriter, r *http.Request) {
		for _, v := range r.Header["X-Many"] {
			w.Header().Add("X-Back", v)
		}
		for _, v := range cookies {
			w.Header().Add("Set-Cookie", v)
		}
	})
	var many []string
	req := c.request(t, "GET", path, nil)
	for i := range 60 {
		many = append(many, fmt.Sprintf("value %d, with a comma", i))
	}
	req.Header["X-Many"] = many
	res, _ := c.read(t, req)
	if !slices.Equal(res.Header["X-Back"], many) {
		t.Errorf("X-Many came as %q", res.Header["X-Back"])
	}
	if !slices.Equal(res.Header["Set-Cookie"], cookies) {
		t.Errorf("Set-Cookie %q", res.Header["Set-Cookie"])
	}
}

// testRawTarget checks that no byte of the target changes on its way.
func testRawTarget(t *testing.T, c *cell) {
	path := c.b.handle(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, r.RequestURI) })
	for _, rest := range []string{"/a%2Fb?x=%20&y", "/a%2fb", "/%7Euser/~user", "/x;y=1,2/z", "/a?", "/a?b=c?d/e&&=;", "/%E4%B8%AD", "/!$&'()*+,;=:@"} {
		if _, got := c.get(t, path+rest); got != path+rest {
			t.Errorf("%s came as %s", path+rest, got)
		}
	}
}

func testUnknownMethod(t *testing.T, c *cell) {
	for _, method := range []string{"PROPFIND", "PURGE", "X-my.method", "OPTIONS", "TRACE", "DELETE"} {
		got := c.seen(t, c.request(t, method, "/headers", nil))
		if got.Method != method || got.BodyLength != 0 {
			t.Errorf("%s came as %s with %d bytes", method, got.Method, got.BodyLength)
		}
		// A method that usually has no body must not get one of unknown length.
		if (method == "OPTIONS" || method == "TRACE" || method == "DELETE") && got.ContentLength != 0 {
			t.Errorf("%s came with length %d, %v", method, got.ContentLength, got.TransferEncoding)
		}
	}
}
