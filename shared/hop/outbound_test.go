package hop_test

import (
	"maps"
	"net/http"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/ergoproxy/ergo/shared/exchange"
	"github.com/ergoproxy/ergo/shared/hop"
)

const traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

func record(t testing.TB, client string) *exchange.Exchange {
	t.Helper()
	trace, err := exchange.ParseTrace(traceparent)
	if err != nil {
		t.Fatal(err)
	}
	return &exchange.Exchange{
		ID:     exchange.NewID(time.UnixMilli(1)),
		Trace:  trace,
		Client: exchange.Client{Addr: netip.MustParseAddrPort(client), Scheme: "https"},
	}
}

func TestOutboundWritesTypedFieldsOnly(t *testing.T) {
	x := record(t, "[2001:db8::1]:5000")
	x.Trace.State, x.Client.EarlyData = "a=1", true
	h := header("X-Forwarded-For: 6.6.6.6", "Forwarded: for=6.6.6.6", "X-Request-Id: forged", "Traceparent: forged",
		"Tracestate: forged", "X-Forwarded-Host: forged", "X-Forwarded-Proto: forged", "Accept: */*")
	hop.Outbound(h, x, "example.com:8443")
	want := header(`Forwarded: for="[2001:db8::1]";host="example.com:8443";proto=https`, "X-Forwarded-For: 2001:db8::1",
		"X-Forwarded-Host: example.com:8443", "X-Forwarded-Proto: https", "X-Request-Id: "+x.ID.String(),
		"Traceparent: "+traceparent, "Tracestate: a=1", "Early-Data: 1", "Accept: */*")
	if !maps.EqualFunc(h, want, slices.Equal) {
		t.Errorf("have %v\nwant %v", h, want)
	}
}

func TestOutboundRemovesWhatItHasNoValueFor(t *testing.T) {
	x := &exchange.Exchange{ID: exchange.NewID(time.UnixMilli(1))}
	h := header("Traceparent: forged", "Tracestate: forged", "X-Forwarded-Host: forged", "X-Forwarded-Proto: forged",
		"X-Forwarded-For: forged", "Early-Data: 1")
	hop.Outbound(h, x, "")
	want := header("Forwarded: for=unknown", "X-Request-Id: "+x.ID.String(), "Early-Data: 1")
	if !maps.EqualFunc(h, want, slices.Equal) {
		t.Errorf("have %v\nwant %v", h, want)
	}
}

func TestOutboundKeepsTheTrustedChain(t *testing.T) {
	x := record(t, "[::ffff:192.0.2.1]:5000")
	x.Client.Forwarded = "203.0.113.7, 2001:db8::9"
	h := header()
	hop.Outbound(h, x, `a"b`)
	if got, want := h.Get("X-Forwarded-For"), "203.0.113.7, 2001:db8::9, 192.0.2.1"; got != want {
		t.Errorf("X-Forwarded-For is %q, want %q", got, want)
	}
	if got, want := h.Get("Forwarded"), `for=203.0.113.7, for="[2001:db8::9]", for=192.0.2.1;host="a\"b";proto=https`; got != want {
		t.Errorf("Forwarded is %q, want %q", got, want)
	}
}

func TestOutboundValuesAreIndependent(t *testing.T) {
	h := header()
	hop.Outbound(h, record(t, "192.0.2.1:1"), "example.com")
	h.Add("Forwarded", "for=192.0.2.2")
	if got := h.Values("X-Forwarded-For"); !slices.Equal(got, []string{"192.0.2.1"}) {
		t.Errorf("adding to Forwarded changed X-Forwarded-For to %q", got)
	}
}

func TestOutboundAllocations(t *testing.T) {
	x, h := record(t, "192.0.2.1:1"), http.Header{}
	if got := testing.AllocsPerRun(100, func() { hop.Outbound(h, x, "example.com") }); got > 2 {
		t.Errorf("%v allocations, want at most 2", got)
	}
}

func BenchmarkOutbound(b *testing.B) {
	x, h := record(b, "192.0.2.1:1"), http.Header{}
	b.ReportAllocs()
	for b.Loop() {
		hop.Outbound(h, x, "example.com")
	}
}
