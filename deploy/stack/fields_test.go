package stack_test

import (
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/ergoproxy/ergo/deploy/stack"
)

var fieldRows = []row{
	{name: "claims of the client", run: testClaims},
	{name: "hop-by-hop fields", run: testHopByHop},
	{name: "loop", run: testLoop},
}

// claims are what a client could use to pass itself off as a proxy.
var claims = []string{
	"Forwarded", "for=203.0.113.9;proto=https", "X-Forwarded-For", "203.0.113.9", "X-Forwarded-Host", "evil.test",
	"X-Forwarded-Proto", "gopher", "X-Forwarded-Port", "1", "X-Forwarded-Prefix", "/evil", "X-Request-Id", "evil-id",
	"Traceparent", "00-11111111111111111111111111111111-2222222222222222-01", "Tracestate", "evil=1",
	"X-Real-Ip", "203.0.113.9", "X_Forwarded_For", "203.0.113.9", "X_Real_Ip", "203.0.113.9", "X_Request_Id", "evil-id",
	"True-Client-Ip", "203.0.113.9", "X-Original-Url", "/evil", "X-Rewrite-Url", "/evil",
}

// testClaims checks that nothing of it reaches the backend, and that what stands
// there instead is ours.
func testClaims(t *testing.T, c *cell) {
	req := c.request(t, "GET", "/headers", nil)
	for i := 0; i < len(claims); i += 2 {
		req.Header[claims[i]] = []string{claims[i+1]}
	}
	res, body := c.read(t, req)
	got := decode[struct{ Header http.Header }](t, body).Header
	for name, values := range got {
		for _, v := range values {
			if strings.Contains(v, "203.0.113.9") || strings.Contains(v, "evil") || strings.Contains(v, "1111111111111111") || strings.Contains(name, "_") {
				t.Errorf("backend saw %s: %s", name, v)
			}
		}
	}
	scheme := "https"
	if c.client == "h1" {
		scheme = "http"
	}
	want := map[string]string{
		"Forwarded":         "for=127.0.0.1;host=" + c.host() + ";proto=" + scheme,
		"X-Forwarded-For":   "127.0.0.1",
		"X-Forwarded-Host":  c.host(),
		"X-Forwarded-Proto": scheme,
		"X-Request-Id":      res.Header.Get("X-Request-Id"),
		"Cdn-Loop":          "core-1",
	}
	for name, v := range want {
		if len(got[name]) != 1 || got[name][0] != v || v == "" {
			t.Errorf("%s: backend saw %q, want %q", name, got[name], v)
		}
	}
	wantVia(t, "request", got["Via"])
	wantVia(t, "response", res.Header["Via"])
	if !traceparent.MatchString(got.Get("Traceparent")) {
		t.Errorf("Traceparent %q", got.Get("Traceparent"))
	}
}

var traceparent = regexp.MustCompile(`^00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$`)

// wantVia checks that both tiers are named, once each.
func wantVia(t testing.TB, of string, values []string) {
	t.Helper()
	all := strings.Join(values, ", ")
	if strings.Count(all, "edge-1") != 1 || strings.Count(all, "core-1") != 1 {
		t.Errorf("Via of the %s: %q", of, values)
	}
}

