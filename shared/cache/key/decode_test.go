package key_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/ergoproxy/ergo/shared/cache/key"
)

func TestParseReturnsTheParts(t *testing.T) {
	b := builder(t, func(r *key.Rules) {
		r.Headers, r.Cookies, r.Principal = []string{"Accept-Language"}, []string{"theme"}, true
	})
	p := page("/a/b?x=1&y=2", "Accept-Language", "de, en", "Cookie", "theme=dark mode; Theme")
	p.Principal = key.Principal{Method: "jwt", Issuer: "https://idp", Subject: "alice=%"}
	k := makeKey(b, p)
	const want = "https://example.com/a/b?x=1&y=2 h:accept-language=de,en c:theme=dark%20mode c:Theme p:jwt=https://idp=alice=%25"
	if k != want {
		t.Fatalf("%s, want %s", k, want)
	}
	d, err := key.Parse([]byte(k))
	if err != nil {
		t.Fatal(err)
	}
	if d.Scheme != "https" || d.Host != "example.com" || d.Path != "/a/b" || d.Query != "x=1&y=2" || !d.HasQuery || d.Principal != p.Principal ||
		d.Headers[0] != (key.Pair{Name: "accept-language", Value: "de,en", HasValue: true}) ||
		d.Cookies[0] != (key.Pair{Name: "theme", Value: "dark mode", HasValue: true}) || d.Cookies[1] != (key.Pair{Name: "Theme"}) {
		t.Errorf("%+v", d)
	}
}

func TestParseRefusesWhatNoBuilderMakes(t *testing.T) {
	for _, k := range []string{
		"", "example.com/", "https://", "https:///", "ftp://a/", "https://a", "https://A/", "https://a:443/", "https://a/ ", "https://a/  h:x=",
		"https://a/ x", "https://a/ x:y=z", "https://a/ h:x", "https://a/ h:x=%41", "https://a/ h:x=%", "https://a/ h:x=%2f%0a",
		"https://a/ c:x=1 h:x=1", "https://a/ p:a=b", "https://a/ p:==", "https://a/ p:a=b=c p:a=b=c", "https://a/ p:a=b=c c:x=1",
		"https://a/\n", "https://a/#", "https://a/?\x7f", "https://a/ h:x=\xe9", "https://a b/",
	} {
		if d, err := key.Parse([]byte(k)); err == nil {
			t.Errorf("%q was read as %+v", k, d)
		}
	}
}

// Parse(Append(parts)) are the parts, whatever bytes they hold; so different
// parts have different keys.
func FuzzKeyHoldsItsParts(f *testing.F) {
	f.Add("https", "example.com:8443", "/a", "x=1", true, "de, en", "dark", "jwt", "https://idp", "alice")
	f.Add("http", "[::1]:80", "", "", true, "\"a  b\"", "", "", "", "")
	f.Add("http", "A", "/%20", "\xff", false, "h:x-b=1 c:c=1", "a=b%3D", "=", "%", " p:")
	f.Add("http", "a", "/", "", false, "a\tb", " x", "", "", "%3D")
	b := builder(f, func(r *key.Rules) {
		r.Headers, r.Cookies, r.Principal = []string{"X-A"}, []string{"c"}, true
	})
	blanks := strings.NewReplacer(" ", "", "\t", "")
	f.Fuzz(func(t *testing.T, scheme, host, path, query string, hasQuery bool, field, cookie, method, issuer, subject string) {
		p := key.Parts{
			Scheme: scheme, Host: host, Path: path, Query: query, HasQuery: hasQuery,
			Header:    http.Header{"X-A": {field}, "Cookie": {"c=" + strings.ReplaceAll(cookie, ";", "")}},
			Principal: key.Principal{Method: method, Issuer: issuer, Subject: subject},
		}
		k, err := b.Append(nil, &p)
		if err != nil {
			return
		}
		for _, c := range k {
			if c < ' ' || c == 0x7f {
				t.Fatalf("%q holds a control byte", k)
			}
		}
		d, err := key.Parse(k)
		if err != nil {
			t.Fatalf("%q: %v", k, err)
		}
		if !strings.HasPrefix(strings.ToLower(host), d.Host) || d.Scheme != scheme {
			t.Fatalf("%q of %q, %q", k, scheme, host)
		}
		if d.Path != path && (path != "" || d.Path != "/") || d.Query != query || d.HasQuery != (hasQuery || query != "") {
			t.Fatalf("%q of %q, %q", k, path, query)
		}
		if d.Principal != p.Principal {
			t.Fatalf("%q of %v", k, p.Principal)
		}
		if blanks.Replace(d.Headers[0].Value) != blanks.Replace(field) {
			t.Fatalf("%q of %q", k, field)
		}
		if got, want := d.Cookies[0].Value, strings.TrimRight(strings.ReplaceAll(cookie, ";", ""), " \t"); got != want {
			t.Fatalf("%q of %q", k, want)
		}
	})
}

// The same by two requests next to each other: equal keys, equal parts.
func FuzzDifferentPartsHaveDifferentKeys(f *testing.F) {
	f.Add("/a", "b", "x", "s", "/a", "b", "x", "s")
	f.Add("/a", "x h:x-a=1", "", "", "/a", "x", "1", "")
	f.Add("/a%20", "", "", "", "/a", "", "", "")
	f.Add("/a", "", "1 p:==s", "", "/a", "", "1", "s")
	b := builder(f, func(r *key.Rules) { r.Headers, r.Principal = []string{"X-A"}, true })
	f.Fuzz(func(t *testing.T, path1, query1, field1, subject1, path2, query2, field2, subject2 string) {
		one := key.Parts{Scheme: "http", Host: "a", Path: path1, Query: query1}
		two := key.Parts{Scheme: "http", Host: "a", Path: path2, Query: query2}
		one.Principal.Subject, two.Principal.Subject = subject1, subject2
		if field1 != "" && !strings.ContainsAny(field1, " \t") {
			one.Header = http.Header{"X-A": {field1}}
		}
		if field2 != "" && !strings.ContainsAny(field2, " \t") {
			two.Header = http.Header{"X-A": {field2}}
		}
		k1, err1 := b.Append(nil, &one)
		k2, err2 := b.Append(nil, &two)
		if err1 != nil || err2 != nil || string(k1) != string(k2) {
			return
		}
		if path1 != path2 && path1+path2 != "/" || query1 != query2 || subject1 != subject2 || one.Header.Get("X-A") != two.Header.Get("X-A") {
			t.Fatalf("%+v and %+v both have the key %q", one, two, k1)
		}
	})
}

// Whatever Parse takes is written back to the byte, or it would not be the key of
// the parts that it returned.
func FuzzParse(f *testing.F) {
	for _, k := range []string{
		"https://example.com/a?b h:x=1 c:y p:a=b=c", "http://a/", "https://a/ h:x=%41", "https://a/ h:x=%2F", "https://[::1]:80/?", "https://a/ c:=",
	} {
		f.Add(k)
	}
	b := builder(f, nil)
	f.Fuzz(func(t *testing.T, k string) {
		d, err := key.Parse([]byte(k))
		if err != nil {
			return
		}
		url := string(key.URL([]byte(k)))
		p := key.Parts{Scheme: d.Scheme, Host: d.Host, Path: d.Path, Query: d.Query, HasQuery: d.HasQuery}
		if got, err := b.Append(nil, &p); err == nil && string(got) != url {
			t.Fatalf("%q was read as %+v, whose URL is %q", k, d, got)
		}
	})
}
