package rules_test

import (
	"net/http"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/ergoproxy/ergo/shared/cache/rules"
)

const lastMonth = "Last-Modified: Tue, 20 Oct 2026 12:00:00 GMT"

// RFC 9111, sections 3, 3.5 and 5.2; RFC 6585.
func TestStoring(t *testing.T) {
	const fresh = "Cache-Control: max-age=60"
	for _, test := range []struct {
		name    string
		method  string
		request string // a field
		status  int
		fields  []string
		want    rules.Reason
	}{
		{"fresh", "GET", "", 200, []string{fresh}, rules.NoReason},
		{"HEAD", "HEAD", "", 200, []string{fresh}, rules.ReasonMethod},
		{"POST", "POST", "", 200, []string{fresh, "Content-Location: /"}, rules.ReasonMethod},
		{"unknown method", "FOO", "", 200, []string{fresh}, rules.ReasonMethod},
		{"interim", "GET", "", 103, []string{fresh}, rules.ReasonStatus},
		{"not modified", "GET", "", 304, []string{fresh}, rules.ReasonStatus},
		{"no status", "GET", "", 0, []string{fresh}, rules.ReasonStatus},
		{"beyond all classes", "GET", "", 600, []string{fresh}, rules.ReasonStatus},
		{"part", "GET", "Range: bytes=0-1", 206, []string{fresh, "Content-Range: bytes 0-1/2"}, rules.ReasonPartial},
		{"RFC 6585", "GET", "", 429, []string{"Cache-Control: public, max-age=60"}, rules.ReasonStatus},
		{"unknown status", "GET", "", 299, []string{fresh}, rules.NoReason},
		{"error with a lifetime", "GET", "", 503, []string{fresh}, rules.NoReason},

		{"no-store asked for", "GET", "Cache-Control: no-store", 200, []string{fresh}, rules.ReasonRequestNoStore},
		{"no-store", "GET", "", 200, []string{"Cache-Control: no-store, max-age=60"}, rules.ReasonNoStore},
		{"private", "GET", "", 200, []string{"Cache-Control: private, max-age=60"}, rules.ReasonPrivate},
		{"private fields", "GET", "", 200, []string{`Cache-Control: private="x", max-age=60`}, rules.NoReason},

		{"understood", "GET", "", 200, []string{"Cache-Control: must-understand, no-store, max-age=60"}, rules.NoReason},
		{"not understood", "GET", "", 299, []string{"Cache-Control: must-understand, no-store, max-age=60"}, rules.ReasonStatus},
		{"not understood without no-store", "GET", "", 299, []string{"Cache-Control: must-understand, max-age=60"}, rules.ReasonStatus},

		{"authorized", "GET", "Authorization: Basic x", 200, []string{fresh}, rules.ReasonAuthorization},
		{"authorized, public", "GET", "Authorization: Basic x", 200, []string{"Cache-Control: public, max-age=60"}, rules.NoReason},
		{"authorized, must-revalidate", "GET", "Authorization: Basic x", 200, []string{"Cache-Control: must-revalidate, max-age=60"}, rules.NoReason},
		{"authorized, s-maxage", "GET", "Authorization: Basic x", 200, []string{"Cache-Control: s-maxage=60"}, rules.NoReason},
		{"authorized, targeted", "GET", "Authorization: Basic x", 200, []string{"CDN-Cache-Control: max-age=60"}, rules.ReasonAuthorization},
		{"authorized, proxy-revalidate", "GET", "Authorization: Basic x", 200, []string{"Cache-Control: proxy-revalidate, max-age=60"}, rules.ReasonAuthorization},

		{"cookie", "GET", "", 200, []string{fresh, "Set-Cookie: a=b"}, rules.ReasonSetCookie},
		{"cookie, public", "GET", "", 200, []string{"Cache-Control: public, max-age=60", "Set-Cookie: a=b"}, rules.NoReason},
		{"cookie, s-maxage", "GET", "", 200, []string{"Cache-Control: s-maxage=60", "Set-Cookie: a=b"}, rules.NoReason},
		{"cookie, targeted", "GET", "", 200, []string{"CDN-Cache-Control: max-age=60", "Set-Cookie: a=b"}, rules.NoReason},
		{"cookie that is not stored", "GET", "", 200, []string{`Cache-Control: max-age=60, private="set-cookie"`, "Set-Cookie: a=b"}, rules.NoReason},

		{"vary", "GET", "", 200, []string{fresh, "Vary: Accept, Cookie"}, rules.NoReason},
		{"vary on all", "GET", "", 200, []string{fresh, "Vary: Accept, *"}, rules.ReasonVaryAny},
		{"vary on all behind what is no name", "GET", "", 200, []string{fresh, "Vary: a b", "Vary: *"}, rules.ReasonVaryAny},
		{"vary on no name", "GET", "", 200, []string{fresh, "Vary: a b"}, rules.ReasonVaryInvalid},
		{"vary on 17", "GET", "", 200, []string{fresh, "Vary: a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q"}, rules.ReasonVaryLimit},
		{"vary on 16, one twice", "GET", "", 200, []string{fresh, "Vary: a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,A"}, rules.NoReason},

		{"expires", "GET", "", 299, []string{"Expires: Fri, 20 Nov 2026 12:01:00 GMT"}, rules.NoReason},
		{"expired, with a validator", "GET", "", 200, []string{"Expires: 0", `ETag: "a"`}, rules.NoReason},
		{"expired, without", "GET", "", 200, []string{"Expires: 0"}, rules.ReasonNeverUsable},
		{"max-age=0 to be used on error", "GET", "", 200, []string{"Cache-Control: max-age=0, stale-if-error=60"}, rules.NoReason},
		{"max-age=0 to be used while validated", "GET", "", 200, []string{"Cache-Control: max-age=0, stale-while-revalidate=60"}, rules.NoReason},
		{"the same with must-revalidate", "GET", "", 200, []string{"Cache-Control: max-age=0, stale-if-error=60, must-revalidate"}, rules.ReasonNeverUsable},
		{"older than its lifetime", "GET", "", 200, []string{fresh, "Age: 60"}, rules.ReasonNeverUsable},
		{"no-cache with a validator", "GET", "", 200, []string{"Cache-Control: no-cache, max-age=60", lastMonth}, rules.NoReason},
		{"no-cache without", "GET", "", 200, []string{"Cache-Control: no-cache, max-age=60"}, rules.ReasonNeverUsable},
		{"heuristic", "GET", "", 200, []string{lastMonth}, rules.NoReason},
		{"nothing", "GET", "", 200, nil, rules.ReasonNoFreshness},
		{"nothing but a validator", "GET", "", 200, []string{`ETag: "a"`}, rules.NoReason},
		{"no heuristic for the status", "GET", "", 302, []string{lastMonth}, rules.ReasonNoFreshness},
		{"no heuristic for the status, public", "GET", "", 302, []string{lastMonth, "Cache-Control: public"}, rules.NoReason},
	} {
		t.Run(test.name, func(t *testing.T) {
			var lines []string
			if test.request != "" {
				lines = append(lines, test.request)
			}
			r := rules.ReadRequest(test.method, header(lines...))
			_, got := policy(t).Store(&r, response(test.status, test.fields...))
			if got != test.want {
				t.Errorf("%q, want %q", got, test.want)
			}
		})
	}
}

