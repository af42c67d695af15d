package key_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/ergoproxy/ergo/shared/cache/key"
)

func TestQueryRules(t *testing.T) {
	type query = key.Query
	for _, row := range []struct {
		name     string
		rules    query
		in, want string
	}{
		{"as it came", query{}, "/?b=2&a=1&&b=%31", "/?b=2&a=1&&b=%31"},
		{"none", query{}, "/", "/"},
		{"empty", query{}, "/?", "/?"},

		{"ignored", query{Ignore: true}, "/?a=1", "/"},
		{"ignored and empty", query{Ignore: true}, "/?", "/"},

		{"sorted", query{Sort: true}, "/?b=2&a=1&c", "/?a=1&b=2&c"},
		{"sorted, none", query{Sort: true}, "/", "/"},
		{"sorted, empty", query{Sort: true}, "/?", "/?"},
		{"those of one name keep their order", query{Sort: true}, "/?b=2&a=9&b=1&a=1", "/?a=9&a=1&b=2&b=1"},
		{"in either case", query{Sort: true}, "/?b=1&B=2&a=3&b=4", "/?a=3&b=1&B=2&b=4"},
		{"missing and empty values stay apart", query{Sort: true}, "/?b&a=&b=&a", "/?a=&a&b&b="},
		{"empty parameters come first", query{Sort: true}, "/?b=1&&a=1&", "/?&&a=1&b=1"},
		{"a name comes before a longer one", query{Sort: true}, "/?ab=1&a=2", "/?a=2&ab=1"},
		{"values are not looked at", query{Sort: true}, "/?a=%3b%26&a=+", "/?a=%3b%26&a=+"},
		{"not sorted: an encoded name", query{Sort: true}, "/?b=2&%61=1&a=1", "/?b=2&%61=1&a=1"},
		{"not sorted: a semicolon", query{Sort: true}, "/?b=2&a=1;b=3", "/?b=2&a=1;b=3"},
		{"not sorted: an array", query{Sort: true}, "/?b=2&a[]=1", "/?b=2&a[]=1"},

		{"dropped", query{Drop: []string{"utm_*", "gclid"}}, "/?a=1&utm_source=x&gclid=1&b=2", "/?a=1&b=2"},
		{"all dropped", query{Drop: []string{"utm_*"}}, "/?utm_source=x&utm_=1", "/"},
		{"nothing to drop", query{Drop: []string{"utm_*"}}, "/?b=1&a=1", "/?b=1&a=1"},
		{"nothing to drop, empty", query{Drop: []string{"utm_*"}}, "/?", "/?"},
		{"without a value", query{Drop: []string{"gclid"}}, "/?gclid&a=1", "/?a=1"},
		{"not another name", query{Drop: []string{"gclid"}}, "/?gclid2=1&xgclid=1&GCLID=1", "/?gclid2=1&xgclid=1&GCLID=1"},
		{"not by its value", query{Drop: []string{"gclid"}}, "/?a=gclid", "/?a=gclid"},
		{"not encoded", query{Drop: []string{"gclid"}}, "/?%67clid=1", "/?%67clid=1"},
		{"not with a semicolon", query{Drop: []string{"utm_*"}}, "/?utm_x=1;id=evil", "/?utm_x=1;id=evil"},
		{"dropped and sorted", query{Sort: true, Drop: []string{"utm_*"}}, "/?b=1&utm_%78=1&a=1", "/?a=1&b=1"},
		{"all dropped, sorted", query{Sort: true, Drop: []string{"utm_*"}}, "/?utm_x=1", "/"},

		{"kept", query{Keep: []string{"id", "page"}}, "/?x=1&page=2&id=3&y", "/?page=2&id=3"},
		{"kept and sorted", query{Sort: true, Keep: []string{"id", "page"}}, "/?x=1&page=2&id=3&y", "/?id=3&page=2"},
		{"none kept", query{Keep: []string{"id"}}, "/?x=1", "/"},
		{"none kept, empty", query{Keep: []string{"id"}}, "/?", "/"},
		{"kept in either case", query{Keep: []string{"id"}}, "/?ID=1&Id=2", "/?ID=1&Id=2"},
		{"not a longer name", query{Keep: []string{"id"}}, "/?id2=1&xid=1", "/"},
		// What a backend might read as one of those that are kept.
		{"kept: an encoded name", query{Keep: []string{"id"}}, "/?%69d=evil&x=1", "/?%69d=evil"},
		{"kept: behind a semicolon", query{Keep: []string{"id"}}, "/?x=1;id=evil", "/?x=1;id=evil"},
		{"kept: an array", query{Keep: []string{"id"}}, "/?id[]=evil&x=1", "/?id[]=evil"},
		{"kept: a dot", query{Keep: []string{"a_b"}}, "/?a.b=evil&x=1", "/?a.b=evil"},
		{"kept: white space", query{Keep: []string{"id"}}, "/?+id=evil&x=1", "/?+id=evil"},
	} {
		b := builder(t, func(r *key.Rules) { r.Query = row.rules })
		if got := makeKey(b, page(row.in)); got != "https://example.com"+row.want {
			t.Errorf("%s: %s: %s, want %s", row.name, row.in, got, row.want)
		}
	}
}

func TestQueriesOfManyParametersAreLeftUnsorted(t *testing.T) {
	b := builder(t, func(r *key.Rules) { r.Query.Sort = true })
	for _, row := range []struct {
		n      int
		sorted bool
	}{{64, true}, {65, false}} {
		var list []string
		for i := range row.n {
			list = append(list, fmt.Sprintf("p%02d=1", row.n-i))
		}
		query := strings.Join(list, "&")
		if got := makeKey(b, page("/?"+query)); strings.HasSuffix(got, "?"+query) == row.sorted {
			t.Errorf("%d parameters: %s", row.n, got)
		}
	}
}

// Sorting must not change what is there, and nothing depends on the order any more
// but that of one name.
func FuzzQuery(f *testing.F) {
	for _, q := range []string{"b=2&a=1", "", "&", "a&a=&A=2;b", "utm_x=1&id=2&%69d=3", "id=1&utm_=2&id=0"} {
		f.Add(q)
	}
	all := []*key.Builder{
		builder(f, nil), builder(f, sortAndDrop), builder(f, func(r *key.Rules) { r.Query.Sort = true }),
		builder(f, func(r *key.Rules) { r.Query.Keep = []string{"id"} }),
		builder(f, func(r *key.Rules) { r.Query.Sort, r.Query.Keep = true, []string{"id"} }),
	}
	f.Fuzz(func(t *testing.T, query string) {
		sent := map[string]int{}
		for _, parameter := range strings.Split(query, "&") {
			sent[parameter]++
		}
		for i, b := range all {
			p := page("/")
			p.Query, p.HasQuery = query, true
			k, err := b.Append(nil, &p)
			if err != nil {
				continue
			}
			d, err := key.Parse(k)
			if err != nil {
				t.Fatalf("%d: %q: %v", i, k, err)
			}
			left := map[string]int{}
			for _, parameter := range strings.Split(d.Query, "&") {
				if left[parameter]++; d.HasQuery && left[parameter] > sent[parameter] {
					t.Fatalf("%d: %q has %q, which was not sent", i, k, parameter)
				}
			}
			// Once is enough.
			p.Query, p.HasQuery = d.Query, d.HasQuery
			if again := makeKey(b, p); again != string(k) {
				t.Fatalf("%d: %q becomes %q when the rules are applied again", i, k, again)
			}
		}
	})
}
