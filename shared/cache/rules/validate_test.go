package rules_test

import (
	"net/http"
	"reflect"
	"slices"
	"testing"

	"github.com/ergoproxy/ergo/shared/cache/rules"
)

// RFC 9110, sections 8.8.3.2, 13.1.2, 13.1.3 and 13.2.2; RFC 9111, section 4.3.2.
func TestNotModified(t *testing.T) {
	const (
		eleven      = "Fri, 20 Nov 2026 11:00:00 GMT"
		beforeEight = "Fri, 20 Nov 2026 07:59:59 GMT"
	)
	tagged := []string{`ETag: "a,b"`, "Last-Modified: Fri, 20 Nov 2026 08:00:00 GMT"}
	weak := []string{`ETag: W/"a"`}
	dated := []string{"Last-Modified: Fri, 20 Nov 2026 08:00:00 GMT"}
	for _, test := range []struct {
		name    string
		stored  []string
		request []string
		want    bool
	}{
		{"no condition", tagged, nil, false},
		{"same tag", tagged, []string{`If-None-Match: "a,b"`}, true},
		{"weak comparison", tagged, []string{`If-None-Match: W/"a,b"`}, true},
		{"weak comparison with a weak one", weak, []string{`If-None-Match: "a"`}, true},
		{"both weak", weak, []string{`If-None-Match: W/"a"`}, true},
		{"other tag", tagged, []string{`If-None-Match: "a", "b"`}, false},
		{"case matters", weak, []string{`If-None-Match: "A"`}, false},
		{"w is not W", weak, []string{`If-None-Match: w/"a"`}, false},
		{"in a list", tagged, []string{`If-None-Match: "x" ,W/"y",, "a,b"`}, true},
		{"in a second line", tagged, []string{`If-None-Match: "x"`, `If-None-Match: "a,b"`}, true},
		{"star", tagged, []string{"If-None-Match: *"}, true},
		{"star without a tag", dated, []string{"If-None-Match: *"}, true},
		{"star in a list", dated, []string{`If-None-Match: "x", *`}, false},
		{"tag without quotes", tagged, []string{"If-None-Match: a"}, false},
		{"both without quotes", []string{"ETag: abc"}, []string{"If-None-Match: x, abc"}, true},
		{"no end of the quotes", tagged, []string{`If-None-Match: "a,b`}, false},
		{"stored without a tag", dated, []string{`If-None-Match: "", W/`}, false},
		{"empty tag", []string{`ETag: ""`}, []string{`If-None-Match: ""`}, true},
		{"stored with two tags", []string{`ETag: "a"`, `ETag: "b"`}, []string{`If-None-Match: "a"`}, false},
		{"tag above date", tagged, []string{`If-None-Match: "x"`, "If-Modified-Since: " + eleven}, false},
		{"empty tags above date", tagged, []string{`If-None-Match:`, "If-Modified-Since: " + eleven}, false},

		{"since later", dated, []string{"If-Modified-Since: " + eleven}, true},
		{"since the same", dated, []string{"If-Modified-Since: Fri, 20 Nov 2026 08:00:00 GMT"}, true},
		{"since the same, other format", dated, []string{"If-Modified-Since: Friday, 20-Nov-26 08:00:00 GMT"}, true},
		{"since earlier", dated, []string{"If-Modified-Since: " + beforeEight}, false},
		{"since when", dated, []string{"If-Modified-Since: later"}, false},
		{"since twice", dated, []string{"If-Modified-Since: " + eleven, "If-Modified-Since: " + eleven}, false},
		{"since Date", []string{"Date: " + eleven}, []string{"If-Modified-Since: " + eleven}, true},
		{"since before Date", []string{"Date: " + eleven}, []string{"If-Modified-Since: " + beforeEight}, false},
		{"since it came", nil, []string{"If-Modified-Since: " + at(noon)}, true},
		{"since before it came", nil, []string{"If-Modified-Since: " + eleven}, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := stored(t, test.stored...)
			for method, want := range map[string]bool{"GET": test.want, "HEAD": test.want, "POST": false} {
				r := rules.ReadRequest(method, header(test.request...))
				if got := s.NotModified(&r); got != want {
					t.Errorf("%s: %v, want %v", method, got, want)
				}
			}
			s.Status = 404 // RFC 9110, section 13.2.1
			if s.NotModified(get(test.request...)) {
				t.Error("an error is not modified")
			}
		})
	}
}