// RFC 9110, section 15.1.
func TestStatusCodesWithHeuristicFreshness(t *testing.T) {
	p := policy(t, func(c *rules.Config) { c.Parts = true })
	want := map[int]bool{200: true, 203: true, 204: true, 206: true, 300: true, 301: true, 308: true, 404: true, 405: true, 410: true, 414: true, 501: true}
	for status := 200; status < 600; status++ {
		_, why := p.Store(get(), response(status, lastMonth, "Content-Range: bytes 0-1/2"))
		if (why == rules.NoReason) != want[status] {
			t.Errorf("%d: %q, want it stored: %v", status, why, want[status])
		}
	}
}

// RFC 9111, section 3.3.
func TestPartsAreStoredOnlyOneRangeAtATime(t *testing.T) {
	p := policy(t, func(c *rules.Config) { c.Parts = true })
	for field, want := range map[string]rules.Reason{
		"Content-Range: bytes 0-1/2":                    rules.NoReason,
		"Content-Range: Bytes 0-1/*":                    rules.NoReason,
		"Content-Range: lines 0-1/2":                    rules.ReasonPartial,
		"Content-Type: multipart/byteranges;boundary=x": rules.ReasonPartial,
	} {
		_, why := p.Store(get("Range: bytes=0-1"), response(206, "Cache-Control: max-age=60", field))
		if why != want {
			t.Errorf("%s: %q, want %q", field, why, want)
		}
	}
	if _, why := p.Store(get(), response(206, "Cache-Control: max-age=60, must-understand", "Content-Range: bytes 0-1/2")); why != rules.NoReason {
		t.Errorf("a part is not understood: %q", why)
	}
}

