package rules_test

import (
	"math"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/ergoproxy/ergo/shared/cache/rules"
)

// noon is when every response of the tests is received, unless it says else.
var noon = time.Date(2026, time.November, 20, 12, 0, 0, 0, time.UTC)

// header makes a header of "Name: value" lines.
func header(lines ...string) http.Header {
	h := http.Header{}
	for _, line := range lines {
		name, value, ok := strings.Cut(line, ":")
		if !ok {
			panic("no colon in " + line)
		}
		h.Add(name, strings.Trim(value, " "))
	}
	return h
}

func at(t time.Time) string { return t.UTC().Format(http.TimeFormat) }

// response is one that took no time and has no Date, which counts as noon.
func response(status int, lines ...string) rules.Response {
	return rules.Response{Status: status, Header: header(lines...), Requested: noon, Received: noon}
}

func get(lines ...string) *rules.Request {
	r := rules.ReadRequest(http.MethodGet, header(lines...))
	return &r
}

func policy(t testing.TB, changes ...func(*rules.Config)) *rules.Policy {
	t.Helper()
	c := rules.Default()
	for _, change := range changes {
		change(&c)
	}
	p, err := rules.New(c)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestDefaultConfigIsValid(t *testing.T) {
	c := rules.Default()
	if err := c.Validate(); err != nil {
		t.Error(err)
	}
}

func TestConfigReportsEveryProblemWithItsKey(t *testing.T) {
	c := rules.Config{
		Targeted:          []string{"X", "cache-control", "a b", "x"},
		SetCookie:         "drop",
		HeuristicFraction: math.NaN(),
		HeuristicMax:      -1,
		Grace:             1 << 62,
		Negative:          map[int]time.Duration{404: -1, 200: 1, 304: 1, 429: 1, 600: 1, 302: 1},
		Encodings:         []string{"gzip", "identity", "*", "b r"},
		MaxVary:           -1,
		MaxTags:           -1,
		MaxTagBytes:       -1,
	}
	_, err := rules.New(c)
	if err == nil {
		t.Fatal("New took it")
	}
	got := strings.Split(err.Error(), "\n")
	want := []string{
		"targeted[1]:", "targeted[2]:", "targeted[3]:", "set_cookie:", "heuristic_fraction:", "heuristic_max:",
		"grace:", "negative[200]:", "negative[304]:", "negative[404]:", "negative[429]:", "negative[600]:",
		"encodings[1]:", "encodings[2]:", "encodings[3]:", "max_vary:", "max_tags:", "max_tag_bytes:",
	}
	if len(got) != len(want) {
		t.Fatalf("%d problems, want %d:\n%v", len(got), len(want), err)
	}
	for i, key := range want {
		if !strings.HasPrefix(got[i], key) {
			t.Errorf("problem %d is %q, want one of %s", i, got[i], key)
		}
	}
}

func TestPolicyKeepsNothingOfItsConfig(t *testing.T) {
	c := rules.Default()
	c.Negative = map[int]time.Duration{404: time.Minute}
	p, err := rules.New(c)
	if err != nil {
		t.Fatal(err)
	}
	c.Negative[404] = time.Hour
	c.Targeted[0] = "Other"
	if s := p.Read(response(404)); s.Lifetime != time.Minute {
		t.Errorf("lifetime %v, want 1m", s.Lifetime)
	}
	if s := p.Read(response(200, "Ergo-Cache-Control: max-age=5")); s.Lifetime != 5*time.Second {
		t.Errorf("lifetime %v, want 5s", s.Lifetime)
	}
}
