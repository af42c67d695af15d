package rules_test

import (
	"testing"
	"time"

	"github.com/ergoproxy/ergo/shared/cache/rules"
)

// stored reads a response that came at noon.
func stored(t testing.TB, fields ...string) *rules.Stored {
	t.Helper()
	s := policy(t).Read(response(200, fields...))
	return &s
}

func after(seconds float64) time.Time {
	return noon.Add(time.Duration(seconds * float64(time.Second)))
}

// RFC 9111, sections 4, 4.2.4, 5.2.1 and 5.2.2; RFC 5861, section 3; RFC 8246.
func TestReuse(t *testing.T) {
	const (
		ok       = rules.Fresh
		stale    = rules.Stale
		swr      = rules.StaleWhileRevalidate
		validate = rules.Validate
		timeout  = rules.GatewayTimeout
	)
	for _, test := range []struct {
		name     string
		response string // Cache-Control
		request  string // Cache-Control
		age      float64
		use      rules.Use
		forward  rules.Forward
		why      rules.Reason
	}{
		{"fresh", "max-age=60", "", 59.9, ok, 0, 0},
		{"lifetime reached", "max-age=60", "", 60, validate, rules.FwdStale, 0},
		{"no lifetime", "", "", 0, validate, rules.FwdStale, 0},
		{"no-cache", "max-age=60, no-cache", "", 1, validate, rules.FwdStale, rules.ReasonNoCache},
		{"no-cache with names", `max-age=60, no-cache="x"`, "", 1, ok, 0, 0},
		{"must-revalidate while fresh", "max-age=60, must-revalidate", "", 1, ok, 0, 0},

		{"request: no-cache", "max-age=60", "no-cache", 1, validate, rules.FwdRequest, rules.ReasonRequestNoCache},
		{"request: max-age=0 at once", "max-age=60", "max-age=0", 0, validate, rules.FwdRequest, rules.ReasonRequestMaxAge},
		{"request: age is max-age", "max-age=60", "max-age=10", 10, ok, 0, 0},
		{"request: age over max-age", "max-age=60", "max-age=10", 10.1, validate, rules.FwdRequest, rules.ReasonRequestMaxAge},
		{"request: min-fresh", "max-age=60", "min-fresh=10", 50, ok, 0, 0},
		{"request: min-fresh passed", "max-age=60", "min-fresh=10", 50.1, validate, rules.FwdRequest, rules.ReasonRequestMinFresh},
		{"request: no-store may be answered", "max-age=60", "no-store", 1, ok, 0, 0},
		{"request: no-cache when stale", "max-age=60, stale-while-revalidate=60", "no-cache", 61, validate, rules.FwdStale, 0},

		{"request: max-stale", "max-age=60", "max-stale", 1e6, stale, 0, rules.ReasonMaxStale},
		{"request: max-stale with value", "max-age=60", "max-stale=10", 70, stale, 0, rules.ReasonMaxStale},
		{"request: max-stale passed", "max-age=60", "max-stale=10", 70.1, validate, rules.FwdStale, 0},
		{"request: max-stale and max-age", "max-age=60", "max-stale=10, max-age=65", 66, validate, rules.FwdStale, 0},
		{"request: max-stale within max-age", "max-age=60", "max-stale=10, max-age=65", 64, stale, 0, rules.ReasonMaxStale},
		{"request: max-stale and max-age=0", "max-age=0", "max-stale, max-age=0", 0, validate, rules.FwdStale, 0},
		{"request: max-stale and min-fresh", "max-age=60", "max-stale=10, min-fresh=1", 61, validate, rules.FwdStale, 0},
		{"request: max-stale against must-revalidate", "max-age=60, must-revalidate", "max-stale", 61, validate, rules.FwdStale, 0},
		{"request: max-stale against proxy-revalidate", "max-age=60, proxy-revalidate", "max-stale", 61, validate, rules.FwdStale, 0},
		{"request: max-stale against s-maxage", "s-maxage=60", "max-stale", 61, validate, rules.FwdStale, 0},
		{"request: max-stale against no-cache", "max-age=60, no-cache", "max-stale", 61, validate, rules.FwdStale, rules.ReasonNoCache},

		{"while validated", "max-age=60, stale-while-revalidate=10", "", 69.9, swr, 0, rules.ReasonWhileRevalidate},
		{"while validated, passed", "max-age=60, stale-while-revalidate=10", "", 70, validate, rules.FwdStale, 0},
		{"while validated, must-revalidate", "max-age=60, stale-while-revalidate=10, must-revalidate", "", 61, validate, rules.FwdStale, 0},
		{"while validated, proxy-revalidate", "max-age=60, stale-while-revalidate=10, proxy-revalidate", "", 61, validate, rules.FwdStale, 0},
		{"while validated, s-maxage", "s-maxage=60, stale-while-revalidate=10", "", 61, validate, rules.FwdStale, 0},
		{"while validated, no-cache", "max-age=60, stale-while-revalidate=10, no-cache", "", 61, validate, rules.FwdStale, rules.ReasonNoCache},
		{"while validated, request wants fresh", "max-age=60, stale-while-revalidate=10", "max-age=100", 61, validate, rules.FwdStale, 0},
		{"while validated, request wants fresher", "max-age=60, stale-while-revalidate=10", "min-fresh=1", 61, validate, rules.FwdStale, 0},
		{"while validated, max-stale is less", "max-age=60, stale-while-revalidate=10", "max-stale=1", 65, swr, 0, rules.ReasonWhileRevalidate},

		{"request: only-if-cached, fresh", "max-age=60", "only-if-cached", 1, ok, 0, 0},
		{"request: only-if-cached, stale", "max-age=60", "only-if-cached", 61, timeout, 0, rules.ReasonOnlyIfCached},
		{"request: only-if-cached, max-stale", "max-age=60", "only-if-cached, max-stale", 61, stale, 0, rules.ReasonMaxStale},
		{"request: only-if-cached, while validated", "max-age=60, stale-while-revalidate=10", "only-if-cached", 61, swr, 0, rules.ReasonWhileRevalidate},
		{"request: only-if-cached and no-cache", "max-age=60", "only-if-cached, no-cache", 1, timeout, 0, rules.ReasonOnlyIfCached},
		{"request: only-if-cached, no-cache of the response", "max-age=60, no-cache", "only-if-cached", 1, timeout, 0, rules.ReasonOnlyIfCached},

		{"immutable, reload", "max-age=60, immutable", "max-age=0", 1, ok, 0, 0},
		{"immutable, hard reload", "max-age=60, immutable", "no-cache", 1, validate, rules.FwdRequest, rules.ReasonRequestNoCache},
		{"immutable, max-age", "max-age=60, immutable", "max-age=5", 6, validate, rules.FwdRequest, rules.ReasonRequestMaxAge},
		{"immutable, stale", "max-age=60, immutable", "", 61, validate, rules.FwdStale, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			p, now := policy(t), after(test.age)
			s, r := stored(t, "Cache-Control: "+test.response), get()
			if test.request != "" {
				r = get("Cache-Control: " + test.request)
			}
			v := s.Reuse(p, r, now)
			if v.Use != test.use || v.Forward != test.forward || v.Reason != test.why {
				t.Errorf("%v, %q, %q; want %v, %q, %q", v.Use, v.Forward, v.Reason, test.use, test.forward, test.why)
			}
			if v.Age != s.Age(now) || v.TTL != s.TTL(now) {
				t.Errorf("age %v, ttl %v", v.Age, v.TTL)
			}
		})
	}
}

