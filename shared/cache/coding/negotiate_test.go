package coding_test

import (
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/ergoproxy/ergo/shared/cache/coding"
)

const identity = coding.Identity

// RFC 9110, section 12.5.3; section 12.4.2 for the weights.
func TestNegotiate(t *testing.T) {
	tests := []struct {
		name   string
		accept []string
		want   coding.Coding
	}{
		{"no field: the client has not asked", nil, identity},
		{"an empty field wants no coding", []string{""}, identity},
		{"a field of commas is empty", []string{" , ,,\t"}, identity},
		{"a browser over TLS", []string{"gzip, deflate, br, zstd"}, "zstd"},
		{"a browser without zstd", []string{"gzip, deflate, br"}, "br"},
		{"curl --compressed of old", []string{"deflate, gzip"}, "gzip"},
		{"the order in the field means nothing", []string{"gzip, br"}, "br"},
		{"several lines are one list", []string{"gzip;q=0.5", "br;q=0.8"}, "br"},
		{"names in any case", []string{"GZip"}, "gzip"},
		{"x-gzip is gzip, section 8.4.1.3", []string{"x-gzip"}, "gzip"},
		{"x-gzip has its quality", []string{"x-gzip;q=0.2, br;q=0.1"}, "gzip"},
		{"higher quality beats order", []string{"zstd;q=0.5, br;q=0.9, gzip;q=0.8"}, "br"},
		{"thousandths count", []string{"zstd;q=0.998, br;q=0.999"}, "br"},
		{"equal quality leaves order", []string{"gzip;q=0.5, br;q=0.5, zstd;q=0.5"}, "zstd"},
		{"q in upper case, with white space", []string{"gzip \t; \tQ=1.000"}, "gzip"},
		{"q=0 refuses", []string{"gzip;q=0"}, identity},
		{"q=0.000 refuses", []string{"br;q=0.000, gzip;q=0.001"}, "gzip"},
		{"of two the lower counts", []string{"gzip;q=1, br;q=0.1, x-gzip;q=0"}, "br"},
		{"what is refused in a later line stays so", []string{"gzip", "gzip;q=0"}, identity},
		{"only what is not offered", []string{"deflate, compress, dcb"}, identity},

		{"* is anything", []string{"*"}, "zstd"},
		{"* is anything but what is named", []string{"zstd;q=0, *"}, "br"},
		{"* below what is named", []string{"*;q=0.1, gzip;q=0.9"}, "gzip"},
		{"*;q=0 refuses the rest", []string{"gzip;q=0.3, *;q=0"}, "gzip"},
		{"* with a quality above what is named", []string{"*;q=0.8, zstd;q=0.5, br;q=0.5, gzip;q=0.5"}, identity},

		{"identity by name and better", []string{"identity, gzip;q=0.9"}, identity},
		{"identity by name, as good", []string{"identity, gzip"}, "gzip"},
		{"identity by name, worse", []string{"identity;q=0.5, gzip;q=0.6"}, "gzip"},
		{"identity unnamed is worse than anything", []string{"gzip;q=0.001"}, "gzip"},
		{"identity refused", []string{"identity;q=0, gzip;q=0.1"}, "gzip"},

		{"a weight without q is ignored", []string{"gzip;1.0, br;q=0.1"}, "br"},
		{"a parameter that is no weight is ignored", []string{"gzip;level=9"}, identity},
		{"a weight above 1 is ignored", []string{"gzip;q=1.001"}, identity},
		{"a weight of 2 is ignored", []string{"gzip;q=2"}, identity},
		{"a negative weight is ignored", []string{"gzip;q=-1"}, identity},
		{"four digits are ignored", []string{"gzip;q=0.1234"}, identity},
		{"no digits are ignored", []string{"gzip;q="}, identity},
		{"a weight that does not begin with a digit is ignored", []string{"gzip;q=.5"}, identity},
		{"letters in the weight are ignored", []string{"gzip;q=0.a"}, identity},
		{"white space around = is ignored", []string{"gzip;q = 1"}, identity},
		{"a second parameter is ignored", []string{"gzip;q=1;q=0"}, identity},
		{"a weight of nothing is ignored", []string{";q=1"}, identity},
		{"two names are none", []string{"gzip br"}, identity},
		{"a letter that folds to s is none", []string{"z\u017ftd"}, identity},
		{"what is ignored leaves the rest", []string{"gzip;q=x, , br;q=0.5,;"}, "br"},
		{"a point without digits, as section 12.4.2 permits", []string{"gzip;q=0., br;q=1."}, "br"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, acceptable := coding.Negotiate(tt.accept, everyCoding)
			if got != tt.want || !acceptable {
				t.Errorf("got %s, acceptable %t, want %s", got, acceptable, tt.want)
			}
		})
	}
}

// RFC 9110, section 12.5.3: identity is acceptable unless refused by its name, or by
// *;q=0 where it has no name. Section 12.4.1: it may be served nevertheless.
func TestNegotiateServesIdentityToWhoRefusesEverything(t *testing.T) {
	for _, accept := range []string{"identity;q=0", "*;q=0", "deflate, identity;q=0", "gzip;q=0, *;q=0", "deflate, *;q=0.000"} {
		got, acceptable := coding.Negotiate([]string{accept}, everyCoding)
		if got != identity || acceptable {
			t.Errorf("%q: got %s, acceptable %t, want identity, not acceptable", accept, got, acceptable)
		}
	}
	for _, accept := range []string{"*;q=0, identity", "*;q=0, identity;q=0.001", "gzip;q=0"} {
		if got, acceptable := coding.Negotiate([]string{accept}, everyCoding); got != identity || !acceptable {
			t.Errorf("%q: got %s, acceptable %t, want identity, acceptable", accept, got, acceptable)
		}
	}
}

