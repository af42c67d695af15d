package rules_test

import (
	"reflect"
	"testing"
	"time"

	"github.com/ergoproxy/ergo/shared/cache/rules"
)

// RFC 9213, section 2.2.
func TestFirstValidTargetedFieldGoverns(t *testing.T) {
	const later = "Expires: Fri, 20 Nov 2026 13:00:00 GMT"
	for _, test := range []struct {
		name     string
		lines    []string
		lifetime time.Duration
		targeted bool
	}{
		{"above Cache-Control", []string{"CDN-Cache-Control: max-age=7", "Cache-Control: max-age=9, no-store"}, 7 * time.Second, true},
		{"above Expires", []string{"CDN-Cache-Control: no-transform", later}, 0, true},
		{"the first of the list", []string{"CDN-Cache-Control: max-age=7", "Ergo-Cache-Control: max-age=8"}, 8 * time.Second, true},
		{"the first that is valid", []string{"CDN-Cache-Control: max-age=7", "Ergo-Cache-Control: max-age=8, &"}, 7 * time.Second, true},
		{"the first that is not empty", []string{"CDN-Cache-Control: max-age=7", "Ergo-Cache-Control:"}, 7 * time.Second, true},
		{"none is valid", []string{"CDN-Cache-Control: max-age =7", "Cache-Control: max-age=9"}, 9 * time.Second, false},
		{"upper case is no key", []string{"CDN-Cache-Control: Max-Age=7", "Cache-Control: max-age=9"}, 9 * time.Second, false},
		{"comma at the end", []string{"CDN-Cache-Control: max-age=7,", "Cache-Control: max-age=9"}, 9 * time.Second, false},
		{"too many digits", []string{"CDN-Cache-Control: max-age=1234567890123456", "Cache-Control: max-age=9"}, 9 * time.Second, false},
		{"two lines", []string{"CDN-Cache-Control: foo", "CDN-Cache-Control: max-age=7", "Cache-Control: max-age=9"}, 7 * time.Second, true},
		{"not on the list", []string{"Other-Cache-Control: max-age=7", "Cache-Control: max-age=9"}, 9 * time.Second, false},
		{"s-maxage", []string{"CDN-Cache-Control: max-age=7, s-maxage=8"}, 8 * time.Second, true},
		{"overflow", []string{"CDN-Cache-Control: max-age=999999999999999"}, limit, true},
		{"negative", []string{"CDN-Cache-Control: max-age=-1"}, 0, true},
		{"the later of two", []string{"CDN-Cache-Control: max-age=7, max-age=8"}, 8 * time.Second, true},
		{"parameters", []string{`CDN-Cache-Control: max-age=7;a;b="x";c=1.5`}, 7 * time.Second, true},
		{"a string is no integer", []string{`CDN-Cache-Control: max-age="7"`}, 0, true},
		{"nor is a decimal", []string{`CDN-Cache-Control: max-age=7.0`}, 0, true},
		{"nor is nothing", []string{`CDN-Cache-Control: max-age`}, 0, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := policy(t).Read(response(200, test.lines...))
			if s.Lifetime != test.lifetime || s.Targeted != test.targeted {
				t.Errorf("lifetime %v, targeted %v; want %v, %v", s.Lifetime, s.Targeted, test.lifetime, test.targeted)
			}
		})
	}
}

// RFC 9213, section 2.1.
func TestTypesOfTargetedDirectives(t *testing.T) {
	type D = rules.Directives
	for value, want := range map[string]D{
		"no-store, private, no-cache, must-revalidate, proxy-revalidate, no-transform": directives(func(d *D) {
			d.NoStore, d.Private, d.NoCache, d.MustRevalidate, d.ProxyRevalidate, d.NoTransform = true, true, true, true, true, true
		}),
		"no-store=?0, private=?0, no-cache=?0, must-revalidate=?0, public=?0": directives(nil),
		"no-store, no-store=?0":                         directives(nil),
		"no-store=1, private=(a b)":                     directives(func(d *D) { d.NoStore, d.Private = true, true }),
		"public, immutable, must-understand":            directives(func(d *D) { d.Public, d.Immutable, d.MustUnderstand = true, true, true }),
		"public=1, immutable=yes, must-understand=\"\"": directives(nil),
		`private="x-a, x-b", no-cache="x-c"`: directives(func(d *D) {
			d.PrivateFields, d.NoCacheFields = []string{"X-A", "X-B"}, []string{"X-C"}
		}),
		`private="a b", no-cache=""`: directives(func(d *D) { d.Private, d.NoCache = true, true }),
		"stale-while-revalidate=5, stale-if-error=6": directives(func(d *D) {
			d.StaleWhileRevalidate, d.StaleIfError = 5*time.Second, 6*time.Second
		}),
		"stale-while-revalidate=5.5, stale-if-error": directives(func(d *D) { d.StaleWhileRevalidate, d.StaleIfError = 0, 0 }),
	} {
		s := policy(t).Read(response(200, "CDN-Cache-Control: "+value))
		if !s.Targeted || !reflect.DeepEqual(s.Directives, want) {
			t.Errorf("%s:\ngot  %+v\nwant %+v", value, s.Directives, want)
		}
	}
}

// Edge Architecture Specification, section 2.3.
func TestSurrogateControl(t *testing.T) {
	type D = rules.Directives
	extended := directives(func(d *D) { d.MaxAge, d.StaleWhileRevalidate = 60*time.Second, 600*time.Second })
	for _, test := range []struct {
		value string
		want  D
		found bool
	}{
		{"max-age=60", maxAge(time.Minute), true},
		{"Max-Age=60+600", extended, true},
		{`max-age=60+600, content="ESI/1.0, no-store"`, extended, true},
		{"no-store, max-age=60", directives(func(d *D) { d.MaxAge, d.NoStore = time.Minute, true }), true},
		{"no-store-remote", directives(func(d *D) { d.NoStore = true }), true},
		{"max-age=60;other, max-age=30", maxAge(30 * time.Second), true},
		{"max-age=x", maxAge(0), true},
		{"max-age=60+x", directives(func(d *D) { d.MaxAge, d.StaleWhileRevalidate = time.Minute, 0 }), true},
		{"max-age=60;other", directives(nil), false},
		{`content="ESI/1.0"`, directives(nil), false},
		{"", directives(nil), false},
		{",,", directives(nil), false},
	} {
		s := policy(t).Read(response(200, "Surrogate-Control: "+test.value))
		if s.Targeted != test.found || !reflect.DeepEqual(s.Directives, test.want) {
			t.Errorf("%s: targeted %v\ngot  %+v\nwant %+v", test.value, s.Targeted, s.Directives, test.want)
		}
	}
	p := policy(t, func(c *rules.Config) { c.Targeted = c.Targeted[:2] })
	if s := p.Read(response(200, "Surrogate-Control: max-age=60")); s.Targeted {
		t.Error("Surrogate-Control governs although it is not on the list")
	}
}