func TestReloadsCanBeIgnored(t *testing.T) {
	p := policy(t, func(c *rules.Config) { c.IgnoreReload = true })
	s := stored(t, "Cache-Control: max-age=60, stale-while-revalidate=60")
	for _, request := range []string{"Cache-Control: no-cache", "Cache-Control: max-age=0", "Cache-Control: min-fresh=100", "Pragma: no-cache"} {
		if v := s.Reuse(p, get(request), after(10)); v.Use != rules.Fresh {
			t.Errorf("%s: %v while fresh", request, v.Use)
		}
		v := s.Reuse(p, get(request), after(61))
		if v.Use != rules.StaleWhileRevalidate || !v.OnOutage {
			t.Errorf("%s: %v, on outage %v, while stale", request, v.Use, v.OnOutage)
		}
	}
	if v := s.Reuse(p, get("Cache-Control: only-if-cached"), after(200)); v.Use != rules.GatewayTimeout {
		t.Errorf("only-if-cached: %v", v.Use)
	}
	if _, why := p.Store(get("Cache-Control: no-store"), response(200, "Cache-Control: max-age=60")); why != rules.ReasonRequestNoStore {
		t.Errorf("no-store: %q", why)
	}
}

// RFC 5861, section 4; RFC 9111, sections 4.2.4 and 4.3.3. The Grace of the
// policy is 100 s.
func TestStaleInPlaceOfAnError(t *testing.T) {
	for _, test := range []struct {
		name     string
		response string
		request  string
		age      float64
		onError  bool
		onOutage bool
	}{
		{"stale", "max-age=60", "", 61, false, true},
		{"grace passed", "max-age=60", "", 160, false, false},
		{"stale-if-error", "max-age=60, stale-if-error=200", "", 259.9, true, true},
		{"stale-if-error passed", "max-age=60, stale-if-error=200", "", 260, false, false},
		{"stale-if-error shorter than grace", "max-age=60, stale-if-error=10", "", 80, false, true},
		{"stale-if-error=0", "max-age=60, stale-if-error=0", "", 60, false, true},
		{"request: stale-if-error", "max-age=60", "stale-if-error=200", 259, true, true},
		{"request: stale-if-error passed", "max-age=60", "stale-if-error=200", 260, false, false},
		{"must-revalidate", "max-age=60, must-revalidate, stale-if-error=200", "stale-if-error=200", 61, false, false},
		{"proxy-revalidate", "max-age=60, proxy-revalidate, stale-if-error=200", "", 61, false, false},
		{"s-maxage", "s-maxage=60, stale-if-error=200", "", 61, false, false},
		{"no-cache", "max-age=60, no-cache, stale-if-error=200", "", 1, false, false},
		{"reload of what is fresh", "max-age=60", "max-age=0", 1, true, true},
		{"reload of what is fresh, must-revalidate", "max-age=60, must-revalidate", "max-age=0", 1, true, true},
		{"reload of what is stale", "max-age=60, stale-if-error=200", "max-age=0", 61, true, true},
		{"hard reload of what is fresh", "max-age=60, stale-if-error=200", "no-cache", 1, false, false},
		{"hard reload of what is stale", "max-age=60, stale-if-error=200", "no-cache", 61, false, false},
		{"hard reload, but anything on errors", "max-age=60", "no-cache, stale-if-error=9", 61, true, true},
		{"hard reload of what is fresh, but anything on errors", "max-age=60", "no-cache, stale-if-error=9", 1, true, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := policy(t, func(c *rules.Config) { c.Grace = 100 * time.Second })
			v := stored(t, "Cache-Control: "+test.response).Reuse(p, get("Cache-Control: "+test.request), after(test.age))
			if v.OnError != test.onError || v.OnOutage != test.onOutage {
				t.Errorf("on error %v, on outage %v; want %v, %v", v.OnError, v.OnOutage, test.onError, test.onOutage)
			}
		})
	}
	p := policy(t, func(c *rules.Config) { c.Grace = 0 })
	if v := stored(t, "Cache-Control: max-age=60").Reuse(p, get(), after(60)); v.OnOutage {
		t.Error("sent in an outage without grace")
	}
}

