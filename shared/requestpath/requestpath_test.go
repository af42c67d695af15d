package requestpath_test

import (
	"errors"
	"net/url"
	"strings"
	"testing"

	"github.com/ergoproxy/ergo/shared/requestpath"
)

func TestCanonical(t *testing.T) {
	for _, tc := range []struct{ name, in, want string }{
		{"plain", "/private/x", "/private/x"},
		{"root", "/", "/"},
		{"empty", "", "/"},
		{"asterisk", "*", "*"},
		{"slash at the end", "/private/", "/private/"},
		{"double slash in front", "//private", "/private"},
		{"many slashes", "/a///b//", "/a/b/"},
		{"only slashes", "///", "/"},
		{"encoded letter", "/%70rivate", "/private"},
		{"encoded slash", "/private%2fx%2F", "/private/x/"},
		{"encoded slashes in front", "/%2f%2Fprivate", "/private"},
		{"path parameter", "/private;v=1/x;y", "/private/x"},
		{"encoded semicolon", "/private%3bv/x", "/private/x"},
		{"nothing but a parameter", "/;a/private", "/private"},
		{"nothing but a parameter at the end", "/private/;a", "/private/"},
		{"dots in a name", "/.well-known/a..b/...", "/.well-known/a..b/..."},
		{"percent sign", "/100%25", "/100%"},
		{"percent sign before a word", "/100%25zz", "/100%zz"},
		{"case stays", "/Private", "/Private"},
		{"UTF-8", "/%C3%A9t%c3%a9", "/été"},
		{"Latin-1", "/%E9", "/\xe9"},
		{"space and plus", "/a%20b+c", "/a b+c"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := requestpath.Canonical(tc.in)
			if err != nil || got != tc.want {
				t.Errorf("Canonical(%q) = %q, %v; want %q", tc.in, got, err, tc.want)
			}
		})
	}
}

func TestCanonicalRefusesWhatHasTwoMeanings(t *testing.T) {
	for _, in := range []string{
		"private", "http:/x", "/a/../private", "/..", "/.", "/./private", "/a/./b", "/a/..", "/a/../",
		"/a/%2e%2e/private", "/a/%2E./private", "/a/.%2e", "/%2e/private", "/a%2f..%2fprivate", "/a%2f%2e%2e%2fprivate",
		"/a/..;/private", "/a/..;x=y/private", "/a/.;/private", "/a/%2e%2e%3b/private",
		"/private%00", "/a\x00b", "/%0d%0aX:1", "/%7f", "/a\\..\\private", "/a%5cprivate", "/\\private",
		"/%2570rivate", "/%252e%252e/private", "/a%252fb", "/%25252e", "/%2525x%2541",
		"/%", "/%4", "/%zz", "/a%2",
		"/%c0%ae%c0%ae/private", "/%c0%afprivate", "/%e0%80%ae", "/%f0%80%80%ae",
	} {
		if got, err := requestpath.Canonical(in); !errors.Is(err, requestpath.ErrAmbiguous) {
			t.Errorf("Canonical(%q) = %q, %v; want ErrAmbiguous", in, got, err)
		}
	}
}

func TestOfReadsThePathAsItWasSent(t *testing.T) {
	u, err := url.ParseRequestURI("/a%2fb//c?x=/../")
	if err != nil {
		t.Fatal(err)
	}
	if got, err := requestpath.Of(u); err != nil || got != "/a/b/c" {
		t.Errorf("Of = %q, %v", got, err)
	}
}

func TestHasPrefix(t *testing.T) {
	for _, tc := range []struct {
		path, prefix string
		want         bool
	}{
		{"/private", "/private", true}, {"/private/", "/private", true}, {"/private/x", "/private", true},
		{"/private", "/private/", true}, {"/private/x", "/private/", true},
		{"/privateer", "/private", false}, {"/privateer", "/private/", false}, {"/", "/private", false},
		{"/x", "/", true}, {"/", "/", true}, {"*", "/", false}, {"/Private", "/private", false},
	} {
		if got := requestpath.HasPrefix(tc.path, tc.prefix); got != tc.want {
			t.Errorf("HasPrefix(%q, %q) = %v", tc.path, tc.prefix, got)
		}
	}
}

func TestCheckPrefix(t *testing.T) {
	for _, ok := range []string{"/", "/private", "/private/", "/été"} {
		if err := requestpath.CheckPrefix(ok); err != nil {
			t.Errorf("CheckPrefix(%q) = %v", ok, err)
		}
	}
	for _, bad := range []string{"", "*", "private", "//a", "/a;b", "/a/../b", "/%70", "/a\\b"} {
		if requestpath.CheckPrefix(bad) == nil {
			t.Errorf("CheckPrefix(%q) = nil", bad)
		}
	}
}

// Whatever comes out has one meaning: no second look finds another path in it,
// unless it holds a percent sign that was encoded.
func FuzzCanonical(f *testing.F) {
	for _, seed := range []string{"/a/b", "//a;b/%2fc", "/%25", "/%2e%2e/", "/;/;", "/a%2f;x", "/\xe0\xa0\x80", "*"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, in string) {
		got, err := requestpath.Canonical(in)
		if err != nil {
			if !errors.Is(err, requestpath.ErrAmbiguous) {
				t.Errorf("the error of %q is %v", in, err)
			}
			return
		}
		if got == "*" {
			return
		}
		if strings.Contains(got, "//") || !strings.HasPrefix(got, "/") || strings.ContainsAny(got, ";\\\x00") {
			t.Errorf("%q becomes %q", in, got)
		}
		for segment := range strings.SplitSeq(got, "/") {
			if segment == "." || segment == ".." {
				t.Errorf("%q becomes %q", in, got)
			}
		}
		if again, err := requestpath.Canonical(strings.ReplaceAll(got, "%", "%25")); err != nil || again != got {
			t.Errorf("%q becomes %q, which becomes %q, %v", in, got, again, err)
		}
	})
}

func TestCanonicalPathsCostNoAllocation(t *testing.T) {
	u := &url.URL{Path: "/some/path/of/usual/length.html"}
	if got := testing.AllocsPerRun(100, func() { requestpath.Of(u) }); got != 0 {
		t.Errorf("%v allocations, want 0", got)
	}
}

func BenchmarkCanonical(b *testing.B) {
	for name, path := range map[string]string{"plain": "/some/path/of/usual/length.html", "encoded": "/some//p%61th/of;v=1/usual/length.html"} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				requestpath.Canonical(path)
			}
		})
	}
}
