package filter_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/ergoproxy/ergo/edge/filter"
	"github.com/ergoproxy/ergo/shared/config"
	"github.com/ergoproxy/ergo/shared/exchange"
	"github.com/ergoproxy/ergo/shared/proxystatus"
)

func deny(match filter.Criteria) filter.Rule {
	return filter.Rule{Name: "the rule", Action: "deny", Match: match}
}

func allow(match filter.Criteria) filter.Rule {
	return filter.Rule{Name: "the exception", Action: "allow", Match: match}
}

func problems(c filter.Config) (keys []string) {
	var r config.Report
	for i := range c.Rules {
		rule := &c.Rules[i]
		for _, criteria := range []*filter.Criteria{&rule.Match, rule.Unless} {
			if criteria == nil {
				continue
			}
			for k := range criteria.Headers {
				criteria.Headers[k].Validate(&r)
			}
			criteria.Validate(&r)
		}
		rule.Validate(&r)
	}
	c.Validate(&r)
	for _, p := range r.Problems() {
		keys = append(keys, p.Key)
	}
	return keys
}

// client is who all requests come from.
var client = netip.MustParseAddrPort("203.0.113.9:5000")

// outcome is what became of a request.
type outcome struct {
	*httptest.ResponseRecorder
	passed *http.Request // as next saw it; nil: refused
	x      *exchange.Exchange
}

// try serves r with a next that reads the body, and answers with the error that
// it gets, as a forwarder does.
func try(t testing.TB, c filter.Config, r *http.Request, from netip.AddrPort) outcome {
	t.Helper()
	if bad := problems(c); len(bad) > 0 {
		t.Fatalf("the config has problems with %v", bad)
	}
	rules, err := filter.Compile(c, "edge-1")
	if err != nil {
		t.Fatal(err)
	}
	o := outcome{httptest.NewRecorder(), nil, &exchange.Exchange{Client: exchange.Client{Addr: from}}}
	next := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		o.passed = r
		body, err := io.ReadAll(r.Body)
		if err != nil {
			o.x.Refuse(w, r, "edge-1", proxystatus.From("edge", fmt.Errorf("read body: %w", err)))
			return
		}
		w.Write(body)
	})
	filter.Wrap(rules, next).ServeHTTP(o, r.WithContext(exchange.With(r.Context(), o.x)))
	return o
}

func request(method, target string, fields ...string) *http.Request {
	r := httptest.NewRequest(method, target, nil)
	for i := 0; i < len(fields); i += 2 {
		r.Header.Add(fields[i], fields[i+1])
	}
	return r
}

func rulesOf(rules ...filter.Rule) filter.Config { return filter.Config{Rules: rules} }

