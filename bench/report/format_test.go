package report

import "testing"

func TestFiguresReadWell(t *testing.T) {
	for _, row := range []struct{ got, want string }{
		{seconds(0), "0"},
		{seconds(37e-6), "37 µs"},
		{seconds(9.46e-6), "9.46 µs"},
		{seconds(0.082), "82 ms"},
		{seconds(0.0824), "82 ms"},
		{seconds(1.5), "1.5 s"},
		{seconds(0.9996), "1 s"},
		{seconds(0.0009996), "1 ms"},
		{seconds(119.4), "119 s"},
		{seconds(599.6), "10 min"},
		{seconds(900), "15 min"},
		{number(0), "0"},
		{number(9.999), "10"},
		{number(1.061), "1.06"},
		{number(0.0123), "0.0123"},
		{number(31_204.4), "31,204"},
		{number(-3.25), "-3.25"},
		{number(-31_204), "-31,204"},
		{count(999), "999"},
		{count(1_000), "1,000"},
		{count(-1_234_567), "-1,234,567"},
		{percent(0.001), "0.1 %"},
		{percent(0.25), "25 %"},
		{percent(0.0005), "0.05 %"},
		{factor(1.9), "1.90"},
		{figure(0), "0"},
		{figure(0.0025), "0.0025"},
		{figure(1.5), "1.50"},
		{figure(82.44), "82.4"},
		{figure(5744.4), "5,744"},
		{kibibytes(1 << 10), "1 KiB"},
		{kibibytes(1 << 20), "1 MiB"},
		{kibibytes(24 << 30), "24 GiB"},
		{kibibytes(300), "300 bytes"},
		{bits(200e6), "200 Mbit/s"},
		{bits(10e9), "10 Gbit/s"},
		{bits(64e3), "64 kbit/s"},
		{plural(1, "round"), "1 round"},
		{plural(2000, "round"), "2,000 rounds"},
		{sentence("édge"), "Édge"},
		{sentence(""), ""},
		{durationText("1m30s"), "90 s"},
		{durationText("a while"), "a while"},
		{durationText("-5s"), "-5s"},
		{trouble(nil, 0), ""},
		{trouble(map[string]int64{"timeout": 10, "reset": 2, "never": 0}, 40), "12 failed (reset: 2, timeout: 10), 40 not sent"},
		{trouble(nil, 3), "3 not sent"},
	} {
		if row.got != row.want {
			t.Errorf("%q, want %q", row.got, row.want)
		}
	}
}
