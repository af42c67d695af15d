package partial_test

import (
	"math"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/ergoproxy/ergo/shared/cache/partial"
)

// header makes a header of name, value, name, value, ...
func header(pairs ...string) http.Header {
	h := http.Header{}
	for i := 0; i < len(pairs); i += 2 {
		h.Add(pairs[i], pairs[i+1])
	}
	return h
}

func get(pairs ...string) partial.Request {
	return partial.ParseRequest(http.MethodGet, header(pairs...), partial.DefaultRanges)
}

// RFC 9110, 14.1.1 and 14.1.2.
func TestRangesAreReadAsSection14Says(t *testing.T) {
	const size = 1000
	for _, row := range []struct {
		field string
		want  []partial.Span
	}{
		{"bytes=0-499", []partial.Span{{0, 500}}},
		{"bytes=0-0", []partial.Span{{0, 1}}},
		{"bytes=500-", []partial.Span{{500, 1000}}},
		{"bytes=-300", []partial.Span{{700, 1000}}},
		{"bytes=-5000", []partial.Span{{0, 1000}}},
		{"bytes=999-999", []partial.Span{{999, 1000}}},
		{"bytes=900-5000", []partial.Span{{900, 1000}}},
		{"BYTES=0-1", []partial.Span{{0, 2}}},
		{"bytes=007-0008", []partial.Span{{7, 9}}},
		{"bytes=0-1,500-501", []partial.Span{{0, 2}, {500, 502}}},
		{"bytes=0-1 \t,\t 500-501", []partial.Span{{0, 2}, {500, 502}}},
		{"bytes=,0-1,,500-501,", []partial.Span{{0, 2}, {500, 502}}},
		{"  bytes=0-1\t", []partial.Span{{0, 2}}},
		// Those that are not satisfiable are left out of those that are.
		{"bytes=5000-,0-1", []partial.Span{{0, 2}}},
		{"bytes=-0,0-1", []partial.Span{{0, 2}}},
		// Numbers that no int64 holds.
		{"bytes=0-9223372036854775807", []partial.Span{{0, 1000}}},
		{"bytes=0-9223372036854775808", []partial.Span{{0, 1000}}},
		{"bytes=5-99999999999999999999999999", []partial.Span{{5, 1000}}},
		{"bytes=-99999999999999999999999999", []partial.Span{{0, 1000}}},
		{"bytes=99999999999999999999999999-,0-1", []partial.Span{{0, 2}}},
	} {
		p := get("Range", row.field).Plan(nil, size)
		if p.Status != http.StatusPartialContent || !slices.Equal(p.Spans, row.want) {
			t.Errorf("%q: %d %v, want 206 %v", row.field, p.Status, p.Spans, row.want)
		}
	}
}

// RFC 9110, 14.1.1, 14.1.2 and 14.2: what is ignored gets the whole.
func TestRangeThatIsInvalidIsIgnored(t *testing.T) {
	for _, field := range []string{
		"", "bytes", "bytes=", "bytes=,", "bytes=, ,", "bytes=-", "bytes=--1", "bytes=1", "bytes=1-2-3", "bytes=2-1",
		"bytes=a-b", "bytes=0x1-2", "bytes=+1-2", "bytes=1 -2", "bytes=1- 2", "bytes= 0-1", "bytes =0-1", " =0-1", "=0-1",
		"bytes=0-1;2-3", "bytes=0-1,x", "bytes=0-1,3-2", "bytes=0-1 2-3", "bytes:0-1", "items=0-1", "byte=0-1", "bytes=٣-٤",
		"bytes=99999999999999999999999999-99999999999999999999999998",
	} {
		p := get("Range", field).Plan(nil, 1000)
		if p.Status != http.StatusOK || !slices.Equal(p.Spans, []partial.Span{{0, 1000}}) {
			t.Errorf("%q: %d %v, want the whole", field, p.Status, p.Spans)
		}
	}
}

// RFC 9110, 14.2: GET is the only method for which Range is defined.
func TestRangeOfAnotherMethodIsIgnored(t *testing.T) {
	for _, method := range []string{http.MethodHead, http.MethodPost, "get", ""} {
		if partial.ParseRequest(method, header("Range", "bytes=0-1"), 1).Partial() {
			t.Errorf("%s: the Range was taken", method)
		}
	}
}