func TestCriteria(t *testing.T) {
	type c = filter.Criteria
	field := func(f filter.Field) c { return c{Headers: []filter.Field{f}} }
	for _, tc := range []struct {
		name  string
		match c
		r     *http.Request
		want  bool // the rule matches
	}{
		{"nothing given", c{}, request("GET", "/"), true},
		{"address", c{Clients: []string{"203.0.113.9"}}, request("GET", "/"), true},
		{"other address", c{Clients: []string{"203.0.113.8", "203.0.113.10"}}, request("GET", "/"), false},
		{"range", c{Clients: []string{"10.0.0.0/8", "203.0.113.0/24", "2001:db8::/32"}}, request("GET", "/"), true},
		{"host", c{Hosts: []string{"example.com"}}, request("GET", "http://EXAMPLE.com.:8080/"), true},
		{"host in capitals", c{Hosts: []string{"EXAMPLE.com"}}, request("GET", "http://example.com/"), true},
		{"other host", c{Hosts: []string{"example.com"}}, request("GET", "http://www.example.com/"), false},
		{"suffix", c{Hosts: []string{"*.example.com"}}, request("GET", "http://a.b.example.com/"), true},
		{"suffix does not cover the name", c{Hosts: []string{"*.example.com"}}, request("GET", "http://example.com/"), false},
		{"suffix needs the dot", c{Hosts: []string{"*.example.com"}}, request("GET", "http://badexample.com/"), false},
		{"method", c{Methods: []string{"PUT", "DELETE"}}, request("DELETE", "/"), true},
		{"other method", c{Methods: []string{"PUT"}}, request("POST", "/"), false},
		{"HEAD is a GET", c{Methods: []string{"GET"}}, request("HEAD", "/"), true},
		{"prefix", c{Paths: []string{"/private"}}, request("GET", "/private/x"), true},
		{"prefix by segments", c{Paths: []string{"/private"}}, request("GET", "/privateer"), false},
		{"double slash", c{Paths: []string{"/private"}}, request("GET", "//private"), true},
		{"encoded letter", c{Paths: []string{"/private"}}, request("GET", "/%70rivate"), true},
		{"encoded slash", c{Paths: []string{"/private/x"}}, request("GET", "/private%2fx"), true},
		{"path parameter", c{Paths: []string{"/private/x"}}, request("GET", "/private;a/x"), true},
		{"pattern", c{Paths: []string{"/api/*/admin"}}, request("GET", "/api/v1/admin"), true},
		{"star stops at a slash", c{Paths: []string{"/api/*/admin"}}, request("GET", "/api/v1/x/admin"), false},
		{"two stars do not", c{Paths: []string{"/api/**/admin"}}, request("GET", "/api/v1/x/admin"), true},
		{"pattern is for the whole path", c{Paths: []string{"/api/*"}}, request("GET", "/api/v1/x"), false},
		{"pattern at the end", c{Paths: []string{"/**.php"}}, request("GET", "/a/b.php"), true},
		{"pattern is no regular expression", c{Paths: []string{"/**.php"}}, request("GET", "/a/bxphp"), false},
		{"pattern over bytes that are no UTF-8", c{Paths: []string{"/a*b"}}, request("GET", "/a%E9b"), true},
		{"field is there", field(filter.Field{Name: "x-api-key"}), request("GET", "/", "X-Api-Key", ""), true},
		{"field is not there", field(filter.Field{Name: "x-api-key"}), request("GET", "/"), false},
		{"field equals", field(filter.Field{Name: "A", Equals: "b"}), request("GET", "/", "A", "a", "A", "b"), true},
		{"field equals not", field(filter.Field{Name: "A", Equals: "b"}), request("GET", "/", "A", "B"), false},
		{"field matches", field(filter.Field{Name: "User-Agent", Matches: "(?i)badbot/[0-9]+"}), request("GET", "/", "User-Agent", "x BadBot/12"), true},
		{"field matches not", field(filter.Field{Name: "User-Agent", Matches: "^badbot$"}), request("GET", "/", "User-Agent", "x badbot"), false},
		{"all criteria are needed", c{Methods: []string{"POST"}, Paths: []string{"/a"}}, request("GET", "/a"), false},
		{"all fields are needed", c{Headers: []filter.Field{{Name: "A"}, {Name: "B"}}}, request("GET", "/", "A", "1"), false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			o := try(t, rulesOf(deny(tc.match)), tc.r, client)
			if refused := o.passed == nil; refused != tc.want || refused != (o.Code == 403) {
				t.Errorf("refused %v, status %d; want %v", refused, o.Code, tc.want)
			}
			if tc.name == "nothing given" {
				return // is no exception
			}
			o = try(t, rulesOf(filter.Rule{Name: "r", Action: "deny", Unless: &tc.match}), tc.r, client)
			if refused := o.passed == nil; refused == tc.want {
				t.Errorf("as an exception: refused %v", refused)
			}
		})
	}
}

func TestFirstMatchDecides(t *testing.T) {
	c := rulesOf(
		allow(filter.Criteria{Clients: []string{"203.0.113.0/24"}, Paths: []string{"/admin"}}),
		filter.Rule{Name: "admin", Action: "deny", Status: 404, Match: filter.Criteria{Paths: []string{"/admin"}}},
		filter.Rule{Name: "later", Action: "deny", Match: filter.Criteria{Paths: []string{"/admin/x"}}},
	)
	for _, tc := range []struct {
		from, path string
		status     int
	}{
		{"203.0.113.1:1", "/admin", 200},
		{"203.0.113.1:1", "/admin/x", 200},
		{"[::ffff:203.0.113.1]:1", "/admin", 200},
		{"198.51.100.1:1", "/admin/x", 404},
		{"[2001:db8::1]:1", "/admin", 404},
		{"198.51.100.1:1", "/", 200},
	} {
		if o := try(t, c, request("GET", tc.path), netip.MustParseAddrPort(tc.from)); o.Code != tc.status {
			t.Errorf("%s from %s: status %d, want %d", tc.path, tc.from, o.Code, tc.status)
		}
	}
}

