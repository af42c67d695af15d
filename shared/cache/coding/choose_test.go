package coding_test

import (
	"net/http"
	"testing"

	"github.com/ergoproxy/ergo/shared/cache/coding"
)

// fields makes a header of name, value, name, value.
func fields(pairs ...string) http.Header {
	h := http.Header{}
	for i := 0; i < len(pairs); i += 2 {
		h.Add(pairs[i], pairs[i+1])
	}
	return h
}

// with returns h with the value of a field replaced, or without the field if the
// value is empty.
func with(h http.Header, name, value string) http.Header {
	h = h.Clone()
	h.Del(name)
	if value != "" {
		h.Set(name, value)
	}
	return h
}

var (
	asks = fields("Accept-Encoding", "gzip, br")
	page = fields("Content-Type", "text/html; charset=utf-8", "Content-Length", "5000")
)

func TestChoose(t *testing.T) {
	tests := []struct {
		name   string
		method string
		req    http.Header
		status int
		h      http.Header
		coding coding.Coding
		reason coding.Reason
	}{
		{"a page", "GET", asks, 200, page, "br", coding.Coded},
		{"the answer to a POST", "POST", asks, 201, page, "br", coding.Coded},
		{"an error page", "GET", asks, 404, page, "br", coding.Coded},
		{"an error page of a backend in trouble", "GET", asks, 503, page, "br", coding.Coded},
		{"unknown length", "GET", asks, 200, with(page, "Content-Length", ""), "br", coding.Coded},
		{"a length that is none counts as unknown", "GET", asks, 200, with(page, "Content-Length", "+3"), "br", coding.Coded},
		{"the head of a page, RFC 9110 9.3.2", "HEAD", asks, 200, page, "br", coding.Coded},

		{"no Accept-Encoding", "GET", nil, 200, page, identity, coding.NotAsked},
		{"codings that are not offered", "GET", fields("Accept-Encoding", "deflate"), 200, page, identity, coding.Declined},
		{"identity is liked better", "GET", fields("Accept-Encoding", "identity, br;q=0.1"), 200, page, identity, coding.Declined},
		{"nothing is acceptable, RFC 9110 12.4.1", "GET", fields("Accept-Encoding", "*;q=0"), 200, page, identity, coding.NotAcceptable},
		{"no-transform in the request, RFC 9111 5.2.1.6", "GET", with(asks, "Cache-Control", "max-age=0, No-Transform"), 200, page, identity, coding.RequestNoTransform},
		{"a head without length", "HEAD", asks, 200, with(page, "Content-Length", ""), identity, coding.HeadNoLength},

		{"206", "GET", asks, 206, page, identity, coding.Partial},
		{"Content-Range in a 200", "GET", asks, 200, with(page, "Content-Range", "bytes 0-4999/9000"), identity, coding.Partial},
		{"a 416 with Content-Range", "GET", asks, 416, with(page, "Content-Range", "bytes */9000"), identity, coding.Partial},
		{"101", "GET", asks, 101, page, identity, coding.NoContent},
		{"204", "GET", asks, 204, page, identity, coding.NoContent},
		{"205", "GET", asks, 205, page, identity, coding.NoContent},
		{"226", "GET", asks, 226, page, identity, coding.NoContent},
		{"302", "GET", asks, 302, page, identity, coding.NoContent},
		{"304", "GET", asks, 304, page, identity, coding.NoContent},
		{"a tunnel", "CONNECT", asks, 200, page, identity, coding.NoContent},
		{"coded by the backend", "GET", asks, 200, with(page, "Content-Encoding", "gzip"), identity, coding.AlreadyCoded},
		{"coded in a way that we don't know", "GET", asks, 200, with(page, "Content-Encoding", "identity, aes128gcm"), identity, coding.AlreadyCoded},
		{"identity as a coding, RFC 9110 8.4", "GET", asks, 200, with(page, "Content-Encoding", "Identity"), "br", coding.Coded},
		{"no-transform, RFC 9110 7.7", "GET", asks, 200, with(page, "Cache-Control", "public,no-transform"), identity, coding.NoTransform},
		{"no-transform in upper case, with an argument", "GET", asks, 200, with(page, "Cache-Control", "NO-TRANSFORM = 1"), identity, coding.NoTransform},
		{"no-transform in quotes is the value of something", "GET", asks, 200, with(page, "Cache-Control", `x="a\", no-transform", public`), "br", coding.Coded},
		{"no type", "GET", asks, 200, with(page, "Content-Type", ""), identity, coding.WrongType},
		{"a type that is none", "GET", asks, 200, with(page, "Content-Type", "html"), identity, coding.WrongType},
		{"1023 bytes", "GET", asks, 200, with(page, "Content-Length", "1023"), identity, coding.Small},
		{"1024 bytes", "GET", asks, 200, with(page, "Content-Length", "1024"), "br", coding.Coded},
		{"the head of 1023 bytes", "HEAD", asks, 200, with(page, "Content-Length", "1023"), identity, coding.Small},
	}
	c := coding.New(settings())
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, why := c.Choose(tt.method, tt.req, tt.status, tt.h)
			if got != tt.coding || why != tt.reason {
				t.Errorf("got %s because of %v, want %s because of %v", got, why, tt.coding, tt.reason)
			}
		})
	}
}

