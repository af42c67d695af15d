package key_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/ergoproxy/ergo/shared/cache/key"
)

// rules returns the default ones after change.
func rules(change func(*key.Rules)) key.Rules {
	var r key.Rules
	r.SetDefaults()
	if change != nil {
		change(&r)
	}
	return r
}

func builder(t testing.TB, change func(*key.Rules)) *key.Builder {
	t.Helper()
	b, err := key.New(rules(change))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// header makes a header of name, value, name, value, ...
func header(pairs ...string) http.Header {
	h := http.Header{}
	for i := 0; i < len(pairs); i += 2 {
		h.Add(pairs[i], pairs[i+1])
	}
	return h
}

// makeKey returns the key of p, or the error.
func makeKey(b *key.Builder, p key.Parts) string {
	k, err := b.Append(nil, &p)
	if err != nil {
		return err.Error()
	}
	return string(k)
}

// page returns the parts of a GET.
func page(path string, pairs ...string) key.Parts {
	path, query, hasQuery := strings.Cut(path, "?")
	return key.Parts{Scheme: "https", Host: "example.com", Path: path, Query: query, HasQuery: hasQuery, Header: header(pairs...)}
}

// RFC 9110, 4.2.3: hosts are the same in both cases, and with the default port.
func TestHostIsNormalised(t *testing.T) {
	b := builder(t, nil)
	for _, row := range []struct{ scheme, host, want string }{
		{"https", "example.com", "https://example.com/"},
		{"http", "EXAMPLE.Com", "http://example.com/"},
		{"https", "example.com:443", "https://example.com/"},
		{"http", "example.com:80", "http://example.com/"},
		{"http", "example.com:", "http://example.com/"},
		{"http", "example.com:443", "http://example.com:443/"},
		{"https", "example.com:80", "https://example.com:80/"},
		{"https", "example.com:8443", "https://example.com:8443/"},
		{"https", "example.com.", "https://example.com./"}, // a backend can tell
		{"https", "[2001:DB8::1]:443", "https://[2001:db8::1]/"},
		{"https", "[2001:DB8::1]", "https://[2001:db8::1]/"},
		{"https", "192.0.2.1:8080", "https://192.0.2.1:8080/"},
	} {
		if got := makeKey(b, key.Parts{Scheme: row.scheme, Host: row.host}); got != row.want {
			t.Errorf("%s, %s: %s, want %s", row.scheme, row.host, got, row.want)
		}
	}
}

// docs/decisions/0009: what is sent on is the path as it came, so that the key
// must tell all ways to write one apart.
func TestPathsThatABackendCanTellApartHaveDifferentKeys(t *testing.T) {
	b := builder(t, nil)
	seen := map[string]string{}
	for _, path := range []string{
		"/a", "/a/", "//a", "/A", "/%61", "/a;x=1", "/a;", "/a%2F", "/a%2f", "/a/.", "/a/../a", "/a%20", "/a%3F", "/a?", "/a??",
		"/a?x", "/a?x=", "/a?x=1", "/a?x=1&", "/a?&x=1", "/a?x=1&x=1", "/a?x=1&y=2", "/a?y=2&x=1", "/a?x=%31", "/a?X=1", "/a?x=1;y=2",
		"/a?x=1#y", "/a?x=+", "/a?x=%20", "/a?\xff", "/a?%FF",
	} {
		k := makeKey(b, page(path))
		if !strings.HasPrefix(k, "https://example.com/") {
			t.Errorf("%q: %s", path, k)
		}
		if other, ok := seen[k]; ok {
			t.Errorf("%q and %q both have the key %q", path, other, k)
		}
		seen[k] = path
	}
	if got := makeKey(b, page("")); got != makeKey(b, page("/")) {
		t.Errorf("an empty path is sent on as /, but has the key %s", got)
	}
}

func TestRequestWithoutAURLOfThisFormHasNoKey(t *testing.T) {
	b := builder(t, nil)
	for name, p := range map[string]key.Parts{
		"no scheme":             {Host: "a", Path: "/"},
		"another scheme":        {Scheme: "ftp", Host: "a", Path: "/"},
		"scheme in upper case":  {Scheme: "HTTP", Host: "a", Path: "/"},
		"no host":               {Scheme: "http", Path: "/"},
		"a port alone":          {Scheme: "http", Host: ":80", Path: "/"},
		"a user":                {Scheme: "http", Host: "u@a", Path: "/"},
		"a slash in the host":   {Scheme: "http", Host: "a/b", Path: "/"},
		"a space in the host":   {Scheme: "http", Host: "a b", Path: "/"},
		"two ports":             {Scheme: "http", Host: "a:1:80", Path: "/"},
		"a port and a colon":    {Scheme: "http", Host: "a:80:", Path: "/"},
		"two colons":            {Scheme: "http", Host: "a::80", Path: "/"},
		"a port of letters":     {Scheme: "http", Host: "a:b", Path: "/"},
		"an open bracket":       {Scheme: "http", Host: "[::1", Path: "/"},
		"text behind a bracket": {Scheme: "http", Host: "[::1]a", Path: "/"},
		"empty brackets":        {Scheme: "http", Host: "[]", Path: "/"},
		"letters in brackets":   {Scheme: "http", Host: "[a.example]", Path: "/"},
		"a host of other signs": {Scheme: "http", Host: "\u00e4.example", Path: "/"},
		"the target *":          {Scheme: "http", Host: "a", Path: "*"},
		"a relative path":       {Scheme: "http", Host: "a", Path: "b"},
		"a space in the path":   {Scheme: "http", Host: "a", Path: "/ b"},
		"a line in the path":    {Scheme: "http", Host: "a", Path: "/\nb"},
		"a ? in the path":       {Scheme: "http", Host: "a", Path: "/?b"},
		"a # in the path":       {Scheme: "http", Host: "a", Path: "/#b"},
		"a space in the query":  {Scheme: "http", Host: "a", Path: "/", Query: "a b"},
		"a NUL in the query":    {Scheme: "http", Host: "a", Path: "/", Query: "\x00"},
		"a DEL in the query":    {Scheme: "http", Host: "a", Path: "/", Query: "\x7f"},
	} {
		got, err := b.Append([]byte("kept"), &p)
		if !errors.Is(err, key.ErrUnusable) || string(got) != "kept" {
			t.Errorf("%s: %q, %v, want ErrUnusable", name, got, err)
		}
	}
}

func TestKeyOverTheLimitIsRefused(t *testing.T) {
	const limit = 256
	b := builder(t, func(r *key.Rules) {
		r.MaxLength = limit
		r.Headers, r.Cookies, r.Principal = []string{"X"}, []string{"c"}, true
	})
	base := len("https://example.com/")
	long := strings.Repeat("a", limit)
	for _, row := range []struct {
		name string
		p    key.Parts
		fits bool
	}{
		{"path", page("/" + long[base:]), true},
		{"path and one byte", page("/" + long[base:] + "b"), false},
		{"query", page("/?" + long), false},
		{"field", page("/", "X", long), false},
		{"fields", page("/", "X", long[:100], "X", long[:100], "X", long[:100]), false},
		{"cookies", page("/", "Cookie", strings.Repeat("c=1;", limit/2)), false},
		{"encoded field", page("/", "X", strings.Repeat("%", limit/3)), false},
	} {
		got, err := b.Append([]byte("kept"), &row.p)
		if row.fits && (err != nil || len(got) != limit+len("kept")) {
			t.Errorf("%s: %d bytes, %v", row.name, len(got), err)
		}
		if !row.fits && (!errors.Is(err, key.ErrTooLong) || string(got) != "kept") {
			t.Errorf("%s: %d bytes, %v, want ErrTooLong", row.name, len(got), err)
		}
	}
	p := page("/")
	p.Principal.Subject = long
	if _, err := b.Append(nil, &p); !errors.Is(err, key.ErrTooLong) {
		t.Errorf("principal: %v, want ErrTooLong", err)
	}
}

// RFC 9110, 5.3 and 5.6.1: lines may be combined, and white space next to commas
// means nothing; in a quoted string (5.6.4) it does.
func TestFieldsAreNormalised(t *testing.T) {
	b := builder(t, func(r *key.Rules) { r.Headers = []string{"accept-LANGUAGE", "X-B", "X-A"} })
	const base = "https://example.com/"
	for _, row := range []struct {
		pairs []string
		want  string
	}{
		{nil, ""},
		{[]string{"Accept-Encoding", "gzip"}, ""},
		{[]string{"Accept-Language", "de"}, " h:accept-language=de"},
		{[]string{"Accept-Language", " de ,\ten;q=0.5 "}, " h:accept-language=de,en;q=0.5"},
		{[]string{"Accept-Language", "de", "Accept-Language", "en;q=0.5"}, " h:accept-language=de,en;q=0.5"},
		{[]string{"X-A", "1", "X-B", "2", "Accept-Language", "de"}, " h:accept-language=de h:x-a=1 h:x-b=2"},
		{[]string{"X-A", ""}, " h:x-a="},
		{[]string{"X-A", " \t "}, " h:x-a="},
		{[]string{"X-A", "", "X-A", ""}, " h:x-a=,"},
		{[]string{"X-A", "a  \t b"}, " h:x-a=a%20b"},
		{[]string{"X-A", "a b"}, " h:x-a=a%20b"},
		{[]string{"X-A", "ab"}, " h:x-a=ab"},
		{[]string{"X-A", `"a  ,  b" , c`}, ` h:x-a="a%20%20,%20%20b",c`},
		{[]string{"X-A", `"a\" , b" , c`}, ` h:x-a="a\"%20,%20b",c`},
		{[]string{"X-A", `"a , b`}, ` h:x-a="a%20,%20b`},
		{[]string{"X-A", `"a\`}, ` h:x-a="a\`},
		{[]string{"X-A", "a,,b,"}, " h:x-a=a,,b,"},
		{[]string{"X-A", "100% \xe9 h:x-b=2"}, " h:x-a=100%25%20%E9%20h:x-b=2"},
		{[]string{"X-A", "a\x00\x7f="}, " h:x-a=a%00%7F="},
	} {
		if got := makeKey(b, page("/", row.pairs...)); got != base+row.want {
			t.Errorf("%q: %s, want %s", row.pairs, got, base+row.want)
		}
	}
	if got := makeKey(builder(t, nil), page("/", "X-A", "1", "Cookie", "a=b")); got != base {
		t.Errorf("no fields were chosen: %s", got)
	}
}

// RFC 6265, 4.2.1 and 5.4, as leniently as servers read it.
func TestCookiesAreChosenByName(t *testing.T) {
	b := builder(t, func(r *key.Rules) { r.Cookies = []string{"theme", "ab"} })
	const base = "https://example.com/"
	for _, row := range []struct {
		lines []string
		want  string
	}{
		{nil, ""},
		{[]string{"session=1"}, ""},
		{[]string{"themes=1; them=1; xtheme=1"}, ""},
		{[]string{"session=1; theme=dark; x=2"}, " c:theme=dark"},
		{[]string{"theme=dark;ab=1"}, " c:ab=1 c:theme=dark"},
		{[]string{"theme=dark", "ab=1"}, " c:ab=1 c:theme=dark"},
		{[]string{"theme=dark; theme=light"}, " c:theme=dark c:theme=light"},
		{[]string{"theme=light; theme=dark"}, " c:theme=light c:theme=dark"},
		{[]string{"theme="}, " c:theme="},
		{[]string{"theme"}, " c:theme"},
		{[]string{"theme=a=b"}, " c:theme=a=b"},
		{[]string{`theme="a b"`}, ` c:theme="a%20b"`},
		{[]string{" ;; theme=dark ;"}, " c:theme=dark"},
		{[]string{"THEME=dark"}, " c:THEME=dark"},
		{[]string{"theme =dark"}, " c:theme%20=dark"},
		{[]string{"theme= dark"}, " c:theme=%20dark"},
		{[]string{"theme=dark c:ab=1"}, " c:theme=dark%20c:ab=1"},
	} {
		if got := makeKey(b, key.Parts{Scheme: "https", Host: "example.com", Header: http.Header{"Cookie": row.lines}}); got != base+row.want {
			t.Errorf("%q: %s, want %s", row.lines, got, base+row.want)
		}
	}
}

func TestPrincipalsHaveTheirOwnKeys(t *testing.T) {
	b := builder(t, func(r *key.Rules) { r.Principal = true })
	seen := map[string]key.Principal{}
	for _, who := range []key.Principal{
		{}, {Subject: "alice"}, {Subject: "bob"}, {Issuer: "alice"}, {Method: "alice"}, {Method: "jwt", Subject: "alice"},
		{Method: "jwt", Issuer: "https://idp", Subject: "alice"}, {Method: "jwt", Issuer: "https://idp=alice"},
		{Method: "jwt", Issuer: "https://idp", Subject: "=alice"}, {Method: "jwt", Issuer: "https://idp=", Subject: "alice"},
		{Method: "jwt=", Issuer: "https://idp", Subject: "alice"}, {Method: "jwt", Issuer: "https://idp%3D", Subject: "alice"},
		{Subject: "alice p:==bob"}, {Subject: "Alice"},
	} {
		p := page("/")
		p.Principal = who
		k := makeKey(b, p)
		if other, ok := seen[k]; ok {
			t.Errorf("%v and %v both have the key %s", who, other, k)
		}
		seen[k] = who
	}
	p := page("/")
	p.Principal.Subject = "alice"
	if got := makeKey(builder(t, nil), p); got != "https://example.com/" {
		t.Errorf("the principal was not asked for: %s", got)
	}
}

func TestPartsOfARequest(t *testing.T) {
	r := httptest.NewRequest(http.MethodGet, "http://Example.com/a%2Fb/%C3%A4?x=1;y", nil)
	p := key.PartsOf(r, "https")
	if got, want := makeKey(builder(t, nil), p), "https://example.com/a%2Fb/%C3%A4?x=1;y"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	r = httptest.NewRequest(http.MethodGet, "http://example.com/a?", nil)
	if got, want := makeKey(builder(t, nil), key.PartsOf(r, "http")), "http://example.com/a?"; got != want {
		t.Errorf("%s, want %s: net/http sends the question mark on", got, want)
	}
}

func TestURLAndTextLeaveOutWhatIsNotToBeShown(t *testing.T) {
	b := builder(t, func(r *key.Rules) { r.Cookies = []string{"session"} })
	k, err := b.Append(nil, ptr(page("/a?\xe9\"", "Cookie", "session=secret")))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := string(key.AppendText(nil, key.URL(k))), `https://example.com/a?%E9"`; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if got, want := string(key.AppendText([]byte("key="), k)), `key=https://example.com/a?%E9" c:session=secret`; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

func ptr(p key.Parts) *key.Parts { return &p }

func TestAppendDoesNotAllocate(t *testing.T) {
	if raceDetector {
		t.Skip("the race detector allocates")
	}
	dst := make([]byte, 0, 1024)
	for name, row := range map[string]struct {
		b *key.Builder
		p key.Parts
	}{
		"default": {builder(t, nil), page("/a/b?x=1&y=2", "Accept", "*/*")},
		"sorted":  {builder(t, sortAndDrop), page("/a/b?z=1&y=2&utm_x=3&a=4", "Accept", "*/*")},
		"kept":    {builder(t, func(r *key.Rules) { r.Query.Keep = []string{"y"} }), page("/a/b?x=1&y=2")},
		"fields": {builder(t, func(r *key.Rules) { r.Headers, r.Cookies = []string{"Accept-Language"}, []string{"theme"} }),
			page("/a", "Accept-Language", "de, en", "Cookie", "a=b; theme=dark")},
	} {
		n := testing.AllocsPerRun(100, func() {
			if _, err := row.b.Append(dst, &row.p); err != nil {
				t.Fatal(err)
			}
		})
		if n != 0 {
			t.Errorf("%s: %v allocations, want 0", name, n)
		}
	}
}

func sortAndDrop(r *key.Rules) {
	r.Query.Sort = true
	r.Query.Drop = []string{"utm_*", "fbclid", "gclid"}
}

func BenchmarkAppend(b *testing.B) {
	for name, change := range map[string]func(*key.Rules){"default": nil, "sort and drop": sortAndDrop} {
		b.Run(name, func(b *testing.B) {
			build := builder(b, change)
			p := page("/assets/js/app.3f2a.js?v=17&utm_source=mail&lang=de&a=1", "Accept", "*/*")
			dst := make([]byte, 0, 1024)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := build.Append(dst, &p); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
