package demo_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/ergoproxy/ergo/deploy/demo"
)

// start runs a backend until the test ends and returns it.
func start(t *testing.T, c demo.Config) *demo.Server {
	t.Helper()
	server, err := demo.Listen(c)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- server.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	return server
}

// client speaks only the protocol named, "h1" or "h2c".
func client(t *testing.T, protocol string) *http.Client {
	t.Helper()
	var protocols http.Protocols
	protocols.SetHTTP1(protocol == "h1")
	protocols.SetUnencryptedHTTP2(protocol == "h2c")
	transport := &http.Transport{Protocols: &protocols, DisableCompression: true, ExpectContinueTimeout: 20 * time.Second}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: 30 * time.Second}
}

// eachProtocol runs f against a fresh backend by HTTP/1.1 and by h2c.
func eachProtocol(t *testing.T, f func(t *testing.T, c *http.Client, url string)) {
	for _, protocol := range []string{"h1", "h2c"} {
		t.Run(protocol, func(t *testing.T) {
			f(t, client(t, protocol), start(t, demo.Config{Name: "blue"}).URL())
		})
	}
}

func do(t *testing.T, c *http.Client, method, url string, body io.Reader, header ...string) (*http.Response, string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, url, body)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		request.Header.Add(header[i], header[i+1])
	}
	response, err := c.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatalf("%s %s: %v", method, url, err)
	}
	return response, string(text)
}