func TestCookieRules(t *testing.T) {
	for rule, want := range map[rules.CookieRule]struct {
		why     rules.Reason
		cookies int
	}{
		rules.CookieRefuse: {rules.ReasonSetCookie, 1},
		rules.CookieStrip:  {rules.NoReason, 0},
		rules.CookieKeep:   {rules.NoReason, 1},
	} {
		p := policy(t, func(c *rules.Config) { c.SetCookie = rule })
		resp := response(200, "Cache-Control: max-age=60", "Set-Cookie: a=b")
		s, why := p.Store(get(), resp)
		if cookies := len(p.Fields(&s, resp)["Set-Cookie"]); why != want.why || cookies != want.cookies {
			t.Errorf("%s: %q and %d cookies, want %q and %d", rule, why, cookies, want.why, want.cookies)
		}
	}
}

func TestNegativeLifetimes(t *testing.T) {
	p := policy(t, func(c *rules.Config) {
		c.Negative = map[int]time.Duration{404: time.Minute, 302: 2 * time.Minute, 503: time.Second, 410: 0}
	})
	for _, test := range []struct {
		name     string
		status   int
		fields   []string
		why      rules.Reason
		lifetime time.Duration
		source   rules.Source
	}{
		{"without a lifetime", 404, nil, rules.NoReason, time.Minute, rules.SourceConfigured},
		{"above the heuristic one", 404, []string{lastMonth}, rules.NoReason, time.Minute, rules.SourceConfigured},
		{"below an explicit one", 404, []string{"Cache-Control: max-age=5"}, rules.NoReason, 5 * time.Second, rules.SourceExplicit},
		{"below Expires", 404, []string{"Expires: 0", `ETag: "a"`}, rules.NoReason, 0, rules.SourceExplicit},
		{"no-store", 404, []string{"Cache-Control: no-store"}, rules.ReasonNoStore, time.Minute, rules.SourceConfigured},
		{"private", 404, []string{"Cache-Control: private"}, rules.ReasonPrivate, time.Minute, rules.SourceConfigured},
		{"no-cache", 404, []string{"Cache-Control: no-cache"}, rules.ReasonNeverUsable, time.Minute, rules.SourceConfigured},
		{"a status without heuristics", 302, nil, rules.NoReason, 2 * time.Minute, rules.SourceConfigured},
		{"an error", 503, nil, rules.NoReason, time.Second, rules.SourceConfigured},
		{"kept out", 410, []string{lastMonth, `ETag: "a"`}, rules.ReasonNoFreshness, 0, rules.SourceNone},
		{"kept out, with a lifetime", 410, []string{"Cache-Control: max-age=5"}, rules.NoReason, 5 * time.Second, rules.SourceExplicit},
		{"not listed", 500, nil, rules.ReasonNoFreshness, 0, rules.SourceNone},
	} {
		t.Run(test.name, func(t *testing.T) {
			s, why := p.Store(get(), response(test.status, test.fields...))
			if why != test.why || s.Lifetime != test.lifetime || s.Source != test.source {
				t.Errorf("%q, %v, %v; want %q, %v, %v", why, s.Lifetime, s.Source, test.why, test.lifetime, test.source)
			}
		})
	}
}

