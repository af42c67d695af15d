package rules_test

import (
	"net/http"
	"net/url"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/ergoproxy/ergo/shared/cache/rules"
)

// The grammar of Cache-Control (RFC 9111, section 5.2; RFC 9110, section 5.6),
// written a second time. A line that keeps it is split by it.
const (
	reToken  = "[!#$%&'*+.^_`|~0-9A-Za-z-]+"
	reQuoted = `"(?:[^"\\]|\\.)*"`
	reMember = reToken + `(?:=(?:` + reToken + `|` + reQuoted + `))?`
	reGap    = `[ \t]*`
)

var (
	reLine    = regexp.MustCompile(`(?s)^[ \t,]*(?:` + reMember + reGap + `(?:,[ \t,]*` + reMember + reGap + `)*)?[ \t,]*$`)
	reMembers = regexp.MustCompile(`(?s)(` + reToken + `)(?:=(?:(` + reToken + `)|(` + reQuoted + `)))?`)
	reDigits  = regexp.MustCompile(`^[0-9]+$`)
)

// reference reads max-age and no-store from a line that keeps the grammar.
func reference(line string) (age time.Duration, noStore bool) {
	age = absent
	for _, m := range reMembers.FindAllStringSubmatch(line, -1) {
		value := m[2]
		if m[3] != "" {
			value = m[3][1 : len(m[3])-1]
		}
		switch strings.ToLower(m[1]) {
		case "no-store":
			noStore = true
		case "max-age":
			var this time.Duration
			if reDigits.MatchString(value) {
				this = limit
				if n, err := strconv.ParseUint(value, 10, 64); err == nil && n < 1<<31 {
					this = time.Duration(n) * time.Second
				}
			}
			if age == absent || this < age {
				age = this
			}
		}
	}
	return age, noStore
}

func FuzzCacheControl(f *testing.F) {
	for _, line := range []string{
		"", "max-age=10, no-store", `max-age="10", x="a,\"b"`, `x="no-store`, "max-age =1,,\tpublic;", `private="a, b", no-cache=c`,
		"max-age=99999999999999999999,max-stale,min-fresh=1,only-if-cached", `a="\",no-store`, "\",\",max-age=1",
	} {
		f.Add(line)
	}
	p := policy(f)
	f.Fuzz(func(t *testing.T, line string) {
		h := http.Header{"Cache-Control": {line}}
		d := p.Read(rules.Response{Status: 200, Header: h, Requested: noon, Received: noon}).Directives
		r := rules.ReadRequest(http.MethodGet, h)
		if r.NoStore != d.NoStore {
			t.Errorf("%q: no-store %v in a request, %v in a response", line, r.NoStore, d.NoStore)
		}
		if r.MaxAge != d.MaxAge {
			t.Errorf("%q: max-age %v in a request, %v in a response", line, r.MaxAge, d.MaxAge)
		}
		for _, age := range []time.Duration{d.MaxAge, d.SMaxAge, d.StaleIfError, d.StaleWhileRevalidate, r.MinFresh, r.MaxStale} {
			if age < absent || age > limit {
				t.Errorf("%q: a time of %v", line, age)
			}
		}
		if reLine.MatchString(line) {
			if age, noStore := reference(line); age != d.MaxAge || noStore != d.NoStore {
				t.Errorf("%q: max-age %v, no-store %v; want %v, %v", line, d.MaxAge, d.NoStore, age, noStore)
			}
		}
	})
}

func FuzzTargeted(f *testing.F) {
	for _, line := range []string{"max-age=10", "no-store, private=\"a\"", "max-age=10+5;x", "s-maxage=1;a=2, x=(1 2)", `content="a,b", no-store`} {
		f.Add(line)
	}
	p := policy(f)
	f.Fuzz(func(t *testing.T, line string) {
		for _, key := range []string{"Ergo-Cache-Control", "Surrogate-Control"} {
			s := p.Read(rules.Response{Status: 200, Header: http.Header{key: {line}}, Received: noon})
			if !s.Targeted && !reflect.DeepEqual(s.Directives, directives(nil)) {
				t.Errorf("%s: %q is ignored, but gave %+v", key, line, s.Directives)
			}
			for _, age := range []time.Duration{s.MaxAge, s.SMaxAge, s.StaleIfError, s.StaleWhileRevalidate} {
				if age < absent || age > limit {
					t.Errorf("%s: %q: a time of %v", key, line, age)
				}
			}
		}
	})
}

// What ParseDate takes, net/http takes too, and for the same time but for leap
// seconds and years of two digits. The reverse does not hold: net/http takes
// much that is no HTTP-date.
func FuzzDate(f *testing.F) {
	for _, in := range []string{"Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994", "0", "Sun, 06 Nov 1994 08:49:60 gmt"} {
		f.Add(in)
	}
	f.Fuzz(func(t *testing.T, in string) {
		got, ok := rules.ParseDate(in, noon)
		if !ok {
			return
		}
		text := strings.NewReplacer("gmt", "GMT", "gMT", "GMT", "GmT", "GMT", "GMt", "GMT", "gmT", "GMT", "gMt", "GMT", "Gmt", "GMT", ":60", ":59").Replace(strings.Trim(in, " \t"))
		want, err := http.ParseTime(text)
		if err != nil {
			t.Fatalf("%q: %v, but %v", in, got, err)
		}
		if got.Month() != want.Month() || got.Day() != want.Day() || got.Sub(got.Truncate(24*time.Hour)) != want.Sub(want.Truncate(24*time.Hour)) || got.Year()%100 != want.Year()%100 {
			t.Errorf("%q: %v, want %v", in, got, want)
		}
		if again, ok := rules.ParseDate(at(got), noon); got.Year() > 0 && (!ok || !again.Equal(got)) {
			t.Errorf("%q: %v, written and read again %v", in, got, again)
		}
	})
}

