package rules_test

import (
	"strings"
	"testing"
	"time"

	"github.com/ergoproxy/ergo/shared/cache/rules"
)

// RFC 9110, section 5.6.7; RFC 9111, section 4.2.
func TestDates(t *testing.T) {
	nov94 := time.Date(1994, time.November, 6, 8, 49, 37, 0, time.UTC)
	for in, want := range map[string]time.Time{
		"Sun, 06 Nov 1994 08:49:37 GMT":                                nov94,
		"  Sun, 06 Nov 1994 08:49:37 GMT\t":                            nov94,
		"sUN, 06 nOV 1994 08:49:37 gmt":                                nov94,
		"Mon, 06 Nov 1994 08:49:37 GMT":                                nov94, // the day is not compared
		"Sunday, 06-Nov-94 08:49:37 GMT":                               nov94,
		"Wednesday, 06-nov-94 08:49:37 gmt":                            nov94,
		"Sun Nov  6 08:49:37 1994":                                     nov94,
		"Sun Nov 06 08:49:37 1994":                                     nov94,
		"Sun, 06 Nov 1994 08:49:60 GMT":                                nov94.Add(22 * time.Second),
		"Thu, 29 Feb 2024 00:00:00 GMT":                                time.Date(2024, 2, 29, 0, 0, 0, 0, time.UTC),
		"Sun, 06-Nov-94 08:49:37 GMT":                                  {},
		"Sun, 06 Nov 94 08:49:37 GMT":                                  {},
		"Sun, 6 Nov 1994 08:49:37 GMT":                                 {},
		"Sun, 06 Nov 1994 8:49:37 GMT":                                 {},
		"Sun, 06  Nov 1994 08:49:37 GMT":                               {},
		"Sun,  06 Nov 1994 08:49:37 GMT":                               {},
		"Sun 06 Nov 1994 08:49:37 GMT":                                 {},
		"Sun, 06 Nov 1994 08:49:37 UTC":                                {},
		"Sun, 06 Nov 1994 08:49:37 AES":                                {},
		"Sun, 06 Nov 1994 08:49:37 AEST":                               {},
		"Sun, 06 Nov 1994 08:49:37 +0000":                              {},
		"Sun, 06 Nov 1994 08:49:37":                                    {},
		"Sun, 06 Nov 1994 08.49.37 GMT":                                {},
		"Sun, 06 Nov 1994 08:49:37.0 GMT":                              {},
		"Sun, 06 Nov 1994 24:00:00 GMT":                                {},
		"Sun, 06 Nov 1994 08:60:37 GMT":                                {},
		"Sun, 06 Nov 1994 08:49:61 GMT":                                {},
		"Sun, 00 Nov 1994 08:49:37 GMT":                                {},
		"Sun, 31 Nov 1994 08:49:37 GMT":                                {},
		"Wed, 29 Feb 2023 00:00:00 GMT":                                {},
		"Sun, 06 Foo 1994 08:49:37 GMT":                                {},
		"Foo, 06 Nov 1994 08:49:37 GMT":                                {},
		"Sun, 06-Nov-1994 08:49:37 GMT":                                {},
		"Sonntag, 06-Nov-94 08:49:37 GMT":                              {},
		"Sunday, 06 Nov 94 08:49:37 GMT":                               {},
		"Sunday, 06-Nov-94 08:49:37 EST":                               {},
		"Sun Nov 6 08:49:37 1994":                                      {},
		"Sun Nov   6 08:49:37 1994":                                    {},
		"Sun Nov  6 08:49:37 94":                                       {},
		"Sun, 06 Nov 1994 08:49:37 GMT, Sun, 06 Nov 1994 08:49:37 GMT": {},
		"0":                             {},
		"":                              {},
		"-1":                            {},
		"784111777":                     {},
		"Sun, +6 Nov 1994 08:49:37 GMT": {},
	} {
		got, ok := rules.ParseDate(in, noon)
		if ok == want.IsZero() || !got.Equal(want) && ok {
			t.Errorf("%q: %v, %v; want %v", in, got, ok, want)
		}
	}
}

// RFC 9110, section 5.6.7: more than 50 years ahead is the past.
func TestTwoDigitYears(t *testing.T) {
	for year, want := range map[string]int{"26": 2026, "76": 2076, "77": 1977, "99": 1999, "00": 2000} {
		got, ok := rules.ParseDate("Sunday, 01-Jan-"+year+" 00:00:00 GMT", noon)
		if !ok || got.Year() != want {
			t.Errorf("year %s: %v, %v; want %d", year, got, ok, want)
		}
	}
	if got, _ := rules.ParseDate("Sunday, 21-Nov-76 00:00:00 GMT", noon); got.Year() != 1976 {
		t.Errorf("50 years and 12 hours ahead: %v", got)
	}
}