func TestARefusalNamesItsRule(t *testing.T) {
	o := try(t, rulesOf(deny(filter.Criteria{})), request("GET", "/"), client)
	if got, want := o.Header().Get("Proxy-Status"), `edge-1; error=http_request_denied; details="rule the rule"`; got != want {
		t.Errorf("Proxy-Status is %s, want %s", got, want)
	}
	if o.x.Report.Detail != "filter: rule the rule" || o.x.Report.Error != proxystatus.HTTPRequestDenied {
		t.Errorf("report %+v", o.x.Report)
	}
}

func TestAnAmbiguousPathIsRefusedEvenWithoutRules(t *testing.T) {
	for _, path := range []string{"/a/../private", "/a/%2e%2e/private", "/a%5c..%5cprivate", "/x%00", "/%252e%252e/x", "/..;/x"} {
		for name, c := range map[string]filter.Config{"no rules": {}, "allow all": rulesOf(allow(filter.Criteria{}))} {
			if o := try(t, c, request("GET", path), client); o.Code != 400 || o.passed != nil {
				t.Errorf("%s, %s: status %d", path, name, o.Code)
			}
		}
	}
}

func TestWhatCannotBeEvaluatedDenies(t *testing.T) {
	byAddress, byField := filter.Criteria{Clients: []string{"0.0.0.0/0"}}, filter.Criteria{Headers: []filter.Field{{Name: "A", Matches: "x"}}}
	long := strings.Repeat("a", 9000)
	for name, c := range map[string]filter.Config{
		"allow by address":   rulesOf(allow(byAddress)),
		"deny by address":    rulesOf(deny(byAddress)),
		"allow by field":     rulesOf(allow(byField)),
		"deny by field":      rulesOf(deny(byField)),
		"unless, by address": rulesOf(filter.Rule{Name: "r", Action: "allow", Unless: &byAddress}),
	} {
		if o := try(t, c, request("GET", "/", "A", long), netip.AddrPort{}); o.Code != 403 || o.passed != nil {
			t.Errorf("%s: status %d", name, o.Code)
		}
	}
}

// chunked returns a request with a body of unknown length.
func chunked(n int) *http.Request {
	r := httptest.NewRequest("POST", "/up", iotest.OneByteReader(strings.NewReader(strings.Repeat("x", n))))
	r.ContentLength = -1
	return r
}

func announced(n int) *http.Request {
	return httptest.NewRequest("POST", "/up", strings.NewReader(strings.Repeat("x", n)))
}

func TestBodySize(t *testing.T) {
	small := deny(filter.Criteria{Paths: []string{"/up"}, BodyOver: 10})
	teapot := filter.Rule{Name: "t", Action: "deny", Status: 418, Match: filter.Criteria{BodyOver: 5}}
	trusted := allow(filter.Criteria{Clients: []string{"203.0.113.9"}})
	for _, tc := range []struct {
		name   string
		c      filter.Config
		size   int
		status int
	}{
		{"rule reached", rulesOf(small), 10, 200},
		{"rule exceeded", rulesOf(small), 11, 413},
		{"stricter rule with a status", rulesOf(small, teapot), 6, 418},
		{"stricter rule first", rulesOf(teapot, small), 6, 418},
		{"allowed before the rule", rulesOf(trusted, small), 11, 200},
		{"allowed after the rule", rulesOf(small, trusted), 11, 413},
		{"rule for another path", rulesOf(deny(filter.Criteria{Paths: []string{"/x"}, BodyOver: 1})), 11, 200},
		{"no limit", filter.Config{}, 100_000, 200},
	} {
		t.Run(tc.name, func(t *testing.T) {
			o := try(t, tc.c, announced(tc.size), client)
			if o.Code != tc.status || (o.passed != nil) != (tc.status == 200) {
				t.Errorf("announced: status %d, want %d", o.Code, tc.status)
			}
			o = try(t, tc.c, chunked(tc.size), client)
			if o.Code != tc.status || o.passed == nil {
				t.Errorf("chunked: status %d, want %d", o.Code, tc.status)
			}
			if tc.status == 200 && o.Body.Len() != tc.size {
				t.Errorf("chunked: %d bytes came through, want %d", o.Body.Len(), tc.size)
			}
		})
	}
}