func FuzzVariant(f *testing.F) {
	f.Add("a, b", "a,b", "gzip;q=0, *")
	f.Add(`"a, b"`, "\"a\\", "identity;q=0")
	f.Add("a\nb:1", "", "*;q=0,br")
	p := policy(f)
	vary := []string{"Accept", "Accept-Encoding", "Accept-Language", "X"}
	f.Fuzz(func(t *testing.T, a, b, coding string) {
		h := http.Header{"Accept": {a}, "Accept-Encoding": {coding}, "Accept-Language": {b}, "X": {a, b}}
		key := p.Variant(vary, h)
		lines := strings.Split(key, "\n")
		if len(lines) != len(vary) {
			t.Fatalf("%q has %d lines", key, len(lines))
		}
		// The values of a key are in one form already: they give the same key.
		again := http.Header{}
		for i, line := range lines {
			_, value, ok := strings.Cut(line, ":")
			if !ok {
				t.Fatalf("line %q without a value", line)
			}
			again[vary[i]] = []string{value}
		}
		if i := strings.IndexByte(a+b, '"'); i >= 0 {
			delete(again, "X") // two lines, each with its own quotes
			delete(h, "X")
			key = p.Variant(vary, h)
		}
		if got := p.Variant(vary, again); got != key {
			t.Errorf("%q becomes %q", key, got)
		}
	})
}

func FuzzIfNoneMatch(f *testing.F) {
	f.Add(`"a", W/"b"`, `"b"`)
	f.Add(`*`, `"`)
	f.Add(`"a,b" , x`, "x")
	p := policy(f)
	reTag := regexp.MustCompile(`(?s)(?:W/)?"[^"]*"`)
	reTags := regexp.MustCompile(`(?s)^[ \t,]*(?:(?:W/)?"[^"]*"[ \t]*(?:,[ \t,]*|$))*$`)
	f.Fuzz(func(t *testing.T, list, tag string) {
		s := p.Read(rules.Response{Status: 200, Header: http.Header{"Etag": {tag}}, Received: noon})
		r := rules.ReadRequest(http.MethodGet, http.Header{"If-None-Match": {list}})
		got := s.NotModified(&r)
		if reTags.MatchString(list) {
			want := slices.ContainsFunc(reTag.FindAllString(list, -1), func(m string) bool {
				return s.ETag != "" && strings.TrimPrefix(m, "W/") == strings.TrimPrefix(s.ETag, "W/")
			})
			if got != want {
				t.Errorf("%q against %q: %v, want %v", list, s.ETag, got, want)
			}
		}
	})
}

// FuzzResponse gives every other field what it may not expect.
func FuzzResponse(f *testing.F) {
	f.Add("10", "Fri, 20 Nov 2026 13:00:00 GMT", "a, *", "k1 k2", `"g1", "g2"`, "/x")
	f.Add("1, 2", "0", "a b", ",", `"`, "http://[::1")
	p := policy(f)
	target := &url.URL{Scheme: "https", Host: "example.com", Path: "/"}
	f.Fuzz(func(t *testing.T, age, expires, vary, tags, groups, location string) {
		resp := rules.Response{Status: 200, Requested: noon, Received: noon, Header: http.Header{
			"Age": {age}, "Expires": {expires}, "Vary": {vary}, "Surrogate-Key": {tags}, "Cache-Tag": {tags},
			"Cache-Groups": {groups}, "Cache-Group-Invalidation": {groups}, "Location": {location}, "Connection": {tags},
		}}
		before := resp.Header.Clone()
		s, why := p.Store(get(), resp)
		if s.InitialAge < 0 || s.InitialAge > limit || s.Lifetime < 0 || s.Lifetime > limit {
			t.Errorf("age %v, lifetime %v", s.InitialAge, s.Lifetime)
		}
		if why == rules.NoReason && (len(s.Vary) > 16 || strings.Contains(vary, "*") && slices.Contains(strings.Split(vary, ","), "*")) {
			t.Errorf("stored with Vary %q", vary)
		}
		if !slices.IsSorted(s.Tags) || !slices.IsSorted(s.Groups) || !slices.IsSorted(s.Vary) {
			t.Errorf("not sorted: %q, %q, %q", s.Tags, s.Groups, s.Vary)
		}
		for _, uri := range rules.Invalidated("POST", 200, target, resp.Header) {
			if uri.Scheme != "https" || uri.Host != "example.com" {
				t.Errorf("%q leads to %s", location, uri)
			}
		}
		if !slices.Equal(rules.GroupsInvalidated("POST", resp.Header), s.Groups) {
			t.Errorf("%q are other groups to invalidate", groups)
		}
		p.Fields(&s, resp)
		p.Freshen(resp.Header, resp)
		if !reflect.DeepEqual(resp.Header, before) {
			t.Error("the header was changed")
		}
	})
}
