package rules_test

import (
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/ergoproxy/ergo/shared/cache/rules"
)

// RFC 9875, section 2, for groups.
func TestTagsAndGroups(t *testing.T) {
	for _, test := range []struct {
		name   string
		fields []string
		tags   []string
		groups []string
	}{
		{"none", nil, nil, nil},
		{"Surrogate-Key", []string{"Surrogate-Key: b  a\tb", "Surrogate-Key: c,d"}, []string{"a", "b", "c,d"}, nil},
		{"Cache-Tag", []string{"Cache-Tag: b, a ,,b", "Cache-Tag: c d"}, []string{"a", "b", "c d"}, nil},
		{"both", []string{"Cache-Tag: a, c", "Surrogate-Key: c b"}, []string{"a", "b", "c"}, nil},
		{"case matters", []string{"Cache-Tag: a, A"}, []string{"A", "a"}, nil},
		{"Cache-Groups", []string{`Cache-Groups: "b c";p=1, "a,", "a,"`, `Cache-Groups: "\"é"`}, nil, nil}, // not ASCII
		{"Cache-Groups in two lines", []string{`Cache-Groups: "b c";p=1, "a,", "a,"`, `Cache-Groups: "\""`}, nil, []string{`"`, "a,", "b c"}},
		{"a group that is a token", []string{`Cache-Groups: "a", b`}, nil, nil},
		{"a group is no tag", []string{`Cache-Groups: "a"`, "Cache-Tag: a"}, []string{"a"}, []string{"a"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := stored(t, test.fields...)
			if !slices.Equal(s.Tags, test.tags) || !slices.Equal(s.Groups, test.groups) {
				t.Errorf("%q and %q, want %q and %q", s.Tags, s.Groups, test.tags, test.groups)
			}
		})
	}
}

// A response that a purge could miss must not be stored.
func TestResponseOverTheTagLimitsIsNotStored(t *testing.T) {
	p := policy(t, func(c *rules.Config) { c.MaxTags, c.MaxTagBytes = 3, 10 })
	for _, test := range []struct {
		name   string
		fields []string
		want   rules.Reason
	}{
		{"at the limit", []string{"Cache-Tag: a, b", `Cache-Groups: "c"`}, rules.NoReason},
		{"over it", []string{"Cache-Tag: a, b", "Surrogate-Key: c d"}, rules.ReasonTagLimit},
		{"with a group over it", []string{"Cache-Tag: a, b, c", `Cache-Groups: "d"`}, rules.ReasonTagLimit},
		{"the same again", []string{"Cache-Tag: a, b, c, a, b, c"}, rules.NoReason},
		{"bytes at the limit", []string{"Cache-Tag: 12345", `Cache-Groups: "12345"`}, rules.NoReason},
		{"bytes over it", []string{"Cache-Tag: 12345", `Cache-Groups: "123456"`}, rules.ReasonTagBytes},
	} {
		t.Run(test.name, func(t *testing.T) {
			if _, why := p.Store(get(), response(200, append(test.fields, "Cache-Control: max-age=1")...)); why != test.want {
				t.Errorf("%q, want %q", why, test.want)
			}
		})
	}
}

// RFC 9875, section 2: 128 groups of 32 characters at least.
func TestDefaultLimitsHoldWhatCacheGroupsAskFor(t *testing.T) {
	var groups []string
	for i := range 128 {
		groups = append(groups, strconv.Quote(strconv.Itoa(1000+i)+strings.Repeat("g", 28)))
	}
	s, why := policy(t).Store(get(), response(200, "Cache-Control: max-age=1", "Cache-Groups: "+strings.Join(groups, ", ")))
	if why != rules.NoReason || len(s.Groups) != 128 || len(s.Groups[0]) != 32 {
		t.Errorf("%q, %d groups", why, len(s.Groups))
	}
}
