package router_test

import (
	"net/http"
	"net/netip"
	"reflect"
	"strings"
	"testing"

	"github.com/ergoproxy/ergo/core/router"
	"github.com/ergoproxy/ergo/shared/config"
	"github.com/ergoproxy/ergo/shared/exchange"
)

func TestRewrite(t *testing.T) {
	tests := []struct {
		route   string
		rewrite router.RewriteConfig
		request string
		want    string // host and path as they go to the backend
	}{
		{"/", router.RewriteConfig{}, "GET h/a%2Fb/%41?q=%2F", "h/a%2Fb/%41?q=%2F"},
		{"/", router.RewriteConfig{Host: "inner:81"}, "GET h/a%2Fb", "inner:81/a%2Fb"},
		{"/api", router.RewriteConfig{StripPrefix: "/api"}, "GET h/api/x?q", "h/x?q"},
		{"/api", router.RewriteConfig{StripPrefix: "/api/"}, "GET h/api", "h/"},
		{"/api", router.RewriteConfig{StripPrefix: "/api"}, "GET h/api/", "h/"},
		{"/api", router.RewriteConfig{StripPrefix: "/api"}, "GET h/a%70i/a%2Fb", "h/a%2Fb"},
		{"/api", router.RewriteConfig{StripPrefix: "/api"}, "GET h/api//x", "h//x"},
		{"/api", router.RewriteConfig{StripPrefix: "/api", AddPrefix: "/v2/"}, "GET h/api/x", "h/v2/x"},
		{"/api", router.RewriteConfig{StripPrefix: "/api", AddPrefix: "/v2"}, "GET h/api", "h/v2"},
		{"/", router.RewriteConfig{AddPrefix: "/v2"}, "GET h/", "h/v2/"},
		{"/a/b", router.RewriteConfig{StripPrefix: "/a"}, "GET h/a/b/c", "h/b/c"},
		{"/u/{id}/posts", router.RewriteConfig{Path: "/members/{id}"}, "GET h/u/a%2Fb/posts?x=1", "h/members/a%2Fb?x=1"},
		{"/f/{rest...}", router.RewriteConfig{Path: "/static/{rest...}"}, "GET h/f/a/b%20c", "h/static/a/b%20c"},
		{"/u/{id}/{rest...}", router.RewriteConfig{Path: "/{id}-{id}.json"}, "GET h/u/7/x", "h/7-7.json"},
		{"/old", router.RewriteConfig{Path: "/new"}, "GET h/old/x", "h/new"},
	}
	for _, tt := range tests {
		c := route(tt.route)
		c.Rewrite = tt.rewrite
		var report config.Report
		c.Validate(&report)
		tab, err := router.New([]router.Config{c})
		if err != nil || report.Problems() != nil {
			t.Errorf("%s %+v: %v %v", tt.route, tt.rewrite, err, report.Problems())
			continue
		}
		r := request(t, tt.request)
		m, err := tab.Match(r)
		if err != nil {
			t.Errorf("%s: %v", tt.request, err)
			continue
		}
		m.Rewrite(r)
		if got := r.Host + r.URL.RequestURI(); got != tt.want {
			t.Errorf("%s %+v: %s becomes %s, want %s", tt.route, tt.rewrite, tt.request, got, tt.want)
		}
	}
}

func TestRewriteLeavesTheStarOfOptions(t *testing.T) {
	c := route("/")
	c.Rewrite.AddPrefix = "/v2"
	tab, err := router.New([]router.Config{c})
	if err != nil {
		t.Fatal(err)
	}
	r := request(t, "OPTIONS h/")
	r.URL.Path = "*"
	m, err := tab.Match(r)
	if err != nil {
		t.Fatal(err)
	}
	m.Rewrite(r)
	if r.URL.Path != "*" {
		t.Errorf("path %q, want *", r.URL.Path)
	}
}

