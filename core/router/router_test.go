package router_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/ergoproxy/ergo/core/router"
	"github.com/ergoproxy/ergo/shared/config"
	"github.com/ergoproxy/ergo/shared/proxystatus"
)

// route is a Config in short: "GET,POST app.example.com/users/{id} X-Beta=1".
func route(text string) router.Config {
	c := router.Config{Name: text, Backend: "web"}
	for _, word := range strings.Fields(text) {
		host, path, isPath := strings.Cut(word, "/")
		name, value, isHeader := strings.Cut(word, "=")
		switch {
		case isHeader:
			if c.Match.Headers == nil {
				c.Match.Headers = map[string]string{}
			}
			c.Match.Headers[name] = value
		case isPath && (strings.Contains(path, "{") || strings.HasSuffix(path, "!")):
			c.Match.Host, c.Match.Pattern = host, strings.TrimSuffix("/"+path, "!")
		case isPath:
			c.Match.Host, c.Match.Path = host, "/"+path
		default:
			c.Match.Methods = strings.Split(word, ",")
		}
	}
	return c
}

func table(t testing.TB, routes ...string) *router.Table {
	t.Helper()
	var configs []router.Config
	for _, text := range routes {
		configs = append(configs, route(text))
	}
	tab, err := router.New(configs)
	if err != nil {
		t.Fatalf("New: %v", err)
	}
	return tab
}

// request is "GET app.example.com/path Name=value".
func request(t testing.TB, text string) *http.Request {
	t.Helper()
	words := strings.Fields(text)
	i := strings.IndexByte(words[1], '/')
	r := httptest.NewRequest(words[0], words[1][i:], nil)
	r.Host = words[1][:i]
	for _, h := range words[2:] {
		name, value, _ := strings.Cut(h, "=")
		r.Header.Add(name, value)
	}
	return r
}

func TestMostSpecificRouteWins(t *testing.T) {
	tab := table(t,
		"/",
		"/api",
		"/api/",
		"/api/v1!",
		"/api/{version}",
		"/api/{version}/users/{id}",
		"/api/v1/{any...}",
		"/api/v1/users",
		"POST /api/v1/users",
		"/api/v1/users X-Beta=1",
		"/api/v1/users X-Beta=1 X-Team=*",
		"GET app.example.com/only",
		"app.example.com/api",
		"*.example.com/wild",
		"*.example.com/",
		"*.a.example.com/",
		"/files/{rest...}",
		"/slash/!",
		"/caf%C3%A9",
	)
	tests := []struct{ request, want string }{
		{"GET other.net/", "/"},
		{"GET other.net/apix", "/"},
		{"GET other.net/ap", "/"},
		{"GET other.net/api", "/api"},
		{"GET other.net/api/", "/api/"},
		{"GET other.net/api/v1", "/api/v1!"},
		{"GET other.net/api/v2", "/api/{version}"},
		{"GET other.net/api/v2/", "/api/"},
		{"GET other.net/api/v2/users/7", "/api/{version}/users/{id}"},
		{"GET other.net/api/v2/users/", "/api/"},
		{"GET other.net/api/v1/else", "/api/v1/{any...}"},
		{"GET other.net/api/v1/", "/api/v1/{any...}"},
		{"GET other.net/api/v1/users", "/api/v1/users"},
		{"GET other.net/api/v1/users/7", "/api/v1/users"},
		{"GET other.net/api/v1/usersx", "/api/v1/{any...}"},
		{"POST other.net/api/v1/users", "POST /api/v1/users"},
		{"POST other.net/api/v1/users X-Beta=1", "POST /api/v1/users"},
		{"GET other.net/api/v1/users X-Beta=1", "/api/v1/users X-Beta=1"},
		{"GET other.net/api/v1/users X-Beta=2", "/api/v1/users"},
		{"GET other.net/api/v1/users X-Beta=1 X-Team=a", "/api/v1/users X-Beta=1 X-Team=*"},
		{"GET other.net//api", "/"},
		{"GET other.net/API", "/"},
		{"GET other.net/a%70i", "/api"},
		{"GET other.net/api%2Fv1", "/"},
		{"GET app.example.com/only", "GET app.example.com/only"},
		{"HEAD app.example.com/only", "GET app.example.com/only"},
		{"POST app.example.com/only", "*.example.com/"},
		{"GET app.example.com/api/x", "app.example.com/api"},
		{"GET APP.Example.com:8443/api", "app.example.com/api"},
		{"GET app.example.com./api", "app.example.com/api"},
		{"GET app.example.com/wild", "*.example.com/wild"},
		{"GET b.example.com/x", "*.example.com/"},
		{"GET b.a.example.com/wild", "*.a.example.com/"},
		{"GET c.b.a.example.com/x", "*.a.example.com/"},
		{"GET a.example.com/x", "*.example.com/"},
		{"GET example.com/x", "/"},
		{"GET notexample.com/x", "/"},
		{"GET [::1]:80/api", "/api"},
		{"GET other.net/files/", "/files/{rest...}"},
		{"GET other.net/files", "/"},
		{"GET other.net/slash/", "/slash/!"},
		{"GET other.net/slash", "/"},
		{"GET other.net/slash/x", "/"},
		{"GET other.net/caf%c3%a9/menu", "/caf%C3%A9"},
	}
	for _, tt := range tests {
		m, err := tab.Match(request(t, tt.request))
		if err != nil {
			t.Errorf("%s: %v", tt.request, err)
		} else if m.Route.Name != tt.want {
			t.Errorf("%s: route %q, want %q", tt.request, m.Route.Name, tt.want)
		}
	}
}

