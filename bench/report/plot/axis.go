package plot

import (
	"math"
	"strconv"
)

// wideRange is how many times the smallest value the largest may be before an
// axis becomes logarithmic: up to there both can be read off a linear one.
const wideRange = 8

// An Axis maps values to the way between two ends of a plot. It is made by one of
// the functions below; Min and Max may be moved apart afterwards, to leave room
// beside the ticks of a linear one.
type Axis struct {
	Min, Max float64
	log      bool
	ticks    []tick
	minor    []float64 // between ticks, where a logarithm has too many for names
}

// A tick is a place on an axis that carries a name.
type tick struct {
	at    float64
	label string
}

// share returns how far along the axis v is, 0 to 1. What lies outside is put at
// the end.
func (a Axis) share(v float64) float64 {
	from, to := a.Min, a.Max
	if a.log {
		v, from, to = math.Log(max(v, a.Min)), math.Log(from), math.Log(to)
	}
	return min(1, max(0, (v-from)/(to-from)))
}

// least is below all that is measured. What is smaller counts as 0, so that no
// axis is so short that its steps vanish.
const least = 1e-12

// LinearAxis reaches from 0 to a round number that is not below top, with at
// most n steps. label names a value.
func LinearAxis(top float64, n int, label func(float64) string) Axis {
	if top < least {
		top = 1
	}
	step := niceStep(top / float64(n))
	steps := math.Ceil(top/step - 1e-9)
	a := Axis{Max: steps * step}
	for i := range int(steps) + 1 {
		at := float64(i) * step
		a.ticks = append(a.ticks, tick{at, label(at)})
	}
	return a
}

// niceStep returns the smallest 1, 2 or 5 times a power of ten that is not below
// step.
func niceStep(step float64) float64 {
	power := math.Pow(10, math.Floor(math.Log10(step)))
	for _, nice := range []float64{1, 2, 5} {
		if step <= nice*power*(1+1e-9) {
			return nice * power
		}
	}
	return 10 * power
}

// LogAxis is logarithmic. It reaches from a 1, 2 or 5 times a power of ten that
// is not above low to one that is not below high; both must be at least 1e-12. It
// has at most n+1 ticks: at the same numbers, at each power of ten, or at fewer.
func LogAxis(low, high float64, n int, label func(float64) string) Axis {
	first, last := niceIndex(low, math.Floor), niceIndex(high, math.Ceil)
	if first == last {
		last++
	}
	a := Axis{Min: niceAt(first), Max: niceAt(last), log: true}
	for _, every := range []int{1, 3, 6, 15, 30, 90, 300} {
		from := first + ((-first)%every+every)%every // the first multiple
		if (last-from)/every > n {
			continue
		}
		for i := first; i <= last; i++ {
			if (i-from)%every == 0 {
				a.ticks = append(a.ticks, tick{niceAt(i), label(niceAt(i))})
			} else if every == 3 {
				a.minor = append(a.minor, niceAt(i))
			}
		}
		break
	}
	return a
}

// niceAt returns a number of the series ... 1 2 5 10 20 50 ..., in which 1 has the
// index 0.
func niceAt(i int) float64 {
	decade := int(math.Floor(float64(i) / 3))
	return []float64{1, 2, 5}[i-3*decade] * math.Pow(10, float64(decade))
}

// niceIndex is the inverse of niceAt; between two of the series, round chooses.
func niceIndex(v float64, round func(float64) float64) int {
	decade := int(math.Floor(math.Log10(v)))
	for i := 3*decade - 1; ; i++ {
		low, high := niceAt(i), niceAt(i+1)
		switch {
		case math.Abs(v-low) <= low*1e-9:
			return i
		case v < high*(1-1e-9):
			return i + int(round((v-low)/(high-low)))
		}
	}
}

// ValueAxis is linear from 0, or logarithmic if values differ by more than 8
// times. Values that are not above 0 have no place on a logarithm, and do not
// count.
func ValueAxis(values []float64, n int, label func(float64) string) Axis {
	low, high := extremes(values)
	if low > 0 && high/low > wideRange {
		return LogAxis(low, high, n, label)
	}
	return LinearAxis(high, n, label)
}

// extremes returns the smallest and the largest of the values above 0, or 0.
func extremes(values []float64) (low, high float64) {
	for _, v := range values {
		if v >= least && (low == 0 || v < low) {
			low = v
		}
		high = max(high, v)
	}
	return low, high
}

// OrdinalAxis has a place for each label, all at the same distance, numbered
// from 0.
func OrdinalAxis(labels []string) Axis {
	a := Axis{Min: -0.5, Max: float64(len(labels)) - 0.5}
	for i, label := range labels {
		a.ticks = append(a.ticks, tick{float64(i), label})
	}
	return a
}

// barsRange is how many times the smallest bar the largest may be. Bars begin at
// 0, so that beyond that the small ones cannot be seen; markers on a logarithm
// can.
const barsRange = 40

// BarAxis is ValueAxis for bars, which leave 0 only where values differ by more
// than 40 times.
func BarAxis(values []float64, label func(float64) string) Axis {
	low, high := extremes(values)
	if low > 0 && high/low > barsRange {
		return LogAxis(low, high, 7, label)
	}
	return LinearAxis(high, 5, label)
}

// DurationAxis ends at longest, in seconds, and has ticks at round seconds or
// minutes.
func DurationAxis(longest float64) Axis {
	unit, name := 1.0, " s"
	if longest > 240 {
		unit, name = 60, " min"
	}
	a := LinearAxis(longest/unit, 6, func(v float64) string { return strconv.FormatFloat(v, 'g', 6, 64) + name })
	a.Max = max(longest, 1e-3)
	var ticks []tick
	for _, t := range a.ticks {
		if t.at *= unit; t.at <= a.Max*(1+1e-9) {
			ticks = append(ticks, t)
		}
	}
	a.ticks = ticks
	return a
}
