package rules_test

import (
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/ergoproxy/ergo/shared/cache/rules"
)

const (
	absent = rules.Absent
	limit  = (1 << 31) * time.Second
)

// directives makes Directives without times, then changed by set.
func directives(set func(*rules.Directives)) rules.Directives {
	d := rules.Directives{MaxAge: absent, SMaxAge: absent, StaleWhileRevalidate: absent, StaleIfError: absent}
	if set != nil {
		set(&d)
	}
	return d
}

func maxAge(age time.Duration) rules.Directives {
	return directives(func(d *rules.Directives) { d.MaxAge = age })
}

// RFC 9111, sections 1.2.2, 4.2.1, 5.2 and 5.2.2.
func TestCacheControlOfResponse(t *testing.T) {
	p := policy(t)
	type D = rules.Directives
	for _, test := range []struct {
		name  string
		lines []string // parted by |
		want  D
	}{
		{"none", nil, directives(nil)},
		{"empty", []string{""}, directives(nil)},
		{"token", []string{"max-age=10"}, maxAge(10 * time.Second)},
		{"quoted-string", []string{`max-age="10"`}, maxAge(10 * time.Second)},
		{"case of the name", []string{"MaX-aGe=10"}, maxAge(10 * time.Second)},
		{"leading zeros", []string{"max-age=0010"}, maxAge(10 * time.Second)},
		{"2^31", []string{"max-age=2147483648"}, maxAge(limit)},
		{"over 2^31", []string{"max-age=2147483649"}, maxAge(limit)},
		{"over 2^64", []string{"max-age=99999999999999999999999"}, maxAge(limit)},
		{"zeros behind an overflow", []string{"max-age=1" + strings.Repeat("0", 200)}, maxAge(limit)},
		{"no number", []string{"max-age=ten"}, maxAge(0)},
		{"no argument", []string{"max-age"}, maxAge(0)},
		{"empty argument", []string{"max-age="}, maxAge(0)},
		{"empty string", []string{`max-age=""`}, maxAge(0)},
		{"negative", []string{"max-age=-10"}, maxAge(0)},
		{"signed", []string{"max-age=+10"}, maxAge(0)},
		{"decimal", []string{"max-age=10.5"}, maxAge(0)},
		{"letters behind", []string{"max-age=10s"}, maxAge(0)},
		{"single quotes", []string{"max-age='10'"}, maxAge(0)},
		{"space before =", []string{"max-age =10"}, maxAge(0)},
		{"space behind =", []string{"max-age= 10"}, maxAge(0)},
		{"two arguments", []string{"max-age=10 20"}, maxAge(0)},
		{"semicolon", []string{"max-age=10; public"}, maxAge(0)},
		{"twice, greater first", []string{"max-age=20, max-age=10"}, maxAge(10 * time.Second)},
		{"twice, less first", []string{"max-age=10, max-age=20"}, maxAge(10 * time.Second)},
		{"twice, one broken", []string{"max-age=10, max-age=x"}, maxAge(0)},
		{"two lines", []string{"max-age=10", "no-store"}, directives(func(d *D) { d.MaxAge, d.NoStore = 10*time.Second, true })},
		{"empty members", []string{" ,, max-age=10 ,\t, no-store,"}, directives(func(d *D) { d.MaxAge, d.NoStore = 10*time.Second, true })},
		{"unknown ones", []string{`foo, bar=1, max-age=10, baz="x"`}, maxAge(10 * time.Second)},
		{"inside a string", []string{`ext="no-store, max-age=1", max-age=10`}, maxAge(10 * time.Second)},
		{"inside a string, escaped", []string{`ext="\", no-store, \\", max-age=10`}, maxAge(10 * time.Second)},
		{"behind a string", []string{`max-age=10, ext="max-age=1"`}, maxAge(10 * time.Second)},
		{"string without end", []string{`ext="a, no-store`}, directives(func(d *D) { d.NoStore = true })},
		{"part of a name", []string{"x-no-store, no-stored, smax-age=1"}, directives(nil)},
		{"all flags", []string{"no-cache,no-store,no-transform,must-revalidate,proxy-revalidate,must-understand,private,public,immutable"},
			directives(func(d *D) {
				d.NoCache, d.NoStore, d.NoTransform, d.MustRevalidate, d.ProxyRevalidate = true, true, true, true, true
				d.MustUnderstand, d.Private, d.Public, d.Immutable = true, true, true, true
			})},
		{"all times", []string{"max-age=1,s-maxage=2,stale-while-revalidate=3,stale-if-error=4"},
			directives(func(d *D) {
				d.MaxAge, d.SMaxAge = 1*time.Second, 2*time.Second
				d.StaleWhileRevalidate, d.StaleIfError = 3*time.Second, 4*time.Second
			})},
		{"broken ones restrict", []string{"no-store x, private=, no-cache =\"a\", must-revalidate;"},
			directives(func(d *D) { d.NoStore, d.Private, d.NoCache, d.MustRevalidate = true, true, true, true })},
		{"broken ones don't permit", []string{"public x, immutable;, must-understand y"}, directives(nil)},
		{"private with names", []string{`private="x-a, SET-cookie"`},
			directives(func(d *D) { d.PrivateFields = []string{"X-A", "Set-Cookie"} })},
		{"private with a token", []string{`private=x-a`}, directives(func(d *D) { d.PrivateFields = []string{"X-A"} })},
		{"private without names", []string{`private=", "`}, directives(func(d *D) { d.Private = true })},
		{"private with no name", []string{`private="a b"`}, directives(func(d *D) { d.Private = true })},
		{"private both ways", []string{`private="x-a", private`},
			directives(func(d *D) { d.Private, d.PrivateFields = true, []string{"X-A"} })},
		{"private with a field we live by", []string{`private="vary"`}, directives(func(d *D) { d.Private = true })},
		{"no-cache with names", []string{`no-cache="x-a", no-cache=x-b`},
			directives(func(d *D) { d.NoCacheFields = []string{"X-A", "X-B"} })},
		{"no-cache with a field we live by", []string{`no-cache="cache-control"`}, directives(func(d *D) { d.NoCache = true })},
	} {
		t.Run(test.name, func(t *testing.T) {
			resp := response(200)
			if test.lines != nil {
				resp.Header["Cache-Control"] = test.lines
			}
			if got := p.Read(resp).Directives; !reflect.DeepEqual(got, test.want) {
				t.Errorf("%q:\ngot  %+v\nwant %+v", test.lines, got, test.want)
			}
		})
	}
}

