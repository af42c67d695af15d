package report

import (
	"fmt"
	"math"
	"regexp"
	"slices"
	"testing"

	"github.com/ergoproxy/ergo/bench/report/plot"
)

// A colour is red, green and blue, linear, 0 to 1.
type colour [3]float64

// schemes reads the colours of both schemes from style.css.
func schemes(t *testing.T) map[string]map[string]colour {
	t.Helper()
	blocks := regexp.MustCompile(`(?s):root \{(.*?)\}`).FindAllStringSubmatch(styleText, -1)
	if len(blocks) < 2 {
		t.Fatalf("%d blocks of colours in style.css, want light and dark", len(blocks))
	}
	all := map[string]map[string]colour{}
	for i, name := range []string{"light", "dark"} {
		all[name] = map[string]colour{}
		for _, m := range regexp.MustCompile(`--([a-z0-9-]+): #([0-9a-f]{6});`).FindAllStringSubmatch(blocks[i][1], -1) {
			var c colour
			for k := range c {
				var v int
				if _, err := fmt.Sscanf(m[2][2*k:2*k+2], "%x", &v); err != nil {
					t.Fatal(err)
				}
				c[k] = linear(float64(v) / 255)
			}
			all[name][m[1]] = c
		}
	}
	return all
}

func linear(c float64) float64 {
	if c <= 0.04045 {
		return c / 12.92
	}
	return math.Pow((c+0.055)/1.055, 2.4)
}

// contrast is that of WCAG 2.2, 1 to 21.
func contrast(a, b colour) float64 {
	light := func(c colour) float64 { return 0.2126*c[0] + 0.7152*c[1] + 0.0722*c[2] }
	high, low := max(light(a), light(b)), min(light(a), light(b))
	return (high + 0.05) / (low + 0.05)
}

func TestColoursHaveContrast(t *testing.T) {
	for scheme, colours := range schemes(t) {
		for _, row := range []struct {
			front, back string
			least       float64
		}{
			{"ink", "bg", 4.5}, {"ink", "card", 4.5}, {"ink", "band", 4.5}, {"soft", "bg", 4.5}, {"soft", "card", 4.5},
			{"link", "bg", 4.5}, {"link", "card", 4.5}, {"warn", "card", 4.5}, {"warn-sign", "warn", 4.5}, {"card", "ink", 4.5},
			{"good", "card", 3}, {"band-edge", "card", 3},
			{"s0", "card", 3}, {"s1", "card", 3}, {"s2", "card", 3}, {"s3", "card", 3}, {"s4", "card", 3}, {"s5", "card", 3}, {"s6", "card", 3}, {"s7", "card", 3},
		} {
			front, ok := colours[row.front]
			back, ok2 := colours[row.back]
			if got := contrast(front, back); !ok || !ok2 || got < row.least {
				t.Errorf("%s: %s on %s has a contrast of %.2f, want %g", scheme, row.front, row.back, got, row.least)
			}
		}
	}
	if got := contrast(colour{1, 1, 1}, colour{}); math.Abs(got-21) > 1e-9 {
		t.Errorf("white on black has a contrast of %g", got)
	}
}

// eyes are the ways in which people see colours, as matrices on linear colours
// (Machado, Oliveira and Fernandes 2009, severity 1).
var eyes = map[string][9]float64{
	"all colours":  {1, 0, 0, 0, 1, 0, 0, 0, 1},
	"protanopia":   {0.152286, 1.052583, -0.204868, 0.114503, 0.786281, 0.099216, -0.003882, -0.048116, 1.051998},
	"deuteranopia": {0.367322, 0.860646, -0.227968, 0.280085, 0.672501, 0.047413, -0.011820, 0.042940, 0.968881},
	"tritanopia":   {1.255528, -0.076749, -0.178779, -0.078411, 0.930809, 0.147602, 0.004733, 0.691367, 0.303900},
}

func seen(eye [9]float64, c colour) colour {
	var to colour
	for i := range to {
		to[i] = max(0, eye[3*i]*c[0]+eye[3*i+1]*c[1]+eye[3*i+2]*c[2])
	}
	return to
}

// difference is the distance in OKLab: 0.02 can just be seen, black and white
// are 1 apart.
func difference(a, b colour) float64 {
	oklab := func(c colour) [3]float64 {
		l := math.Cbrt(0.4122214708*c[0] + 0.5363325363*c[1] + 0.0514459929*c[2])
		m := math.Cbrt(0.2119034982*c[0] + 0.6806995451*c[1] + 0.1073969566*c[2])
		s := math.Cbrt(0.0883024619*c[0] + 0.2817188376*c[1] + 0.6299787005*c[2])
		return [3]float64{
			0.2104542553*l + 0.7936177850*m - 0.0040720468*s,
			1.9779984951*l - 2.4285922050*m + 0.4505937099*s,
			0.0259040371*l + 0.7827717662*m - 0.8086757660*s,
		}
	}
	x, y := oklab(a), oklab(b)
	return math.Sqrt((x[0]-y[0])*(x[0]-y[0]) + (x[1]-y[1])*(x[1]-y[1]) + (x[2]-y[2])*(x[2]-y[2]))
}

func TestSystemsDifferForEveryEye(t *testing.T) {
	for scheme, colours := range schemes(t) {
		for eye, matrix := range eyes {
			for i := range 8 {
				for j := range i {
					least := 0.11
					if i >= 6 {
						least = 0.06 // those differ in their markers first
					}
					a, b := colours[fmt.Sprintf("s%d", i)], colours[fmt.Sprintf("s%d", j)]
					if got := difference(seen(matrix, a), seen(matrix, b)); got < least {
						t.Errorf("%s, %s: s%d and s%d differ by %.3f, want %g", scheme, eye, i, j, got, least)
					}
				}
			}
		}
	}
	if got := difference(colour{1, 1, 1}, colour{}); math.Abs(got-1) > 1e-3 {
		t.Errorf("black and white differ by %g", got)
	}
}

func TestSystemsKeepTheirLooks(t *testing.T) {
	few := newLooks([]string{"nginx", "straight"})
	many := newLooks([]string{"straight", "nginx", "ergo", "haproxy-h2", "nginx"})
	for _, system := range []string{"nginx", "straight"} {
		if few[system] != many[system] {
			t.Errorf("%s looks like %+v alone and like %+v beside others", system, few[system], many[system])
		}
	}
	one, other := newLooks([]string{"zebra", "ant"}), newLooks([]string{"ant", "zebra"})
	if one["ant"] != other["ant"] || one["ant"].Class == one["zebra"].Class {
		t.Errorf("ant is %+v, and in another order %+v; zebra is %+v", one["ant"], other["ant"], one["zebra"])
	}
	var systems []string
	for i := range len(slots) {
		systems = append(systems, fmt.Sprintf("system %d", i))
	}
	for name := range known {
		if name != "edge" && name != "core" { // tiers are plotted without systems
			systems = append(systems, name)
		}
	}
	type drawn struct {
		class string
		shape plot.Shape
		dash  bool
	}
	first := map[drawn]string{}
	for system, l := range newLooks(systems) {
		d := drawn{l.Class, l.Shape, l.Dash}
		if other, taken := first[d]; taken {
			t.Errorf("%s and %s look the same", system, other)
		}
		first[d] = system
	}
}

func TestErgoComesFirst(t *testing.T) {
	systems := []string{"zebra", "haproxy-h2", "nginx", "ant", "ergo-plain", "nginx", "ergo"}
	got := newLooks(systems).order(systems)
	want := []string{"ergo", "ergo-plain", "nginx", "haproxy-h2", "ant", "zebra"}
	if !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}
