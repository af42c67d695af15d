package h1

import (
	"net/http"
	"net/textproto"
	"strconv"
	"strings"
)

// tokenTable marks the characters of a token (RFC 9110, section 5.6.2).
var tokenTable = func() (t [256]bool) {
	for c := '0'; c <= '9'; c++ {
		t[c] = true
	}
	for c := 'a'; c <= 'z'; c++ {
		t[c], t[c-'a'+'A'] = true, true
	}
	for _, c := range "!#$%&'*+-.^_`|~" {
		t[c] = true
	}
	return t
}()

func isToken(s string) bool {
	for i := range len(s) {
		if !tokenTable[s[i]] {
			return false
		}
	}
	return s != ""
}

// validValue reports whether s has no control character but tabs (RFC 9110,
// section 5.5).
func validValue(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' && c != '\t' || c == 0x7f {
			return false
		}
	}
	return true
}

// beginsLikeHead lets what is no HTTP at all fail at its first bytes, and not
// only when time is over.
func beginsLikeHead(got []byte) error {
	const begin = "HTTP/1."
	n := min(len(got), len(begin))
	if string(got[:n]) != begin[:n] {
		return malformed("it begins with %q", got[:n])
	}
	return nil
}

// parseHead parses a head, the blank line included, into r: Status, StatusCode,
// Proto and Header. Strings are parts of s.
func parseHead(r *http.Response, s string) error {
	line, fields, ok := cutLine(s)
	if !ok {
		return malformed("a line does not end in CRLF")
	}
	if err := parseStatus(r, line); err != nil {
		return err
	}
	header, err := parseFields(fields)
	r.Header = header
	return err
}

// parseStatus parses "HTTP/1.1 200 OK" (RFC 9112, section 4).
func parseStatus(r *http.Response, line string) error {
	const versionLength, minLength = len("HTTP/1.1"), len("HTTP/1.1 200")
	if len(line) < minLength || line[versionLength] != ' ' || len(line) > minLength && line[minLength] != ' ' {
		return malformed("status line %.64q", line)
	}
	switch line[:versionLength] {
	case "HTTP/1.1":
		r.ProtoMinor = 1
	case "HTTP/1.0":
		r.ProtoMinor = 0
	default:
		return malformed("version %q", line[:versionLength])
	}
	r.Proto, r.ProtoMajor = line[:versionLength], 1
	r.Status = line[versionLength+1:]
	if !validValue(r.Status) {
		return malformed("status line %.64q", line)
	}
	code := 0
	for i := range 3 {
		c := r.Status[i]
		if c < '0' || c > '9' {
			return malformed("status line %.64q", line)
		}
		code = code*10 + int(c-'0')
	}
	if code < 100 {
		return malformed("status %d", code)
	}
	r.StatusCode = code
	return nil
}

// cutLine cuts at the first CRLF. A CR or LF that stands alone is not ok.
func cutLine(s string) (line, rest string, ok bool) {
	i := strings.IndexByte(s, '\n')
	if i < 1 || s[i-1] != '\r' {
		return "", "", false
	}
	return s[:i-1], s[i+1:], true
}

// parseFields parses field lines up to the blank line that ends s.
func parseFields(s string) (http.Header, error) {
	lines := strings.Count(s, "\n") - 1
	header := make(http.Header, min(lines, 64))
	values := make([]string, lines) // one allocation for all the one-line slices
	for i := range lines {
		line, rest, ok := cutLine(s)
		if !ok {
			return nil, malformed("a line does not end in CRLF")
		}
		s = rest
		colon := strings.IndexByte(line, ':')
		if colon < 0 || !isToken(line[:colon]) {
			return nil, malformed("field line %.64q", line)
		}
		// A canonical name comes back as it is, without an allocation.
		name := textproto.CanonicalMIMEHeaderKey(line[:colon])
		value := strings.Trim(line[colon+1:], " \t")
		if !validValue(value) {
			return nil, malformed("field %s holds a control character", name)
		}
		if earlier, ok := header[name]; ok {
			header[name] = append(earlier, value)
			continue
		}
		values[i] = value
		header[name] = values[i : i+1 : i+1]
	}
	return header, nil
}

