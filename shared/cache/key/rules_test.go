package key_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/ergoproxy/ergo/shared/cache/key"
	"github.com/ergoproxy/ergo/shared/config"
)

func TestDefaultRulesAreValid(t *testing.T) {
	var r key.Rules
	if _, err := config.Decode("x.yaml", t.TempDir(), []byte("principal: false\n"), &r); err != nil {
		t.Fatal(err)
	}
	if r.MaxLength != 8<<10 {
		t.Errorf("max_length is %s", r.MaxLength)
	}
	if _, err := key.New(r); err != nil {
		t.Error(err)
	}
}

func TestRulesAreReadFromYAML(t *testing.T) {
	const text = `
query: {sort: true, drop: ["utm_*", fbclid]}
headers: [Accept-Language]
cookies: [theme]
principal: true
max_length: 1KiB
`
	var r key.Rules
	if _, err := config.Decode("x.yaml", t.TempDir(), []byte(text), &r); err != nil {
		t.Fatal(err)
	}
	if !r.Query.Sort || !slices.Equal(r.Query.Drop, []string{"utm_*", "fbclid"}) || r.Headers[0] != "Accept-Language" ||
		r.Cookies[0] != "theme" || !r.Principal || r.MaxLength != 1024 {
		t.Errorf("%+v", r)
	}
}

func TestEveryWrongRuleIsReportedWhereItIs(t *testing.T) {
	for text, want := range map[string]string{
		"headers: [Accept Language]":        "headers[0]",
		`headers: [X-A, "", X-B]`:           "headers[1]",
		"headers: [X-A, x-a]":               "headers[1]: x-a stands there twice",
		"headers: [Host]":                   "headers[0]: Host can't be part of a key: the host is part of every key",
		"headers: [Cookie]":                 "headers[0]: Cookie can't be part of a key: name the cookies under cookies",
		"headers: [authorization]":          "write principal: true",
		"headers: [Range]":                  "headers[0]",
		"headers: [If-None-Match]":          "headers[0]",
		"headers: [Connection]":             "headers[0]",
		"cookies: [a=b]":                    "cookies[0]",
		`cookies: ["a;b"]`:                  "cookies[0]",
		"cookies: [theme, Theme]":           "cookies[1]: Theme stands there twice",
		"max_length: 0":                     "max_length: is 0, want 256 to 64KiB",
		"max_length: 255":                   "max_length",
		"max_length: 65KiB":                 "max_length",
		"query: {ignore: true, sort: true}": "query.ignore",
		"query: {ignore: true, drop: [a]}":  "query.ignore",
		"query: {ignore: true, keep: [a]}":  "query.ignore",
		"query: {drop: [a], keep: [b]}":     "query.keep: stands beside drop",
		"query: {keep: []}":                 "query.keep: is empty, write ignore: true",
		`query: {drop: ["*"]}`:              "query.drop[0]: \"*\" is every name, write ignore: true",
		`query: {drop: [a, "*_id"]}`:        "query.drop[1]",
		`query: {drop: ["a**"]}`:            "query.drop[0]",
		`query: {drop: [""]}`:               "query.drop[0]",
		`query: {drop: ["a=1"]}`:            "query.drop[0]",
		`query: {drop: ["a&b"]}`:            "query.drop[0]",
		`query: {drop: ["a b"]}`:            "query.drop[0]",
		`query: {keep: ["a*"]}`:             "query.keep[0]",
		`query: {keep: [a, "b;c"]}`:         "query.keep[1]",
		"query: {sorted: true}":             "query.sorted",
	} {
		var r key.Rules
		_, err := config.Decode("x.yaml", t.TempDir(), []byte(text+"\n"), &r)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v, want one problem with %q", text, err, want)
		}
		if _, err := key.New(r); err == nil && !strings.Contains(text, "sorted") {
			t.Errorf("%s: New takes it", text)
		}
	}
}

func TestBuilderDoesNotChangeWithItsRules(t *testing.T) {
	r := rules(func(r *key.Rules) {
		r.Query.Keep, r.Headers, r.Cookies = []string{"id"}, []string{"X-A"}, []string{"theme"}
	})
	b, err := key.New(r)
	if err != nil {
		t.Fatal(err)
	}
	p := page("/?id=1&x=2", "X-A", "1", "Cookie", "theme=dark")
	before := makeKey(b, p)
	r.Query.Keep[0], r.Headers[0], r.Cookies[0] = "x", "X-B", "other"
	if got := makeKey(b, p); got != before {
		t.Errorf("%s, before %s", got, before)
	}
}