func TestHeaders(t *testing.T) {
	c := route("/")
	c.RequestHeaders = router.HeadersConfig{
		Remove: []string{"cookie"},
		Set:    map[string]string{"x-id": "id-${request_id}", "X-User": "${principal}", "X-Plain": "a$b{c}", "X-Env": "prod"},
		Add:    map[string]string{"X-Seen": "${client_ip} ${route}"},
	}
	c.ResponseHeaders = router.HeadersConfig{Set: map[string]string{"Strict-Transport-Security": "max-age=1"}, Remove: []string{"Server"}}
	tab, err := router.New([]router.Config{c})
	if err != nil {
		t.Fatal(err)
	}
	m, _ := tab.Match(request(t, "GET h/"))
	x := &exchange.Exchange{
		ID:        exchange.ID{1},
		Client:    exchange.Client{Addr: netip.MustParseAddrPort("[::ffff:192.0.2.7]:99")},
		Principal: exchange.Principal{Subject: "eve\r\nX-Admin: 1"},
	}
	h := http.Header{"Cookie": {"a=b"}, "X-Seen": {"before"}, "X-User": {"forged"}, "X-Plain": {"1", "2"}}
	m.Route.EditRequest(h, x)
	want := http.Header{
		"X-Seen":  {"before", "192.0.2.7 /"},
		"X-Id":    {"id-01000000-0000-0000-0000-000000000000"},
		"X-User":  {"eve%0D%0AX-Admin: 1"},
		"X-Plain": {"a$b{c}"},
		"X-Env":   {"prod"},
	}
	if !reflect.DeepEqual(h, want) {
		t.Errorf("request header\n%v, want\n%v", h, want)
	}
	h = http.Header{"X-User": {"forged"}}
	m.Route.EditRequest(h, &exchange.Exchange{})
	if _, ok := h["X-User"]; ok {
		t.Error("what the client sent as X-User stayed for nobody")
	}
	h = http.Header{"Server": {"nginx"}}
	m.Route.EditResponse(h, x)
	if !reflect.DeepEqual(h, http.Header{"Strict-Transport-Security": {"max-age=1"}}) {
		t.Errorf("response header %v", h)
	}
	if !m.Route.EditsRequest() {
		t.Error("EditsRequest is false")
	}
}

