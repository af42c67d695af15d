package key

import (
	"bytes"
	"errors"
	"strings"
)

// errMalformed is what Parse returns for what is no key.
var errMalformed = errors.New("malformed cache key")

// Decoded are the parts that a key holds.
type Decoded struct {
	Scheme, Host, Path string
	Query              string // what is left of it
	HasQuery           bool
	Headers, Cookies   []Pair // in the order of the key
	Principal          Principal
}

// A Pair is a field or a cookie. The name of a field is in lower case.
type Pair struct {
	Name, Value string
	HasValue    bool // false: a cookie without an equals sign
}

// Parse returns the parts of a key. It returns an error for what no Builder can
// have made.
func Parse(key []byte) (Decoded, error) {
	var d Decoded
	url, extras, _ := strings.Cut(string(key), " ")
	var ok bool
	if d.Scheme, url, ok = strings.Cut(url, "://"); !ok {
		return Decoded{}, errMalformed
	}
	url, d.Query, d.HasQuery = strings.Cut(url, "?")
	d.Host, d.Path, _ = strings.Cut(url, "/")
	d.Path = "/" + d.Path
	for more := extras != ""; more; {
		var extra string
		extra, extras, more = strings.Cut(extras, " ")
		if !d.add(extra) {
			return Decoded{}, errMalformed
		}
	}
	// What is written back in the same way needs no further rules.
	if again, ok := d.append(nil); !ok || !bytes.Equal(again, key) {
		return Decoded{}, errMalformed
	}
	return d, nil
}

// add adds one extra to d.
func (d *Decoded) add(extra string) bool {
	kind, text, ok := strings.Cut(extra, ":")
	name, value, hasValue := strings.Cut(text, "=")
	pair := Pair{unescape(name), unescape(value), hasValue}
	switch {
	case !ok:
		return false
	case kind == "h" && hasValue:
		d.Headers = append(d.Headers, pair)
	case kind == "c":
		d.Cookies = append(d.Cookies, pair)
	case kind == "p" && d.Principal == (Principal{}):
		issuer, subject, ok := strings.Cut(value, "=")
		d.Principal = Principal{Method: pair.Name, Issuer: unescape(issuer), Subject: unescape(subject)}
		return ok
	default:
		return false
	}
	return true
}

// append writes d, and reports whether it is the URL of a key.
func (d *Decoded) append(dst []byte) ([]byte, bool) {
	all := Builder{}
	dst, err := all.appendURL(dst, &Parts{Scheme: d.Scheme, Host: d.Host, Path: d.Path, Query: d.Query, HasQuery: d.HasQuery})
	if err != nil {
		return nil, false
	}
	for _, h := range d.Headers {
		dst = appendName(append(dst, " h:"...), h.Name)
		dst = appendValue(append(dst, '='), h.Value)
	}
	for _, c := range d.Cookies {
		dst = appendName(append(dst, " c:"...), c.Name)
		if c.HasValue {
			dst = appendValue(append(dst, '='), c.Value)
		}
	}
	if d.Principal != (Principal{}) {
		dst = appendPrincipal(dst, d.Principal)
	}
	return dst, true
}

// unescape undoes appendEscape. What is no escape stays.
func unescape(s string) string {
	if strings.IndexByte(s, '%') < 0 {
		return s
	}
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if c, ok := escaped(s, i); ok {
			b = append(b, c)
			i += 2
			continue
		}
		b = append(b, s[i])
	}
	return string(b)
}

// escaped returns the byte that the %XX at s[i] stands for, if there is one.
func escaped[T string | []byte](s T, i int) (byte, bool) {
	if s[i] != '%' || len(s)-i < 3 {
		return 0, false
	}
	high, low := hexValue(s[i+1]), hexValue(s[i+2])
	return high<<4 | low, high < 16 && low < 16
}

func hexValue(c byte) byte {
	switch {
	case '0' <= c && c <= '9':
		return c - '0'
	case 'a' <= lower(c) && lower(c) <= 'f':
		return lower(c) - 'a' + 10
	}
	return 255
}
