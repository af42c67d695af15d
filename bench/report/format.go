package report

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// seconds prints a time as people say it: 37 µs, 82 ms, 1.5 s, 15 min.
func seconds(v float64) string {
	if v == 0 {
		return "0"
	}
	for _, unit := range []struct {
		name string
		size float64
	}{{"µs", 1e-6}, {"ms", 1e-3}} {
		// 0.9996 s must not become 1000 ms.
		if math.Round(v/unit.size) < 1000 {
			return number(v/unit.size) + " " + unit.name
		}
	}
	if math.Round(v) >= 600 {
		return number(math.Round(v/6)/10) + " min"
	}
	return number(v) + " s"
}

// number prints three digits of what is below 10, and whole numbers from there
// on, with commas between the thousands.
func number(v float64) string {
	size := math.Abs(v)
	switch {
	case size == 0:
		return "0"
	case size < 9.995:
		decimals := 2 - int(math.Floor(math.Log10(size)))
		text := strings.TrimRight(strconv.FormatFloat(v, 'f', min(decimals, 12), 64), "0")
		return strings.TrimSuffix(text, ".")
	case size < 1e15:
		return count(int64(math.Round(v)))
	default:
		return strconv.FormatFloat(v, 'g', 3, 64)
	}
}

// count puts commas between the thousands.
func count(n int64) string {
	digits := strconv.FormatInt(n, 10)
	sign := ""
	if n < 0 {
		sign, digits = "-", digits[1:]
	}
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return sign + digits
}

// percent prints a share: 0.001 is "0.1 %".
func percent(share float64) string { return number(100*share) + " %" }

// factor prints how many times one is another.
func factor(v float64) string { return strconv.FormatFloat(v, 'f', 2, 64) }

// figure prints a number for a table, in a unit of its column, with the digits
// that it takes to compare two rows.
func figure(v float64) string {
	switch size := math.Abs(v); {
	case size == 0:
		return "0"
	case size < 10:
		return strconv.FormatFloat(v, 'f', min(12, max(2, 1-int(math.Floor(math.Log10(size))))), 64)
	case size < 100:
		return strconv.FormatFloat(v, 'f', 1, 64)
	default:
		return number(v)
	}
}

// kibibytes prints a size as loads are named: 1 KiB, 100 KiB, 1 MiB.
func kibibytes(n int64) string {
	for _, unit := range []struct {
		name string
		size int64
	}{{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}} {
		if n >= unit.size {
			return number(float64(n)/float64(unit.size)) + " " + unit.name
		}
	}
	return count(n) + " bytes"
}

// bits prints a rate of a path.
func bits(rate int64) string {
	switch {
	case rate >= 1e9:
		return number(float64(rate)/1e9) + " Gbit/s"
	case rate >= 1e6:
		return number(float64(rate)/1e6) + " Mbit/s"
	default:
		return number(float64(rate)/1e3) + " kbit/s"
	}
}

// durationText prints a duration of Go's like other times; another text as it
// is.
func durationText(text string) string {
	d, err := time.ParseDuration(text)
	if err != nil || d < 0 {
		return text
	}
	return seconds(d.Seconds())
}

// sentence makes the first letter a capital one.
func sentence(text string) string {
	first, size := utf8.DecodeRuneInString(text)
	if size == 0 {
		return ""
	}
	return string(unicode.ToUpper(first)) + text[size:]
}

// plural prints "1 answer", "2 answers".
func plural(n int64, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return count(n) + " " + thing + "s"
}

// noneOr prints a count that is best 0.
func noneOr(n int64) string {
	if n == 0 {
		return "none"
	}
	return count(n)
}

// trouble says what did not go well, or "" if all did.
func trouble(failures map[string]int64, overflow int64) string {
	var failed int64
	var causes []string
	for _, cause := range sortedKeys(failures) {
		if n := failures[cause]; n > 0 {
			failed += n
			causes = append(causes, fmt.Sprintf("%s: %s", cause, count(n)))
		}
	}
	var parts []string
	if failed > 0 {
		parts = append(parts, fmt.Sprintf("%s failed (%s)", count(failed), strings.Join(causes, ", ")))
	}
	if overflow > 0 {
		parts = append(parts, count(overflow)+" not sent")
	}
	return strings.Join(parts, ", ")
}

func sum(of map[string]int64) (total int64) {
	for _, n := range of {
		total += n
	}
	return total
}

func sortedKeys[V any](of map[string]V) []string {
	keys := make([]string, 0, len(of))
	for key := range of {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}

// unique returns each item once, in the order of its first appearance.
func unique[T comparable](items []T) []T {
	seen := make(map[T]bool, len(items))
	return slices.DeleteFunc(slices.Clone(items), func(item T) bool {
		if seen[item] {
			return true
		}
		seen[item] = true
		return false
	})
}