// hasToken looks for a member of a comma-separated list, in any case.
func hasToken(values []string, token string) bool {
	for _, list := range values {
		for list != "" {
			var member string
			member, list, _ = strings.Cut(list, ",")
			if strings.EqualFold(strings.Trim(member, " \t"), token) {
				return true
			}
		}
	}
	return false
}

// A framing says where a body ends.
type framing uint8

const (
	noBody framing = iota
	sized
	chunked
	untilClose
	upgraded // the connection itself
)

// chunkedCoding is what Response.TransferEncoding holds.
var chunkedCoding = []string{"chunked"}

// frame finds out the framing of r (RFC 9112, section 6.3), and sets
// ContentLength, TransferEncoding and Trailer as net/http does.
func frame(r *http.Response, method string) (framing, error) {
	isChunked, err := takeCoding(r)
	if err != nil {
		return noBody, err
	}
	length, err := contentLength(r, isChunked)
	if err != nil {
		return noBody, err
	}
	r.ContentLength = length
	if isChunked {
		if err := announced(r); err != nil {
			return noBody, err
		}
	}
	switch {
	case method == http.MethodHead:
		return noBody, nil
	case r.StatusCode < 200, r.StatusCode == http.StatusNoContent, r.StatusCode == http.StatusNotModified:
		r.ContentLength = 0
		return noBody, nil
	case isChunked:
		return chunked, nil
	case length == 0:
		return noBody, nil
	case length > 0:
		return sized, nil
	}
	return untilClose, nil
}

// takeCoding moves Transfer-Encoding out of the header.
func takeCoding(r *http.Response) (isChunked bool, err error) {
	codings, ok := r.Header["Transfer-Encoding"]
	if !ok {
		return false, nil
	}
	if r.ProtoMinor == 0 {
		return false, malformed("Transfer-Encoding in HTTP/1.0")
	}
	if len(codings) != 1 || !strings.EqualFold(codings[0], "chunked") {
		return false, malformed("Transfer-Encoding %.64q", codings)
	}
	delete(r.Header, "Transfer-Encoding")
	r.TransferEncoding = chunkedCoding
	return true, nil
}

// contentLength returns -1 if there is none. Several that are the same become
// one.
func contentLength(r *http.Response, isChunked bool) (int64, error) {
	lengths, ok := r.Header["Content-Length"]
	if !ok {
		return -1, nil
	}
	if isChunked {
		return 0, malformed("both Content-Length and Transfer-Encoding")
	}
	for _, other := range lengths[1:] {
		if other != lengths[0] {
			return 0, malformed("Content-Lengths %.64q", lengths)
		}
	}
	if len(lengths) > 1 {
		r.Header["Content-Length"] = lengths[:1]
	}
	// ParseUint takes no sign and, in base 10, nothing but digits.
	n, err := strconv.ParseUint(lengths[0], 10, 63)
	if err != nil {
		return 0, malformed("Content-Length %.64q", lengths[0])
	}
	return int64(n), nil
}

// announced moves Trailer out of the header.
func announced(r *http.Response) error {
	lists, ok := r.Header["Trailer"]
	if !ok {
		return nil
	}
	delete(r.Header, "Trailer")
	r.Trailer = make(http.Header)
	for _, list := range lists {
		for name := range strings.SplitSeq(list, ",") {
			name = textproto.CanonicalMIMEHeaderKey(strings.Trim(name, " \t"))
			if name == "" {
				continue
			}
			if !isToken(name) || framingField(name) {
				return malformed("trailer %.64q is not allowed", name)
			}
			r.Trailer[name] = nil
		}
	}
	return nil
}

// reusable reports whether the backend leaves the connection open (RFC 9112,
// section 9.3).
func reusable(r *http.Response) bool {
	options := r.Header["Connection"]
	if hasToken(options, "close") {
		return false
	}
	return r.ProtoMinor == 1 || hasToken(options, "keep-alive")
}