// RFC 9110, sections 8.8.2.2 and 13.1.5.
func TestIfRange(t *testing.T) {
	fields := []string{`ETag: "a"`, "Last-Modified: Fri, 20 Nov 2026 11:59:58 GMT"}
	for _, test := range []struct {
		name   string
		stored []string
		value  string
		want   bool
	}{
		{"same tag", fields, `"a"`, true},
		{"other tag", fields, `"b"`, false},
		{"weak tag", fields, `W/"a"`, false},
		{"both weak", []string{`ETag: W/"a"`}, `W/"a"`, false},
		{"same date", fields, "Fri, 20 Nov 2026 11:59:58 GMT", true},
		{"later date", fields, "Fri, 20 Nov 2026 11:59:59 GMT", false},
		{"date that is weak", []string{"Last-Modified: " + at(noon)}, at(noon), false},
		{"no date", fields, "a", false},
	} {
		if got := stored(t, test.stored...).RangeHolds(get("Range: bytes=0-1", "If-Range: "+test.value)); got != test.want {
			t.Errorf("%s: %v, want %v", test.name, got, test.want)
		}
	}
	if !stored(t).RangeHolds(get("Range: bytes=0-1")) {
		t.Error("a range without a condition does not hold")
	}
	if stored(t, fields...).RangeHolds(get(`If-Range: "a"`, `If-Range: "a"`)) {
		t.Error("two conditions hold")
	}
}

// RFC 9111, section 3.4.
func TestPartsCombineByStrongTagOnly(t *testing.T) {
	a, b, weak := stored(t, `ETag: "a"`), stored(t, `ETag: "b"`), stored(t, `ETag: W/"a"`)
	if !a.Combines(stored(t, `ETag: "a"`)) {
		t.Error("parts with one tag don't combine")
	}
	for _, other := range []*rules.Stored{b, weak, stored(t)} {
		if a.Combines(other) || other.Combines(a) {
			t.Errorf("%q combines with %q", a.ETag, other.ETag)
		}
	}
	if weak.Combines(weak) || stored(t).Combines(stored(t)) {
		t.Error("parts combine without a strong tag")
	}
}

// RFC 9111, section 4.3.1.
func TestValidationRequest(t *testing.T) {
	const modified = "Friday, 20-Nov-26 08:00:00 GMT" // as the backend wrote it
	tagged, weak := stored(t, `ETag: "a"`, "Last-Modified: "+modified), stored(t, `ETag: W/"b"`)
	dated, bare := stored(t, "Last-Modified: "+modified), stored(t, "Last-Modified: then")
	for _, test := range []struct {
		name   string
		stored []*rules.Stored
		want   []string
		ok     bool
	}{
		{"tag and date", []*rules.Stored{tagged}, []string{`If-None-Match: "a"`, "If-Modified-Since: " + modified}, true},
		{"date", []*rules.Stored{dated}, []string{"If-Modified-Since: " + modified}, true},
		{"all variants", []*rules.Stored{weak, tagged, dated}, []string{`If-None-Match: W/"b", "a"`}, true},
		{"two dates", []*rules.Stored{dated, dated}, nil, false},
		{"no validator", []*rules.Stored{bare}, nil, false},
		{"nothing", nil, nil, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			h := header("Accept: x", `If-None-Match: "client"`, "If-Modified-Since: "+at(noon), "Range: bytes=0-1", `If-Range: "client"`)
			ok := rules.SetConditions(h, test.stored...)
			if want := header(append(test.want, "Accept: x")...); ok != test.ok || !reflect.DeepEqual(h, want) {
				t.Errorf("%v, %v; want %v, %v", h, ok, want, test.ok)
			}
		})
	}
}