func TestChooseLooksAtEveryLine(t *testing.T) {
	c := coding.New(settings())
	h := page.Clone()
	h["Cache-Control"] = []string{"public", "max-age=3, no-transform"}
	if _, why := c.Choose("GET", asks, 200, h); why != coding.NoTransform {
		t.Errorf("no-transform in the second line: %v", why)
	}
	h = page.Clone()
	h["Content-Encoding"] = []string{"", "identity", "br"}
	if _, why := c.Choose("GET", asks, 200, h); why != coding.AlreadyCoded {
		t.Errorf("a coding in the third line: %v", why)
	}
	h = page.Clone()
	h.Add("Content-Type", "image/png")
	if _, why := c.Choose("GET", asks, 200, h); why != coding.WrongType {
		t.Errorf("two types: %v", why)
	}
	if got, _ := c.Choose("GET", fields("Accept-Encoding", "gzip", "Accept-Encoding", "br"), 200, page); got != coding.Brotli {
		t.Errorf("br in the second line: got %s", got)
	}
}

func TestChooseByType(t *testing.T) {
	tests := []struct {
		contentType string
		want        bool
	}{
		{"text/html", true},
		{"TEXT/HTML ; charset=x", true},
		{"text/x-anything", true},
		{"application/json", true},
		{"application/problem+json", true},
		{"application/ld+JSON; profile=\"a/b\"", true},
		{"image/svg+xml", true},
		{"application/wasm", true},
		{"font/ttf", true},
		{"font/otf", true},
		{"application/octet-stream", false},
		{"application/pdf", false},
		{"application/jsonx", false},
		{"application/+json", false},
		{"image/png", false},
		{"font/woff2", false},
		{"video/mp4", false},
		{"application/zip", false},
		{"application/grpc+json", false},
		{"application/grpc-web+json", false},
		{"Application/GRPC+JSON", false},
		{"application/connect+json", false},
		{"text/event-stream", false},
		{"text/event-stream; charset=utf-8", false},
		{"", false},
		{"/", false},
		{"text", false},
		{";text/html", false},
	}
	c := coding.New(settings())
	for _, tt := range tests {
		_, why := c.Choose("GET", asks, 200, fields("Content-Type", tt.contentType))
		if got := why == coding.Coded; got != tt.want || !got && why != coding.WrongType {
			t.Errorf("%q: %v, want coded %t", tt.contentType, why, tt.want)
		}
	}
}

func TestChooseByConfiguredType(t *testing.T) {
	tests := []struct {
		pattern, contentType string
		want                 bool
	}{
		{"application/pdf", "application/pdf", true},
		{"application/pdf", "text/html", false},
		{"application/*", "application/octet-stream", true},
		{"application/*", "application/zip", false},
		{"application/*", "application/vnd.x+zip", false},
		{"application/*", "application/grpc", false},
		{"*/*", "image/bmp", true},
		{"*/*", "image/png", false},
		{"*/*", "audio/ogg", false},
		{"*/*", "text/event-stream", false},
		{"text/event-stream", "text/event-stream;charset=utf-8", true},
		{"application/*+json", "application/a+json", true},
		{"application/*+json", "text/a+json", false},
		{"Application/JSON", "application/json", true},
	}
	for _, tt := range tests {
		s := settings()
		s.Types = []string{tt.pattern}
		_, why := coding.New(s).Choose("GET", asks, 200, fields("Content-Type", tt.contentType))
		if got := why == coding.Coded; got != tt.want {
			t.Errorf("%q with the pattern %q: %v, want coded %t", tt.contentType, tt.pattern, why, tt.want)
		}
	}
}

func TestChooseByLengthWithoutAMinimum(t *testing.T) {
	s := settings()
	s.MinSize = 0
	c := coding.New(s)
	if _, why := c.Choose("GET", asks, 200, with(page, "Content-Length", "1")); why != coding.Coded {
		t.Errorf("one byte: %v", why)
	}
	if _, why := c.Choose("GET", asks, 200, with(page, "Content-Length", "0")); why != coding.Small {
		t.Errorf("no content: %v", why)
	}
}

func TestDisabledCoderDoesNothing(t *testing.T) {
	s := settings()
	s.Enabled = false
	c := coding.New(s)
	if got, why := c.Choose("GET", asks, 200, page); got != identity || why != coding.Disabled || why.Negotiated() {
		t.Errorf("got %s because of %v", got, why)
	}
	if variant, ok := c.Variant(asks); ok {
		t.Errorf("there is a normal form, %q", variant)
	}
}

func TestVariant(t *testing.T) {
	tests := []struct {
		req  http.Header
		want string
	}{
		{nil, "identity"},
		{asks, "br"},
		{fields("Accept-Encoding", "gzip;q=0.5", "Accept-Encoding", "deflate"), "gzip"},
		{with(asks, "Cache-Control", "no-transform"), "identity"},
		{with(asks, "Cache-Control", "no-cache"), "br"},
	}
	c := coding.New(settings())
	for _, tt := range tests {
		if got, ok := c.Variant(tt.req); got != tt.want || !ok {
			t.Errorf("%v: got %q, %t, want %q", tt.req, got, ok, tt.want)
		}
	}
}

func TestReasonsHaveWords(t *testing.T) {
	seen := map[string]bool{}
	for r := coding.Coded; r <= coding.Small; r++ {
		if word := r.String(); word == "" || seen[word] {
			t.Errorf("reason %d is %q", r, word)
		} else {
			seen[word] = true
		}
	}
	if got := (coding.Small + 1).String(); got != "reason 14" {
		t.Errorf("a reason that does not exist is %q", got)
	}
	for r, want := range map[coding.Reason]bool{
		coding.Coded: true, coding.NotAsked: true, coding.Declined: true, coding.RequestNoTransform: true, coding.Busy: true,
		coding.Disabled: false, coding.WrongType: false, coding.Small: false,
	} {
		if got := r.Negotiated(); got != want {
			t.Errorf("%v is negotiated: %t", r, got)
		}
	}
}
