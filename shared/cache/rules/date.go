package rules

import (
	"strings"
	"time"
)

// ParseDate reads an HTTP-date (RFC 9110, section 5.6.7) in each of its three
// formats:
//
//	Sun, 06 Nov 1994 08:49:37 GMT     IMF-fixdate
//	Sunday, 06-Nov-94 08:49:37 GMT    RFC 850, obsolete
//	Sun Nov  6 08:49:37 1994          asctime, obsolete
//
// Case does not matter, and a zone other than GMT is wrong (RFC 9111, section
// 4.2). Everything else must be as it stands above: a cache that takes a broken
// Expires for a date is fresher than its neighbours. The name of the day is not
// compared with the date. A leap second is the second before it. Now tells the
// century of a year with two digits.
func ParseDate(s string, now time.Time) (time.Time, bool) {
	s = trim(s)
	comma := strings.IndexByte(s, ',')
	switch {
	case comma == 3 && len(s) == len("Sun, 06 Nov 1994 08:49:37 GMT"):
		return parseFixdate(s)
	case comma > 3 && len(s) == comma+len(", 06-Nov-94 08:49:37 GMT"):
		return parseRFC850(s[:comma], s[comma:], now)
	case comma < 0 && len(s) == len("Sun Nov  6 08:49:37 1994"):
		return parseAsctime(s)
	}
	return time.Time{}, false
}

func parseFixdate(s string) (time.Time, bool) {
	if !isDay(s[:3]) || s[3:5] != ", " || s[7] != ' ' || s[11] != ' ' || !gmt(s[16:17], s[25:]) {
		return time.Time{}, false
	}
	century, ok1 := digits(s[12:14])
	year, ok2 := digits(s[14:16])
	day, ok3 := digits(s[5:7])
	return date(century*100+year, s[8:11], day, s[17:25], ok1 && ok2 && ok3)
}

func parseRFC850(name, s string, now time.Time) (time.Time, bool) {
	if !isLongDay(name) || s[:2] != ", " || s[4] != '-' || s[8] != '-' || !gmt(s[11:12], s[20:]) {
		return time.Time{}, false
	}
	year, ok1 := digits(s[9:11])
	day, ok2 := digits(s[2:4])
	now = now.UTC()
	year += now.Year() / 100 * 100
	t, ok := date(year, s[5:8], day, s[12:20], ok1 && ok2)
	if ok && t.After(now.AddDate(50, 0, 0)) {
		// The latest year in the past with these digits.
		return date(year-100, s[5:8], day, s[12:20], true)
	}
	return t, ok
}

func parseAsctime(s string) (time.Time, bool) {
	if !isDay(s[:3]) || s[3] != ' ' || s[7] != ' ' || s[10] != ' ' || s[19] != ' ' {
		return time.Time{}, false
	}
	dayText := s[8:10]
	if dayText[0] == ' ' {
		dayText = string([]byte{'0', dayText[1]})
	}
	century, ok1 := digits(s[20:22])
	year, ok2 := digits(s[22:24])
	day, ok3 := digits(dayText)
	return date(century*100+year, s[4:7], day, s[11:19], ok1 && ok2 && ok3)
}

// date puts a date together. Clock is hh:mm:ss.
func date(year int, monthName string, day int, clock string, ok bool) (time.Time, bool) {
	month := monthOf(monthName)
	hour, ok1 := digits(clock[0:2])
	minute, ok2 := digits(clock[3:5])
	second, ok3 := digits(clock[6:8])
	if !ok || !ok1 || !ok2 || !ok3 || clock[2] != ':' || clock[5] != ':' ||
		month == 0 || hour > 23 || minute > 59 || second > 60 {
		return time.Time{}, false
	}
	t := time.Date(year, month, day, hour, minute, min(second, 59), 0, time.UTC)
	// time.Date makes 3 March of 31 February.
	return t, t.Day() == day && t.Month() == month
}

// gmt checks the space before the clock and what stands behind it.
func gmt(space, zone string) bool {
	return space == " " && strings.EqualFold(zone, " GMT")
}

// digits reads two digits.
func digits(s string) (int, bool) {
	if len(s) != 2 || !isDigit(s[0]) || !isDigit(s[1]) {
		return 0, false
	}
	return int(s[0]-'0')*10 + int(s[1]-'0'), true
}

func monthOf(name string) time.Month {
	for m := time.January; m <= time.December; m++ {
		if strings.EqualFold(m.String()[:3], name) {
			return m
		}
	}
	return 0
}

func isDay(name string) bool {
	for d := time.Sunday; d <= time.Saturday; d++ {
		if strings.EqualFold(d.String()[:3], name) {
			return true
		}
	}
	return false
}

func isLongDay(name string) bool {
	for d := time.Sunday; d <= time.Saturday; d++ {
		// The length, since one letter outside of ASCII folds to s.
		if len(name) == len(d.String()) && strings.EqualFold(d.String(), name) {
			return true
		}
	}
	return false
}