func TestStarOfOptionsTakesTheRootOnly(t *testing.T) {
	r := httptest.NewRequest("OPTIONS", "*", nil)
	if m, err := table(t, "/", "/{any}").Match(r); err != nil || m.Route.Name != "/" {
		t.Errorf("Match(*) = %v, %v", m.Route, err)
	}
	if _, err := table(t, "/api", "/{any...}").Match(r); err == nil {
		t.Error("Match(*) found a route without a root")
	}
}

func TestNoRoute(t *testing.T) {
	tab := table(t, "GET,POST /api", "DELETE /api/x", "app.example.com/", "/beta X-Beta=1")
	tests := []struct {
		request string
		status  int
		reason  proxystatus.Type
		allow   string
	}{
		{"GET other.net/", 404, proxystatus.DestinationNotFound, ""},
		{"GET other.net/apix", 404, proxystatus.DestinationNotFound, ""},
		{"PUT other.net/api", 405, proxystatus.DestinationNotFound, "GET HEAD POST"},
		{"PUT other.net/api/x", 405, proxystatus.DestinationNotFound, "DELETE GET HEAD POST"},
		{"get other.net/api", 405, proxystatus.DestinationNotFound, "GET HEAD POST"},
		{"GET other.net/beta", 404, proxystatus.DestinationNotFound, ""},
		{"GET app.example.com/api/../x", 400, proxystatus.HTTPRequestError, ""},
		{"GET app.example.com/api/%2e%2E", 400, proxystatus.HTTPRequestError, ""},
		{"GET app.example.com/./x", 400, proxystatus.HTTPRequestError, ""},
		{"GET app.example.com/.%2e/x", 400, proxystatus.HTTPRequestError, ""},
	}
	for _, tt := range tests {
		_, err := tab.Match(request(t, tt.request))
		var e *proxystatus.Error
		if !errors.As(err, &e) {
			t.Errorf("%s: %v is no proxystatus.Error", tt.request, err)
			continue
		}
		if e.HTTPStatus() != tt.status || e.Type != tt.reason {
			t.Errorf("%s: %d %v, want %d %v", tt.request, e.HTTPStatus(), e.Type, tt.status, tt.reason)
		}
		var na *router.NotAllowedError
		if got := errors.As(err, &na); got != (tt.allow != "") {
			t.Errorf("%s: NotAllowedError in the chain: %v", tt.request, got)
		} else if got && strings.Join(na.Allow, " ") != tt.allow {
			t.Errorf("%s: allow %v, want %s", tt.request, na.Allow, tt.allow)
		}
	}
	for _, path := range []string{"/...", "/.well-known/x", "/a.b", "/..a"} {
		if _, err := tab.Match(request(t, "GET app.example.com"+path)); err != nil {
			t.Errorf("%s: %v", path, err)
		}
	}
}