func TestDateTruncation(t *testing.T) {
	for _, in := range []string{"Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"} {
		for n := range len(in) {
			if got, ok := rules.ParseDate(in[:n], noon); ok {
				t.Errorf("%q is %v", in[:n], got)
			}
			// Any one byte that is wrong.
			if got, ok := rules.ParseDate(in[:n]+"\x01"+in[n+1:], noon); ok {
				t.Errorf("%q with byte %d wrong is %v", in, n, got)
			}
		}
	}
}

// RFC 9111, sections 4.2.1, 4.2.2 and 5.3.
func TestFreshnessLifetime(t *testing.T) {
	const date = "Date: Fri, 20 Nov 2026 11:59:00 GMT"
	for _, test := range []struct {
		name   string
		fields []string
		want   time.Duration
		source rules.Source
	}{
		{"s-maxage", []string{"Cache-Control: s-maxage=1, max-age=2", "Expires: Fri, 20 Nov 2026 13:00:00 GMT"}, time.Second, rules.SourceExplicit},
		{"max-age", []string{"Cache-Control: max-age=2", "Expires: Fri, 20 Nov 2026 13:00:00 GMT"}, 2 * time.Second, rules.SourceExplicit},
		{"broken s-maxage", []string{"Cache-Control: s-maxage=x, max-age=2"}, 0, rules.SourceExplicit},
		{"Expires after Date", []string{date, "Expires: Fri, 20 Nov 2026 12:00:00 GMT"}, time.Minute, rules.SourceExplicit},
		{"Expires without Date", []string{"Expires: Fri, 20 Nov 2026 12:00:30 GMT"}, 30 * time.Second, rules.SourceExplicit},
		{"Expires with a broken Date", []string{"Date: x", "Expires: Fri, 20 Nov 2026 12:00:30 GMT"}, 30 * time.Second, rules.SourceExplicit},
		{"Expires before Date", []string{"Expires: Fri, 20 Nov 2026 11:00:00 GMT"}, 0, rules.SourceExplicit},
		{"Expires broken", []string{"Expires: 0", lastMonth}, 0, rules.SourceExplicit},
		{"Expires empty", []string{"Expires:", lastMonth}, 0, rules.SourceExplicit},
		{"Expires twice", []string{"Expires: Fri, 20 Nov 2026 13:00:00 GMT", "Expires: Fri, 20 Nov 2026 13:00:00 GMT"}, 0, rules.SourceExplicit},
		{"Expires far away", []string{"Expires: Fri, 20 Nov 9999 13:00:00 GMT"}, limit, rules.SourceExplicit},
		{"Expires with public", []string{"Cache-Control: public", "Expires: Fri, 20 Nov 2026 12:00:30 GMT"}, 30 * time.Second, rules.SourceExplicit},
		{"heuristic", []string{"Last-Modified: Fri, 20 Nov 2026 11:50:00 GMT"}, time.Minute, rules.SourceHeuristic},
		{"heuristic from Date", []string{date, "Last-Modified: Fri, 20 Nov 2026 11:49:00 GMT"}, time.Minute, rules.SourceHeuristic},
		{"heuristic maximum", []string{"Last-Modified: Fri, 20 Nov 1998 11:50:00 GMT"}, 24 * time.Hour, rules.SourceHeuristic},
		{"modified in the future", []string{"Last-Modified: Fri, 20 Nov 2026 12:50:00 GMT"}, 0, rules.SourceNone},
		{"modified broken", []string{"Last-Modified: then"}, 0, rules.SourceNone},
		{"modified twice", []string{lastMonth, lastMonth}, 0, rules.SourceNone},
		{"nothing", nil, 0, rules.SourceNone},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := policy(t).Read(response(200, test.fields...))
			if s.Lifetime != test.want || s.Source != test.source {
				t.Errorf("%v from %v, want %v from %v", s.Lifetime, s.Source, test.want, test.source)
			}
		})
	}
}

// RFC 9111, section 4.2.2.
func TestHeuristicIsConfigured(t *testing.T) {
	resp := response(200, "Last-Modified: Fri, 20 Nov 2026 11:50:00 GMT")
	for _, test := range []struct {
		fraction float64
		most     time.Duration
		want     time.Duration
	}{{0, time.Hour, 0}, {0.5, time.Hour, 5 * time.Minute}, {0.5, time.Minute, time.Minute}, {1, 0, 0}} {
		p := policy(t, func(c *rules.Config) { c.HeuristicFraction, c.HeuristicMax = test.fraction, test.most })
		if s := p.Read(resp); s.Lifetime != test.want {
			t.Errorf("%v up to %v: %v, want %v", test.fraction, test.most, s.Lifetime, test.want)
		}
	}
}

