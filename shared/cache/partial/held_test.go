package partial_test

import (
	"errors"
	"fmt"
	"math"
	"net/http"
	"slices"
	"testing"

	"github.com/ergoproxy/ergo/shared/cache/partial"
)

var tagA = partial.ValidatorsOf(header("Etag", `"a"`))

func newHeld(t testing.TB, size int64, limit int) *partial.Held {
	t.Helper()
	h, err := partial.NewHeld(tagA, size, limit)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func part(from, to, size int64) partial.Part {
	return partial.Part{Span: partial.Span{From: from, To: to}, Size: size, Validators: tagA}
}

// RFC 9111, 3.4; RFC 9110, 15.3.7.3.
func TestPartsAreCombined(t *testing.T) {
	h := newHeld(t, 100, 3)
	for _, row := range []struct {
		from, to int64
		missing  []partial.Span
	}{
		{40, 50, []partial.Span{{0, 40}, {50, 100}}},
		{40, 50, []partial.Span{{0, 40}, {50, 100}}}, // again
		{42, 44, []partial.Span{{0, 40}, {50, 100}}}, // inside
		{50, 60, []partial.Span{{0, 40}, {60, 100}}}, // touches the end
		{30, 40, []partial.Span{{0, 30}, {60, 100}}}, // touches the beginning
		{80, 90, []partial.Span{{0, 30}, {60, 80}, {90, 100}}},
		{5, 10, []partial.Span{{0, 5}, {10, 30}, {60, 80}, {90, 100}}},
		{8, 35, []partial.Span{{0, 5}, {60, 80}, {90, 100}}},  // a bridge that overlaps both
		{95, 100, []partial.Span{{0, 5}, {60, 80}, {90, 95}}}, // the last bytes
		{0, 100, nil},
	} {
		if h.Complete() {
			t.Fatalf("complete before %d-%d", row.from, row.to)
		}
		if err := h.Add(part(row.from, row.to, 100)); err != nil {
			t.Fatalf("%d-%d: %v", row.from, row.to, err)
		}
		if got := h.Missing(nil, partial.Span{From: 0, To: 100}); !slices.Equal(got, row.missing) {
			t.Fatalf("after %d-%d: missing %v, want %v", row.from, row.to, got, row.missing)
		}
	}
	if !h.Complete() || h.Bytes() != 100 {
		t.Errorf("not complete with %d bytes", h.Bytes())
	}
}

// RFC 9111, 3.3: only a request for a range within what is held.
func TestHeldCoversWhatItHoldsWholly(t *testing.T) {
	h := newHeld(t, 1000, 4)
	for _, p := range []partial.Part{part(100, 300, 1000), part(500, 600, 1000)} {
		if err := h.Add(p); err != nil {
			t.Fatal(err)
		}
	}
	for _, row := range []struct {
		field   string
		want    bool
		missing []partial.Span
	}{
		{"bytes=100-299", true, nil},
		{"bytes=150-160,500-599", true, nil},
		{"bytes=100-300", false, []partial.Span{{300, 301}}},
		{"bytes=99-299", false, []partial.Span{{99, 100}}},
		{"bytes=0-0", false, []partial.Span{{0, 1}}},
		{"bytes=300-499", false, []partial.Span{{300, 500}}},
		{"bytes=50-700", false, []partial.Span{{50, 100}, {300, 500}, {600, 701}}},
		{"bytes=150-160,900-", false, []partial.Span{{900, 1000}}},
		{"bytes=-1", false, []partial.Span{{999, 1000}}},
		{"none", false, []partial.Span{{0, 100}, {300, 500}, {600, 1000}}},
	} {
		p := get("Range", row.field).Plan(nil, h.Size())
		var missing []partial.Span
		for _, s := range p.Spans {
			missing = h.Missing(missing, s)
		}
		if got := h.Covers(p.Spans); got != row.want || !slices.Equal(missing, row.missing) {
			t.Errorf("%s: %v, missing %v, want %v, %v", row.field, got, missing, row.want, row.missing)
		}
	}
}

// RFC 9111, 3.4: parts without the same strong validator are not combined.
func TestPartOfAnotherStateIsRefused(t *testing.T) {
	h := newHeld(t, 100, 3)
	other := part(0, 10, 100)
	other.Validators = partial.ValidatorsOf(header("Etag", `"b"`))
	weak := part(0, 10, 100)
	weak.Validators = partial.ValidatorsOf(header("Etag", `W/"a"`))
	for name, p := range map[string]partial.Part{"another tag": other, "weak": weak, "another length": part(0, 10, 101)} {
		if err := h.Add(p); !errors.Is(err, partial.ErrChanged) {
			t.Errorf("%s: %v, want ErrChanged", name, err)
		}
	}
	for _, p := range []partial.Part{part(-1, 10, 100), part(10, 10, 100), part(10, 9, 100), part(90, 101, 100)} {
		if err := h.Add(p); !errors.Is(err, partial.ErrNotCombinable) {
			t.Errorf("%v: %v, want ErrNotCombinable", p.Span, err)
		}
	}
	if h.Bytes() != 0 {
		t.Errorf("%d bytes are held after errors only", h.Bytes())
	}
}

func TestHeldNeedsAStrongValidator(t *testing.T) {
	for _, stored := range []http.Header{
		{}, header("Etag", `W/"a"`), header("Last-Modified", noon), header("Last-Modified", noon, "Date", later),
	} {
		if _, err := partial.NewHeld(partial.ValidatorsOf(stored), 10, 1); !errors.Is(err, partial.ErrNotCombinable) {
			t.Errorf("%v: %v, want ErrNotCombinable", stored, err)
		}
	}
	h, err := partial.NewHeld(partial.ValidatorsOf(header("Last-Modified", noon, "Date", muchLater)), 10, 1)
	if err != nil || h.Validator() != noon {
		t.Errorf("a strong date: %v", err)
	}
}

func TestSeparateSpansAreLimited(t *testing.T) {
	h := newHeld(t, 100, 2)
	for _, row := range []struct {
		from, to int64
		want     error
	}{
		{10, 20, nil}, {30, 40, nil}, {50, 60, partial.ErrTooManySpans}, {0, 9, partial.ErrTooManySpans}, {22, 28, partial.ErrTooManySpans},
		{40, 41, nil}, {15, 35, nil}, {50, 60, nil},
	} {
		before := h.Bytes()
		if err := h.Add(part(row.from, row.to, 100)); !errors.Is(err, row.want) || err != nil && h.Bytes() != before {
			t.Errorf("%d-%d: %v, want %v; %d bytes, before %d", row.from, row.to, err, row.want, h.Bytes(), before)
		}
	}
}

func TestPartOfABackendIsRead(t *testing.T) {
	for _, row := range []struct {
		name string
		h    http.Header
		want partial.Span
	}{
		{"with a length", header("Content-Range", "bytes 5-9/20", "Content-Length", "5", "Etag", `"a"`), partial.Span{From: 5, To: 10}},
		{"without", header("Content-Range", "bytes 5-9/20", "Etag", `"a"`), partial.Span{From: 5, To: 10}},
		{"by date", header("Content-Range", "bytes 0-0/20", "Last-Modified", noon, "Date", muchLater), partial.Span{From: 0, To: 1}},
	} {
		p, err := partial.ParsePart(row.h)
		if err != nil || p.Span != row.want || p.Size != 20 {
			t.Errorf("%s: %v, %v", row.name, p, err)
		}
	}
}

// RFC 9110, 14.4 and 15.3.7.3.
func TestPartThatCannotBeCombinedIsRefused(t *testing.T) {
	const good = "bytes 5-9/20"
	for name, h := range map[string]http.Header{
		"no Content-Range":       header("Etag", `"a"`),
		"two of them":            header("Etag", `"a"`, "Content-Range", good, "Content-Range", good),
		"malformed":              header("Etag", `"a"`, "Content-Range", "bytes 5-9"),
		"unsatisfied":            header("Etag", `"a"`, "Content-Range", "bytes */20"),
		"unknown length":         header("Etag", `"a"`, "Content-Range", "bytes 5-9/*"),
		"another Content-Length": header("Etag", `"a"`, "Content-Range", good, "Content-Length", "6"),
		"a Content-Length of -5": header("Etag", `"a"`, "Content-Range", good, "Content-Length", "-5"),
		"no validator":           header("Content-Range", good),
		"a weak tag":             header("Etag", `W/"a"`, "Content-Range", good),
		"a young date":           header("Last-Modified", noon, "Date", later, "Content-Range", good),
		"multipart":              header("Etag", `"a"`, "Content-Type", "multipart/byteranges; boundary=x"),
		"multipart with a range": header("Etag", `"a"`, "Content-Type", "Multipart/ByteRanges ;boundary=x", "Content-Range", good),
	} {
		if p, err := partial.ParsePart(h); !errors.Is(err, partial.ErrNotCombinable) {
			t.Errorf("%s: %v, %v, want ErrNotCombinable", name, p, err)
		}
	}
}

// RFC 9110, 15.3.7.3: a complete one is a 200 with the complete length.
func TestWholeHasTheLengthOfTheWhole(t *testing.T) {
	h := header("Etag", `"a"`, "Content-Range", "bytes 5-9/20", "Content-Length", "5", "Content-Type", "text/plain", "Content-Digest", "x")
	w := partial.Whole(h, 20)
	if got := names(w); got != "Content-Length Content-Type Etag" || w.Get("Content-Length") != "20" {
		t.Errorf("%s, Content-Length %s", got, w.Get("Content-Length"))
	}
	if h.Get("Content-Length") != "5" {
		t.Error("the header of the part was changed")
	}
}

// The gap that is asked for is the one that Missing names, and the answer to it
// is of the same state.
func TestGapIsAskedForWithIfRange(t *testing.T) {
	h := newHeld(t, 100, 2)
	if err := h.Add(part(0, 40, 100)); err != nil {
		t.Fatal(err)
	}
	gap := h.Missing(nil, partial.Span{From: 30, To: 60})
	if len(gap) != 1 || gap[0].Range() != "bytes=40-59" || h.Validator() != `"a"` {
		t.Fatalf("%v with %s", gap, h.Validator())
	}
	p := get("Range", gap[0].Range(), "If-Range", h.Validator()).Plan(header("Etag", `"a"`), 100)
	if !slices.Equal(p.Spans, gap) {
		t.Errorf("%v, want %v", p.Spans, gap)
	}
}

// Held against a model that keeps a bit for each byte.
func FuzzHeld(f *testing.F) {
	f.Add([]byte{10, 20, 30, 40, 20, 30, 0, 63})
	f.Add([]byte{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11})
	f.Add([]byte{63, 1, 5, 5, 0, 200})
	f.Fuzz(func(t *testing.T, steps []byte) {
		const size, limit = 64, 4
		h := newHeld(t, size, limit)
		var model [size]bool
		for ; len(steps) >= 2; steps = steps[2:] {
			from, to := int64(steps[0]), int64(steps[1])
			if err := h.Add(part(from, to, size)); err == nil {
				for i := from; i < to; i++ {
					model[i] = true
				}
			} else if from < to && to <= size && !errors.Is(err, partial.ErrTooManySpans) {
				t.Fatalf("%d-%d: %v", from, to, err)
			}
			checkHeld(t, h, model[:], limit)
		}
	})
}

func checkHeld(t *testing.T, h *partial.Held, model []bool, limit int) {
	t.Helper()
	all := partial.Span{From: 0, To: int64(len(model))}
	missing, held := "", int64(0)
	islands := 0
	for i, here := range model {
		if here {
			held++
			if i == 0 || !model[i-1] {
				islands++
			}
			continue
		}
		missing += fmt.Sprint(i, " ")
	}
	got := ""
	for _, gap := range h.Missing(nil, all) {
		for i := gap.From; i < gap.To; i++ {
			got += fmt.Sprint(i, " ")
		}
	}
	if got != missing || h.Bytes() != held || h.Complete() != (missing == "") || islands > limit {
		t.Fatalf("missing %s, want %s; %d bytes, want %d; %d islands", got, missing, h.Bytes(), held, islands)
	}
}

func TestHeldAtTheEndOfInt64DoesNotOverflow(t *testing.T) {
	h := newHeld(t, math.MaxInt64, 2)
	for _, p := range []partial.Part{part(math.MaxInt64-1, math.MaxInt64, math.MaxInt64), part(0, math.MaxInt64-1, math.MaxInt64)} {
		if err := h.Add(p); err != nil {
			t.Fatal(err)
		}
	}
	if !h.Complete() || h.Bytes() != math.MaxInt64 {
		t.Errorf("%d bytes", h.Bytes())
	}
}
