package rules_test

import (
	"net/url"
	"slices"
	"testing"

	"github.com/ergoproxy/ergo/shared/cache/rules"
)

// RFC 9111, section 4.4.
func TestInvalidated(t *testing.T) {
	const target = "https://Example.com:443/a/b?q=1"
	const self = "https://example.com/a/b?q=1"
	for _, test := range []struct {
		name   string
		method string
		status int
		fields []string
		want   []string
	}{
		{"POST", "POST", 200, nil, []string{self}},
		{"PUT", "PUT", 204, nil, []string{self}},
		{"DELETE", "DELETE", 200, nil, []string{self}},
		{"PATCH", "PATCH", 303, nil, []string{self}},
		{"unknown method", "M-SEARCH", 200, nil, []string{self}},
		{"case of the method", "get", 200, nil, []string{self}},
		{"GET", "GET", 200, []string{"Location: /c"}, nil},
		{"HEAD", "HEAD", 200, nil, nil},
		{"OPTIONS", "OPTIONS", 200, nil, nil},
		{"TRACE", "TRACE", 200, nil, nil},
		{"PROPFIND", "PROPFIND", 207, nil, nil},
		{"client's error", "POST", 400, []string{"Location: /c"}, nil},
		{"backend's error", "POST", 500, nil, nil},
		{"interim", "POST", 103, nil, nil},
		{"Location", "POST", 201, []string{"Location: c#x"}, []string{self, "https://example.com/a/c"}},
		{"both", "POST", 201, []string{"Location: /c", "Content-Location: https://EXAMPLE.com/d"}, []string{self, "https://example.com/c", "https://example.com/d"}},
		{"the same again", "POST", 201, []string{"Location: /c", "Content-Location: //example.com:443/c"}, []string{self, "https://example.com/c"}},
		{"the target again", "POST", 201, []string{"Location: ?q=1"}, []string{self}},
		{"no path", "POST", 201, []string{"Location: https://example.com"}, []string{self, "https://example.com/"}},
		{"other host", "POST", 201, []string{"Location: https://example.org/c"}, []string{self}},
		{"other port", "POST", 201, []string{"Location: https://example.com:444/c"}, []string{self}},
		{"other scheme", "POST", 201, []string{"Location: http://example.com/c"}, []string{self}},
		{"other scheme, same port", "POST", 201, []string{"Location: http://example.com:443/c"}, []string{self}},
		{"no URI", "POST", 201, []string{"Location: ://"}, []string{self}},
		{"no hierarchy", "POST", 201, []string{"Location: mailto:a@example.com"}, []string{self}},
		{"two of one", "POST", 201, []string{"Location: /c", "Location: /d"}, []string{self}},
	} {
		t.Run(test.name, func(t *testing.T) {
			u, err := url.Parse(target)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, uri := range rules.Invalidated(test.method, test.status, u, header(test.fields...)) {
				got = append(got, uri.String())
			}
			if !slices.Equal(got, test.want) {
				t.Errorf("%q, want %q", got, test.want)
			}
			if u.String() != target {
				t.Error("the target was changed")
			}
		})
	}
}

// RFC 9875, section 3.
func TestGroupsInvalidated(t *testing.T) {
	for _, test := range []struct {
		method string
		fields []string
		want   []string
	}{
		{"POST", []string{`Cache-Group-Invalidation: "b", "a";x=1`, `Cache-Group-Invalidation: "b"`}, []string{"a", "b"}},
		{"GET", []string{`Cache-Group-Invalidation: "a"`}, nil},
		{"POST", []string{`Cache-Group-Invalidation: "a", b`}, nil},
		{"POST", []string{`Cache-Group-Invalidation: "a`}, nil},
		{"POST", nil, nil},
	} {
		if got := rules.GroupsInvalidated(test.method, header(test.fields...)); !slices.Equal(got, test.want) {
			t.Errorf("%s %q: %q, want %q", test.method, test.fields, got, test.want)
		}
	}
}
