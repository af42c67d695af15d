package hop_test

import (
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/ergoproxy/ergo/shared/hop"
)

// header makes a header from "Name: value" lines.
func header(lines ...string) http.Header {
	h := http.Header{}
	for _, line := range lines {
		name, value, _ := strings.Cut(line, ": ")
		h.Add(name, value)
	}
	return h
}

func names(h http.Header) []string { return slices.Sorted(maps.Keys(h)) }

func TestRemoveHopByHop(t *testing.T) {
	for _, tc := range []struct {
		name string
		in   http.Header
		want http.Header
	}{
		{"all of them", header("Connection: close", "Keep-Alive: timeout=5", "Proxy-Connection: x", "Proxy-Authenticate: Basic",
			"Proxy-Authorization: Basic eA==", "Proxy-Authentication-Info: x", "Trailer: X", "Transfer-Encoding: chunked",
			"Upgrade: websocket", "HTTP2-Settings: AAA", "Accept: */*"), header("Accept: */*")},
		{"nominated", header("Connection: X-A, x-b ,,close", "Connection: X-C", "X-A: 1", "X-B: 1", "X-C: 1", "X-D: 1"), header("X-D: 1")},
		{"TE with trailers", header("TE: gzip;q=0.5, trailers;q=1", "Connection: TE"), header("TE: trailers")},
		{"TE without", header("TE: gzip"), header()},
		{"te that is nominated twice", header("TE: Trailers", "Connection: te, te"), header("TE: trailers")},
		{"nothing to do", header("Accept: */*"), header("Accept: */*")},
	} {
		t.Run(tc.name, func(t *testing.T) {
			hop.RemoveHopByHop(tc.in)
			if !maps.EqualFunc(tc.in, tc.want, slices.Equal) {
				t.Errorf("left %v, want %v", tc.in, tc.want)
			}
		})
	}
}

func TestConnectionCannotNominateProtectedFields(t *testing.T) {
	for _, field := range []string{"Host", "Authorization", "Cookie", "Content-Length", "Content-Type", "Cache-Control",
		"Range", "If-None-Match", "Accept-Encoding", "X-Forwarded-For", "X-Request-Id", "Via", "Cdn-Loop",
		"Traceparent", "Origin", "Sec-Websocket-Key", "X_forwarded_for"} {
		for _, option := range []string{field, strings.ToLower(field), strings.ToUpper(field)} {
			h := http.Header{field: {"1"}, "Connection": {"close, " + option}}
			hop.RemoveHopByHop(h)
			if _, kept := h[field]; !kept {
				t.Errorf("Connection: %s removed %s", option, field)
			}
		}
	}
}

func TestUpgradeType(t *testing.T) {
	for _, tc := range []struct {
		name string
		in   http.Header
		want string
	}{
		{"websocket", header("Connection: keep-alive, Upgrade", "Upgrade: WebSocket"), "WebSocket"},
		{"second line", header("Connection: keep-alive", "Connection: upgrade", "Upgrade: x"), "x"},
		{"not nominated", header("Connection: keep-alive", "Upgrade: websocket"), ""},
		{"no Upgrade", header("Connection: upgrade"), ""},
		{"part of a word", header("Connection: upgrades", "Upgrade: websocket"), ""},
	} {
		if got := hop.UpgradeType(tc.in); got != tc.want {
			t.Errorf("%s: %q, want %q", tc.name, got, tc.want)
		}
	}
}

func TestDropClaims(t *testing.T) {
	dropped := []string{"Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Forwarded-Client-Cert",
		"X-Forwarded-Anything-That-Comes-And-Has-A-Very-Long-Name", "X-Real-Ip", "X-Client-Ip", "True-Client-Ip",
		"Cf-Connecting-Ip", "X-Request-Id", "Traceparent", "Tracestate", "X-Client-Cert", "X-Client-Cert-Chain",
		"Client-Cert", "Client-Cert-Chain", "Ssl-Client-S-Dn", "X-Original-Url", "X-Rewrite-Url", "Proxy",
		"X-Remote-User", "X-Ergo-Principal",
		"X_forwarded_for", "X_FORWARDED_FOR", "X-Forwarded_for", "X.Forwarded.For", "x-forwarded-for", "X_real_ip", "Client_cert"}
	kept := []string{"Accept", "Authorization", "Cookie", "Content-Type", "Via", "Cdn-Loop", "Early-Data", "X-Api-Key",
		"X-Requested-With", "X-Http-Method-Override", "Sec-Fetch-Mode", "Traceparents", "Te", "X", "User-Agent", "Proxy-Status"}
	h := http.Header{"": {"1"}}
	for _, name := range slices.Concat(dropped, kept) {
		h[name] = []string{"1"}
	}
	hop.DropClaims(h)
	delete(h, "")
	slices.Sort(kept)
	if !slices.Equal(names(h), kept) {
		t.Errorf("left %v\nwant %v", names(h), kept)
	}
}

// browser is a request header as a browser sends it, with what the edge drops.
func browser() http.Header {
	return header("Accept: text/html,application/xhtml+xml,*/*;q=0.8", "Accept-Encoding: gzip, br", "Accept-Language: en",
		"Cache-Control: max-age=0", "Connection: keep-alive", "Cookie: session=1; theme=dark", "Origin: https://example.com",
		"Referer: https://example.com/", "Sec-Fetch-Dest: document", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Site: none",
		"Upgrade-Insecure-Requests: 1", "User-Agent: Mozilla/5.0 (X11; Linux x86_64)", "X-Forwarded-For: 203.0.113.1", "X-Request-Id: 1")
}

func TestCleaningDoesNotAllocate(t *testing.T) {
	for name, template := range map[string]http.Header{
		"browser":   browser(),
		"gRPC":      header("Te: trailers", "Connection: TE", "Content-Type: application/grpc"),
		"WebSocket": header("Connection: keep-alive, Upgrade", "Upgrade: websocket"),
	} {
		h := maps.Clone(template)
		if got := testing.AllocsPerRun(100, func() {
			maps.Copy(h, template)
			hop.UpgradeType(h)
			hop.RemoveHopByHop(h)
			hop.DropClaims(h)
		}); got != 0 {
			t.Errorf("%s: %v allocations, want 0", name, got)
		}
	}
}

func TestSharedTEValueCannotBeAppendedTo(t *testing.T) {
	first, second := header("TE: trailers"), header("TE: trailers")
	hop.RemoveHopByHop(first)
	first.Add("TE", "gzip")
	hop.RemoveHopByHop(second)
	if got := second.Values("TE"); !slices.Equal(got, []string{"trailers"}) {
		t.Errorf("TE of another request is %v", got)
	}
}

func BenchmarkClean(b *testing.B) {
	template, h := browser(), http.Header{}
	b.ReportAllocs()
	for b.Loop() {
		maps.Copy(h, template)
		hop.UpgradeType(h)
		hop.RemoveHopByHop(h)
		hop.DropClaims(h)
	}
}
