package health_test

import (
	"strings"
	"testing"

	"github.com/ergoproxy/ergo/shared/config"
	"github.com/ergoproxy/ergo/shared/health"
)

func TestStatusRange(t *testing.T) {
	for text, want := range map[string]health.StatusRange{
		"204": {First: 204, Last: 204}, "200-399": {First: 200, Last: 399}, "200-599": {First: 200, Last: 599},
	} {
		var got health.StatusRange
		if err := got.UnmarshalText([]byte(text)); err != nil || got != want || got.String() != text {
			t.Errorf("%s: %v, %v", text, got, err)
		}
		if !want.Contains(want.First) || !want.Contains(want.Last) || want.Contains(want.Last+1) || want.Contains(want.First-1) {
			t.Errorf("%s: wrong bounds", text)
		}
	}
	for _, text := range []string{"", "-", "ok", "100", "199-300", "200-600", "300-200", "200-", "-300", "200-300-400"} {
		var s health.StatusRange
		if err := s.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q was read as %v", text, s)
		}
	}
}

func TestDefaultsAreValid(t *testing.T) {
	var c health.Config
	c.SetDefaults()
	var r config.Report
	c.Validate(&r)
	c.Passive.Validate(&r)
	c.Active.Validate(&r)
	if p := r.Problems(); p != nil {
		t.Errorf("problems: %v", p)
	}
}

func TestEveryWrongValueIsReported(t *testing.T) {
	c := health.Config{
		Passive:     health.Passive{Failures: -1, Ejection: 0, MaxEjection: 0, MaxEjectedPercent: 101},
		Active:      health.Active{Path: "health z", Host: "a/b", Interval: 1},
		WhenAllDown: "panic",
	}
	var r config.Report
	c.Validate(&r)
	c.Passive.Validate(&r)
	c.Active.Validate(&r)
	var keys []string
	for _, p := range r.Problems() {
		keys = append(keys, p.Key)
	}
	want := "when_all_down failures ejection max_ejected_percent path path host interval timeout healthy unhealthy"
	if got := strings.Join(keys, " "); got != want {
		t.Errorf("problems with %s\nwant %s", got, want)
	}
}
