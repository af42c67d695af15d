package exchange_test

import (
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/ergoproxy/ergo/shared/exchange"
)

func TestNewIDIsAVersion7UUIDInOrderOfTime(t *testing.T) {
	form := regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)
	now := time.UnixMilli(0x0190a7f21234)
	early, late := exchange.NewID(now), exchange.NewID(now.Add(time.Millisecond))
	if !form.MatchString(early.String()) {
		t.Errorf("%s is no version 7 UUID", early)
	}
	if !strings.HasPrefix(early.String(), "0190a7f2-1234-7") {
		t.Errorf("%s does not begin with its time", early)
	}
	if early.String() >= late.String() {
		t.Errorf("%s is not before %s", early, late)
	}
	if exchange.NewID(now) == early {
		t.Error("two IDs of the same millisecond are equal")
	}
	if early.IsZero() || !(exchange.ID{}).IsZero() {
		t.Error("IsZero is wrong")
	}
}

const parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

func TestParseTrace(t *testing.T) {
	for _, tc := range []struct {
		name, in, want string // want "": refused
	}{
		{"sampled", parent, parent},
		{"other flags are dropped", parent[:53] + "ff", parent},
		{"not sampled", parent[:53] + "02", parent[:53] + "00"},
		{"later version with more", "cc" + parent[2:] + "-what-the-future-brings", parent},
		{"later version without more", "cc" + parent[2:], parent},
		{"later version with junk", "cc" + parent[2:] + "x", ""},
		{"version 00 with more", parent + "-x", ""},
		{"version ff", "ff" + parent[2:], ""},
		{"upper case", strings.ToUpper(parent), ""},
		{"not hex", "0g" + parent[2:], ""},
		{"zero trace id", "00-" + strings.Repeat("0", 32) + parent[35:], ""},
		{"zero span id", parent[:36] + strings.Repeat("0", 16) + "-01", ""},
		{"wrong separators", strings.ReplaceAll(parent, "-", "_"), ""},
		{"empty", "", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := exchange.ParseTrace(tc.in)
			if (err != nil) != (tc.want == "") {
				t.Fatalf("ParseTrace: %v", err)
			}
			if err == nil && got.Parent() != tc.want {
				t.Errorf("ParseTrace gives %s, want %s", got.Parent(), tc.want)
			}
			if err != nil && !got.IsZero() {
				t.Errorf("a refused value leaves %+v", got)
			}
		})
	}
}

func TestParseTraceRefusesEveryPrefix(t *testing.T) {
	for n := range len(parent) {
		if _, err := exchange.ParseTrace(parent[:n]); err == nil {
			t.Errorf("the first %d bytes are accepted", n)
		}
	}
}

func TestNewTraceReadsBack(t *testing.T) {
	want := exchange.NewTrace()
	got, err := exchange.ParseTrace(want.Parent())
	if err != nil || got != want {
		t.Errorf("%+v comes back as %+v, %v", want, got, err)
	}
}

func FuzzParseTrace(f *testing.F) {
	for _, seed := range []string{parent, "cc" + parent[2:] + "-x", "", strings.Repeat("-", 55)} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, in string) {
		got, err := exchange.ParseTrace(in)
		if err != nil {
			return
		}
		if back, err := exchange.ParseTrace(got.Parent()); err != nil || back != got {
			t.Errorf("%q is read as %+v, which is read back as %+v, %v", in, got, back, err)
		}
	})
}

func TestIDAndTraceAllocations(t *testing.T) {
	if raceDetector {
		t.Skip("the race detector allocates")
	}
	now, buf := time.Now(), make([]byte, 0, 64)
	var id exchange.ID
	var trace exchange.Trace
	for name, run := range map[string]struct {
		f    func()
		want float64
	}{
		"NewID":        {func() { id = exchange.NewID(now) }, 0},
		"ID.Append":    {func() { buf = id.Append(buf[:0]) }, 0},
		"ID.String":    {func() { _ = id.String() }, 1},
		"ParseTrace":   {func() { trace, _ = exchange.ParseTrace(parent) }, 0},
		"AppendParent": {func() { buf = trace.AppendParent(buf[:0]) }, 0},
	} {
		if got := testing.AllocsPerRun(100, run.f); got > run.want {
			t.Errorf("%s allocates %v times, want at most %v", name, got, run.want)
		}
	}
}

func BenchmarkNewID(b *testing.B) {
	now := time.Now()
	b.ReportAllocs()
	for b.Loop() {
		exchange.NewID(now)
	}
}
