package rules_test

import (
	"net/http"
	"slices"
	"testing"

	"github.com/ergoproxy/ergo/shared/cache/rules"
)

// RFC 9111, section 4.1; RFC 9110, section 12.5.5.
func TestVaryNames(t *testing.T) {
	for _, test := range []struct {
		fields []string
		want   []string
	}{
		{nil, nil},
		{[]string{"Vary:"}, nil},
		{[]string{"Vary: foo"}, []string{"Foo"}},
		{[]string{"Vary: foo , ACCEPT,,foo", "Vary: Bar"}, []string{"Accept", "Bar", "Foo"}},
	} {
		s := stored(t, test.fields...)
		if !slices.Equal(s.Vary, test.want) {
			t.Errorf("%q: %q, want %q", test.fields, s.Vary, test.want)
		}
	}
}

// RFC 9111, section 4.1. Rows in one group match each other and nothing else.
func TestVariantKey(t *testing.T) {
	for _, test := range []struct {
		vary   string
		groups [][][]string // of requests, each a list of fields
	}{
		{"Foo", [][][]string{
			{{}, {"Bar: 1"}},
			{{"Foo:"}},
			{{"Foo: 1"}, {"Foo:  1\t", "Bar: 2"}},
			{{"Foo: 1, 2"}, {"Foo: 1,2"}, {"Foo: 1 \t,\t2"}, {"Foo: 1", "Foo: 2"}},
			{{"Foo: 2, 1"}},
			{{"Foo: a"}}, {{"Foo: A"}},
			{{"Foo: a b"}}, {{"Foo: a  b"}}, {{"Foo: ab"}},
			{{"Foo: a;b"}}, {{"Foo: a; b"}},
			{{`Foo: "a, b"`}}, {{`Foo: "a,b"`}},
			{{`Foo: "a\", b", c`}, {`Foo: "a\", b",c`}}, {{`Foo: "a\",b",c`}},
		}},
		{"foo, bar", [][][]string{
			{{"Foo: 1", "Bar: 2"}, {"Bar: 2", "Foo: 1"}},
			{{"Foo: 2", "Bar: 1"}},
			{{"Foo: 1"}}, {{"Bar: 1"}}, {{}},
		}},
		{"Accept-Language", [][][]string{
			{{"Accept-Language: en, de;q=0.5"}, {"Accept-Language: EN,de ; Q=0.5"}, {"Accept-Language: en", "Accept-Language: DE; q=0.5"}},
			{{"Accept-Language: de;q=0.5, en"}},
			{{"Accept-Language: en"}},
			{{}},
		}},
		{"Accept", [][][]string{
			{{"Accept: text/html;q=1, */*"}, {"Accept: text/html ;\tq=1,*/*"}},
			{{"Accept: */*, text/html;q=1"}},
			{{"Accept: text/html;a=B"}}, {{"Accept: text/html;a=b"}},
		}},
		{"Accept-Encoding", [][][]string{
			{{}},
			{{"Accept-Encoding: gzip, deflate, br"}, {"Accept-Encoding: br;q=0.1, x-gzip"}, {"Accept-Encoding: GZIP", "Accept-Encoding: Br"},
				{"Accept-Encoding: br,gzip,zstd;q=0"}, {"Accept-Encoding: *, zstd;q=0"}, {"Accept-Encoding: zstd ; Q=0.000, *;q=0.1"}},
			{{"Accept-Encoding:"}, {"Accept-Encoding: identity"}, {"Accept-Encoding: deflate"}, {"Accept-Encoding: gzip;q=0"}},
			{{"Accept-Encoding: gzip"}, {"Accept-Encoding: gzip;q=0.001"}, {"Accept-Encoding: gzip, identity;q=0.5"}},
			{{"Accept-Encoding: gzip, identity;q=0"}, {"Accept-Encoding: gzip, *;q=0"}},
			{{"Accept-Encoding: *"}, {"Accept-Encoding: gzip, br, zstd"}},
			{{"Accept-Encoding: identity;q=0"}, {"Accept-Encoding: *;q=0"}},
		}},
	} {
		p := policy(t)
		vary := stored(t, "Vary: "+test.vary).Vary
		seen := map[string]int{}
		for i, group := range test.groups {
			for _, fields := range group {
				key := p.Variant(vary, header(fields...))
				if first := p.Variant(vary, header(group[0]...)); key != first {
					t.Errorf("vary %s: %q has %q, want %q as %q", test.vary, fields, key, first, group[0])
				}
				if other, ok := seen[key]; ok && other != i {
					t.Errorf("vary %s: %q matches %q", test.vary, fields, test.groups[other][0])
				}
				seen[key] = i
			}
		}
	}
}

func TestVariantKeyIsText(t *testing.T) {
	p := policy(t)
	vary := stored(t, "Vary: Cookie, Accept-Encoding, X-A").Vary
	h := header("Accept-Encoding: gzip, br", "Accept-Language: de", "X-A: 1, 2")
	if got, want := p.Variant(vary, h), "accept-encoding:br,gzip\ncookie\nx-a:1,2"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if got := p.Variant(nil, h); got != "" {
		t.Errorf("without Vary: %q", got)
	}
}

// A line break that slips into a value must not pass for another field.
func TestVariantKeyCannotBeForged(t *testing.T) {
	p := policy(t)
	vary := stored(t, "Vary: A, B").Vary
	forged := p.Variant(vary, http.Header{"A": {"1\nb:2"}})
	if honest := p.Variant(vary, header("A: 1", "B: 2")); forged == honest || forged == honest+"\nb" {
		t.Errorf("%q and %q", forged, honest)
	}
	if want := "a:1 b:2\nb"; forged != want {
		t.Errorf("%q, want %q", forged, want)
	}
}

// RFC 9110, sections 8.4.1 and 12.5.3.
func TestAcceptEncodingForTheBackend(t *testing.T) {
	p := policy(t)
	for in, want := range map[string]string{
		"gzip, deflate, br, zstd":          "br,zstd,gzip",
		"deflate":                          "identity",
		"x-gzip":                           "gzip",
		"x-br":                             "identity",
		"*":                                "br,zstd,gzip",
		"*;q=0":                            "identity;q=0",
		"*;q=0, identity":                  "identity",
		"*;q=0, identity;q=0.1, gzip;q=.5": "gzip",
		"br;q=0, *":                        "zstd,gzip",
		"gzip;q=1;x=0":                     "gzip",
		"gzip;q=, br;x=0":                  "br,gzip",
	} {
		h := header("Accept-Encoding: " + in)
		p.SetAcceptEncoding(h)
		if got := h.Get("Accept-Encoding"); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
		again := h.Clone()
		p.SetAcceptEncoding(again)
		if got := again.Get("Accept-Encoding"); got != want {
			t.Errorf("%q twice: %q", in, got)
		}
	}
	h := header("Accept: x")
	if p.SetAcceptEncoding(h); len(h) != 1 {
		t.Errorf("Accept-Encoding was invented: %v", h)
	}
	asItIs := policy(t, func(c *rules.Config) { c.Encodings = nil })
	h = header("Accept-Encoding: deflate , GZIP")
	if asItIs.SetAcceptEncoding(h); h.Get("Accept-Encoding") != "deflate , GZIP" {
		t.Errorf("changed to %q", h.Get("Accept-Encoding"))
	}
	if got := asItIs.Variant([]string{"Accept-Encoding"}, h); got != "accept-encoding:deflate,gzip" {
		t.Errorf("key %q", got)
	}
}
