package accesslog

import (
	"net/url"
	"strings"
)

// secretWords make a parameter secret wherever they stand in its name,
// secretNames when they are all of it.
var (
	secretWords = [...]string{"token", "secret", "passw", "signature", "apikey", "api_key", "api-key", "credential",
		"auth", "session", "jwt", "assertion"}
	secretNames = [...]string{"key", "sig", "code", "pwd", "pass", "sid", "state", "otp", "pin", "hash", "hmac"}
)

// maxScanned is how many bytes of a query are looked at: what is logged, and
// room for the values that are replaced.
const maxScanned = 4 * maxQuery

func redactSet(names []string) map[string]bool {
	set := make(map[string]bool, len(names)+len(secretNames))
	for _, name := range secretNames {
		set[name] = true
	}
	for _, name := range names {
		set[strings.ToLower(name)] = true
	}
	return set
}

// redacted returns query with the values of secret parameters replaced. A
// parameter whose name cannot be decoded counts as secret. Semicolons separate
// too, since some backends read them so.
func (l *Log) redacted(query string) string {
	cut := len(query) > maxScanned
	query = clip(query, maxScanned)
	var b strings.Builder
	for len(query) > 0 {
		param, separator := query, ""
		if i := strings.IndexAny(query, "&;"); i >= 0 {
			param, separator = query[:i], query[i:i+1]
		}
		query = query[len(param)+len(separator):]
		name, value, hasValue := strings.Cut(param, "=")
		switch {
		case hasValue && value != "" && l.secret(name):
			b.WriteString(name + "=[redacted]")
		case cut && query == "" && separator == "":
			// Half a name says nothing about the value.
		default:
			b.WriteString(param)
		}
		b.WriteString(separator)
	}
	return b.String()
}

func (l *Log) secret(escapedName string) bool {
	name, err := url.QueryUnescape(escapedName)
	if err != nil {
		return true
	}
	name = strings.ToLower(name)
	if l.redact[name] {
		return true
	}
	for _, word := range secretWords {
		if strings.Contains(name, word) {
			return true
		}
	}
	return false
}

// bareURL returns a Referer without what may hold a secret: user information,
// query and fragment.
func bareURL(s string) string {
	if i := strings.IndexAny(s, "?#"); i >= 0 {
		s = s[:i]
	}
	scheme, rest, ok := strings.Cut(s, "//")
	if !ok {
		return s
	}
	authority, _, _ := strings.Cut(rest, "/")
	at := strings.LastIndexByte(authority, '@')
	if at < 0 {
		return s
	}
	return scheme + "//" + rest[at+1:]
}
