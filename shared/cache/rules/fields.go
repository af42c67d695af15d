package rules

import (
	"net/http"
	"time"
)

// hopByHop are the fields that are not stored, in canonical form: those of one
// link (RFC 9110, section 7.6.1), and those for the proxy that asked (RFC 9111,
// section 3.1).
var hopByHop = [...]string{
	"Connection", "Keep-Alive", "Proxy-Connection", "Proxy-Authenticate", "Proxy-Authorization",
	"Proxy-Authentication-Info", "Te", "Transfer-Encoding", "Upgrade",
}

// indispensable lists the fields without which a stored response would be taken
// for another one, or for one of another age. Neither Connection nor an argument
// of no-cache or private can remove them.
func indispensable(key string) bool {
	switch key {
	case "Age", "Cache-Control", "Content-Encoding", "Content-Length", "Content-Range", "Date",
		"Expires", "Vary":
		return true
	}
	return false
}

// Fields returns a copy of the fields of resp that are stored (RFC 9111, section
// 3.1). S is what Store made of resp. A Date that is missing or broken is
// replaced by when the response was received (RFC 9110, section 6.6.1).
func (p *Policy) Fields(s *Stored, resp Response) http.Header {
	h := resp.Header.Clone()
	if h == nil {
		h = http.Header{}
	}
	p.removeUnstored(h, s)
	if p.config.SetCookie == CookieStrip {
		delete(h, "Set-Cookie")
	}
	setDate(h, s.Date)
	return h
}

// removeUnstored removes the fields that are not stored from h, of whose message
// s was made.
func (p *Policy) removeUnstored(h http.Header, s *Stored) {
	remove := func(name string) {
		key := http.CanonicalHeaderKey(name)
		if !indispensable(key) && !p.isTargeted(key) {
			delete(h, key)
		}
	}
	for option := range listMembers(h["Connection"]) {
		remove(option)
	}
	for _, name := range s.NoCacheFields {
		remove(name)
	}
	for _, name := range s.PrivateFields {
		remove(name)
	}
	for _, key := range hopByHop {
		delete(h, key)
	}
}

// setDate makes Date what the rules count from.
func setDate(h http.Header, date time.Time) {
	if lines := h["Date"]; len(lines) == 1 {
		if t, ok := ParseDate(lines[0], date); ok && t.Equal(date) {
			return
		}
	}
	h["Date"] = []string{date.UTC().Format(http.TimeFormat)}
}
