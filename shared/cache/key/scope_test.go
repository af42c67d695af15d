package key_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/ergoproxy/ergo/shared/cache/key"
)

func scope(t testing.TB, text string) key.Scope {
	t.Helper()
	s, err := key.ParseScope(text)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestScopeMatches(t *testing.T) {
	for _, row := range []struct {
		scope    string
		yes, not []string
	}{
		{"url:https://example.com/a", []string{
			"https://example.com/a", "https://example.com/a h:accept=x", "https://example.com/a c:a=1 p:==alice", "https://example.com/%61",
		}, []string{
			"http://example.com/a", "https://example.com/a/", "https://example.com/a?", "https://example.com/a?b", "https://example.com/ab",
			"https://example.com/", "https://example.com/A", "https://example.com//a", "https://example.com:8443/a", "https://www.example.com/a",
			"https://example.com.evil/a", "https://example.com/b h:x=https://example.com/a", "https://example.com/%2561", "https://example.com/a%20",
		}},
		{"url:example.com/a", []string{"https://example.com/a", "http://example.com/a"},
			[]string{"http://example.com:443/a", "http://example.com:8080/a", "http://example.com/"}},
		{"url:example.com:8080/a", []string{"http://example.com:8080/a", "https://example.com:8080/a"}, []string{"http://example.com/a"}},
		{"url:HTTPS://Example.COM:443/a", []string{"https://example.com/a"}, []string{"http://example.com/a", "https://example.com/A"}},
		{"url:https://example.com", []string{"https://example.com/", "https://example.com/ p:==a"}, []string{"https://example.com/a", "https://example.com/?"}},
		{"url:https://example.com/a?b=1&c", []string{"https://example.com/a?b=1&c", "https://example.com/a?%62=1&c"},
			[]string{"https://example.com/a", "https://example.com/a?c&b=1", "https://example.com/a?b=1&c&", "https://example.com/a?b=1", "https://example.com/a?b%3D1&c"}},
		{"url:https://example.com?b", []string{"https://example.com/?b"}, []string{"https://example.com/"}},
		{"url:https://example.com/a?", []string{"https://example.com/a?"}, []string{"https://example.com/a"}},
		{"url:https://example.com/a%2Fb%7e", []string{"https://example.com/a%2fb~", "https://example.com/a%2Fb%7E"}, []string{"https://example.com/a/b~"}},
		{"url:https://[2001:DB8::1]/a", []string{"https://[2001:db8::1]/a"}, []string{"https://[2001:db8::2]/a"}},

		{"prefix:https://example.com/a", []string{
			"https://example.com/a", "https://example.com/a/", "https://example.com/a/b?c h:x=1", "https://example.com/a?b", "https://example.com/%61/b",
			"https://example.com/a p:==x",
		}, []string{
			"https://example.com/ab", "https://example.com/", "https://example.com/b/a", "http://example.com/a", "https://example.com/a%2Fb",
			"https://example.com:8443/a/b", "https://example.com/A/b", "https://example.com//a/b", "https://example.com/b?x=/a/",
		}},
		{"prefix:https://example.com/a/", []string{"https://example.com/a/", "https://example.com/a/b", "https://example.com/a/?b"},
			[]string{"https://example.com/a", "https://example.com/ab", "https://example.com/a?b"}},
		{"prefix:https://example.com", []string{"https://example.com/", "https://example.com/a/b", "https://example.com/?a"},
			[]string{"http://example.com/", "https://example.com:8443/", "https://example.com.evil/"}},
		{"prefix:example.com/a", []string{"https://example.com/a/b", "http://example.com/a"}, []string{"https://example.com/b"}},

		{"host:example.com", []string{
			"https://example.com/", "http://example.com/a?b", "https://example.com:8443/a", "https://example.com./a", "http://example.com.:81/ h:x=1",
		}, []string{
			"https://www.example.com/", "https://example.com.evil/", "https://evil/example.com", "https://evil/?https://example.com/",
			"https://evil/ h:x=https://example.com/", "https://xexample.com/",
		}},
		{"host:Example.COM.", []string{"https://example.com/", "https://example.com./"}, []string{"https://example.co/"}},
		{"host:[2001:db8::1]", []string{"https://[2001:db8::1]/", "https://[2001:db8::1]:8443/"}, []string{"https://[2001:db8::1:8443]/"}},

		{"tag:a", nil, []string{"https://a/a h:x=a", "a"}},
		{"all", []string{"https://example.com/", "http://a/?b c:d=1"}, nil},
	} {
		s := scope(t, row.scope)
		for _, k := range row.yes {
			if !s.Matches([]byte(k)) {
				t.Errorf("%s does not match %s", row.scope, k)
			}
		}
		for _, k := range row.not {
			if s.Matches([]byte(k)) {
				t.Errorf("%s matches %s", row.scope, k)
			}
		}
	}
}

func TestZeroScopeMatchesNothing(t *testing.T) {
	var s key.Scope
	if s.Matches([]byte("https://example.com/")) || s.Matches(nil) {
		t.Error("it matches")
	}
	if s.String() != "none" {
		t.Errorf("it is written as %s", s)
	}
	if _, err := json.Marshal(s); !errors.Is(err, key.ErrScope) {
		t.Errorf("it has JSON: %v", err)
	}
}

func TestTagIsForThoseWhoKeepTags(t *testing.T) {
	if s := scope(t, "tag:product-7"); s.Kind() != key.TagScope || s.Tag() != "product-7" {
		t.Errorf("%s, %q", s.Kind(), s.Tag())
	}
	if s := scope(t, "host:product-7"); s.Tag() != "" {
		t.Errorf("a host has the tag %q", s.Tag())
	}
}

// A url reaches the key that its rules give to a request for it.
func TestScopeOfABuilderHasTheQueryOfItsKeys(t *testing.T) {
	b := builder(t, sortAndDrop)
	for _, target := range []string{"/a?b=1&utm_x=2&a=3", "/a?utm_x=1", "/a", "/a?", "/a?%62=1&a=1"} {
		s := b.Scope(scope(t, "url:https://example.com"+target))
		if k := makeKey(b, page(target)); !s.Matches([]byte(k)) {
			t.Errorf("%s of %s does not match %s", s, target, k)
		}
		if s.Matches([]byte("https://example.com/a?other")) {
			t.Errorf("%s matches another query", s)
		}
	}
	for _, text := range []string{"prefix:https://example.com/a", "host:example.com", "tag:a", "all"} {
		if s := scope(t, text); b.Scope(s) != s {
			t.Errorf("%s becomes %s", s, b.Scope(s))
		}
	}
}

func TestScopeThatCannotMatchIsRefused(t *testing.T) {
	for text, want := range map[string]string{
		"":                                 "want url, prefix, host, tag or all",
		"url":                              "no host",
		"url:":                             "nothing behind the colon",
		"all:":                             "nothing behind the colon",
		"all:x":                            `all has the value "x", want none`,
		"URL:https://a/":                   "want url, prefix, host, tag or all",
		"https://example.com/a":            `"https" is unknown, want url`,
		"url:ftp://example.com/":           `scheme "ftp", want http or https`,
		"url:/a":                           "no host",
		"url:https:///a":                   "no host",
		"url:https:/a":                     "the host",
		"url:https://u@example.com/":       "the host",
		"url:https://*.example.com/":       "the host",
		"url:https://exa mple.com/":        "the host",
		"url:https://example.com:/":        "the host",
		"url:https://example.com:x/":       "the host",
		"url:example.com:443/":             "want one with http:// or https://",
		"url:example.com:80":               "want one with http:// or https://",
		"url:https://example.com/a#b":      "fragment",
		"url:https://example.com#b":        "fragment",
		"url:https://example.com/a b":      "want it encoded",
		"url:https://example.com/\n":       "want it encoded",
		"url:https://example.com/\u00e4":   "not ASCII",
		"url:https://example.com/?\xff":    "not UTF-8",
		"prefix:https://example.com/a?b":   "has a query",
		"prefix:https://example.com/a?":    "has a query",
		"prefix:https://example.com/a*":    "star",
		"prefix:/a":                        "no host",
		"host:https://example.com":         "no host, want one such as example.com",
		"host:example.com/":                "no host",
		"host:example.com:8443":            "no host",
		"host:example.com:":                "no host",
		"host:*.example.com":               "no host",
		"host:.":                           "no host",
		"host:example.com..":               "no host",
		"host:exa mple":                    "no host",
		"tag:a b":                          "want one tag",
		"tag:a,b":                          "want one tag",
		"tag:a\x00":                        "printable ASCII",
		"tag:\u00e4":                       "printable ASCII",
		"tag:" + strings.Repeat("a", 1025): "want 1 to 1024",
		"url:https://a/" + strings.Repeat("a", key.MaxScope): "want at most 65536",
	} {
		s, err := key.ParseScope(text)
		if !errors.Is(err, key.ErrScope) || !strings.Contains(err.Error(), want) {
			t.Errorf("%.40q: %v, %v, want %q", text, s, err, want)
		}
		if err != nil && len(err.Error()) > 400 {
			t.Errorf("%.40q: the error has %d bytes", text, len(err.Error()))
		}
		if s != (key.Scope{}) {
			t.Errorf("%.40q: %v besides an error", text, s)
		}
	}
}

func TestScopeHasOneFormInTextAndJSON(t *testing.T) {
	for text, want := range map[string]string{
		"url:https://example.com/a?b=1":    `{"url":"https://example.com/a?b=1"}`,
		"url:example.com/":                 `{"url":"example.com/"}`,
		"prefix:http://example.com:8080/a": `{"prefix":"http://example.com:8080/a"}`,
		"host:example.com":                 `{"host":"example.com"}`,
		"tag:product-7:x":                  `{"tag":"product-7:x"}`,
		"all":                              `{"all":true}`,
	} {
		s := scope(t, text)
		got, err := json.Marshal(s)
		if err != nil || string(got) != want || s.String() != text {
			t.Errorf("%s: %s, %s, %v", text, s, got, err)
		}
		var again key.Scope
		if err := json.Unmarshal(got, &again); err != nil || again != s {
			t.Errorf("%s is read as %v, %v", got, again, err)
		}
	}
}

func TestScopeJSONIsStrict(t *testing.T) {
	for text, want := range map[string]string{
		`null`:                          "want one key",
		`"all"`:                         "want one key",
		`[]`:                            "want one key",
		`["url", "https://a/", "", ""]`: "want one key",
		`{}`:                            "want one key",
		`{"tag": "a", "host": "b"}`:     "want one key",
		`{"tag": "a", "tag": "a"}`:      "want one key",
		`{"all": false}`:                "other than true",
		`{"all": "true"}`:               "other than true",
		`{"all": ""}`:                   "other than true",
		`{"tag": 1}`:                    "no string",
		`{"tag": {}}`:                   "want one key",
		`{"tag": ["a"]}`:                "want one key",
		`{"tag": null}`:                 "no string",
		`{"tags": "a"}`:                 "want url, prefix, host, tag or all",
		`{"Tag": "a"}`:                  "want url, prefix, host, tag or all",
		`{"url": "a b"}`:                "the host",
	} {
		s := scope(t, "tag:before")
		// Unmarshal of json would not hand null to it.
		if err := s.UnmarshalJSON([]byte(text)); !errors.Is(err, key.ErrScope) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
		if s != scope(t, "tag:before") {
			t.Errorf("%s: changed to %v", text, s)
		}
	}
}

func TestMatchesDoesNotAllocate(t *testing.T) {
	if raceDetector {
		t.Skip("the race detector allocates")
	}
	k := []byte("https://example.com/a/b?c=1 h:x=1")
	for _, text := range []string{"url:https://example.com/a/b?c=1", "prefix:example.com/a", "host:example.com"} {
		s := scope(t, text)
		if n := testing.AllocsPerRun(100, func() {
			if !s.Matches(k) {
				t.Fatal("no match")
			}
		}); n != 0 {
			t.Errorf("%s: %v allocations, want 0", text, n)
		}
	}
}

func BenchmarkMatches(b *testing.B) {
	s := scope(b, "prefix:https://example.com/assets/js")
	k := []byte("https://example.com/assets/js/app.3f2a.js?v=17 h:accept-language=de")
	for b.Loop() {
		if !s.Matches(k) {
			b.Fatal("no match")
		}
	}
}

func FuzzScope(f *testing.F) {
	for _, text := range []string{
		"url:https://example.com/a?b#c", "prefix:example.com:8443/a/", "host:[::1]", "tag:x", "all", "url:https://example.com/%7e%2", "url:a?", "host:A.",
	} {
		f.Add(text, "https://example.com/a?b h:x=1")
	}
	f.Fuzz(func(t *testing.T, text, k string) {
		s, err := key.ParseScope(text)
		if err != nil {
			if !errors.Is(err, key.ErrScope) {
				t.Fatal(err)
			}
			return
		}
		if again, err := key.ParseScope(s.String()); err != nil || again != s {
			t.Fatalf("%q is written as %q and read as %q, %v", text, s, again, err)
		}
		data, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		var again key.Scope
		if err := json.Unmarshal(data, &again); err != nil || again != s {
			t.Fatalf("%s is read as %v, %v", data, again, err)
		}
		s.Matches([]byte(k))
		// A url with a scheme is a key, which it reaches.
		url := strings.TrimPrefix(s.String(), "url:")
		if s.Kind() == key.URLScope && (strings.HasPrefix(url, "http://") || strings.HasPrefix(url, "https://")) && !s.Matches([]byte(url)) {
			t.Fatalf("%s does not match itself", s)
		}
	})
}
