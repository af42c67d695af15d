package hop_test

import (
	"net/http"
	"net/netip"
	"strings"
	"testing"

	"github.com/ergoproxy/ergo/shared/hop"
)

var trusted = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")}

func TestClientFrom(t *testing.T) {
	const proxy, stranger = "10.0.0.1:4000", "203.0.113.9:4000"
	for _, tc := range []struct {
		name, peer string
		h          http.Header
		client     string
		chain      string
	}{
		{"peer is not trusted", stranger, header("X-Forwarded-For: 1.2.3.4"), stranger, ""},
		{"mapped peer is not trusted", "[::ffff:203.0.113.9]:4000", header("X-Forwarded-For: 1.2.3.4"), stranger, ""},
		{"mapped peer is trusted", "[::ffff:10.0.0.1]:4000", header("X-Forwarded-For: 1.2.3.4"), "1.2.3.4:0", ""},
		{"no chain", proxy, header(), proxy, ""},
		{"one element", proxy, header("X-Forwarded-For: 1.2.3.4"), "1.2.3.4:0", ""},
		{"proxies between", proxy, header("X-Forwarded-For: 1.2.3.4, 10.0.0.3", "X-Forwarded-For: 10.0.0.2"), "1.2.3.4:0", ""},
		{"the client lies", proxy, header("X-Forwarded-For: 8.8.8.8, 10.9.9.9, 1.2.3.4"), "1.2.3.4:0", "8.8.8.8, 10.9.9.9"},
		{"the client sends garbage", proxy, header("X-Forwarded-For: 8.8.8.8, <script>, 9.9.9.9, 1.2.3.4"), "1.2.3.4:0", "9.9.9.9"},
		{"garbage next to us", proxy, header("X-Forwarded-For: 1.2.3.4, unknown"), proxy, ""},
		{"garbage behind a proxy", proxy, header("X-Forwarded-For: 1.2.3.4, , 10.0.0.2"), "10.0.0.2:0", ""},
		{"all trusted", proxy, header("X-Forwarded-For: 10.0.0.3, 10.0.0.2"), "10.0.0.3:0", ""},
		{"ports and brackets", proxy, header("X-Forwarded-For: 2001:db8::1, [2001:db8::2]:99, [fd00::1], 10.0.0.2:80"), "[2001:db8::2]:99", "2001:db8::1"},
		{"zone", proxy, header("X-Forwarded-For: fe80::1%eth0"), proxy, ""},
		{"brackets about IPv4", proxy, header("X-Forwarded-For: [1.2.3.4]"), proxy, ""},
		{"only 32 elements", proxy, header("X-Forwarded-For: 1.2.3.4" + strings.Repeat(", 10.0.0.2", 32)), "10.0.0.2:0", ""},
		{"Forwarded", proxy, header(`Forwarded: for=8.8.8.8, for="[2001:db8::1]:5";proto=https;host="a, b", FOR=10.0.0.2;by=_x`), "10.0.0.2:0", ""},
		{"Forwarded with plain host", proxy, header(`Forwarded: for=8.8.8.8, proto=https; for="[2001:db8::1]:5"`, `Forwarded: for=10.0.0.2`), "[2001:db8::1]:5", "8.8.8.8"},
		{"Forwarded obfuscated", proxy, header(`Forwarded: for=1.2.3.4, for=_hidden`), proxy, ""},
		{"Forwarded without for", proxy, header(`Forwarded: for=1.2.3.4, proto=http`), proxy, ""},
		{"X-Forwarded-For goes first", proxy, header("X-Forwarded-For: 1.2.3.4", "Forwarded: for=8.8.8.8"), "1.2.3.4:0", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			client, chain := hop.ClientFrom(netip.MustParseAddrPort(tc.peer), tc.h, trusted)
			if client.String() != tc.client || chain != tc.chain {
				t.Errorf("ClientFrom = %s, %q; want %s, %q", client, chain, tc.client, tc.chain)
			}
		})
	}
}

func FuzzClientFrom(f *testing.F) {
	for _, seed := range []string{"1.2.3.4, 10.0.0.2", `for="[2001:db8::1]:5";host=x, for=10.0.0.2`, ",,,", "[", `for="`, "[]:1"} {
		f.Add(seed)
	}
	peer := netip.MustParseAddrPort("10.0.0.1:1")
	f.Fuzz(func(t *testing.T, value string) {
		for _, field := range []string{"X-Forwarded-For", "Forwarded"} {
			client, chain := hop.ClientFrom(peer, http.Header{field: {value}}, trusted)
			if !client.IsValid() {
				t.Fatalf("%s: %q gives no client", field, value)
			}
			for node := range strings.SplitSeq(chain, ", ") {
				if _, err := netip.ParseAddr(node); chain != "" && err != nil {
					t.Fatalf("%s: %q gives the chain %q", field, value, chain)
				}
			}
		}
	})
}

func TestClientFromDoesNotAllocateWithoutAChain(t *testing.T) {
	h, peer := header("X-Forwarded-For: 1.2.3.4, 10.0.0.2"), netip.MustParseAddrPort("10.0.0.1:1")
	if got := testing.AllocsPerRun(100, func() { hop.ClientFrom(peer, h, trusted) }); got != 0 {
		t.Errorf("%v allocations, want 0", got)
	}
}

func TestTraceFrom(t *testing.T) {
	const parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	got := hop.TraceFrom(header("Traceparent: "+parent, "Tracestate: a=1", "Tracestate: b=2"))
	if got.Parent() != parent || got.State != "a=1,b=2" {
		t.Errorf("TraceFrom = %s, %q", got.Parent(), got.State)
	}
	if got := hop.TraceFrom(header("Traceparent: "+parent, "Tracestate: "+strings.Repeat("x", 513))); got.IsZero() || got.State != "" {
		t.Errorf("a long tracestate gives %+v", got)
	}
	for _, h := range []http.Header{header(), header("Traceparent: junk", "Tracestate: a=1"), header("Traceparent: "+parent, "Traceparent: "+parent)} {
		if got := hop.TraceFrom(h); !got.IsZero() || got.State != "" {
			t.Errorf("%v gives %+v", h, got)
		}
	}
}