// Range is no list field (RFC 9110, 5.3): two lines of it have no meaning.
func TestRangeInTwoLinesIsIgnored(t *testing.T) {
	if get("Range", "bytes=0-1", "Range", "bytes=0-1").Partial() {
		t.Error("a Range in two lines was taken")
	}
}

// RFC 9110, 15.5.17 and 14.1.2.
func TestRangeBehindTheEndIsNotSatisfiable(t *testing.T) {
	for _, field := range []string{
		"bytes=1000-", "bytes=1000-1001", "bytes=-0", "bytes=1000-,2000-3000,-0", "bytes=9223372036854775807-",
		"bytes=99999999999999999999999999-",
	} {
		if p := get("Range", field).Plan(nil, 1000); p.Status != http.StatusRequestedRangeNotSatisfiable || p.Spans != nil {
			t.Errorf("%q: %d %v, want 416", field, p.Status, p.Spans)
		}
	}
}

// RFC 9110, 14.2: Range may be ignored when there is no content.
func TestRangeOfAnEmptyRepresentationIsIgnored(t *testing.T) {
	for _, field := range []string{"bytes=0-", "bytes=-1", "bytes=5-6"} {
		if p := get("Range", field).Plan(nil, 0); p.Status != http.StatusOK || p.Spans != nil {
			t.Errorf("%q: %d %v, want 200 without bytes", field, p.Status, p.Spans)
		}
	}
}

func TestRangeAtTheEndOfInt64DoesNotOverflow(t *testing.T) {
	const size = math.MaxInt64
	for field, want := range map[string]partial.Span{
		"bytes=0-":                   {0, size},
		"bytes=9223372036854775806-": {size - 1, size},
		"bytes=-1":                   {size - 1, size},
		"bytes=9223372036854775800-99999999999999999999": {size - 7, size},
	} {
		if p := get("Range", field).Plan(nil, size); !slices.Equal(p.Spans, []partial.Span{want}) {
			t.Errorf("%q: %v, want %v", field, p.Spans, want)
		}
	}
	if p := get("Range", "bytes=0-0,-1").Plan(nil, size); p.Status != http.StatusOK {
		t.Errorf("several parts of %d bytes: %d, want the whole: the length can't be counted", int64(size), p.Status)
	}
}

// RFC 9110, 14.2 and 17.15: many ranges are a sign of an attack.
func TestRangesOverTheLimitAreIgnored(t *testing.T) {
	ranges := func(n int) http.Header {
		return header("Range", "bytes="+strings.TrimSuffix(strings.Repeat("0-0,", n), ","))
	}
	for _, row := range []struct {
		h     http.Header
		limit int
		want  bool
	}{
		{ranges(1), 1, true},
		{ranges(2), 1, false},
		{ranges(16), 16, true},
		{ranges(17), 16, false},
		{ranges(1), 0, false},
		{header("Range", "bytes=0-0"+strings.Repeat(",", 16)), 16, true},
		{header("Range", "bytes=0-0"+strings.Repeat(",", 17)), 16, false},
	} {
		if got := partial.ParseRequest(http.MethodGet, row.h, row.limit).Partial(); got != row.want {
			t.Errorf("limit %d: %q taken: %v, want %v", row.limit, row.h["Range"], got, row.want)
		}
	}
}

