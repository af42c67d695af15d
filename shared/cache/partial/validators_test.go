package partial_test

import (
	"net/http"
	"testing"

	"github.com/ergoproxy/ergo/shared/cache/partial"
)

const (
	noon        = "Thu, 05 Nov 2026 12:00:00 GMT"
	noonAsctime = "Thu Nov  5 12:00:00 2026"
	later       = "Thu, 05 Nov 2026 12:00:59 GMT"
	muchLater   = "Thu, 05 Nov 2026 12:01:00 GMT"
)

// RFC 9110, 13.1.5, and for the dates 8.8.2.2.
func TestIfRangeHoldsByStrongValidatorsOnly(t *testing.T) {
	tag := func(tag string) http.Header { return header("Etag", tag) }
	dated := func(modified, date string) http.Header { return header("Last-Modified", modified, "Date", date) }
	for _, row := range []struct {
		name    string
		ifRange string
		stored  http.Header
		want    bool
	}{
		{"the same tag", `"a"`, tag(`"a"`), true},
		{"the same tag with white space around", "\t\"a\" ", tag(`"a"`), true},
		{"an empty tag", `""`, tag(`""`), true},
		{"another tag", `"a"`, tag(`"b"`), false},
		{"another case", `"a"`, tag(`"A"`), false},
		{"weak at the client", `W/"a"`, tag(`"a"`), false},
		{"weak here", `"a"`, tag(`W/"a"`), false},
		{"weak at both", `W/"a"`, tag(`W/"a"`), false},
		{"no tag here", `"a"`, http.Header{}, false},
		{"tags without quotes", `a`, tag(`a`), false},
		{"two tags here", `"a"`, header("Etag", `"a"`, "Etag", `"a"`), false},
		{"a list of tags", `"a", "b"`, tag(`"a", "b"`), false},
		{"any tag", `*`, tag(`*`), false},
		{"an unfinished tag", `"`, tag(`"`), false},
		{"nothing", ``, http.Header{}, false},

		{"the same date, much older than Date", noon, dated(noon, muchLater), true},
		{"the same date in the old form", noonAsctime, dated(noon, muchLater), true},
		{"the same date, too young", noon, dated(noon, later), false},
		{"the same date, of the same second", noon, dated(noon, noon), false},
		{"the same date, in the future", muchLater, dated(muchLater, noon), false},
		{"the same date, without Date", noon, header("Last-Modified", noon), false},
		{"the same date, with a Date that is none", noon, dated(noon, "soon"), false},
		{"the same date in words that are none", "noon", dated("noon", muchLater), false},
		{"a later date", later, dated(noon, muchLater), false},
		{"an earlier date", noon, dated(later, "Fri, 06 Nov 2026 12:00:00 GMT"), false},
		{"a date next to a tag here", noon, header("Etag", `"a"`, "Last-Modified", noon, "Date", muchLater), true},
	} {
		r := get("Range", "bytes=0-1", "If-Range", row.ifRange)
		if got := r.Holds(partial.ValidatorsOf(row.stored)); got != row.want {
			t.Errorf("%s: %v, want %v", row.name, got, row.want)
		}
		want := http.StatusOK
		if row.want {
			want = http.StatusPartialContent
		}
		if p := r.Plan(row.stored, 1000); p.Status != want {
			t.Errorf("%s: %d, want %d", row.name, p.Status, want)
		}
	}
}

// RFC 9110, 13.1.5: an If-Range that is false makes Range ignored, a range that
// can't be satisfied included.
func TestIfRangeIsLookedAtBeforeTheRange(t *testing.T) {
	stored := header("Etag", `"a"`)
	if p := get("Range", "bytes=5000-", "If-Range", `"b"`).Plan(stored, 1000); p.Status != http.StatusOK {
		t.Errorf("%d, want 200", p.Status)
	}
	if p := get("Range", "bytes=5000-", "If-Range", `"a"`).Plan(stored, 1000); p.Status != http.StatusRequestedRangeNotSatisfiable {
		t.Errorf("%d, want 416", p.Status)
	}
}

func TestIfRangeInTwoLinesNeverHolds(t *testing.T) {
	r := get("Range", "bytes=0-1", "If-Range", `"a"`, "If-Range", `"a"`)
	if p := r.Plan(header("Etag", `"a"`), 1000); p.Status != http.StatusOK {
		t.Errorf("%d, want 200", p.Status)
	}
}

// RFC 9110, 13.1.5: without Range it is ignored.
func TestIfRangeWithoutRangeIsIgnored(t *testing.T) {
	if p := get("If-Range", `"b"`).Plan(header("Etag", `"a"`), 1000); p.Status != http.StatusOK {
		t.Errorf("%d, want 200", p.Status)
	}
}

// RFC 9110, 8.8.3.2 and 8.8.2.2; RFC 9111, 3.4.
func TestSameWantsStrongValidatorsOfOneKind(t *testing.T) {
	strongDate := header("Last-Modified", noon, "Date", muchLater)
	weakDate := header("Last-Modified", noon, "Date", later)
	for _, row := range []struct {
		name string
		a, b http.Header
		want bool
	}{
		{"tags", header("Etag", `"a"`), header("Etag", `"a"`), true},
		{"tags, of other dates", header("Etag", `"a"`, "Last-Modified", noon), header("Etag", `"a"`, "Last-Modified", later), true},
		{"dates", strongDate, strongDate, true},
		{"other tags", header("Etag", `"a"`), header("Etag", `"b"`), false},
		{"weak tags", header("Etag", `W/"a"`), header("Etag", `W/"a"`), false},
		{"weak and strong", header("Etag", `W/"a"`), header("Etag", `"a"`), false},
		{"weak dates", weakDate, weakDate, false},
		{"tag and date", header("Etag", `"a"`), strongDate, false},
		{"nothing", http.Header{}, http.Header{}, false},
		{"weak tags, strong dates", header("Etag", `W/"a"`, "Last-Modified", noon, "Date", muchLater),
			header("Etag", `W/"a"`, "Last-Modified", noon, "Date", muchLater), false},
	} {
		a, b := partial.ValidatorsOf(row.a), partial.ValidatorsOf(row.b)
		if a.Same(b) != row.want || b.Same(a) != row.want {
			t.Errorf("%s: %v and %v, want %v", row.name, a.Same(b), b.Same(a), row.want)
		}
	}
}

// What Strong returns must hold as an If-Range of the same state.
func FuzzIfRange(f *testing.F) {
	for _, s := range []string{`"a"`, `W/"a"`, `a`, `"a`, `""`, noon, noonAsctime, "\"\x00\"", "\"\x80\"", `"a"b"`} {
		f.Add(s, s)
	}
	f.Fuzz(func(t *testing.T, ifRange, field string) {
		for _, stored := range []http.Header{header("Etag", field), header("Last-Modified", field, "Date", muchLater)} {
			v := partial.ValidatorsOf(stored)
			if strong := v.Strong(); strong != "" && !get("Range", "bytes=0-", "If-Range", strong).Holds(v) {
				t.Fatalf("%q does not hold of itself", strong)
			}
			if get("Range", "bytes=0-", "If-Range", ifRange).Holds(v) && v.Strong() == "" {
				t.Fatalf("%q holds of the weak %q", ifRange, field)
			}
		}
	})
}