// RFC 9111, section 4.3.4.
func TestWhichResponseA304IsAbout(t *testing.T) {
	const eight, nine = "Last-Modified: Fri, 20 Nov 2026 08:00:00 GMT", "Last-Modified: Fri, 20 Nov 2026 09:00:00 GMT"
	old, young := "Date: Fri, 20 Nov 2026 10:00:00 GMT", "Date: Fri, 20 Nov 2026 11:00:00 GMT"
	for _, test := range []struct {
		name   string
		fields []string
		stored [][]string
		want   []int
	}{
		{"strong", []string{`ETag: "a"`}, [][]string{{`ETag: "a"`}, {`ETag: "b"`}}, []int{0}},
		{"strong, all that have it", []string{`ETag: "a"`}, [][]string{{`ETag: "a"`}, {`ETag: "b"`}, {`ETag: "a"`}}, []int{0, 2}},
		{"strong, none has it", []string{`ETag: "a"`}, [][]string{{`ETag: "b"`}}, nil},
		{"strong against weak", []string{`ETag: "a"`}, [][]string{{`ETag: W/"a"`}}, nil},
		{"strong against date", []string{`ETag: "a"`, eight}, [][]string{{eight}}, nil},
		{"weak, the latest", []string{`ETag: W/"a"`}, [][]string{{`ETag: W/"a"`, old}, {`ETag: W/"a"`, young}, {`ETag: W/"a"`, old}}, []int{1}},
		{"weak against strong", []string{`ETag: W/"a"`}, [][]string{{`ETag: "b"`}, {`ETag: "a"`}}, []int{1}},
		{"weak, none has it", []string{`ETag: W/"a"`}, [][]string{{`ETag: W/"b"`}}, nil},
		{"weak, date does not help", []string{`ETag: W/"a"`, eight}, [][]string{{`ETag: W/"b"`, eight}}, nil},
		{"date", []string{eight}, [][]string{{nine}, {eight}}, []int{1}},
		{"date of one with a tag", []string{eight}, [][]string{{eight, `ETag: "a"`}}, []int{0}},
		{"other date", []string{eight}, [][]string{{nine}}, nil},
		{"nothing, one", nil, [][]string{{`ETag: "a"`}}, []int{0}},
		{"nothing, two", nil, [][]string{{`ETag: "a"`}, {`ETag: "b"`}}, nil},
		{"nothing, none", nil, nil, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			var all []*rules.Stored
			for _, fields := range test.stored {
				all = append(all, stored(t, fields...))
			}
			var got []int
			for _, s := range rules.Validated(header(test.fields...), all...) {
				got = append(got, slices.Index(all, s))
			}
			if !slices.Equal(got, test.want) {
				t.Errorf("%v, want %v", got, test.want)
			}
		})
	}
}

// RFC 9111, sections 3.1, 3.2 and 4.3.4.
func TestFreshenedFields(t *testing.T) {
	before := header("Cache-Control: max-age=1", "Content-Length: 5", "Content-Range: bytes 0-4/9", "Content-Type: text/plain",
		"Content-Encoding: gzip", `ETag: "a"`, "Age: 100", "Date: Fri, 20 Nov 2026 10:00:00 GMT", "X-Old: 1", "X-Both: 1", "X-Both: 2")
	from := response(304, "Cache-Control: max-age=60, private=\"x-private\"", "Content-Length: 0", "Content-Range: bytes 1-2/3",
		"Content-Type: text/html", "Content-Encoding: br", `ETag: "b"`, "X-Both: 3", "X-New: 1", "X-New: 2", "X-Private: 1",
		"Connection: x-hop", "X-Hop: 1", "Keep-Alive: 1", "Proxy-Authenticate: x", "Transfer-Encoding: chunked", "Set-Cookie: a=b")
	want := header("Cache-Control: max-age=60, private=\"x-private\"", "Content-Length: 5", "Content-Range: bytes 0-4/9",
		"Content-Type: text/html", "Content-Encoding: br", `ETag: "b"`, "Date: "+at(noon), "X-Old: 1", "X-Both: 3", "X-New: 1", "X-New: 2")
	keepBefore, keepFrom := before.Clone(), from.Header.Clone()
	got := policy(t).Freshen(before, from)
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
	got["X-New"][0] = "changed"
	got["X-Old"][0] = "changed"
	if !reflect.DeepEqual(before, keepBefore) || !reflect.DeepEqual(from.Header, keepFrom) {
		t.Error("an argument was changed")
	}
	if got := policy(t).Freshen(nil, rules.Response{Received: noon}); !reflect.DeepEqual(got, header("Date: "+at(noon))) {
		t.Errorf("of nothing: %v", got)
	}
}