func TestNegotiateKeepsToWhatIsOffered(t *testing.T) {
	tests := []struct {
		accept  string
		offered []coding.Coding
		want    coding.Coding
	}{
		{"gzip, br, zstd", []coding.Coding{"gzip", "br"}, "gzip"},
		{"gzip, br, zstd", []coding.Coding{"br", "gzip"}, "br"},
		{"br, zstd", []coding.Coding{"gzip"}, identity},
		{"*", []coding.Coding{"gzip"}, "gzip"},
		{"*", nil, identity},
		{"deflate, *", []coding.Coding{"deflate"}, identity}, // one that we can't encode
	}
	for _, tt := range tests {
		if got, _ := coding.Negotiate([]string{tt.accept}, tt.offered); got != tt.want {
			t.Errorf("%q of %v: got %s, want %s", tt.accept, tt.offered, got, tt.want)
		}
	}
}

func TestNormaliseSharesWhatGetsTheSame(t *testing.T) {
	tests := []struct {
		want   string
		accept []string
	}{
		{"br", []string{"gzip, deflate, br", "br;q=1.0, gzip", "BR", "zstd;q=0, *"}},
		{"gzip", []string{"gzip", "x-gzip;q=0.1", "deflate , gzip"}},
		{"zstd", []string{"gzip, deflate, br, zstd", "*"}},
		{"identity", []string{"", "deflate", "identity", "gzip;q=0", "identity;q=0", "*;q=0"}},
	}
	for _, tt := range tests {
		for _, accept := range tt.accept {
			if got := coding.Normalise(accept, everyCoding); got != tt.want {
				t.Errorf("%q: got %q, want %q", accept, got, tt.want)
			}
			if got := coding.Normalise(tt.want, everyCoding); got != tt.want {
				t.Errorf("the normal form %q has the normal form %q", tt.want, got)
			}
		}
	}
}

// quality says by the words of RFC 9110, section 12.5.3, slowly, what accept gives
// name: the lowest of the members for it, those for * if there is none, -1 if there
// is none either.
func quality(accept, name string) float64 {
	lowest := map[string]float64{}
	for member := range strings.SplitSeq(accept, ",") {
		parts := strings.Split(member, ";")
		q := 1.0
		if len(parts) > 2 {
			continue
		}
		if len(parts) == 2 {
			weight := strings.Trim(parts[1], " \t")
			if len(weight) < 3 || !strings.HasPrefix(strings.ToLower(weight), "q=") || strings.Trim(weight[2:], "0123456789.") != "" || len(weight) > 7 || weight[2] == '.' {
				continue
			}
			if whole, _, point := strings.Cut(weight[2:], "."); len(whole) != 1 || !point && len(weight) > 3 {
				continue
			}
			var err error
			if q, err = strconv.ParseFloat(weight[2:], 64); err != nil || q > 1 {
				continue
			}
		}
		key := strings.Trim(parts[0], " \t")
		if strings.ToValidUTF8(key, "") == key && len(key) == len(strings.ToLower(key)) {
			key = strings.ToLower(key)
		}
		if key == "x-gzip" {
			key = "gzip"
		}
		if old, ok := lowest[key]; !ok || q < old {
			lowest[key] = q
		}
	}
	if q, ok := lowest[name]; ok {
		return q
	}
	if q, ok := lowest["*"]; ok {
		return q
	}
	return -1
}

func FuzzNegotiate(f *testing.F) {
	for _, accept := range []string{
		"", "*", "gzip, deflate, br, zstd", "gzip;q=0, *", "identity;q=0, *;q=0", "br;q=1.000;x, gzip;q=0.", "x-gzip;q=0.001,GZIP ; Q=0.5",
		"gzip;q=1.1,br;q=00,zstd;q=0.1234", ";q=1,,;,=,\x00", "z\u017ftd, \"br\", gzip;q=\"1\"",
	} {
		f.Add(accept, byte(0))
		f.Add(accept, byte(5))
	}
	f.Fuzz(func(t *testing.T, accept string, order byte) {
		offered := slices.Clone(everyCoding[:1+int(order)%3])
		if order%2 == 1 {
			slices.Reverse(offered)
		}
		got, acceptable := coding.Negotiate([]string{accept}, offered)
		most := quality(accept, string(identity))
		if got == identity {
			if acceptable != (most != 0) {
				t.Fatalf("%q of %v: acceptable is %t, identity has quality %v", accept, offered, acceptable, most)
			}
			most = max(most, 0)
		} else {
			if !slices.Contains(offered, got) || !acceptable {
				t.Fatalf("%q of %v: got %s, acceptable %t", accept, offered, got, acceptable)
			}
			if q := quality(accept, string(got)); q <= 0 || q < most {
				t.Fatalf("%q of %v: got %s of quality %v, identity has %v", accept, offered, got, q, most)
			}
			most = quality(accept, string(got))
		}
		for _, c := range offered {
			if q := quality(accept, string(c)); q > most {
				t.Fatalf("%q of %v: got %s, but %s has quality %v", accept, offered, got, c, q)
			}
		}
		if lines := strings.Split(accept, ","); len(lines) > 1 {
			if split, ok := coding.Negotiate(lines, offered); split != got || ok != acceptable {
				t.Fatalf("%q: got %s, but %s in lines of its own", accept, got, split)
			}
		}
		if normal := coding.Normalise(accept, offered); normal != string(got) || coding.Normalise(normal, offered) != normal {
			t.Fatalf("%q of %v: the normal form is %q, want %q", accept, offered, normal, got)
		}
	})
}
