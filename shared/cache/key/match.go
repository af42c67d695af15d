package key

import "bytes"

// Matches reports whether key is in s. A tag matches no key: what carries it is
// not in there. It does not allocate.
func (s Scope) Matches(key []byte) bool {
	switch s.kind {
	case AllScope:
		return true
	case URLScope, PrefixScope, HostScope:
	default:
		return false
	}
	scheme, rest, ok := bytes.Cut(URL(key), []byte("://"))
	if !ok {
		return false
	}
	slash := bytes.IndexByte(rest, '/')
	if slash < 0 {
		return false
	}
	host, target := rest[:slash], rest[slash:]
	if s.kind == HostScope {
		return string(bytes.TrimSuffix(withoutPort(host), []byte("."))) == s.host
	}
	if s.scheme != "" && string(scheme) != s.scheme || string(host) != s.host {
		return false
	}
	rest, ok = cutEquivalent(target, s.target)
	if !ok {
		return false
	}
	return len(rest) == 0 || s.kind == PrefixScope && s.endsBefore(rest)
}

// endsBefore reports whether a prefix ends at a border of segments: with a slash,
// or before one or the query.
func (s Scope) endsBefore(rest []byte) bool {
	return s.target[len(s.target)-1] == '/' || rest[0] == '/' || rest[0] == '?'
}

// withoutPort cuts the port off a host in the form of keys.
func withoutPort(host []byte) []byte {
	if i := bytes.LastIndexByte(host, ':'); i > bytes.LastIndexByte(host, ']') {
		return host[:i]
	}
	return host
}

// cutEquivalent cuts from target a beginning that is equivalent to prefix by RFC
// 3986, 6.2.2.1 and 6.2.2.2, and reports whether there is one.
func cutEquivalent(target []byte, prefix string) (rest []byte, ok bool) {
	i := 0
	for j := 0; j < len(prefix); {
		if i == len(target) {
			return nil, false
		}
		a, n := character(target, i)
		b, m := character(prefix, j)
		if a != b {
			return nil, false
		}
		i, j = i+n, j+m
	}
	return target[i:], true
}

// encoded is set in a character that means something else where it is not encoded.
const encoded = 1 << 8

// character returns what stands at s[i], the same for all equivalent ways to write
// it, and how many bytes it takes.
func character[T string | []byte](s T, i int) (c, n int) {
	value, ok := escaped(s, i)
	switch {
	case !ok:
		return int(s[i]), 1
	case isUnreserved(value):
		return int(value), 3
	}
	return int(value) | encoded, 3
}
