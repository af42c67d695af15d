package plot

import (
	"math"
	"strconv"
	"strings"
	"testing"
)

func plain(v float64) string { return strconv.FormatFloat(v, 'g', 6, 64) }

func labels(a Axis) string {
	var all []string
	for _, t := range a.ticks {
		all = append(all, t.label)
	}
	return strings.Join(all, " | ")
}

func TestAxesHaveRoundTicks(t *testing.T) {
	for _, row := range []struct {
		name string
		axis Axis
		want string
	}{
		{"a little above a round number", LinearAxis(0.0312, 5, plain), "0 | 0.01 | 0.02 | 0.03 | 0.04"},
		{"a round number", LinearAxis(3, 5, plain), "0 | 1 | 2 | 3"},
		{"a rate", LinearAxis(104_733, 5, plain), "0 | 50000 | 100000 | 150000"},
		{"a share", LinearAxis(0.14, 6, plain), "0 | 0.05 | 0.1 | 0.15"},
		{"nothing but 0", LinearAxis(0, 5, plain), "0 | 0.2 | 0.4 | 0.6 | 0.8 | 1"},
		{"too small to be", LinearAxis(5e-324, 5, plain), "0 | 0.2 | 0.4 | 0.6 | 0.8 | 1"},
		{"two decades", LogAxis(0.082, 5.1, 8, plain), "0.05 | 0.1 | 0.2 | 0.5 | 1 | 2 | 5 | 10"},
		{"round numbers at both ends", LogAxis(0.05, 1, 8, plain), "0.05 | 0.1 | 0.2 | 0.5 | 1"},
		{"one value", LogAxis(1, 1, 8, plain), "1 | 2"},
		{"five decades", LogAxis(82e-6, 7, 8, plain), "0.0001 | 0.001 | 0.01 | 0.1 | 1 | 10"},
		{"thirty decades", LogAxis(1e-12, 1e18, 8, plain), "1e-10 | 1e-05 | 1 | 100000 | 1e+10 | 1e+15"},
		{"values that differ little", ValueAxis([]float64{0.082, 0, 0.3}, 4, plain), "0 | 0.1 | 0.2 | 0.3"},
		{"values that differ much", ValueAxis([]float64{0.082, 0, 5}, 8, plain), "0.05 | 0.1 | 0.2 | 0.5 | 1 | 2 | 5"},
		{"a value that nobody can measure", ValueAxis([]float64{1e-13, 0.1, 0.3}, 4, plain), "0 | 0.1 | 0.2 | 0.3"},
		{"bars that differ as much", BarAxis([]float64{0.082, 0, 3}, plain), "0 | 1 | 2 | 3"},
		{"bars that differ more", BarAxis([]float64{0.082, 0, 5}, plain), "0.05 | 0.1 | 0.2 | 0.5 | 1 | 2 | 5"},
		{"half a minute", DurationAxis(30), "0 s | 5 s | 10 s | 15 s | 20 s | 25 s | 30 s"},
		{"a quarter of an hour", DurationAxis(877), "0 min | 5 min | 10 min"},
		{"places", OrdinalAxis([]string{"0", "0.1", "3"}), "0 | 0.1 | 3"},
	} {
		if got := labels(row.axis); got != row.want {
			t.Errorf("%s: %s, want %s", row.name, got, row.want)
		}
	}
}

func TestAxesHoldTheirValues(t *testing.T) {
	for exponent := -12.0; exponent <= 18; exponent += 0.37 {
		for _, ratio := range []float64{1, 3, 7.9, 8.1, 1e3, 1e9} {
			low, high := math.Pow(10, exponent), ratio*math.Pow(10, exponent)
			a := ValueAxis([]float64{low, high}, 8, plain)
			if a.Min > low || a.Max < high*(1-1e-9) {
				t.Errorf("%g to %g: the axis is %g to %g", low, high, a.Min, a.Max)
			}
			if len(a.ticks) < 2 && ratio < 1e9 || len(a.ticks) > 10 {
				t.Errorf("%g to %g: %d ticks", low, high, len(a.ticks))
			}
			before := -1.0
			for _, tick := range a.ticks {
				at := a.share(tick.at)
				if at <= before || at < 0 || at > 1 {
					t.Errorf("%g to %g: tick %s at %g, the one before at %g", low, high, tick.label, at, before)
				}
				before = at
			}
		}
	}
}

func TestLogarithmSpreadsDecadesEvenly(t *testing.T) {
	a := LogAxis(0.1, 10, 8, plain)
	for v, want := range map[float64]float64{0.1: 0, 1: 0.5, 10: 1, 100: 1, 0.001: 0, 0: 0} {
		if got := a.share(v); math.Abs(got-want) > 1e-9 {
			t.Errorf("%g is at %g, want %g", v, got, want)
		}
	}
	linear := LinearAxis(10, 5, plain)
	if got := linear.share(1); math.Abs(got-0.1) > 1e-9 {
		t.Errorf("on a linear axis 1 of 10 is at %g", got)
	}
}
