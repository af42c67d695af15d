package partial_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/ergoproxy/ergo/shared/cache/partial"
)

// zeros is a source of random numbers that are not.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

const zeroBoundary = "00000000000000000000000000000000"

func storedHeader() http.Header {
	return header(
		"Date", muchLater, "Cache-Control", "max-age=60", "Etag", `"a"`, "Expires", muchLater, "Content-Location", "/a.en", "Vary", "Accept",
		"Last-Modified", noon, "Content-Type", "text/plain", "Content-Language", "en", "Content-Length", "1000", "Repr-Digest", "sha-256=:a:",
		"Content-Digest", "sha-256=:b:", "Age", "3", "Server", "x", "Accept-Ranges", "bytes", "Access-Control-Allow-Origin", "*",
	)
}

// names returns the names of the fields of h that have a value, in order.
func names(h http.Header) string {
	var list []string
	for name, values := range h {
		if len(values) > 0 {
			list = append(list, name)
		}
	}
	slices.Sort(list)
	return strings.Join(list, " ")
}

// answer returns the answer to a GET, from a representation of 1000 bytes.
func answer(t *testing.T, stored http.Header, pairs ...string) *partial.Answer {
	t.Helper()
	a, err := get(pairs...).Plan(stored, 1000).Answer(stored, zeros{})
	if err != nil {
		t.Fatal(err)
	}
	if got := a.Header.Get("Content-Length"); got != strconv.FormatInt(a.Length, 10) {
		t.Errorf("Content-Length %s, length %d", got, a.Length)
	}
	return a
}

// RFC 9110, 15.3.7 and 15.3.7.1.
func TestPartHasAllFieldsOfTheWhole(t *testing.T) {
	stored := storedHeader()
	a := answer(t, stored, "Range", "bytes=10-19")
	const want = "Accept-Ranges Access-Control-Allow-Origin Age Cache-Control Content-Language Content-Length Content-Location " +
		"Content-Range Content-Type Date Etag Expires Last-Modified Repr-Digest Server Vary"
	if got := names(a.Header); a.Status != http.StatusPartialContent || got != want {
		t.Errorf("%d with\n%s, want\n%s", a.Status, got, want)
	}
	if got := a.Header.Get("Content-Range"); got != "bytes 10-19/1000" {
		t.Errorf("Content-Range: %s", got)
	}
	if got := a.Header.Get("Content-Length"); got != "10" {
		t.Errorf("Content-Length: %s, want that of the part (15.3.7)", got)
	}
	if names(stored) != names(storedHeader()) || stored.Get("Content-Length") != "1000" {
		t.Error("the stored header was changed")
	}
}

// RFC 9110, 15.3.7: Date, Cache-Control, ETag, Expires, Content-Location and
// Vary are required; other fields about the representation should be left out.
func TestPartForAnIfRangeHasTheRequiredFieldsOnly(t *testing.T) {
	a := answer(t, storedHeader(), "Range", "bytes=10-19", "If-Range", `"a"`)
	const want = "Accept-Ranges Access-Control-Allow-Origin Age Cache-Control Content-Length Content-Location " +
		"Content-Range Date Etag Expires Server Vary"
	if got := names(a.Header); a.Status != http.StatusPartialContent || got != want {
		t.Errorf("%d with\n%s, want\n%s", a.Status, got, want)
	}
	if v, ok := a.Header["Content-Type"]; !ok || v != nil {
		t.Errorf("Content-Type is %q, want nil so that net/http does not guess one", v)
	}
	dated := storedHeader()
	dated.Del("Etag")
	a = answer(t, dated, "Range", "bytes=10-19", "If-Range", noon)
	if a.Status != http.StatusPartialContent || a.Header.Get("Last-Modified") != noon {
		t.Errorf("%d without the Last-Modified by which alone the part can be combined", a.Status)
	}
}