// testHopByHop checks that fields of one link stay there, the nominated included.
func testHopByHop(t *testing.T, c *cell) {
	path := c.b.handle(func(w http.ResponseWriter, r *http.Request) {
		for _, name := range []string{"Keep-Alive", "Proxy-Connection", "Proxy-Authorization", "X-Mine", "Te"} {
			if r.Header.Get(name) != "" {
				t.Errorf("backend saw %s: %s", name, r.Header.Get(name))
			}
		}
		if r.Header.Get("X-Other") != "stays" {
			t.Error("X-Other did not come through")
		}
		w.Header().Set("Proxy-Authenticate", "Basic")
		w.Header().Set("Alt-Svc", `h3="backend.test:1"`)
		w.Header().Set("X-Kept", "yes")
	})
	req := c.request(t, "GET", path, nil)
	req.Header["X-Other"] = []string{"stays"}
	req.Header["Proxy-Authorization"] = []string{"Basic eDp5"}
	if c.client == "h1" || c.client == "h1tls" { // the others have no such fields
		req.Header["Connection"] = []string{"X-Mine"}
		req.Header["X-Mine"] = []string{"1"}
		req.Header["Keep-Alive"] = []string{"timeout=5"}
		req.Header["Te"] = []string{"gzip"}
	}
	res, _ := c.read(t, req)
	if res.Header.Get("Proxy-Authenticate") != "" || strings.Contains(res.Header.Get("Alt-Svc"), "backend.test") || res.Header.Get("X-Kept") != "yes" {
		t.Errorf("client saw %v", res.Header)
	}
}

func testLoop(t *testing.T, c *cell) {
	req := c.request(t, "GET", "/headers", nil)
	res, _ := c.read(t, req, "CDN-Loop", "other.example, core-1; n=1")
	if res.StatusCode != 502 || !strings.Contains(res.Header.Get("Proxy-Status"), "core-1; error=proxy_loop_detected") {
		t.Errorf("status %d, Proxy-Status %q", res.StatusCode, res.Header.Get("Proxy-Status"))
	}
	c.expect(req, entry{Status: 502, ProxyStatus: "proxy_loop_detected"})
	if got := c.seen(t, c.request(t, "GET", "/headers", nil), "CDN-Loop", "other.example"); strings.Join(got.Header["Cdn-Loop"], ", ") != "other.example, core-1" {
		t.Errorf("backend saw CDN-Loop %q", got.Header["Cdn-Loop"])
	}
}

// TestTrustedProxy checks that an address in trusted_proxies is believed, in every
// client protocol.
func TestTrustedProxy(t *testing.T) {
	in := install(t, "quic", func(o *stack.Options) {
		configure := o.Change
		o.Change = func(tier, yaml string) string {
			yaml = configure(tier, yaml)
			if strings.HasPrefix(tier, "edge") {
				yaml += "trusted_proxies: [127.0.0.1/32]\n"
			}
			return yaml
		}
	})
	for _, client := range clientProtocols {
		t.Run(client, func(t *testing.T) {
			c := newCell(t, in, client, "h1")
			got := c.seen(t, c.request(t, "GET", "/headers", nil),
				"X-Forwarded-For", "198.51.100.7, 203.0.113.9", "Traceparent", "00-0123456789abcdef0123456789abcdef-0123456789abcdef-01",
				"X-Request-Id", "theirs", "X-Real-Ip", "198.51.100.7")
			if h := got.Header; h.Get("X-Forwarded-For") != "203.0.113.9" && h.Get("X-Forwarded-For") != "198.51.100.7, 203.0.113.9" {
				t.Errorf("X-Forwarded-For %q", h.Get("X-Forwarded-For"))
			} else if !strings.Contains(h.Get("Forwarded"), "for=203.0.113.9") {
				t.Errorf("Forwarded %q", h.Get("Forwarded"))
			}
			if p := got.Header.Get("Traceparent"); !strings.HasPrefix(p, "00-0123456789abcdef0123456789abcdef-") {
				t.Errorf("Traceparent %q does not go on", p)
			}
			if id := got.Header["X-Request-Id"]; len(id) != 1 || slices.Contains(id, "theirs") || got.Header.Get("X-Real-Ip") != "" {
				t.Errorf("X-Request-Id %q, X-Real-Ip %q", id, got.Header.Get("X-Real-Ip"))
			}
		})
	}
	in.end()
	for _, l := range readLog(t, in.book.edgeLog) {
		if l.Client != "203.0.113.9" || l.Trace != "0123456789abcdef0123456789abcdef" {
			t.Errorf("access log has client %s, trace %s", l.Client, l.Trace)
		}
	}
}
