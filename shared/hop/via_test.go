package hop_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/ergoproxy/ergo/shared/hop"
	"github.com/ergoproxy/ergo/shared/proxystatus"
)

func TestAppendVia(t *testing.T) {
	for _, tc := range []struct{ proto, want string }{
		{"HTTP/1.1", "1.1 edge-1"}, {"HTTP/2.0", "2 edge-1"}, {"HTTP/3.0", "3 edge-1"}, {"HTTP/1.0", "1.0 edge-1"}, {"HTTP/9", "9 edge-1"},
	} {
		h := header()
		hop.AppendVia(h, tc.proto, "edge-1")
		if got := h.Get("Via"); got != tc.want {
			t.Errorf("%s: Via is %q, want %q", tc.proto, got, tc.want)
		}
	}
	h := header("Via: 1.1 a", "Via: 1.1 b")
	hop.AppendVia(h, "HTTP/2.0", "edge-1")
	if got := h["Via"]; !slices.Equal(got, []string{"1.1 a, 1.1 b, 2 edge-1"}) {
		t.Errorf("Via is %q", got)
	}
}

func TestCheckLoop(t *testing.T) {
	for _, tc := range []struct {
		name, in string
		loop     bool
	}{
		{"none", "", false},
		{"others", "foo123.foocdn.example, barcdn.example; trace=\"abcdef\"", false},
		{"us", "foo, Ergo-A ; x=1", true},
		{"our name inside another", "ergo-ab, x-ergo-a", false},
		{"many others", strings.Repeat("x,", 31) + "x", false},
		{"too many others", strings.Repeat("x,", 33) + "x", true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			h := header("CDN-Loop: " + tc.in)
			err := hop.CheckLoop(h, "edge", "ergo-a")
			if (err != nil) != tc.loop {
				t.Fatalf("CheckLoop = %v", err)
			}
			if err != nil && (err.Type != proxystatus.ProxyLoopDetected || err.Hop != "edge") {
				t.Errorf("CheckLoop = %v", err)
			}
		})
	}
}

func TestAppendLoopIsFoundByCheckLoop(t *testing.T) {
	h := header("CDN-Loop: a", "CDN-Loop: b")
	hop.AppendLoop(h, "ergo-a")
	if got := h["Cdn-Loop"]; !slices.Equal(got, []string{"a, b, ergo-a"}) {
		t.Errorf("CDN-Loop is %q", got)
	}
	if hop.CheckLoop(h, "edge", "ergo-a") == nil {
		t.Error("CheckLoop does not find what AppendLoop wrote")
	}
}
