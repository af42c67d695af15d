package key

import "strings"

const hexDigits = "0123456789ABCDEF"

func appendEscape(dst []byte, c byte) []byte {
	return append(dst, '%', hexDigits[c>>4], hexDigits[c&15])
}

// appendByte appends a byte of a value.
func appendByte(dst []byte, c byte) []byte {
	if c <= ' ' || c == '%' || c >= 0x7f {
		return appendEscape(dst, c)
	}
	return append(dst, c)
}

func appendValue(dst []byte, s string) []byte {
	for i := range len(s) {
		dst = appendByte(dst, s[i])
	}
	return dst
}

// appendName appends what an equals sign may follow.
func appendName(dst []byte, s string) []byte {
	for i := range len(s) {
		if s[i] == '=' {
			dst = appendEscape(dst, '=')
			continue
		}
		dst = appendByte(dst, s[i])
	}
	return dst
}

// appendHeader appends a field. The lines of one that has several are put together
// as a recipient may do it (RFC 9110, 5.3).
func appendHeader(dst []byte, name string, lines []string) []byte {
	dst = appendName(append(dst, " h:"...), name)
	dst = append(dst, '=')
	for i, line := range lines {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendLine(dst, line)
	}
	return dst
}

// appendLine appends one line of a field without white space at its ends and next
// to commas, and with one space where there is other white space. Quoted
// strings stay as they are.
func appendLine(dst []byte, line string) []byte {
	space := false // due before the next byte
	glued := true  // at the beginning, or behind a comma
	for i := 0; i < len(line); i++ {
		switch c := line[i]; c {
		case ' ', '\t':
			space = !glued
		case ',':
			dst = append(dst, ',')
			space, glued = false, true
		default:
			if space {
				dst = appendByte(dst, ' ')
			}
			space, glued = false, false
			if c != '"' {
				dst = appendByte(dst, c)
				continue
			}
			end := i + quotedLen(line[i:])
			dst = appendValue(dst, line[i:end])
			i = end - 1
		}
	}
	return dst
}

// quotedLen returns the length of the quoted string that s begins with (RFC 9110,
// 5.6.4): of all of s if it does not end.
func quotedLen(s string) int {
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return len(s)
}

// appendCookies appends each cookie called name, in the order in which they were
// sent (RFC 6265, 5.4; servers differ in whether they take the first or the last).
// Some servers do not tell upper from lower case, and some trim: so names are
// compared without regard to both, and written as they came.
func appendCookies(dst []byte, name string, lines []string) []byte {
	for _, line := range lines {
		for more := true; more; {
			var pair string
			pair, line, more = strings.Cut(line, ";")
			sent, value, hasValue := strings.Cut(trim(pair), "=")
			if !strings.EqualFold(trim(sent), name) {
				continue
			}
			dst = appendName(append(dst, " c:"...), sent)
			if hasValue {
				dst = appendValue(append(dst, '='), value)
			}
		}
	}
	return dst
}

func appendPrincipal(dst []byte, p Principal) []byte {
	dst = appendName(append(dst, " p:"...), p.Method)
	dst = appendName(append(dst, '='), p.Issuer)
	return appendValue(append(dst, '='), p.Subject)
}

// trim removes the white space around s.
func trim(s string) string {
	for s != "" && (s[0] == ' ' || s[0] == '\t') {
		s = s[1:]
	}
	for s != "" && (s[len(s)-1] == ' ' || s[len(s)-1] == '\t') {
		s = s[:len(s)-1]
	}
	return s
}
