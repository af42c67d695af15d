package plot

import (
	"math"
	"strings"
	"testing"
)

func TestTextsAreCutToTheirRoom(t *testing.T) {
	for _, row := range []struct {
		text  string
		width float64
		want  string
	}{
		{"HAProxy H1", 200, "HAProxy H1"},
		{"straight to the far backend", 100, "straight to…"},
		{"日本語の長い名前", 60, "日本語…"},
		{"x", 0, "…"},
		{"x", -10, "…"},
		{"", 0, ""},
	} {
		got := clipTo(row.text, row.width, textSize)
		if got != row.want {
			t.Errorf("%q in %g: %q, want %q", row.text, row.width, got, row.want)
		}
		if row.width > 20 && textWidth(got, textSize) > row.width {
			t.Errorf("%q takes %g of %g", got, textWidth(got, textSize), row.width)
		}
	}
}

func TestNothingThatIsDrawnIsMarkup(t *testing.T) {
	const hostile = `"'><script>&`
	look := Look{Name: hostile, Class: hostile}
	point := Point{Y: 1, Tip: hostile}
	x, y := OrdinalAxis([]string{hostile, "b"}), LinearAxis(1, 2, func(float64) string { return hostile })
	all := []Series{{Look: look, Points: []Point{point, {X: 1, Y: 1, Warn: true, Empty: true}}}}
	lines := &Lines{X: x, Y: y, XTitle: hostile, Title: hostile, Series: all}
	band := Band{From: 0.1, To: 0.5, Label: hostile}
	row := Row{Look: look, Bar: 1, To: 1, Rest: 1, Value: hostile, Trouble: hostile, Tip: hostile}
	pictures := []string{
		string(lines.Picture(hostile, hostile, hostile)),
		string((&Columns{X: x, Y: y, XTitle: hostile, Label: func(float64) string { return hostile }, Series: all}).Picture(hostile, hostile, hostile)),
		string((&Rows{X: y, XTitle: hostile, Band: &band, Groups: []Group{{Title: hostile, Rows: []Row{row, {Look: look, Missing: hostile}}}}}).Picture(hostile, hostile, hostile)),
		string(look.Swatch()),
	}
	for _, p := range Aligned([]*Lines{lines}, func() string { return hostile }, hostile, hostile) {
		pictures = append(pictures, string(p))
	}
	for _, p := range pictures {
		if strings.Contains(p, "<script>") || strings.Contains(p, `"'>`) || !strings.Contains(p, "&lt;script&gt;") {
			t.Errorf("a name is markup in %.200s", p)
		}
	}
}

func TestFiguresThatAreNoNumbersPanic(t *testing.T) {
	for _, v := range []float64{math.NaN(), math.Inf(1)} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%g was drawn", v)
				}
			}()
			(&canvas{}).line("x", spot{}, spot{v, 0})
		}()
	}
}
