package auth

import (
	"net/http"
	"net/url"
	"strings"
)

// source says where tokens are looked for.
type source struct {
	cookie string // "": not there
	query  string // "": not there
	keep   bool   // leave the token in the request
}

// token returns the token of r: that of Authorization: Bearer, of the cookie, or
// of the query, whichever is first. More than one in the same place is refused,
// since a backend might look at another one.
func (s *source) token(r *http.Request) (string, error) {
	values := r.Header["Authorization"]
	if len(values) > 1 {
		return "", ambiguous("more than one Authorization field")
	}
	if len(values) == 1 {
		if token, ok := bearer(values[0]); ok {
			return token, nil
		}
	}
	if s.cookie != "" {
		switch cookies := r.CookiesNamed(s.cookie); len(cookies) {
		case 0:
		case 1:
			return cookies[0].Value, nil
		default:
			return "", ambiguous("more than one token cookie")
		}
	}
	if s.query != "" {
		return s.queryToken(r.URL.RawQuery)
	}
	return "", ErrNoCredentials
}

func ambiguous(description string) error {
	return &RejectedError{Code: codeInvalidRequest, Description: description}
}

// bearer returns the token of an Authorization value of that scheme.
func bearer(value string) (string, bool) {
	scheme, token, _ := strings.Cut(value, " ")
	return strings.Trim(token, " "), strings.EqualFold(scheme, "Bearer")
}

func (s *source) queryToken(query string) (string, error) {
	found, token := false, ""
	for param := range strings.SplitSeq(query, "&") {
		name, value, _ := strings.Cut(param, "=")
		if name != s.query {
			continue
		}
		if found {
			return "", ambiguous("more than one token parameter")
		}
		found, token = true, value
	}
	if !found {
		return "", ErrNoCredentials
	}
	token, err := url.QueryUnescape(token)
	if err != nil {
		return "", ambiguous("malformed token parameter")
	}
	return token, nil
}

// strip removes the token from every place where it is looked for.
func (s *source) strip(r *http.Request) {
	if s.keep {
		return
	}
	if values := r.Header["Authorization"]; len(values) > 0 {
		if _, ok := bearer(values[0]); ok {
			delete(r.Header, "Authorization")
		}
	}
	if s.cookie != "" {
		s.stripCookie(r.Header)
	}
	if s.query != "" && strings.Contains(r.URL.RawQuery, s.query) {
		u := *r.URL
		u.RawQuery = without(u.RawQuery, "&", s.query)
		r.URL = &u
	}
}

func (s *source) stripCookie(h http.Header) {
	lines := h["Cookie"]
	kept := make([]string, 0, len(lines))
	for _, line := range lines {
		if line = strings.TrimSpace(without(line, ";", s.cookie)); line != "" {
			kept = append(kept, line)
		}
	}
	if len(kept) == 0 {
		delete(h, "Cookie")
	} else {
		h["Cookie"] = kept
	}
}

// without returns a list of name=value pairs without those called name.
func without(list, separator, name string) string {
	var kept []string
	for pair := range strings.SplitSeq(list, separator) {
		if n, _, _ := strings.Cut(pair, "="); strings.TrimSpace(n) != name {
			kept = append(kept, pair)
		}
	}
	return strings.Join(kept, separator)
}
