package config_test

import (
	"math"
	"testing"
	"time"

	"github.com/ergoproxy/ergo/shared/config"
)

func TestDurationReadsAndWrites(t *testing.T) {
	tests := []struct {
		text  string
		want  time.Duration
		short string // as it is written back
	}{
		{"0", 0, "0s"}, {"250ms", 250 * time.Millisecond, "250ms"}, {"30s", 30 * time.Second, "30s"},
		{"60s", time.Minute, "1m"}, {"10m", 10 * time.Minute, "10m"}, {"1h", time.Hour, "1h"},
		{"1h0m5s", time.Hour + 5*time.Second, "1h0m5s"}, {"90m", 90 * time.Minute, "1h30m"},
		{"1.5h", 90 * time.Minute, "1h30m"}, {"20h0m", 20 * time.Hour, "20h"}, {"1us", time.Microsecond, "1µs"},
	}
	for _, tt := range tests {
		var d, again config.Duration
		if err := d.UnmarshalText([]byte(tt.text)); err != nil || d.Std() != tt.want || d.String() != tt.short {
			t.Errorf("%s: got %v (%s), %v; want %v (%s)", tt.text, d.Std(), d, err, tt.want, tt.short)
		}
		text, err := d.MarshalText()
		if err != nil || again.UnmarshalText(text) != nil || again != d {
			t.Errorf("%s: %s reads back as %v, %v", tt.text, text, again, err)
		}
	}
}

func TestDurationRefuses(t *testing.T) {
	for _, text := range []string{"", "30", "s", "-1s", "1 s", "1d", "5 minutes", "1e3s", "9999999h", "30S"} {
		d := config.Duration(7)
		if err := d.UnmarshalText([]byte(text)); err == nil || d != 7 {
			t.Errorf("%q: got %v and %v, want an error and nothing changed", text, d, err)
		}
	}
}

func TestBytesReadsAndWrites(t *testing.T) {
	tests := []struct {
		text  string
		want  config.Bytes
		short string
	}{
		{"0", 0, "0"}, {"1500", 1500, "1500"}, {"64KiB", 64 << 10, "64KiB"}, {"64 KiB", 64 << 10, "64KiB"},
		{"1024KiB", 1 << 20, "1MiB"}, {"2GiB", 2 << 30, "2GiB"}, {"1025", 1025, "1025"}, {"0GiB", 0, "0"},
		{"8589934591GiB", 8589934591 << 30, "8589934591GiB"}, {"9223372036854775807", math.MaxInt64, "9223372036854775807"},
	}
	for _, tt := range tests {
		var b, again config.Bytes
		if err := b.UnmarshalText([]byte(tt.text)); err != nil || b != tt.want || b.String() != tt.short {
			t.Errorf("%s: got %d (%s), %v; want %d (%s)", tt.text, int64(b), b, err, int64(tt.want), tt.short)
		}
		text, err := b.MarshalText()
		if err != nil || again.UnmarshalText(text) != nil || again != b {
			t.Errorf("%s: %s reads back as %v, %v", tt.text, text, again, err)
		}
	}
}

func TestBytesRefuses(t *testing.T) {
	for _, text := range []string{"", "KiB", "-1", "-1KiB", "1.5GiB", "10MB", "10M", "64kib", "1_000", "0x10", "8589934592GiB", "9223372036854775808"} {
		b := config.Bytes(7)
		if err := b.UnmarshalText([]byte(text)); err == nil || b != 7 {
			t.Errorf("%q: got %v and %v, want an error and nothing changed", text, b, err)
		}
	}
}

func TestListenAddresses(t *testing.T) {
	good := []string{":8080", ":0", "127.0.0.1:443", "0.0.0.0:1", "[::1]:8443", "[::]:65535", "[fe80::1%eth0]:80", "localhost:80"}
	bad := []string{"", "8080", "127.0.0.1", "127.0.0.1:", ":http", ":65536", ":-1", ":+1", "::1", "[::1]", "[::1", "[::1]8080",
		"edge-1:80", "http://127.0.0.1:80", "1.2.3.4:5:6", "127.0.0.256:80", ":99999999999999999999", "a b:80"}
	checkAddresses(t, config.CheckListenAddress, good, bad)
}

func TestDialAddresses(t *testing.T) {
	good := []string{"core-1:7443", "10.0.0.5:1", "[2001:db8::1]:443", "core.example.com:443", "core.example.com.:443", "my_core:1", "localhost:65535", "1.example:1"}
	bad := []string{"", "core-1", "core-1:", ":7443", "core-1:0", "core-1:65536", "core-1:quic", "quic://core-1:1", "2001:db8::1", "[2001:db8::1]",
		"-core:1", "core-:1", "core..1:1", "cöre:1", "core 1:1", "core/1:1", "a:b:1", "user@core:1", "*:1"}
	checkAddresses(t, config.CheckDialAddress, good, bad)
}

func checkAddresses(t *testing.T, check func(string) error, good, bad []string) {
	t.Helper()
	for _, addr := range good {
		if err := check(addr); err != nil {
			t.Errorf("%q: %v, want it accepted", addr, err)
		}
	}
	for _, addr := range bad {
		if err := check(addr); err == nil {
			t.Errorf("%q is accepted", addr)
		}
	}
}

func TestOneOf(t *testing.T) {
	allowed := []string{"round_robin", "least_requests", "random"}
	const list = " is not one of round_robin, least_requests, random"
	tests := []struct{ got, want string }{
		{"random", ""},
		{"randm", `"randm"` + list + `; did you mean "random"?`},
		{"ranodm", `"ranodm"` + list + `; did you mean "random"?`},
		{"Round-Robin", `"Round-Robin"` + list + `; did you mean "round_robin"?`},
		{"leastRequests", `"leastRequests"` + list + `; did you mean "least_requests"?`},
		{"fastest", `"fastest"` + list},
		{"", `""` + list},
		{"rrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrr", `"rrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrr"` + list},
	}
	for _, tt := range tests {
		got := ""
		if err := config.OneOf(tt.got, allowed...); err != nil {
			got = err.Error()
		}
		if got != tt.want {
			t.Errorf("%q: got %s, want %s", tt.got, got, tt.want)
		}
	}
}

func TestReportOfOneStruct(t *testing.T) {
	var r config.Report
	r.Check("address", nil)
	r.Check("address", config.CheckDialAddress(""))
	r.Errorf("", "needs %d", 2)
	got := r.Problems()
	if len(got) != 2 || got[0].String() != `address: is required, want host:port such as "core-1:7443"` || got[1].String() != "needs 2" {
		t.Errorf("got %v", got)
	}
}