func TestFreshenTakesAgeAndDateOfThe304(t *testing.T) {
	p := policy(t)
	before := header("Cache-Control: max-age=60", "Age: 50", "Date: Fri, 20 Nov 2026 10:00:00 GMT")
	for _, test := range []struct {
		from []string
		age  string
	}{{nil, "0"}, {[]string{"Age: 7"}, "7"}, {[]string{"Date: Fri, 20 Nov 2026 11:59:51 GMT"}, "9"}} {
		from := response(304, test.from...)
		from.Header = p.Freshen(before, from)
		from.Status = http.StatusOK
		s, why := p.Store(get(), from)
		if age := rules.AgeField(s.Age(noon)); why != rules.NoReason || age != test.age {
			t.Errorf("%q: age %s, %q; want %s", test.from, age, why, test.age)
		}
	}
}

func TestCookiesOfA304(t *testing.T) {
	for _, test := range []struct {
		rule rules.CookieRule
		from string
		want string
	}{
		{rules.CookieRefuse, "max-age=1", ""},
		{rules.CookieRefuse, "public, max-age=1", "a=b"},
		{rules.CookieStrip, "public, max-age=1", ""},
		{rules.CookieKeep, "max-age=1", "a=b"},
	} {
		p := policy(t, func(c *rules.Config) { c.SetCookie = test.rule })
		got := p.Freshen(header(), response(304, "Cache-Control: "+test.from, "Set-Cookie: a=b"))
		if got.Get("Set-Cookie") != test.want {
			t.Errorf("%s, %s: %q, want %q", test.rule, test.from, got.Get("Set-Cookie"), test.want)
		}
	}
}

// RFC 9111, section 4.3.5.
func TestHeadThatMatches(t *testing.T) {
	kept := header(`ETag: "a"`, lastMonth, "Content-Length: 5")
	for _, test := range []struct {
		head []string
		want bool
	}{
		{nil, true},
		{[]string{`ETag: "a"`, lastMonth, "Content-Length: 5", "X: 1"}, true},
		{[]string{`ETag: "b"`, lastMonth, "Content-Length: 5"}, false},
		{[]string{`ETag: "a"`, "Last-Modified: x"}, false},
		{[]string{`ETag: "a"`, "Content-Length: 6"}, false},
	} {
		if got := rules.HeadMatches(kept, header(test.head...)); got != test.want {
			t.Errorf("%q: %v, want %v", test.head, got, test.want)
		}
	}
	if rules.HeadMatches(header(), header(`ETag: "a"`)) {
		t.Error("a validator that is new matches")
	}
}

// RFC 9110, section 15.4.5.
func TestFieldsOf304ToAClient(t *testing.T) {
	kept := []string{"Cache-Control: max-age=1", "Content-Location: /x", "Date: " + at(noon), "Expires: 0", "Vary: A",
		"Access-Control-Allow-Origin: *", "Set-Cookie: a=b"}
	metadata := []string{"Content-Type: a", "Content-Length: 1", "Content-Encoding: a", "Content-Language: a", "Content-Range: a"}
	h := header(slices.Concat(kept, metadata, []string{`ETag: "a"`, lastMonth})...)
	if got, want := rules.NotModifiedFields(h), header(append(kept, `ETag: "a"`)...); !reflect.DeepEqual(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
	h = header(slices.Concat(kept, metadata, []string{lastMonth})...)
	if got, want := rules.NotModifiedFields(h), header(append(kept, lastMonth)...); !reflect.DeepEqual(got, want) {
		t.Errorf("without ETag:\ngot  %v\nwant %v", got, want)
	}
	if len(h["Content-Type"]) != 1 {
		t.Error("the stored header was changed")
	}
}
