package rules

import (
	"net/http"
	"slices"
	"strings"
)

// readVary returns the names in Vary: canonical, sorted, each once. The Reason
// is for a response that cannot be stored: "*" never matches (RFC 9111, section
// 4.1), a name that is none might have meant anything, and limit is the most
// names there may be.
func readVary(lines []string, limit int) ([]string, Reason) {
	var names []string
	why := NoReason
	for member := range listMembers(lines) {
		switch {
		case member == "*":
			return nil, ReasonVaryAny
		case !isToken(member):
			why = ReasonVaryInvalid
		default:
			names = append(names, http.CanonicalHeaderKey(member))
		}
	}
	slices.Sort(names)
	names = slices.Compact(names)
	if why == NoReason && len(names) > limit {
		why = ReasonVaryLimit
	}
	return names, why
}

// AppendVariant appends the secondary cache key to dst: what the fields named in
// vary say in the request header h. Vary is that of a Stored. Two requests match
// (RFC 9111, section 4.1) if their keys are equal.
//
//	accept-encoding:br,gzip\naccept-language:de,en;q=0.5\ncookie
//
// Names are in lower case and in order. One without a colon is absent from the
// request, which is not the same as empty. Values are brought into one form as
// far as the meaning allows:
//
//   - field lines are combined, and white space around commas removed, but not
//     in quotes;
//   - of Accept, Accept-Charset and Accept-Language also white space around
//     semicolons, and of the latter two, case;
//   - Accept-Encoding becomes what SetAcceptEncoding makes of it.
//
// The order of members stays, since a backend may choose by it. The key is as
// long as the fields are: a caller may want to keep a hash. It allocates nothing
// if dst has room.
func (p *Policy) AppendVariant(dst []byte, vary []string, h http.Header) []byte {
	for i, key := range vary {
		if i > 0 {
			dst = append(dst, '\n')
		}
		for j := range len(key) {
			dst = append(dst, lowerByte(key[j]))
		}
		lines := h[key]
		if len(lines) == 0 {
			continue
		}
		dst = append(dst, ':')
		switch {
		case key == "Accept-Encoding" && len(p.codings) > 0:
			dst = p.appendCodings(dst, lines)
		case key == "Accept-Encoding", key == "Accept-Language", key == "Accept-Charset":
			dst = appendList(dst, lines, true, true)
		case key == "Accept":
			dst = appendList(dst, lines, true, false)
		default:
			dst = appendList(dst, lines, false, false)
		}
	}
	return dst
}

// Variant returns what AppendVariant appends.
func (p *Policy) Variant(vary []string, h http.Header) string {
	return string(p.AppendVariant(nil, vary, h))
}

// appendList appends field lines as one list. Parameters says that white space
// around semicolons means nothing, and fold that case does not.
func appendList(dst []byte, lines []string, parameters, fold bool) []byte {
	for i, line := range lines {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendListLine(dst, strings.Trim(line, " \t\r\n\x00"), parameters, fold)
	}
	return dst
}

func appendListLine(dst []byte, line string, parameters, fold bool) []byte {
	quoted := false
	gap := -1         // where white space began that is not yet appended
	delimiter := true // the last byte that was appended is a delimiter
	for i := 0; i < len(line); i++ {
		c := valueByte(line[i])
		if !quoted && isBlank(c) {
			if gap < 0 {
				gap = i
			}
			continue
		}
		isDelimiter := !quoted && (c == ',' || parameters && c == ';')
		if gap >= 0 && !delimiter && !isDelimiter {
			for j := gap; j < i; j++ {
				dst = append(dst, valueByte(line[j]))
			}
		}
		gap = -1
		delimiter = isDelimiter
		switch {
		case quoted && c == '\\' && i+1 < len(line):
			dst = append(dst, c)
			i++
			c = valueByte(line[i])
		case c == '"':
			quoted = !quoted
		}
		if fold && !quoted {
			c = lowerByte(c)
		}
		dst = append(dst, c)
	}
	return dst
}

// valueByte makes a space of a line break, which can't be in a field, but would
// let one value pass for two fields of the key (RFC 9110, section 5.5).
func valueByte(c byte) byte {
	if c == '\n' || c == '\r' || c == 0 {
		return ' '
	}
	return c
}

// SetAcceptEncoding reduces Accept-Encoding in the header of a request to the
// backend to what AppendVariant makes of it: those of Config.Encodings that the
// client accepts, in their order, "identity" if that is none, and
// "identity;q=0" behind them if the client refuses that.
//
// It must be applied to every request whose answer may be stored. Else a backend
// may choose a coding that is not on the list, and another client, whose list
// became the same, get what it cannot read. A header without Accept-Encoding,
// and a Policy without encodings, leave it as it is.
func (p *Policy) SetAcceptEncoding(h http.Header) {
	if lines := h["Accept-Encoding"]; len(lines) > 0 && len(p.codings) > 0 {
		h["Accept-Encoding"] = []string{string(p.appendCodings(nil, lines))}
	}
}

func (p *Policy) appendCodings(dst []byte, lines []string) []byte {
	start := len(dst)
	for _, coding := range p.codings {
		if accepts(lines, coding, false) {
			if len(dst) > start {
				dst = append(dst, ',')
			}
			dst = append(dst, coding...)
		}
	}
	switch {
	case !accepts(lines, "identity", true):
		if len(dst) > start {
			dst = append(dst, ',')
		}
		dst = append(dst, "identity;q=0"...)
	case len(dst) == start:
		dst = append(dst, "identity"...)
	}
	return dst
}

// accepts reports whether Accept-Encoding allows a coding (RFC 9110, section
// 12.5.3): one that is named by its own weight, else by that of "*", else it is
// otherwise.
func accepts(lines []string, coding string, otherwise bool) bool {
	answer := otherwise
	for _, line := range lines {
		for more := true; more; {
			var member string
			member, line, more = strings.Cut(line, ",")
			name, weight, _ := strings.Cut(member, ";")
			switch name = trim(name); {
			case isCoding(name, coding):
				return !isZeroWeight(weight)
			case name == "*":
				answer = !isZeroWeight(weight)
			}
		}
	}
	return answer
}

// isCoding compares names of codings. X-gzip and x-compress are other names of
// those without x- (RFC 9110, section 8.4.1).
func isCoding(name, coding string) bool {
	if len(name) == len(coding)+2 && (name[0] == 'x' || name[0] == 'X') && name[1] == '-' &&
		(coding == "gzip" || coding == "compress") {
		name = name[2:]
	}
	return len(name) == len(coding) && strings.EqualFold(name, coding)
}

// isZeroWeight reports whether a weight is q=0, q=0.0 and so on.
func isZeroWeight(s string) bool {
	name, value, _ := strings.Cut(s, "=")
	if !strings.EqualFold(trim(name), "q") {
		return false
	}
	value = trim(value)
	return value != "" && strings.Trim(value, "0.") == "" && value[0] == '0'
}