// RFC 9110, 15.3.7.2 and 14.6, byte for byte.
func TestSeveralPartsAreMultipart(t *testing.T) {
	a := answer(t, storedHeader(), "Range", "bytes=500-504,0-1")
	if got := a.Header.Get("Content-Type"); got != "multipart/byteranges; boundary="+zeroBoundary {
		t.Errorf("Content-Type: %s", got)
	}
	if got := a.Header["Content-Range"]; got != nil {
		t.Errorf("Content-Range %q, but each part has its own", got)
	}
	body := read(t, a, stored(1000, 1000))
	want := "--" + zeroBoundary + "\r\nContent-Type: text/plain\r\nContent-Range: bytes 500-504/1000\r\n\r\n" + content[500:505] +
		"\r\n--" + zeroBoundary + "\r\nContent-Type: text/plain\r\nContent-Range: bytes 0-1/1000\r\n\r\n" + content[:2] +
		"\r\n--" + zeroBoundary + "--\r\n"
	if body != want {
		t.Errorf("body\n%q, want\n%q", body, want)
	}
	if a.Length != int64(len(want)) {
		t.Errorf("length %d, want %d", a.Length, len(want))
	}
}

func TestMultipartIsReadByMimeMultipart(t *testing.T) {
	a := answer(t, storedHeader(), "Range", "bytes=700-,0-9,300-399", "If-Range", `"a"`)
	_, params, err := mime.ParseMediaType(a.Header.Get("Content-Type"))
	if err != nil {
		t.Fatal(err)
	}
	parts := multipart.NewReader(strings.NewReader(read(t, a, stored(1000, 7))), params["boundary"])
	for _, want := range []partial.ContentRange{{Span: partial.Span{From: 700, To: 1000}, Size: 1000},
		{Span: partial.Span{From: 0, To: 10}, Size: 1000}, {Span: partial.Span{From: 300, To: 400}, Size: 1000}} {
		part, err := parts.NextPart()
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(part)
		if err != nil || string(body) != content[want.Span.From:want.Span.To] {
			t.Errorf("%v: %q, %v", want, body, err)
		}
		if got := part.Header.Get("Content-Range"); got != want.String() || part.Header.Get("Content-Type") != "text/plain" {
			t.Errorf("head of part %v, want %v", part.Header, want)
		}
	}
	if _, err := parts.NextPart(); err != io.EOF {
		t.Errorf("after the last part: %v", err)
	}
}

// RFC 9110, 15.3.7.2: several ranges that became one, or of which one is left,
// may be a single part.
func TestOneRangeThatIsLeftIsASinglePart(t *testing.T) {
	for _, field := range []string{"bytes=0-4,5-9", "bytes=0-9,5000-"} {
		a := answer(t, storedHeader(), "Range", field)
		if got := a.Header.Get("Content-Range"); got != "bytes 0-9/1000" || a.Header.Get("Content-Type") != "text/plain" {
			t.Errorf("%s: Content-Range %q, Content-Type %q", field, got, a.Header.Get("Content-Type"))
		}
	}
}

func TestContentTypeThatCouldEndAPartsHeadIsLeftOut(t *testing.T) {
	for _, bad := range []string{"text/plain\r\nX-Evil: 1", "text/plain\n", "text/\x00plain", ""} {
		h := http.Header{"Content-Type": {bad}}
		body := read(t, answer(t, h, "Range", "bytes=0-0,500-500"), stored(1000, 1000))
		if strings.Contains(body, "Content-Type") {
			t.Errorf("%q is in a part: %q", bad, body)
		}
	}
}

// RFC 9110, 15.5.17.
func TestUnsatisfiableRangeTellsTheLength(t *testing.T) {
	a := answer(t, storedHeader(), "Range", "bytes=1000-")
	if got := a.Header.Get("Content-Range"); a.Status != http.StatusRequestedRangeNotSatisfiable || got != "bytes */1000" {
		t.Errorf("%d with Content-Range %q", a.Status, got)
	}
	const want = "Accept-Ranges Access-Control-Allow-Origin Content-Length Content-Range Date Server Vary"
	if got := names(a.Header); got != want || a.Length != 0 {
		t.Errorf("%d bytes and\n%s, want none and\n%s", a.Length, got, want)
	}
	if body := read(t, a, stored(1000, 1000)); body != "" {
		t.Errorf("body %q", body)
	}
}