func TestWrongConfigs(t *testing.T) {
	set := func(name, value string) router.HeadersConfig {
		return router.HeadersConfig{Set: map[string]string{name: value}}
	}
	long := strings.Repeat("/a", 33)
	tests := []struct {
		name   string
		config router.Config
		want   string // part of a problem
	}{
		{"no backend", router.Config{}, "backend: is empty"},
		{"name", router.Config{Name: "a\nb", Backend: "b"}, "control"},
		{"path without slash", router.Config{Match: router.MatchConfig{Path: "api"}}, "begin with a slash"},
		{"path with query", router.Config{Match: router.MatchConfig{Path: "/a?b"}}, "%3F"},
		{"path with space", router.Config{Match: router.MatchConfig{Path: "/a b"}}, "%20"},
		{"path with dots", router.Config{Match: router.MatchConfig{Path: "/a/../b"}}, ".."},
		{"path with broken escape", router.Config{Match: router.MatchConfig{Path: "/a%2"}}, "escape"},
		{"path with variable", router.Config{Match: router.MatchConfig{Path: "/{a}"}}, "only a pattern"},
		{"path of many segments", router.Config{Match: router.MatchConfig{Path: long}}, "32 segments"},
		{"both", router.Config{Match: router.MatchConfig{Path: "/a", Pattern: "/b"}}, "only one"},
		{"half variable", router.Config{Match: router.MatchConfig{Pattern: "/a{id}"}}, "whole segment"},
		{"open variable", router.Config{Match: router.MatchConfig{Pattern: "/{id"}}, "whole segment"},
		{"unnamed variable", router.Config{Match: router.MatchConfig{Pattern: "/{}"}}, "variable \"\""},
		{"same variable", router.Config{Match: router.MatchConfig{Pattern: "/{a}/{a}"}}, "twice"},
		{"nine variables", router.Config{Match: router.MatchConfig{Pattern: "/{a}/{b}/{c}/{d}/{e}/{f}/{g}/{h}/{i}"}}, "8 variables"},
		{"rest in the middle", router.Config{Match: router.MatchConfig{Pattern: "/{a...}/b"}}, "{rest...}"},
		{"half rest", router.Config{Match: router.MatchConfig{Pattern: "/x{a...}"}}, "whole segment"},
		{"pattern without slash", router.Config{Match: router.MatchConfig{Pattern: "{a...}"}}, "begin with a slash"},
		{"host with port", router.Config{Match: router.MatchConfig{Host: "a.com:80"}}, "port"},
		{"host with url", router.Config{Match: router.MatchConfig{Host: "https://a.com"}}, "scheme"},
		{"host in capitals", router.Config{Match: router.MatchConfig{Host: "A.com"}}, "lower case"},
		{"star inside", router.Config{Match: router.MatchConfig{Host: "a.*.com"}}, "first label"},
		{"empty label", router.Config{Match: router.MatchConfig{Host: "*."}}, "empty label"},
		{"method", router.Config{Match: router.MatchConfig{Methods: []string{"get"}}}, "no method"},
		{"CONNECT", router.Config{Match: router.MatchConfig{Methods: []string{"CONNECT"}}}, "CONNECT"},
		{"method twice", router.Config{Match: router.MatchConfig{Methods: []string{"GET", "GET"}}}, "twice"},
		{"match header", router.Config{Match: router.MatchConfig{Headers: map[string]string{"a b": ""}}}, "field name"},
		{"match value", router.Config{Match: router.MatchConfig{Headers: map[string]string{"A": "b\n"}}}, "characters"},
		{"strip of another path", router.Config{Match: router.MatchConfig{Path: "/api"}, Rewrite: router.RewriteConfig{StripPrefix: "/ap"}}, "how the route's path begins"},
		{"strip of a variable", router.Config{Match: router.MatchConfig{Pattern: "/{a}/b"}, Rewrite: router.RewriteConfig{StripPrefix: "/a"}}, "how the route's path begins"},
		{"path and strip", router.Config{Rewrite: router.RewriteConfig{Path: "/a", AddPrefix: "/b"}}, "want either"},
		{"unknown variable", router.Config{Rewrite: router.RewriteConfig{Path: "/{id}"}}, "has not"},
		{"rest as segment", router.Config{Match: router.MatchConfig{Pattern: "/{r...}"}, Rewrite: router.RewriteConfig{Path: "/{r}"}}, "another way"},
		{"open brace", router.Config{Rewrite: router.RewriteConfig{Path: "/{id"}}, "without its }"},
		{"closed brace", router.Config{Rewrite: router.RewriteConfig{Path: "/id}"}}, "without its {"},
		{"rewrite to query", router.Config{Rewrite: router.RewriteConfig{Path: "/a?b"}}, "%3F"},
		{"rewrite to dots", router.Config{Rewrite: router.RewriteConfig{AddPrefix: "/.."}}, ".."},
		{"rewrite host", router.Config{Rewrite: router.RewriteConfig{Host: "a/b"}}, "no host"},
		{"field name", router.Config{RequestHeaders: set("a b", "c")}, "no field name"},
		{"field value", router.Config{RequestHeaders: set("A", "b\r\nC: d")}, "characters"},
		{"host field", router.Config{RequestHeaders: set("host", "a")}, "rewrite.host"},
		{"forwarded", router.Config{RequestHeaders: router.HeadersConfig{Remove: []string{"x-forwarded-for"}}}, "X-Forwarded-For can't"},
		{"hop by hop", router.Config{ResponseHeaders: set("transfer-encoding", "chunked")}, "Transfer-Encoding can't"},
		{"length", router.Config{ResponseHeaders: set("content-length", "1")}, "Content-Length can't"},
		{"placeholder", router.Config{RequestHeaders: set("A", "${host}")}, "${client_ip}, ${principal}, ${request_id}, ${route}"},
		{"open placeholder", router.Config{RequestHeaders: router.HeadersConfig{Add: map[string]string{"A": "${route"}}}, "no placeholder"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var r config.Report
			tt.config.Match.Validate(&r)
			tt.config.Validate(&r)
			for _, p := range r.Problems() {
				if strings.Contains(p.Key+": "+p.Text, tt.want) {
					return
				}
			}
			t.Errorf("problems %v, want one with %q", r.Problems(), tt.want)
		})
	}
}