// RFC 9111, section 3.1; RFC 9110, sections 6.6.1 and 7.6.1.
func TestFieldsThatAreNotStored(t *testing.T) {
	resp := response(200,
		"Cache-Control: max-age=60, no-cache=\"x-nocache\", private=\"x-private, x-nocache\"",
		"CDN-Cache-Control: ,", // broken, and protected all the same
		"Connection: close, X-Hop, vary, CDN-Cache-Control", "Keep-Alive: 1", "X-Hop: 1", "Proxy-Connection: a",
		"Proxy-Authenticate: a", "Proxy-Authorization: a", "Proxy-Authentication-Info: a", "TE: a", "Upgrade: a",
		"Transfer-Encoding: a", "X-NoCache: 1", "X-Private: 1",
		"Vary: Accept", "X-Kept: 1", "X-Kept: 2", "Unknown: 1", "ETag: \"a\"", "Age: 1", "Trailer: x")
	before := resp.Header.Clone()
	p := policy(t)
	s, why := p.Store(get(), resp)
	if why != rules.NoReason {
		t.Fatal(why)
	}
	want := header("Cache-Control: max-age=60, no-cache=\"x-nocache\", private=\"x-private, x-nocache\"",
		"CDN-Cache-Control: ,", "Vary: Accept", "X-Kept: 1", "X-Kept: 2", "Unknown: 1", "ETag: \"a\"", "Age: 1", "Trailer: x",
		"Date: "+at(noon))
	got := p.Fields(&s, resp)
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
	got.Add("X-Kept", "3")
	got["Age"][0] = "9"
	if !reflect.DeepEqual(resp.Header, before) {
		t.Error("the header of the response was changed")
	}
}

// RFC 9110, section 6.6.1.
func TestDateThatIsMissingIsWhenTheResponseCame(t *testing.T) {
	p := policy(t)
	for _, test := range []struct{ date, want string }{
		{"", at(noon)},
		{"yesterday", at(noon)},
		{"Fri, 20 Nov 2026 11:00:00 GMT", "Fri, 20 Nov 2026 11:00:00 GMT"},
		{"Friday, 20-Nov-26 11:00:00 GMT", "Friday, 20-Nov-26 11:00:00 GMT"},
	} {
		resp := response(200, "Cache-Control: max-age=7200")
		if test.date != "" {
			resp.Header.Set("Date", test.date)
		}
		resp.Received = noon.Add(300 * time.Millisecond)
		s, _ := p.Store(get(), resp)
		if got := p.Fields(&s, resp).Get("Date"); got != test.want {
			t.Errorf("%q: %q, want %q", test.date, got, test.want)
		}
	}
	s := p.Read(rules.Response{Status: 200})
	if got := p.Fields(&s, rules.Response{Status: 200}); len(got) != 1 {
		t.Errorf("a response without fields gave %v", got)
	}
}

// What is read from the stored fields is what was read from the response.
func TestReadGivesWhatStoreGave(t *testing.T) {
	p := policy(t)
	resp := response(200, "Cache-Control: max-age=60, private=\"x-a\"", "Age: 3", "Vary: b, a", `ETag: W/"x"`, lastMonth,
		"Surrogate-Key: k2 k1", "Cache-Tag: t", `Cache-Groups: "g"`, "X-A: 1", "Connection: vary, etag-x")
	resp.Requested = noon.Add(-2 * time.Second)
	s, why := p.Store(get(), resp)
	if why != rules.NoReason {
		t.Fatal(why)
	}
	resp.Header = p.Fields(&s, resp)
	if again := p.Read(resp); !reflect.DeepEqual(again, s) {
		t.Errorf("got  %+v\nwant %+v", again, s)
	}
}

func TestReasonsAreTokens(t *testing.T) {
	seen := map[string]bool{}
	for r := rules.ReasonMethod; r.String() != "unknown"; r++ {
		name := r.String()
		if name == "" || seen[name] || strings.Trim(name, "abcdefghijklmnopqrstuvwxyz-") != "" {
			t.Errorf("reason %d is named %q", r, name)
		}
		seen[name] = true
	}
	if !seen[rules.ReasonPrecondition.String()] {
		t.Error("the last reason has no name")
	}
}

func TestMustUnderstandKnowsTheRegisteredStatusCodes(t *testing.T) {
	p := policy(t)
	for status := 200; status < 600; status++ {
		// A name in net/http is a registered status; those of WebDAV and the like
		// have caching that we don't know.
		foreign := map[int]bool{206: true, 207: true, 208: true, 226: true, 304: true, 418: true, 423: true, 424: true, 425: true,
			428: true, 429: true, 431: true, 506: true, 507: true, 508: true, 510: true, 511: true}
		want := http.StatusText(status) != "" && !foreign[status]
		_, why := p.Store(get(), response(status, "Cache-Control: must-understand, max-age=60"))
		if (why == rules.NoReason) != want {
			t.Errorf("%s: %q, want it stored: %v", strconv.Itoa(status), why, want)
		}
	}
}
