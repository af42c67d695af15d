package rules

import (
	"fmt"
	"strings"
	"testing"
)

// show writes what a parse gave.
func (it item) show() string {
	switch it.kind {
	case itemBoolean:
		return fmt.Sprint(it.boolean)
	case itemInteger:
		return fmt.Sprint(it.integer)
	case itemString:
		return fmt.Sprintf("%q", it.text)
	case itemToken:
		return it.text
	}
	return "other"
}

func dictionary(lines ...string) (string, bool) {
	var got []string
	ok := parseDictionary(lines, func(key string, it item) { got = append(got, key+"="+it.show()) })
	return strings.Join(got, " "), ok
}

// RFC 9651, section 4.2.
func TestStructuredDictionary(t *testing.T) {
	for _, test := range []struct{ in, want string }{
		{"", ""},
		{"  ", ""},
		{"a", "a=true"},
		{"a;x;y=1", "a=true"},
		{"a=?0, b=?1;x", "a=false b=true"},
		{"a=1 ,\t b=-2,c=999999999999999", "a=1 b=-2 c=999999999999999"},
		{"a=1.5, b=-123456789012.123", "a=other b=other"},
		{`a="x", b="", c="\"\\y"`, `a="x" b="" c="\"\\y"`},
		{"a=tok, b=*x/y:z, c=T!#$%&'*+-.^_`|~1", "a=tok b=*x/y:z c=T!#$%&'*+-.^_`|~1"},
		{"a=:aGk=:, b=::", "a=other b=other"},
		{"a=@1659578233, b=@-1", "a=other b=other"},
		{`a=%"f%c3%bc", b=%""`, "a=other b=other"},
		{`a=(), b=( 1 "x";p=1 tok  ), c=(1);q`, "a=other b=other c=other"},
		{"*a-b_c.d1=1", "*a-b_c.d1=1"},
		{"a=1;  x=1; y", "a=1"},
	} {
		got, ok := dictionary(test.in)
		if !ok || got != test.want {
			t.Errorf("%q: %q, %v; want %q", test.in, got, ok, test.want)
		}
	}
	for _, in := range []string{
		",", "a,", ",a", "a,,b", "A", "1", "-a", "a=", "a= 1", "a =1", "a b", "a;", "a;=1", "a;X", "a;x=", "a;x=(1)",
		"a=-", "a=--1", "a=1234567890123456", "a=1.", "a=.5", "a=1.2345", "a=1234567890123.1", "a=1.5.5", "a=+1",
		`a="`, `a="x`, `a="\x"`, `a="\`, "a=\"\t\"", "a=\"\x7f\"", "a=\"é\"",
		"a=?", "a=?2", "a=?true", "a=:", "a=:a", "a=:-:", "a=@", "a=@1.5", "a=@x",
		`a=%`, `a=%"`, `a=%"%"`, `a=%"%C3"`, `a=%"%c"`, "a=%\"\n\"",
		"a=(", "a=(1", "a=(1,2)", `a=("x""y")`, "a=((1))", "a=(1)x", "a=&", "é", "a=1\v",
	} {
		if got, ok := dictionary(in); ok {
			t.Errorf("%q is taken as %q", in, got)
		}
	}
}

func TestStructuredLinesAreOneField(t *testing.T) {
	if got, ok := dictionary("a=1", "b;x , c"); !ok || got != "a=1 b=true c=true" {
		t.Errorf("%q, %v", got, ok)
	}
	if got, ok := dictionary("a=1", ""); ok {
		t.Errorf("an empty line gave %q", got)
	}
}

// Each prefix of a field is valid only where a member may end.
func TestStructuredTruncation(t *testing.T) {
	const in = `a=(1 "x");p="q", b=:aa:, c=%"%c3", d="e\"f"`
	ends := map[string]bool{
		"": true, "a": true, `a=(1 "x")`: true, `a=(1 "x");p`: true, `a=(1 "x");p="q"`: true, `a=(1 "x");p="q", b`: true,
		`a=(1 "x");p="q", b=:aa:`: true, `a=(1 "x");p="q", b=:aa:, c`: true, `a=(1 "x");p="q", b=:aa:, c=%"%c3"`: true,
		`a=(1 "x");p="q", b=:aa:, c=%"%c3", d`: true, in: true,
	}
	for n := range len(in) + 1 {
		if got, ok := dictionary(in[:n]); ok != ends[in[:n]] {
			t.Errorf("%q: %q, %v", in[:n], got, ok)
		}
	}
}

// FuzzStructured looks for a panic, and for input that is taken although writing
// it out as members and reading those one by one does not give the same.
func FuzzStructured(f *testing.F) {
	for _, in := range []string{"", `a=1, b="x\"";c, d=(1 2)`, "a=:aa:,b=@1,c=%\"%aa\",d=?0", `"x", "y"`, "a,,"} {
		f.Add(in)
	}
	f.Fuzz(func(t *testing.T, in string) {
		in = trim(in) // a tab is white space between members, but not in front of the first
		whole, ok := dictionary(in)
		if ok && whole != "" {
			if again, ok := dictionary(in + ", zz=1"); !ok || again != whole+" zz=1" {
				t.Errorf("%q gives %q, with a member more %q, %v", in, whole, again, ok)
			}
		}
		if !ok {
			if again, ok := dictionary("zz, " + in); ok {
				t.Errorf("%q is broken, but not behind another member: %q", in, again)
			}
		}
		n := 0
		if parseList([]string{in}, func(item) { n++ }) && n > 0 {
			m := 0
			if !parseList([]string{in, "1"}, func(item) { m++ }) || m != n+1 {
				t.Errorf("list %q: %d members, with one more %d", in, n, m)
			}
		}
	})
}
