package config

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Duration is a length of time in a config file, written as time.ParseDuration
// reads it: "250ms", "30s", "1h30m".
type Duration time.Duration

// Describe says what may be written for a Duration.
func (Duration) Describe() string { return "a duration such as 30s" }

// UnmarshalText reads a Duration. Negative ones are refused.
func (d *Duration) UnmarshalText(text []byte) error {
	v, err := time.ParseDuration(string(text))
	if err != nil {
		return fmt.Errorf("%q is no duration, want a number with a unit such as 250ms, 30s or 1h30m", text)
	}
	if v < 0 {
		return fmt.Errorf("%q is negative, want a duration of 0 or more", text)
	}
	*d = Duration(v)
	return nil
}

// MarshalText writes the shortest form that reads back as d.
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// Std returns d as a time.Duration.
func (d Duration) Std() time.Duration { return time.Duration(d) }

// String returns d without the zero parts that time.Duration prints: "1h", not
// "1h0m0s".
func (d Duration) String() string {
	s := time.Duration(d).String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// Bytes is an amount of memory in a config file: a whole number of bytes, or one
// with a unit of 1024: "64KiB", "16MiB", "2GiB".
type Bytes int64

// Describe says what may be written for Bytes.
func (Bytes) Describe() string { return "a size such as 64KiB" }

var byteUnits = []struct {
	suffix string
	factor int64
}{{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}}

// UnmarshalText reads an amount. Negative ones, and ones that do not fit 63
// bits, are refused.
func (b *Bytes) UnmarshalText(text []byte) error {
	s, factor := string(text), int64(1)
	for _, u := range byteUnits {
		if n, ok := strings.CutSuffix(s, u.suffix); ok {
			s, factor = strings.TrimSpace(n), u.factor
			break
		}
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n < 0 || n > (1<<63-1)/factor {
		return fmt.Errorf("%q is no size, want a whole number of bytes, or one with KiB, MiB or GiB such as 64KiB", text)
	}
	*b = Bytes(n * factor)
	return nil
}

// MarshalText writes the shortest form that reads back as b.
func (b Bytes) MarshalText() ([]byte, error) { return []byte(b.String()), nil }

// String returns the largest unit that divides b: "64KiB", "1500".
func (b Bytes) String() string {
	for _, u := range byteUnits {
		if b != 0 && int64(b)%u.factor == 0 {
			return strconv.FormatInt(int64(b)/u.factor, 10) + u.suffix
		}
	}
	return strconv.FormatInt(int64(b), 10)
}
