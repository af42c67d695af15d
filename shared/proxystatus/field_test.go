package proxystatus_test

import (
	"reflect"
	"strings"
	"testing"

	"github.com/ergoproxy/ergo/shared/proxystatus"
)

func TestEntryIsWrittenAndReadBack(t *testing.T) {
	for _, tc := range []struct {
		name  string
		entry proxystatus.Entry
		want  string
	}{
		{"token", proxystatus.Entry{Name: "edge-1", Reason: "dns_error", Details: "no such name"}, `edge-1; error=dns_error; details="no such name"`},
		{"name alone", proxystatus.Entry{Name: "edge-1"}, `edge-1`},
		{"name with a space", proxystatus.Entry{Name: "my edge"}, `"my edge"`},
		{"name with a digit first", proxystatus.Entry{Name: "1st"}, `"1st"`},
		{"quotes and backslashes", proxystatus.Entry{Name: "e", Reason: "x", Details: `a "b" \c`}, `e; error=x; details="a \"b\" \\c"`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := tc.entry.String(); got != tc.want {
				t.Fatalf("String() = %s, want %s", got, tc.want)
			}
			back, err := proxystatus.ParseField(tc.want)
			if err != nil || len(back) != 1 || back[0] != tc.entry {
				t.Errorf("ParseField = %+v, %v", back, err)
			}
		})
	}
}

func TestEntryHoldsNoLineBreak(t *testing.T) {
	e := proxystatus.Entry{Name: "e\r\nX: 1", Reason: "bad reason", Details: "é\x00\r\nSet-Cookie: a"}
	got := e.String()
	if want := `"e??X: 1"; details="??????Set-Cookie: a"`; strings.ContainsAny(got, "\r\n\x00") || strings.Count(got, "?") != 7 {
		t.Errorf("String() = %q, want like %s", got, want)
	}
}

func TestParseField(t *testing.T) {
	for _, tc := range []struct {
		name, in string
		want     []proxystatus.Entry // nil: refused
	}{
		{"empty", "", []proxystatus.Entry{}},
		{"two members", `a; error=dns_error, "b c";details="x"`, []proxystatus.Entry{{Name: "a", Reason: "dns_error"}, {Name: "b c", Details: "x"}}},
		{"other parameters", `a;received-status=503;next-hop="x:1";next-protocol=:aDI=:;flag;t=?1;d=-1.5`, []proxystatus.Entry{{Name: "a"}}},
		{"member is a number", "1", nil},
		{"comma at the end", "a,", nil},
		{"comma at the start", ",a", nil},
		{"string without end", `"a`, nil},
		{"bad escape", `"a\n"`, nil},
		{"byte above ASCII", `"é"`, nil},
		{"parameter without name", "a; =1", nil},
		{"parameter without value", "a; error=", nil},
		{"upper-case key", "a; Error=x", nil},
		{"bad boolean", "a; x=?2", nil},
		{"bytes without end", "a; x=:aa", nil},
		{"bad number", "a; x=1-1", nil},
		{"junk", "a b", nil},
		{"too many members", strings.Repeat("a,", 32) + "a", nil},
		{"too many parameters", "a" + strings.Repeat(";x", 17), nil},
		{"too long", strings.Repeat("a", 4097), nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := proxystatus.ParseField(tc.in)
			if (err != nil) != (tc.want == nil) || len(got) != len(tc.want) {
				t.Fatalf("ParseField = %+v, %v", got, err)
			}
			if len(got) > 0 && !reflect.DeepEqual(got, tc.want) {
				t.Errorf("ParseField = %+v, want %+v", got, tc.want)
			}
		})
	}
}

func FuzzParseField(f *testing.F) {
	for _, seed := range []string{"", `edge-1; error=dns_error; details="x"`, `a,"b\\";c=?1;d=:aa:;e=-1.5`, "a;", `"`, "a; x=1."} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, in string) {
		entries, err := proxystatus.ParseField(in)
		if err != nil {
			return
		}
		var b []byte
		for i, e := range entries {
			if i > 0 {
				b = append(b, ", "...)
			}
			b = e.Append(b)
		}
		if len(b) > 4096 {
			return // the escapes made it too long to be read again
		}
		back, err := proxystatus.ParseField(string(b))
		if err != nil || len(back) != len(entries) {
			t.Fatalf("%q was written as %q, which is read as %+v, %v", in, b, back, err)
		}
	})
}
