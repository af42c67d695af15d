package rules_test

import (
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/ergoproxy/ergo/shared/cache/rules"
)

// RFC 9211, section 2; RFC 9651, section 4.1.
func TestCacheStatusMember(t *testing.T) {
	type S = rules.CacheStatus
	for _, test := range []struct {
		in   S
		want string
	}{
		{S{Name: "ergo"}, "ergo;hit"},
		{S{Name: "ergo", HasTTL: true, TTL: 376 * time.Second}, "ergo;hit;ttl=376"},
		{S{Name: "ergo", HasTTL: true}, "ergo;hit;ttl=0"},
		{S{Name: "ergo", HasTTL: true, TTL: 1999 * time.Millisecond}, "ergo;hit;ttl=1"},
		{S{Name: "ergo", HasTTL: true, TTL: -time.Millisecond, Detail: rules.ReasonMaxStale}, "ergo;hit;ttl=-1;detail=max-stale"},
		{S{Name: "ergo", HasTTL: true, TTL: -412 * time.Second}, "ergo;hit;ttl=-412"},
		{S{Name: "ergo", TTL: time.Second, Stored: true, FwdStatus: 304, Collapsed: rules.Collapsed}, "ergo;hit"},
		{S{Name: "ergo", Forward: rules.FwdBypass}, "ergo;fwd=bypass"},
		{S{Name: "ergo", Forward: rules.FwdMethod}, "ergo;fwd=method"},
		{S{Name: "ergo", Forward: rules.FwdURIMiss, Stored: true}, "ergo;fwd=uri-miss;stored"},
		{S{Name: "ergo", Forward: rules.FwdVaryMiss, Collapsed: rules.Collapsed}, "ergo;fwd=vary-miss;collapsed"},
		{S{Name: "ergo", Forward: rules.FwdMiss, Collapsed: rules.CollapseFailed}, "ergo;fwd=miss;collapsed=?0"},
		{S{Name: "ergo", Forward: rules.FwdRequest, Detail: rules.ReasonRequestMaxAge}, "ergo;fwd=request;detail=request-max-age"},
		{S{Name: "ergo", Forward: rules.FwdStale, FwdStatus: 304, HasTTL: true, TTL: time.Minute, Stored: true}, "ergo;fwd=stale;fwd-status=304;ttl=60;stored"},
		{S{Name: "ergo", Forward: rules.FwdPartial}, "ergo;fwd=partial"},
		{S{Name: "a:b/c.d"}, "a:b/c.d;hit"},
		{S{Name: "*"}, "*;hit"},
		{S{Name: "Ergo Core"}, `"Ergo Core";hit`},
		{S{Name: "1.2.3.4"}, `"1.2.3.4";hit`},
		{S{Name: `a"b\c`}, `"a\"b\\c";hit`},
		{S{Name: "é\n"}, `"???";hit`},
		{S{}, `"";hit`},
		{S{Name: "ergo", Key: `GET https://a/b?"c"\`}, `ergo;hit;key="GET https://a/b?\"c\"\\"`},
		{S{Name: "ergo", Key: "a\né"}, `ergo;hit;key="a%0A%C3%A9"`},
	} {
		if got := string(test.in.Append(nil)); got != test.want {
			t.Errorf("%+v:\ngot  %s\nwant %s", test.in, got, test.want)
		}
	}
}

// RFC 9211, section 2: the last member is the cache nearest to the client.
func TestCacheStatusIsAppended(t *testing.T) {
	lines := append(make([]string, 0, 4), "Origin;hit", "core;fwd=miss")
	h := http.Header{"Cache-Status": lines}
	edge := rules.CacheStatus{Name: "edge"}
	edge.AddTo(h)
	if want := []string{"Origin;hit", "core;fwd=miss", "edge;hit"}; !slices.Equal(h["Cache-Status"], want) {
		t.Errorf("%q, want %q", h["Cache-Status"], want)
	}
	if lines[:3][2] != "" {
		t.Error("lines that may be shared were written to")
	}
	h = http.Header{}
	edge.AddTo(h)
	if !slices.Equal(h["Cache-Status"], []string{"edge;hit"}) {
		t.Errorf("alone: %q", h["Cache-Status"])
	}
}

// RFC 9211, section 2.2.
func TestForwardNames(t *testing.T) {
	want := []string{"", "bypass", "method", "uri-miss", "vary-miss", "miss", "request", "stale", "partial", "unknown"}
	for i, name := range want {
		if got := rules.Forward(i).String(); got != name {
			t.Errorf("%d: %q, want %q", i, got, name)
		}
	}
}