func sha(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

func TestPageShowsNameRequestIDAndEscapedFields(t *testing.T) {
	eachProtocol(t, func(t *testing.T, c *http.Client, url string) {
		for _, path := range []string{"/", "/private/hello", "/delay/1ms"} {
			response, text := do(t, c, "GET", url+path, nil, "X-Request-Id", "id-7", "X-Evil", "<script>")
			if response.StatusCode != 200 || response.Header.Get("Demo-Backend") != "blue" {
				t.Errorf("%s: status %d from %q", path, response.StatusCode, response.Header.Get("Demo-Backend"))
			}
			for _, want := range []string{"blue answered", "<code>id-7</code>", "X-Evil", "&lt;script&gt;"} {
				if !strings.Contains(text, want) {
					t.Errorf("%s: page lacks %q", path, want)
				}
			}
			if strings.Contains(text, "<script>") {
				t.Errorf("%s: page has an unescaped header value", path)
			}
		}
	})
}

func TestHeadersReflectsRequestBodyAndTrailers(t *testing.T) {
	eachProtocol(t, func(t *testing.T, c *http.Client, url string) {
		request, err := http.NewRequestWithContext(t.Context(), "POST", url+"/headers?q=1", io.NopCloser(strings.NewReader("abc")))
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("X-Sent", "yes")
		request.Trailer = http.Header{"X-Late": {"at last"}}
		response, err := c.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		var got demo.Reflection
		if err := json.NewDecoder(response.Body).Decode(&got); err != nil {
			t.Fatal(err)
		}
		if got.Method != "POST" || got.Path != "/headers?q=1" || "http://"+got.Host != url || got.Header.Get("X-Sent") != "yes" {
			t.Errorf("reflected %+v", got)
		}
		if got.BodyLength != 3 || got.BodySHA256 != sha([]byte("abc")) || got.ContentLength != -1 {
			t.Errorf("body: length %d, declared %d, sha256 %s", got.BodyLength, got.ContentLength, got.BodySHA256)
		}
		if got.Trailer.Get("X-Late") != "at last" {
			t.Errorf("trailer %v", got.Trailer)
		}
		if want := map[string]string{"HTTP/1.1": "h1", "HTTP/2.0": "h2c"}[got.Proto]; !strings.HasSuffix(t.Name(), want) || want == "" {
			t.Errorf("protocol %q", got.Proto)
		}
	})
}

func TestBytes(t *testing.T) {
	whole, _ := io.ReadAll(demo.NewPattern(200_000))
	eachProtocol(t, func(t *testing.T, c *http.Client, url string) {
		for _, row := range []struct {
			name, method, path string
			header             []string
			status             int
			body               []byte
		}{
			{"whole", "GET", "/bytes/200000", nil, 200, whole},
			{"empty", "GET", "/bytes/0", nil, 200, nil},
			{"head", "HEAD", "/bytes/200000", nil, 200, nil},
			{"range", "GET", "/bytes/200000", []string{"Range", "bytes=65500-65600"}, 206, whole[65500:65601]},
			{"suffix range", "GET", "/bytes/200000", []string{"Range", "bytes=-7"}, 206, whole[199_993:]},
			{"range past the end", "GET", "/bytes/10", []string{"Range", "bytes=10-"}, 416, []byte("invalid range: failed to overlap\n")},
			{"known etag", "GET", "/bytes/10", []string{"If-None-Match", `"pattern-10"`}, 304, nil},
			{"other etag", "GET", "/bytes/10", []string{"If-None-Match", `"pattern-11"`}, 200, whole[:10]},
			{"negative", "GET", "/bytes/-1", nil, 400, []byte("size: \"-1\", want a whole number from 0 to 1099511627776\n")},
			{"too long", "GET", "/bytes/1099511627777", nil, 400, []byte("size: \"1099511627777\", want a whole number from 0 to 1099511627776\n")},
			{"post", "POST", "/bytes/1", nil, 405, []byte("want GET or HEAD\n")},
		} {
			t.Run(row.name, func(t *testing.T) {
				response, text := do(t, c, row.method, url+row.path, nil, row.header...)
				if response.StatusCode != row.status || !bytes.Equal([]byte(text), row.body) {
					t.Errorf("status %d with %d bytes, want %d with %d", response.StatusCode, len(text), row.status, len(row.body))
				}
				if row.status == 200 && row.method == "HEAD" && response.ContentLength != 200_000 {
					t.Errorf("Content-Length %d", response.ContentLength)
				}
			})
		}
		if response, _ := do(t, c, "GET", url+"/bytes/1?max-age=60", nil); response.Header.Get("Cache-Control") != "public, max-age=60" {
			t.Errorf("Cache-Control %q", response.Header.Get("Cache-Control"))
		}
	})
}

func TestCheckPatternFindsLostBytes(t *testing.T) {
	if n, err := demo.CheckPattern(demo.NewPattern(100_000), 0); n != 100_000 || err != nil {
		t.Errorf("whole: %d, %v", n, err)
	}
	whole, _ := io.ReadAll(demo.NewPattern(100_000))
	if n, err := demo.CheckPattern(bytes.NewReader(whole[70_000:]), 70_000); n != 30_000 || err != nil {
		t.Errorf("from 70,000: %d, %v", n, err)
	}
	lost := append(bytes.Clone(whole[:32_768]), whole[65_536:]...)
	if n, err := demo.CheckPattern(bytes.NewReader(lost), 0); !errors.Is(err, demo.ErrPattern) || n > 32_768 {
		t.Errorf("a buffer lost: %d, %v", n, err)
	}
}

func TestStreamFlushesEachChunk(t *testing.T) {
	eachProtocol(t, func(t *testing.T, c *http.Client, url string) {
		response, err := c.Get(url + "/stream?chunks=2&size=100&delay=20s")
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		// The second chunk comes after the client's patience: reading the first
		// one whole shows that it was flushed.
		if n, err := demo.CheckPattern(io.LimitReader(response.Body, 100), 0); n != 100 || err != nil {
			t.Errorf("first chunk: %d, %v", n, err)
		}
		if response.ContentLength != -1 {
			t.Errorf("Content-Length %d", response.ContentLength)
		}
		if _, text := do(t, c, "GET", url+"/stream?chunks=700&size=100", nil); len(text) != 70_000 {
			t.Errorf("%d bytes", len(text))
		}
	})
}

func TestTrailersDeclaredAndUndeclared(t *testing.T) {
	eachProtocol(t, func(t *testing.T, c *http.Client, url string) {
		response, text := do(t, c, "GET", url+"/trailers", nil)
		if got := response.Trailer.Get("Demo-Sha256"); got != sha([]byte(text)) {
			t.Errorf("Demo-Sha256 %q", got)
		}
		if got := response.Trailer.Get("Demo-Late"); got != "blue" {
			t.Errorf("Demo-Late %q", got)
		}
	})
}

func TestEventsResumeAfterLastID(t *testing.T) {
	eachProtocol(t, func(t *testing.T, c *http.Client, url string) {
		response, text := do(t, c, "GET", url+"/sse?events=3", nil)
		if response.Header.Get("Content-Type") != "text/event-stream" || strings.Count(text, "\n\n") != 3 {
			t.Errorf("%q", text)
		}
		_, text = do(t, c, "GET", url+"/sse?events=3", nil, "Last-Event-ID", "2")
		if !strings.HasPrefix(text, "id: 3\nevent: tick\ndata: blue ") || strings.Count(text, "\n\n") != 1 {
			t.Errorf("resumed: %q", text)
		}
	})
}

func TestStatus(t *testing.T) {
	eachProtocol(t, func(t *testing.T, c *http.Client, url string) {
		for path, want := range map[string]int{"/status/204": 204, "/status/503": 503, "/status/101": 400, "/status/x": 400, "/nowhere": 404} {
			if response, _ := do(t, c, "GET", url+path, nil); response.StatusCode != want {
				t.Errorf("%s: %d, want %d", path, response.StatusCode, want)
			}
		}
	})
}

func TestBadParametersAreRefused(t *testing.T) {
	url := start(t, demo.Config{}).URL()
	c := client(t, "h1")
	for _, path := range []string{
		"/stream?chunks=-1", "/stream?size=1048577", "/stream?delay=1h", "/sse?events=0", "/sse?interval=x",
		"/delay/soon", "/delay/11m", "/upload?refuse=200", "/die?after=-2", "/die?after=9&length=9", "/count", "/count?id=1&delay=-1s",
		"/bytes/1?max-age=-1", "/count?id=" + strings.Repeat("x", 129),
	} {
		method := "GET"
		if strings.HasPrefix(path, "/upload") {
			method = "POST"
		}
		if response, text := do(t, c, method, url+path, nil); response.StatusCode != 400 || !strings.Contains(text, "want") {
			t.Errorf("%s: %d %q", path, response.StatusCode, text)
		}
	}
}

func TestUploadIsDigested(t *testing.T) {
	body, _ := io.ReadAll(demo.NewPattern(3 << 20))
	eachProtocol(t, func(t *testing.T, c *http.Client, url string) {
		_, text := do(t, c, "POST", url+"/upload", bytes.NewReader(body), "Expect", "100-continue")
		var got demo.Upload
		if err := json.Unmarshal([]byte(text), &got); err != nil {
			t.Fatal(err)
		}
		if got.Length != 3<<20 || got.SHA256 != sha(body) {
			t.Errorf("%+v", got)
		}
		if response, _ := do(t, c, "GET", url+"/upload", nil); response.StatusCode != 405 {
			t.Errorf("GET: status %d", response.StatusCode)
		}
	})
}