// RFC 9111, sections 5.2.1 and 5.4.
func TestDirectivesOfRequest(t *testing.T) {
	type R = rules.Request
	request := func(set func(*R)) R {
		r := R{Method: "GET", MaxAge: absent, MinFresh: absent, MaxStale: absent, StaleIfError: absent}
		if set != nil {
			set(&r)
		}
		return r
	}
	for _, test := range []struct {
		name  string
		lines []string
		want  R
	}{
		{"none", nil, request(nil)},
		{"flags", []string{"Cache-Control: no-cache, NO-STORE, no-transform, only-if-cached"},
			request(func(r *R) { r.NoCache, r.NoStore, r.NoTransform, r.OnlyIfCached = true, true, true, true })},
		{"times", []string{`Cache-Control: max-age=1, min-fresh="2"`, "Cache-Control: max-stale=3, stale-if-error=4"},
			request(func(r *R) {
				r.MaxAge, r.MinFresh, r.MaxStale, r.StaleIfError = time.Second, 2*time.Second, 3*time.Second, 4*time.Second
			})},
		{"max-stale without value", []string{"Cache-Control: max-stale"}, request(func(r *R) { r.MaxStale = limit })},
		{"max-stale both ways", []string{"Cache-Control: max-stale, max-stale=5"}, request(func(r *R) { r.MaxStale = 5 * time.Second })},
		{"the stricter of two", []string{"Cache-Control: max-age=5, max-age=1, min-fresh=1, min-fresh=5, stale-if-error=5, stale-if-error=1"},
			request(func(r *R) { r.MaxAge, r.MinFresh, r.StaleIfError = time.Second, 5*time.Second, time.Second })},
		{"broken", []string{"Cache-Control: max-age=x, min-fresh=x, max-stale=x, stale-if-error=x"}, request(func(r *R) { r.MaxAge = 0 })},
		{"broken max-stale", []string{"Cache-Control: max-stale x"}, request(nil)},
		{"those of responses", []string{"Cache-Control: s-maxage=5, must-revalidate, private"}, request(nil)},
		{"pragma", []string{"Pragma: x=y, No-Cache"}, request(func(r *R) { r.NoCache = true })},
		{"another pragma", []string{"Pragma: no-cache=1"}, request(nil)},
		{"pragma with cache-control", []string{"Pragma: no-cache", "Cache-Control: max-age=7"}, request(func(r *R) { r.MaxAge = 7 * time.Second })},
		{"pragma with empty cache-control", []string{"Pragma: no-cache", "Cache-Control:"}, request(nil)},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := *get(test.lines...)
			got.Header = nil
			if !reflect.DeepEqual(got, test.want) {
				t.Errorf("got  %+v\nwant %+v", got, test.want)
			}
		})
	}
}

// RFC 9111, sections 4 and 4.3.2.
func TestRequestsThatACacheMayAnswer(t *testing.T) {
	for method, want := range map[string]bool{"GET": true, "HEAD": true, "POST": false, "get": false, "": false, "QUERY": false} {
		if r := rules.ReadRequest(method, http.Header{}); r.Cacheable() != want {
			t.Errorf("%s: Cacheable %v, want %v", method, r.Cacheable(), want)
		}
	}
	for line, want := range map[string]bool{
		`If-Match: "a"`: true, "If-Unmodified-Since: x": true, `If-None-Match: "a"`: false, "If-Modified-Since: x": false,
	} {
		if r := get(line); r.ForBackend() != want {
			t.Errorf("%s: ForBackend %v, want %v", line, r.ForBackend(), want)
		}
	}
}

// A header of only quotes without an end must not take quadratic time: a
// megabyte of it would take minutes.
func TestCacheControlTakesLinearTime(t *testing.T) {
	for _, part := range []string{`,\"`, `a="\",`, `"`, `,="`, `,a=`} {
		get("Cache-Control: " + strings.Repeat(part, 1<<20/len(part)))
	}
}
