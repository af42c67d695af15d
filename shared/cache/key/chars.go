package key

import "strings"

func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}

// isText reports whether s holds no space, no control byte and no 0x7f.
func isText(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] == 0x7f {
			return false
		}
	}
	return true
}

// isPath reports whether s can be the path of a URL in a key.
func isPath(s string) bool { return isText(s) && !strings.ContainsAny(s, "?#") }

// isHost reports whether s is a name or an address, with a port or without.
func isHost(s string) bool {
	name, port, hasPort := strings.Cut(s, ":")
	if inner, ok := strings.CutPrefix(s, "["); ok {
		address, rest, closed := strings.Cut(inner, "]")
		if !closed || address == "" || strings.Trim(address, "0123456789abcdefABCDEF:.") != "" {
			return false
		}
		name = "x" // is checked
		if rest != "" && rest[0] != ':' {
			return false
		}
		_, port, hasPort = strings.Cut(rest, ":")
	}
	return isName(name) && (!hasPort || isPort(port))
}

// isName reports whether s is a reg-name (RFC 3986, 3.2.2).
func isName(s string) bool {
	for i := range len(s) {
		if !isUnreserved(s[i]) && strings.IndexByte("%!$&'()*+,;=", s[i]) < 0 {
			return false
		}
	}
	return s != ""
}

// isPort reports whether s is a port, which may be empty.
func isPort(s string) bool { return len(s) <= 5 && strings.Trim(s, "0123456789") == "" }

// isUnreserved reports whether c means the same encoded and not (RFC 3986, 2.3).
func isUnreserved(c byte) bool {
	return 'a' <= lower(c) && lower(c) <= 'z' || '0' <= c && c <= '9' || strings.IndexByte("-._~", c) >= 0
}