func TestWholeKeepsItsHeader(t *testing.T) {
	a := answer(t, storedHeader(), "Range", "pages=1")
	if got := names(a.Header); a.Status != http.StatusOK || got != names(storedHeader()) || a.Length != 1000 {
		t.Errorf("%d, %d bytes, with %s", a.Status, a.Length, got)
	}
	if body := read(t, a, stored(1000, 1000)); body != content {
		t.Errorf("body %q", body)
	}
}

func TestAnswerFailsWithoutRandomNumbers(t *testing.T) {
	broken := errors.New("broken")
	p := get("Range", "bytes=0-0,500-500").Plan(nil, 1000)
	if _, err := p.Answer(nil, iotest.ErrReader(broken)); !errors.Is(err, broken) {
		t.Errorf("several parts: %v, want %v", err, broken)
	}
	p = get("Range", "bytes=0-0").Plan(nil, 1000)
	if _, err := p.Answer(nil, iotest.ErrReader(broken)); err != nil {
		t.Errorf("one part needs none: %v", err)
	}
}

// Whatever is asked for, the answer has the promised length, is hardly longer
// than the whole (RFC 9110, 17.15), and holds the bytes that were asked for.
func FuzzAnswer(f *testing.F) {
	f.Add("bytes=0-0,200-200,400-400,600-600,800-800,-1", 1000, 10)
	f.Add("bytes=5-, -3", 20, 1)
	f.Add("bytes=0-99,500-", 600, 1000)
	f.Fuzz(func(t *testing.T, field string, size, chunk int) {
		if size < 0 || size > len(content) || chunk < 1 {
			return
		}
		h := header("Content-Type", "text/plain")
		p := get("Range", field).Plan(h, int64(size))
		a, err := p.Answer(h, zeros{})
		if err != nil {
			t.Fatal(err)
		}
		body := read(t, a, stored(size, chunk))
		if int64(len(body)) != a.Length || len(body) > size+192 {
			t.Fatalf("%d bytes of %d, %d were promised", len(body), size, a.Length)
		}
		for _, s := range p.Spans {
			if !strings.Contains(body, content[s.From:s.To]) {
				t.Fatalf("%v is not in %q", s, body)
			}
		}
	})
}

func BenchmarkAnswerOnePart(b *testing.B) {
	h, request := storedHeader(), header("Range", "bytes=10-19")
	source := stored(1000, 1000)
	b.ReportAllocs()
	for b.Loop() {
		a, err := partial.ParseRequest(http.MethodGet, request, 16).Plan(h, 1000).Answer(h, zeros{})
		if err != nil {
			b.Fatal(err)
		}
		if _, err := a.Body(context.Background(), source).WriteTo(io.Discard); err != nil {
			b.Fatal(err)
		}
	}
}

// read reads the body of a in both ways, and fails if they differ.
func read(t *testing.T, a *partial.Answer, source partial.Source) string {
	t.Helper()
	var written bytes.Buffer
	n, err := a.Body(t.Context(), source).WriteTo(&written)
	if err != nil || n != int64(written.Len()) {
		t.Fatalf("WriteTo: %d of %d bytes, %v", n, written.Len(), err)
	}
	// OneByteReader hides WriteTo.
	got, err := io.ReadAll(iotest.OneByteReader(a.Body(t.Context(), source)))
	if err != nil || !bytes.Equal(got, written.Bytes()) {
		t.Fatalf("Read: %q, %v, WriteTo: %q", got, err, written.Bytes())
	}
	return string(got)
}