// RFC 9111, sections 4.2.3 and 5.1.
func TestAge(t *testing.T) {
	for _, test := range []struct {
		name   string
		fields []string
		took   time.Duration // from request to response
		late   time.Duration // of the receipt, after noon
		later  time.Duration // since the receipt
		want   time.Duration
	}{
		{"new", nil, 0, 0, 0, 0},
		{"time in the cache", nil, 0, 0, 5 * time.Second, 5 * time.Second},
		{"the clock of the cache went back", nil, 0, 0, -5 * time.Second, 0},
		{"response delay", nil, 2 * time.Second, 0, 5 * time.Second, 7 * time.Second},
		{"negative delay", nil, -2 * time.Second, 0, 5 * time.Second, 5 * time.Second},
		{"Age", []string{"Age: 10"}, 0, 0, 5 * time.Second, 15 * time.Second},
		{"Age and delay", []string{"Age: 10"}, 2 * time.Second, 0, 5 * time.Second, 17 * time.Second},
		{"apparent age", []string{"Date: Fri, 20 Nov 2026 11:59:40 GMT"}, 0, 0, 5 * time.Second, 25 * time.Second},
		{"the greater of the two", []string{"Date: Fri, 20 Nov 2026 11:59:40 GMT", "Age: 19"}, 2 * time.Second, 0, 0, 21 * time.Second},
		{"the other is greater", []string{"Date: Fri, 20 Nov 2026 11:59:40 GMT", "Age: 10"}, 2 * time.Second, 0, 0, 20 * time.Second},
		{"backend's clock is ahead", []string{"Date: Fri, 20 Nov 2026 12:10:00 GMT"}, 0, 0, 5 * time.Second, 5 * time.Second},
		{"part of a second is no apparent age", []string{"Date: Fri, 20 Nov 2026 12:00:00 GMT"}, 0, 900 * time.Millisecond, 0, 0},
		{"broken Age", []string{"Age: ten"}, 0, 0, 5 * time.Second, 5 * time.Second},
		{"negative Age", []string{"Age: -10"}, 0, 0, 5 * time.Second, 5 * time.Second},
		{"decimal Age", []string{"Age: 1.5"}, 0, 0, 0, 0},
		{"empty Age", []string{"Age:"}, 0, 0, 0, 0},
		{"Age as a list", []string{"Age: 10 , 20"}, 0, 0, 0, 10 * time.Second},
		{"Age twice", []string{"Age: 10", "Age: 20"}, 0, 0, 0, 10 * time.Second},
		{"Age twice, the first broken", []string{"Age: x", "Age: 20"}, 0, 0, 0, 0},
		{"Age overflows", []string{"Age: 99999999999999999999"}, 0, 0, time.Hour, limit},
		{"ancient Date", []string{"Date: Thu, 01 Jan 0001 00:00:00 GMT", "Age: 99999999999"}, 0, 0, time.Hour, limit},
	} {
		t.Run(test.name, func(t *testing.T) {
			resp := response(200, test.fields...)
			resp.Received = noon.Add(test.late)
			resp.Requested = resp.Received.Add(-test.took)
			s := policy(t).Read(resp)
			if got := s.Age(resp.Received.Add(test.later)); got != test.want {
				t.Errorf("age %v, want %v", got, test.want)
			}
		})
	}
}

func TestAgeOfAResponseWhoseRequestTimeIsUnknownIsBounded(t *testing.T) {
	resp := response(200, "Age: 99999999999", "Cache-Control: max-age=99999999999")
	resp.Requested = time.Time{}
	s := policy(t).Read(resp)
	if age, ttl := s.Age(noon.AddDate(500, 0, 0)), s.TTL(noon.AddDate(500, 0, 0)); age != limit || ttl != 0 {
		t.Errorf("age %v, ttl %v", age, ttl)
	}
}

// RFC 9111, sections 4.2 and 5.1.
func TestAgeFieldAndTTL(t *testing.T) {
	for age, want := range map[time.Duration]string{
		0: "0", -time.Second: "0", 1999 * time.Millisecond: "1", limit: "2147483648", limit + time.Hour: "2147483648",
	} {
		if got := rules.AgeField(age); got != want {
			t.Errorf("%v: %s, want %s", age, got, want)
		}
	}
	s := policy(t).Read(response(200, "Cache-Control: max-age=60", "Age: 20"))
	for after, want := range map[time.Duration]time.Duration{0: 40 * time.Second, 40 * time.Second: 0, time.Minute: -20 * time.Second} {
		if got := s.TTL(noon.Add(after)); got != want {
			t.Errorf("ttl after %v: %v, want %v", after, got, want)
		}
	}
	s.Purged = noon.Add(10 * time.Second)
	if got := s.TTL(noon.Add(15 * time.Second)); got != -5*time.Second {
		t.Errorf("ttl 5 s after a purge: %v", got)
	}
	s.Purged = noon.Add(50 * time.Second)
	if got := s.TTL(noon.Add(55 * time.Second)); got != -15*time.Second {
		t.Errorf("ttl after a purge of what was stale: %v", got)
	}
}

func TestSourcesHaveNames(t *testing.T) {
	for s := rules.SourceNone; s <= rules.SourceHeuristic; s++ {
		if strings.Contains(s.String(), "unknown") {
			t.Errorf("source %d has no name", s)
		}
	}
}
