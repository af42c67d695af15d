package coding_test

import (
	"net/http"
	"reflect"
	"testing"

	"github.com/ergoproxy/ergo/shared/cache/coding"
)

func TestApply(t *testing.T) {
	tests := []struct {
		name     string
		coding   coding.Coding
		in, want http.Header
	}{
		{
			"all that the coding touches, and some that it does not", "br",
			fields("Content-Type", "text/html", "Content-Length", "5000", "Accept-Ranges", "bytes", "Etag", `"a"`, "Content-Md5", "x", "Digest", "x",
				"Content-Digest", "x", "Repr-Digest", "x", "Content-Location", "/a", "Last-Modified", "x", "Unencoded-Digest", "x"),
			fields("Content-Type", "text/html", "Content-Encoding", "br", "Vary", "Accept-Encoding", "Etag", `W/"a"`,
				"Content-Location", "/a", "Last-Modified", "x", "Unencoded-Digest", "x"),
		},
		{
			"identity varies, and is otherwise as it was", identity,
			fields("Content-Length", "5000", "Accept-Ranges", "bytes", "Etag", `"a"`, "Repr-Digest", "x"),
			fields("Content-Length", "5000", "Accept-Ranges", "bytes", "Etag", `"a"`, "Repr-Digest", "x", "Vary", "Accept-Encoding"),
		},
		{"a weak tag stays, RFC 9110 8.8.3", "gzip", fields("Etag", `W/"a"`), fields("Etag", `W/"a"`, "Vary", "Accept-Encoding", "Content-Encoding", "gzip")},
		{"an empty tag is one", "gzip", fields("Etag", `""`), fields("Etag", `W/""`, "Vary", "Accept-Encoding", "Content-Encoding", "gzip")},
		{"a tag without quotes goes", "gzip", fields("Etag", `a`), fields("Vary", "Accept-Encoding", "Content-Encoding", "gzip")},
		{"a tag with one quote goes", "gzip", fields("Etag", `"`), fields("Vary", "Accept-Encoding", "Content-Encoding", "gzip")},
		{"a tag with a quote in it goes", "gzip", fields("Etag", `"a"b"`), fields("Vary", "Accept-Encoding", "Content-Encoding", "gzip")},
		{"a weak tag in lower case is none", "gzip", fields("Etag", `w/"a"`), fields("Vary", "Accept-Encoding", "Content-Encoding", "gzip")},
		{"identity in Content-Encoding is replaced", "gzip", fields("Content-Encoding", "identity"), fields("Vary", "Accept-Encoding", "Content-Encoding", "gzip")},
		{"Vary is added to others", identity, fields("Vary", "Origin"), fields("Vary", "Origin", "Vary", "Accept-Encoding")},
		{"Vary is there already", identity, fields("Vary", "Origin , accept-encoding"), fields("Vary", "Origin , accept-encoding")},
		{"Vary is there already in another line", identity, fields("Vary", "Origin", "Vary", "Accept-Encoding"), fields("Vary", "Origin", "Vary", "Accept-Encoding")},
		{"Vary on everything is enough", identity, fields("Vary", "*"), fields("Vary", "*")},
		{"part of a name is none", identity, fields("Vary", "X-Accept-Encoding"), fields("Vary", "X-Accept-Encoding", "Vary", "Accept-Encoding")},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h := tt.in.Clone()
			coding.Apply(h, tt.coding)
			if !reflect.DeepEqual(h, tt.want) {
				t.Errorf("got %v, want %v", h, tt.want)
			}
			coding.Apply(h, tt.coding)
			if !reflect.DeepEqual(h, tt.want) {
				t.Errorf("applied again: %v, want %v", h, tt.want)
			}
		})
	}
}

// The stored head of a coded answer takes the fields of a 304 (RFC 9111, section
// 3.2), which are those of the content without a coding.
func TestApplyMendsAStoredHeadAfterValidation(t *testing.T) {
	stored := fields("Content-Type", "text/html", "Etag", `"a"`)
	coding.Apply(stored, coding.Gzip)
	want := stored.Clone()
	for name, v := range fields("Etag", `"a"`, "Vary", "Accept-Encoding", "Repr-Digest", "x", "Accept-Ranges", "bytes") {
		stored[name] = v
	}
	coding.Apply(stored, coding.Gzip)
	if !reflect.DeepEqual(stored, want) {
		t.Errorf("got %v, want %v", stored, want)
	}
}

// Slices of a stored head are shared between answers.
func TestApplyLeavesSharedValuesAlone(t *testing.T) {
	lines := make([]string, 1, 4)
	lines[0] = "Origin"
	tag := []string{`"a"`}
	h := http.Header{"Vary": lines[:1:1], "Etag": tag}
	coding.Apply(h, coding.Gzip)
	if lines[:2][1] != "" || tag[0] != `"a"` {
		t.Errorf("values of the head before: %q, %q", lines[:2], tag)
	}
}

// RFC 9110, sections 13.1.2 and 15.4.5; RFC 9111, section 4.3.4.
func TestApplyNotModified(t *testing.T) {
	strong := fields("Etag", `"a"`, "Accept-Ranges", "bytes", "Repr-Digest", "x", "Cache-Control", "max-age=1")
	weak := fields("Etag", `W/"a"`, "Cache-Control", "max-age=1", "Vary", "Accept-Encoding")
	tests := []struct {
		name     string
		match    []string
		in, want http.Header
	}{
		{"the client holds it coded", []string{`W/"a"`}, strong, weak},
		{"among others", []string{`"b", W/"a", W/"c"`}, strong, weak},
		{"in another line", []string{`"b"`, ` W/"a"`}, strong, weak},
		{"behind a tag with a comma", []string{`"b,\", W/"a"`}, strong, weak},
		{"the client holds it as it is", []string{`"a"`}, strong, strong},
		{"the client holds both", []string{`W/"a", "a"`}, strong, strong},
		{"the client holds another", []string{`W/"b"`}, strong, strong},
		{"the client holds one that ends so", []string{`W/"aa", "ba"`}, strong, strong},
		{"the client holds anything", []string{`*`}, strong, strong},
		{"the client went by the date", nil, strong, strong},
		{"a list that breaks off", []string{`W/"a`}, strong, strong},
		{"the tag is weak", []string{`W/"a"`}, fields("Etag", `W/"a"`, "Accept-Ranges", "bytes"), fields("Etag", `W/"a"`, "Accept-Ranges", "bytes")},
		{"there is no tag", []string{`W/"a"`}, fields("Accept-Ranges", "bytes"), fields("Accept-Ranges", "bytes")},
		{"the tag is none", []string{`W/a`}, fields("Etag", "a"), fields("Etag", "a")},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h := tt.in.Clone()
			coding.ApplyNotModified(http.Header{"If-None-Match": tt.match}, h)
			if !reflect.DeepEqual(h, tt.want) {
				t.Errorf("got %v, want %v", h, tt.want)
			}
		})
	}
}

func TestDropDigestsOfTrailers(t *testing.T) {
	trailers := fields("Repr-Digest", "x", "Content-Digest", "x", "Digest", "x", "Content-MD5", "x", "Server-Timing", "db")
	coding.DropDigests(trailers)
	if want := fields("Server-Timing", "db"); !reflect.DeepEqual(trailers, want) {
		t.Errorf("got %v, want %v", trailers, want)
	}
}
