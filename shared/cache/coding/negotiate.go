package coding

import (
	"strings"
)

// A Coding is a content coding, by the name that Content-Encoding gives it.
type Coding string

const (
	Identity Coding = "identity" // the content as it is; never written into Content-Encoding
	Gzip     Coding = "gzip"     // RFC 1952
	Brotli   Coding = "br"       // RFC 7932
	Zstd     Coding = "zstd"     // RFC 8878
)

// Values are the codings that a config may offer.
func (Coding) Values() []string { return []string{string(Zstd), string(Brotli), string(Gzip)} }

// Negotiate chooses the coding of an answer from those offered, by all lines of
// the request's Accept-Encoding (RFC 9110, section 12.5.3): the one of highest
// quality, the earlier one of offered among equals. Identity is chosen
//
//   - where there is no Accept-Encoding: it would permit anything, but who does not
//     ask for a coding may well be unable to read one;
//   - where the field gives it, by name or by *, a higher quality than any of offered;
//   - where none of offered is acceptable.
//
// Acceptable is false where the field refuses Identity too. It is to be served
// nevertheless: section 12.4.1 permits that instead of a 406, and a client that can
// read nothing at all does not exist.
//
// Members that are not of the form of section 12.5.3 are ignored. Of members for
// the same coding the lowest quality counts, x-gzip being gzip (section 8.4.1.3).
func Negotiate(accept []string, offered []Coding) (chosen Coding, acceptable bool) {
	if len(accept) == 0 {
		return Identity, true
	}
	q := parseAccept(accept)
	chosen, most := Identity, 0
	for _, c := range offered {
		if v := q.of(c); v > most {
			chosen, most = c, v
		}
	}
	identity := q.of(Identity)
	switch {
	case identity > most:
		return Identity, true
	case chosen == Identity:
		return Identity, identity != 0
	}
	return chosen, true
}

// Normalise returns the one value that stands for accept, an Accept-Encoding, in
// the key of a stored answer: the name of the coding that Negotiate chooses.
// "gzip, deflate, br" and "br;q=1.0, gzip" share what is stored if they would get
// the same. It makes no garbage.
//
// Only if the backend is asked with the normal form too, all that is stored under it
// can be read by all who ask for it.
func Normalise(accept string, offered []Coding) string {
	chosen, _ := Negotiate([]string{accept}, offered)
	return string(chosen)
}

// unnamed is the quality of a coding that an Accept-Encoding does not speak of.
const unnamed = -1

// qualities are what an Accept-Encoding says of the codings we know, in
// thousandths, and unnamed for the others. Any is the quality of *.
type qualities struct {
	identity, gzip, brotli, zstd, any int
}

// of returns the quality of c, which may be that of *.
func (q qualities) of(c Coding) int {
	v := unnamed
	switch c {
	case Identity:
		v = q.identity
	case Gzip:
		v = q.gzip
	case Brotli:
		v = q.brotli
	case Zstd:
		v = q.zstd
	default:
		return unnamed
	}
	if v == unnamed {
		return q.any
	}
	return v
}

// lower takes in that a member gives name the quality v.
func (q *qualities) lower(name string, v int) {
	var at *int
	switch {
	case equalFold(name, "gzip"), equalFold(name, "x-gzip"):
		at = &q.gzip
	case equalFold(name, "br"):
		at = &q.brotli
	case equalFold(name, "zstd"):
		at = &q.zstd
	case equalFold(name, "identity"):
		at = &q.identity
	case name == "*":
		at = &q.any
	default:
		return
	}
	if *at == unnamed || v < *at {
		*at = v
	}
}

func parseAccept(lines []string) qualities {
	q := qualities{identity: unnamed, gzip: unnamed, brotli: unnamed, zstd: unnamed, any: unnamed}
	for _, rest := range lines {
		for more := true; more; {
			var member string
			member, rest, more = strings.Cut(rest, ",")
			if name, quality, ok := parseMember(member); ok {
				q.lower(name, quality)
			}
		}
	}
	return q
}

// parseMember reads a coding with or without its weight. It does not look at the
// name: one that we do not know changes nothing.
func parseMember(s string) (name string, quality int, ok bool) {
	name, weight, weighted := strings.Cut(s, ";")
	name = trim(name)
	if !weighted {
		return name, 1000, true
	}
	weight = trim(weight)
	if len(weight) < 2 || weight[0] != 'q' && weight[0] != 'Q' || weight[1] != '=' {
		return "", 0, false
	}
	quality, ok = parseQuality(weight[2:])
	return name, quality, ok
}

// parseQuality reads a qvalue (RFC 9110, section 12.4.2) as thousandths.
func parseQuality(s string) (int, bool) {
	if s == "" || len(s) > len("0.123") || s[0] != '0' && s[0] != '1' || len(s) > 1 && s[1] != '.' {
		return 0, false
	}
	quality, unit := int(s[0]-'0')*1000, 100
	for i := 2; i < len(s); i++ {
		if s[i] < '0' || s[i] > '9' {
			return 0, false
		}
		quality += int(s[i]-'0') * unit
		unit /= 10
	}
	return quality, quality <= 1000
}

// trim takes optional white space off both ends (RFC 9110, section 5.6.3).
func trim(s string) string { return strings.Trim(s, " \t") }

// equalFold compares with ASCII text in any case. The lengths keep out the letters
// outside of ASCII that strings.EqualFold takes for ones in it.
func equalFold(s, ascii string) bool { return len(s) == len(ascii) && strings.EqualFold(s, ascii) }

// cutMember splits a list at its first comma outside of quotes.
func cutMember(s string) (member, rest string, more bool) {
	quoted := false
	for i := 0; i < len(s); i++ {
		switch {
		case quoted && s[i] == '\\':
			i++
		case s[i] == '"':
			quoted = !quoted
		case s[i] == ',' && !quoted:
			return trim(s[:i]), s[i+1:], true
		}
	}
	return trim(s), "", false
}

// hasMember reports whether the list in lines has a member of that name, with or
// without an argument.
func hasMember(lines []string, name string) bool {
	for _, rest := range lines {
		for more := true; more; {
			var member string
			member, rest, more = cutMember(rest)
			member, _, _ = strings.Cut(member, "=")
			if equalFold(trim(member), name) {
				return true
			}
		}
	}
	return false
}