// RFC 9110, 15.3.7.2: neighbours may become one, and the order of the request stays.
func TestRangesThatOverlapOrNearlyTouchBecomeOne(t *testing.T) {
	const size = 10_000
	for _, row := range []struct {
		name, field string
		want        []partial.Span
	}{
		{"overlap", "bytes=0-99,50-149", []partial.Span{{0, 150}}},
		{"the same twice", "bytes=0-99,0-99", []partial.Span{{0, 100}}},
		{"one in the other", "bytes=0-999,10-19", []partial.Span{{0, 1000}}},
		{"touch", "bytes=0-99,100-199", []partial.Span{{0, 200}}},
		{"a gap shorter than a head", "bytes=0-99,200-299", []partial.Span{{0, 300}}},
		{"the longest such gap", "bytes=0-99,227-299", []partial.Span{{0, 300}}},
		{"a gap as long as a head", "bytes=0-99,228-299", []partial.Span{{0, 100}, {228, 300}}},
		{"descending", "bytes=5000-5099,0-99", []partial.Span{{5000, 5100}, {0, 100}}},
		{"joined ones stand where the first stood", "bytes=5000-5099,0-99,5100-5199", []partial.Span{{5000, 5200}, {0, 100}}},
		{"the first of them is the later one", "bytes=5100-5199,0-99,5000-5099", []partial.Span{{5000, 5200}, {0, 100}}},
		{"a bridge", "bytes=0-99,300-399,90-310", []partial.Span{{0, 400}}},
		{"suffix and open", "bytes=-100,9000-", []partial.Span{{9000, 10_000}}},
		{"all of it, and more", "bytes=0-,0-,-1,5-6", []partial.Span{{0, 10_000}}},
	} {
		if p := get("Range", row.field).Plan(nil, size); !slices.Equal(p.Spans, row.want) {
			t.Errorf("%s: %q: %v, want %v", row.name, row.field, p.Spans, row.want)
		}
	}
}

// Whether a client undoes the coding of a whole before or after it takes a
// multipart body apart is not agreed.
func TestSeveralPartsOfACodedRepresentationAreTheWhole(t *testing.T) {
	for _, row := range []struct {
		coding, field string
		want          int
	}{
		{"gzip", "bytes=0-1,500-501", http.StatusOK},
		{"gzip", "bytes=0-1", http.StatusPartialContent},
		{"gzip", "bytes=0-1,1-2", http.StatusPartialContent},
		{"identity", "bytes=0-1,500-501", http.StatusPartialContent},
		{"", "bytes=0-1,500-501", http.StatusPartialContent},
	} {
		if p := get("Range", row.field).Plan(header("Content-Encoding", row.coding), 1000); p.Status != row.want {
			t.Errorf("%q, %s: %d, want %d", row.coding, row.field, p.Status, row.want)
		}
	}
}

func TestRequestWithoutRangeDoesNotAllocate(t *testing.T) {
	if raceDetector {
		t.Skip("the race detector allocates")
	}
	h := header("Accept", "*/*")
	if n := testing.AllocsPerRun(100, func() { partial.ParseRequest(http.MethodGet, h, 16) }); n != 0 {
		t.Errorf("%v allocations, want 0", n)
	}
}

func FuzzRange(f *testing.F) {
	for _, field := range []string{
		"bytes=0-499", "bytes=500-", "bytes=-300", "bytes=0-1 , 500-501,,-1", "bytes=99999999999999999999-", "items=1-2",
		"bytes=5-4", "bytes=0-0,200-200,400-400,-1", "bytes=300-,0-1,0-", "bytes=-0",
	} {
		f.Add(field, int64(1000), 16)
	}
	f.Add("bytes=0-,-1", int64(math.MaxInt64), 2)
	f.Fuzz(func(t *testing.T, field string, size int64, limit int) {
		p := partial.ParseRequest(http.MethodGet, header("Range", field), limit).Plan(nil, size)
		if len(p.Spans) > max(limit, 1) {
			t.Fatalf("%d spans, limit %d", len(p.Spans), limit)
		}
		checkPlan(t, p, size)
	})
}

// checkPlan fails if p can't be an answer from size bytes.
func checkPlan(t *testing.T, p partial.Plan, size int64) {
	t.Helper()
	switch whole := slices.Equal(p.Spans, []partial.Span{{0, size}}); {
	case p.Status == http.StatusOK && (whole || size <= 0 && p.Spans == nil):
	case p.Status == http.StatusRequestedRangeNotSatisfiable && p.Spans == nil && size > 0:
	case p.Status == http.StatusPartialContent && len(p.Spans) > 0:
	default:
		t.Fatalf("%d with %v of %d", p.Status, p.Spans, size)
	}
	for i, s := range p.Spans {
		if s.From < 0 || s.Len() <= 0 || s.To > size {
			t.Fatalf("%v of %d", s, size)
		}
		for _, other := range p.Spans[:i] {
			if s.From < other.To && other.From < s.To {
				t.Fatalf("%v and %v overlap", s, other)
			}
		}
	}
}