func TestSoftPurgedIsStaleFromThenOn(t *testing.T) {
	p := policy(t, func(c *rules.Config) { c.Grace = 100 * time.Second })
	purged := func(fields string) *rules.Stored {
		s := stored(t, "Cache-Control: "+fields)
		s.Purged = after(10)
		return s
	}
	for _, test := range []struct {
		name     string
		fields   string
		request  string
		now      float64
		use      rules.Use
		why      rules.Reason
		onOutage bool
	}{
		{"before", "max-age=60", "", 9, rules.Fresh, 0, true},
		{"at once", "max-age=60", "", 10, rules.Validate, rules.ReasonSoftPurged, true},
		{"while validated", "max-age=60, stale-while-revalidate=5", "", 14, rules.StaleWhileRevalidate, rules.ReasonWhileRevalidate, true},
		{"counts from the purge", "max-age=60, stale-while-revalidate=5", "", 15, rules.Validate, rules.ReasonSoftPurged, true},
		{"grace from the purge", "max-age=600", "", 110, rules.Validate, rules.ReasonSoftPurged, false},
		{"not for max-stale", "max-age=60", "max-stale", 11, rules.Validate, rules.ReasonSoftPurged, true},
		{"must-revalidate", "max-age=60, must-revalidate", "", 11, rules.Validate, rules.ReasonSoftPurged, false},
		{"immutable", "max-age=60, immutable", "", 11, rules.Validate, rules.ReasonSoftPurged, true},
		{"stale all the same", "max-age=60", "", 61, rules.Validate, 0, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			v := purged(test.fields).Reuse(p, get("Cache-Control: "+test.request), after(test.now))
			if v.Use != test.use || v.Reason != test.why || v.OnOutage != test.onOutage {
				t.Errorf("%v, %q, %v; want %v, %q, %v", v.Use, v.Reason, v.OnOutage, test.use, test.why, test.onOutage)
			}
		})
	}
}

// RFC 5861, section 4.
func TestFailures(t *testing.T) {
	want := map[int]bool{500: true, 502: true, 503: true, 504: true}
	for status := 100; status < 600; status++ {
		if rules.IsFailure(status) != want[status] {
			t.Errorf("%d: %v", status, !want[status])
		}
	}
}

func TestUsesHaveNames(t *testing.T) {
	seen := map[string]bool{"unknown": true}
	for u := rules.Validate; u <= rules.GatewayTimeout; u++ {
		if seen[u.String()] {
			t.Errorf("use %d is named %q", u, u)
		}
		seen[u.String()] = true
	}
}