func TestVariablesKeepTheirEscapes(t *testing.T) {
	tab := table(t, "/u/{id}/f/{rest...}", "/u/{id}/x/{other}")
	m, err := tab.Match(request(t, "GET h/u/a%2Fb/f/c/d%20e"))
	if err != nil || m.Var("id") != "a%2Fb" || m.Var("rest") != "c/d%20e" || m.Var("none") != "" {
		t.Errorf("id %q, rest %q, %v", m.Var("id"), m.Var("rest"), err)
	}
	if m, err = tab.Match(request(t, "GET h/u/1/x/2")); err != nil || m.Var("id") != "1" || m.Var("other") != "2" {
		t.Errorf("id %q, other %q, %v", m.Var("id"), m.Var("other"), err)
	}
}

func TestConflicts(t *testing.T) {
	tests := []struct {
		name, a, b string
		want       bool
	}{
		{"same path", "/api", "/api", true},
		{"default path", "GET", "GET /", true},
		{"same path in other escapes", "/a%70i", "/api", true},
		{"prefix and below", "/api", "/api/", false},
		{"below and rest", "/api/", "/api/{rest...}", true},
		{"names of variables", "/u/{id}", "/u/{name}", true},
		{"literal and variable", "/u/me!", "/u/{name}", false},
		{"hosts", "a.com/", "b.com/", false},
		{"wildcards", "*.a.com/", "*.a.com/", true},
		{"methods apart", "GET /", "POST /", false},
		{"methods overlap", "GET,PUT /", "PUT,POST /", true},
		{"GET is HEAD", "GET /", "HEAD /", true},
		{"methods and none", "GET /", "/", false},
		{"header and none", "/ X-A=1", "/", false},
		{"values apart", "/ X-A=1", "/ X-A=2", false},
		{"value and any", "/ X-A=1", "/ X-A=*", true},
		{"different headers", "/ X-A=1", "/ X-B=1", true},
		{"different headers, one apart", "/ X-A=1 X-B=1", "/ X-A=2 X-C=1", false},
	}
	for _, tt := range tests {
		a, b := route(tt.a), route(tt.b)
		a.Name, b.Name = "a", "b"
		var r config.Report
		router.Check([]router.Config{a, b}, &r)
		if got := len(r.Problems()) > 0; got != tt.want {
			t.Errorf("%s: %q and %q: %v, want a conflict: %v", tt.name, tt.a, tt.b, r.Problems(), tt.want)
		} else if got && r.Problems()[0].Key != "[1].match" {
			t.Errorf("%s: key %q", tt.name, r.Problems()[0].Key)
		}
		if _, err := router.New([]router.Config{a, b}); (err != nil) != tt.want {
			t.Errorf("%s: New: %v", tt.name, err)
		}
	}
}

func TestNames(t *testing.T) {
	a, b, c := route("GET,PUT app.example.com/x/{id}"), route("/"), route("/y")
	a.Name, b.Name = "", ""
	tab, err := router.New([]router.Config{a, b, c})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, r := range tab.Routes() {
		names = append(names, r.Name)
	}
	if want := []string{"GET,PUT app.example.com/x/{id}", "/", "/y"}; !slices.Equal(names, want) {
		t.Errorf("names %q, want %q", names, want)
	}
	c.Name, a.Name = "same", "same"
	if _, err := router.New([]router.Config{a, b, c}); err == nil || !strings.Contains(err.Error(), "routes[2].name") {
		t.Errorf("two routes of one name: %v", err)
	}
}

func TestMatchDoesNotAllocate(t *testing.T) {
	tab := table(t, "/", "/api/{v}/users/{id}", "app.example.com/api", "*.example.com/x")
	for _, text := range []string{"GET h/api/v1/users/7", "GET app.example.com:80/api", "GET b.example.com/x", "GET h/"} {
		r := request(t, text)
		if n := testing.AllocsPerRun(100, func() {
			if _, err := tab.Match(r); err != nil {
				t.Fatal(err)
			}
		}); n != 0 {
			t.Errorf("%s: %v allocations, want 0", text, n)
		}
	}
}

func BenchmarkMatch(b *testing.B) {
	var routes []string
	for _, host := range []string{"", "a.example.com", "*.example.com"} {
		for _, path := range strings.Fields("/ /api /api/v1 /api/{v} /api/{v}/users/{id} /static/ /img /js /css /login!") {
			routes = append(routes, host+path)
		}
	}
	tab, r := table(b, routes...), request(b, "GET b.example.com:443/api/v2/users/77")
	b.ReportAllocs()
	for b.Loop() {
		if _, err := tab.Match(r); err != nil {
			b.Fatal(err)
		}
	}
}
