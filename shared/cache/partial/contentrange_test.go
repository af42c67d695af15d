package partial_test

import (
	"math"
	"testing"

	"github.com/ergoproxy/ergo/shared/cache/partial"
)

// RFC 9110, 14.4.
func TestContentRange(t *testing.T) {
	for text, want := range map[string]partial.ContentRange{
		"bytes 42-1233/1234": {Span: partial.Span{From: 42, To: 1234}, Size: 1234},
		"bytes 42-1233/*":    {Span: partial.Span{From: 42, To: 1234}, Size: partial.UnknownSize},
		"bytes */1234":       {Size: 1234},
		"bytes */0":          {Size: 0},
		"bytes 0-0/1":        {Span: partial.Span{From: 0, To: 1}, Size: 1},
		"bytes 9223372036854775805-9223372036854775806/9223372036854775807": {
			Span: partial.Span{From: math.MaxInt64 - 2, To: math.MaxInt64}, Size: math.MaxInt64},
	} {
		got, err := partial.ParseContentRange(text)
		if err != nil || got != want {
			t.Errorf("%q: %v, %v", text, got, err)
		}
		if got.String() != text {
			t.Errorf("%q is written as %q", text, got)
		}
	}
	if _, err := partial.ParseContentRange("Bytes 0-0/1"); err != nil {
		t.Errorf("units are case-insensitive (14.1): %v", err)
	}
}

// RFC 9110, 14.4: an invalid one must not be used to combine anything.
func TestContentRangeThatIsInvalidIsRefused(t *testing.T) {
	for _, text := range []string{
		"", "bytes", "bytes ", "bytes 0-1", "bytes 0-1/", "bytes /10", "bytes */*", "bytes -1/10", "bytes 1-/10", "bytes -/10",
		"bytes 2-1/10", "bytes 0-10/10", "bytes 10-10/10", "bytes 0-1/1", "bytes=0-1/10", "bytes  0-1/10", "bytes\t0-1/10",
		"bytes 0-1/10 ", "bytes 0 - 1/10", "bytes 0-1/+10", "bytes 0-1/-1", "items 0-1/10", "bytes 0-1,3-4/10", "bytes 0-1/10/10",
		"bytes 0-9223372036854775807/*", "bytes 0-9223372036854775808/*", "bytes 0-1/9223372036854775808",
		"bytes 99999999999999999999-99999999999999999999/*",
	} {
		if got, err := partial.ParseContentRange(text); err == nil {
			t.Errorf("%q was read as %v", text, got)
		}
	}
}

func TestContentRangeCutShortIsRefused(t *testing.T) {
	const text = "bytes 42-1233/1234"
	for n := range len(text) {
		if got, err := partial.ParseContentRange(text[:n]); err == nil {
			t.Errorf("%q was read as %v", text[:n], got)
		}
	}
}

func FuzzContentRange(f *testing.F) {
	for _, text := range []string{
		"bytes 42-1233/1234", "bytes 42-1233/*", "bytes */1234", "bytes */*", "bytes 0-9223372036854775807/*", "bytes 00-01/02",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		c, err := partial.ParseContentRange(text)
		if err != nil {
			return
		}
		if c.Span.From < 0 || c.Span.Len() < 0 || c.Size != partial.UnknownSize && c.Span.To > c.Size {
			t.Fatalf("%q was read as %v", text, c)
		}
		if again, err := partial.ParseContentRange(c.String()); err != nil || again != c {
			t.Fatalf("%q: %v, written %q, read %v, %v", text, c, c.String(), again, err)
		}
	})
}