func TestACutBodyHandsOutNoByteTooMany(t *testing.T) {
	rules, err := filter.Compile(rulesOf(deny(filter.Criteria{BodyOver: 10})), "edge-1")
	if err != nil {
		t.Fatal(err)
	}
	for size := range 25 {
		next := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			total, buffer := 0, make([]byte, size+1)
			var err error
			for err == nil {
				var n int
				n, err = r.Body.Read(buffer)
				total += n
			}
			var e *proxystatus.Error
			if total != 10 || !errors.As(err, &e) || e.HTTPStatus() != 413 {
				t.Errorf("reads of %d: %d bytes, then %v", size+1, total, err)
			}
			if n, again := r.Body.Read(buffer); n != 0 || again != err {
				t.Errorf("the error is not repeated: %d, %v", n, again)
			}
			if n, _ := r.Body.Read(nil); n != 0 {
				t.Errorf("an empty read gives %d bytes", n)
			}
		})
		r := httptest.NewRequest("POST", "/", strings.NewReader(strings.Repeat("x", 30)))
		r.ContentLength = -1
		filter.Wrap(rules, next).ServeHTTP(httptest.NewRecorder(), r.WithContext(exchange.With(r.Context(), &exchange.Exchange{})))
	}
}

func TestConnectIsNoBody(t *testing.T) {
	r := chunked(100)
	r.Method = "CONNECT"
	if o := try(t, rulesOf(deny(filter.Criteria{BodyOver: 10})), r, client); o.Body.Len() != 100 {
		t.Errorf("%d bytes came through, status %d", o.Body.Len(), o.Code)
	}
}

func TestConfigValidation(t *testing.T) {
	type c = filter.Criteria
	field := func(f filter.Field) filter.Config { return rulesOf(deny(c{Headers: []filter.Field{f}})) }
	for name, tc := range map[string]struct {
		c   filter.Config
		key string
	}{
		"no name":                 {rulesOf(filter.Rule{Action: "deny"}), "name"},
		"name with a line break":  {rulesOf(filter.Rule{Name: "a\nb", Action: "deny"}), "name"},
		"two of a name":           {rulesOf(deny(c{}), deny(c{})), "rules[1].name"},
		"no action":               {rulesOf(filter.Rule{Name: "a"}), "action"},
		"status 200":              {rulesOf(filter.Rule{Name: "a", Action: "deny", Status: 200}), "status"},
		"status of allow":         {rulesOf(filter.Rule{Name: "a", Action: "allow", Status: 403}), "status"},
		"allow by size":           {rulesOf(allow(c{BodyOver: 1})), "match.body_over"},
		"exception by size":       {rulesOf(filter.Rule{Name: "a", Action: "deny", Unless: &c{BodyOver: 1, Methods: []string{"GET"}}}), "unless.body_over"},
		"empty exception":         {rulesOf(filter.Rule{Name: "a", Action: "deny", Unless: &c{}}), "unless"},
		"bad address":             {rulesOf(deny(c{Clients: []string{"10.0.0.1", "10.0.0"}})), "clients[1]"},
		"bad range":               {rulesOf(deny(c{Clients: []string{"10.0.0.0/33"}})), "clients[0]"},
		"range with host bits":    {rulesOf(deny(c{Clients: []string{"10.0.0.1/8"}})), "clients[0]"},
		"mapped range":            {rulesOf(deny(c{Clients: []string{"::ffff:10.0.0.0/104"}})), "clients[0]"},
		"address with a zone":     {rulesOf(deny(c{Clients: []string{"fe80::1%eth0"}})), "clients[0]"},
		"star in a host":          {rulesOf(deny(c{Hosts: []string{"a.*.com"}})), "hosts[0]"},
		"host with port":          {rulesOf(deny(c{Hosts: []string{"a:80"}})), "hosts[0]"},
		"method in lower case":    {rulesOf(deny(c{Methods: []string{"get"}})), "methods[0]"},
		"relative path":           {rulesOf(deny(c{Paths: []string{"*.php"}})), "paths[0]"},
		"path that never matches": {rulesOf(deny(c{Paths: []string{"/a//b"}})), "paths[0]"},
		"encoded path":            {rulesOf(deny(c{Paths: []string{"/%70"}})), "paths[0]"},
		"bad field name":          {field(filter.Field{Name: "a b"}), "name"},
		"host as a field":         {field(filter.Field{Name: "host"}), "name"},
		"bad expression":          {field(filter.Field{Name: "a", Matches: "("}), "matches"},
		"long expression":         {field(filter.Field{Name: "a", Matches: strings.Repeat("x", 1025)}), "matches"},
		"two conditions":          {field(filter.Field{Name: "a", Matches: "x", Equals: "x"}), ""},
	} {
		if got := problems(tc.c); len(got) != 1 || got[0] != tc.key {
			t.Errorf("%s: problems with %q, want one with %q", name, got, tc.key)
		}
	}
}

