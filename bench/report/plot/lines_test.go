package plot

import "testing"

func TestNamesAtTheEndsOfLinesKeepApart(t *testing.T) {
	for _, row := range []struct {
		name         string
		places, want []float64
	}{
		{"far apart", []float64{10, 50, 90}, []float64{10, 50, 90}},
		{"in one place", []float64{50, 50, 50}, []float64{50, 65, 80}},
		{"at the bottom", []float64{95, 98, 100}, []float64{70, 85, 100}},
		{"above the top", []float64{-20, -10}, []float64{0, 15}},
		{"none", nil, nil},
	} {
		spreadOut(row.places, 0, 100, 15)
		for i, got := range row.places {
			if got != row.want[i] {
				t.Errorf("%s: %v, want %v", row.name, row.places, row.want)
				break
			}
		}
	}
}