func TestManyRangesAreASet(t *testing.T) {
	var list []string
	for i := range 256 {
		list = append(list, fmt.Sprintf("10.%d.0.0/17", i), fmt.Sprintf("10.%d.4.0/24", i), fmt.Sprintf("2001:db8:%x::/48", i))
	}
	c := rulesOf(deny(filter.Criteria{Clients: list}))
	for addr, inside := range map[string]bool{
		"10.0.0.0": true, "10.7.127.255": true, "10.7.128.0": false, "10.255.4.9": true, "9.255.255.255": false, "11.0.0.0": false,
		"2001:db8:ff:ffff::1": true, "2001:db8:100::": false, "::": false, "0.0.0.0": false,
	} {
		if o := try(t, c, request("GET", "/"), netip.AddrPortFrom(netip.MustParseAddr(addr), 1)); (o.passed == nil) != inside {
			t.Errorf("%s: refused %v, want %v", addr, o.passed == nil, inside)
		}
	}
}

func passing(t testing.TB, c filter.Config) (http.Handler, *http.Request) {
	rules, err := filter.Compile(c, "edge-1")
	if err != nil {
		t.Fatal(err)
	}
	r := request("GET", "http://example.com/some/path", "User-Agent", "curl/8.9")
	x := &exchange.Exchange{Client: exchange.Client{Addr: client}}
	return filter.Wrap(rules, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})), r.WithContext(exchange.With(r.Context(), x))
}

var usual = rulesOf(
	deny(filter.Criteria{Clients: []string{"10.0.0.0/8", "192.168.0.0/16"}}),
	filter.Rule{Name: "admin", Action: "deny", Match: filter.Criteria{Paths: []string{"/admin", "/**.php"}}},
	filter.Rule{Name: "bots", Action: "deny", Match: filter.Criteria{Headers: []filter.Field{{Name: "User-Agent", Matches: "(?i)badbot"}}}},
	filter.Rule{Name: "host", Action: "deny", Match: filter.Criteria{Hosts: []string{"*.internal"}}},
)

func TestLettingThroughDoesNotAllocate(t *testing.T) {
	if raceDetector {
		t.Skip("the race detector allocates")
	}
	for name, c := range map[string]filter.Config{"no rules": {}, "usual rules": usual} {
		h, r := passing(t, c)
		if got := testing.AllocsPerRun(100, func() { h.ServeHTTP(nil, r) }); got != 0 {
			t.Errorf("%s: %v allocations, want 0", name, got)
		}
	}
}

func BenchmarkUsualRules(b *testing.B) {
	h, r := passing(b, usual)
	b.ReportAllocs()
	for b.Loop() {
		h.ServeHTTP(nil, r)
	}
}
