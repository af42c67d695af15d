package h1

import (
	"errors"
	"fmt"
	"net/http"
	"net/textproto"
	"strconv"
	"strings"
)

// appendRequest appends the head of x's request to b. Nothing that could be
// taken for another line or another request gets in.
func (x *exchange) appendRequest(b []byte) ([]byte, error) {
	r := x.req
	if !isToken(r.Method) {
		return nil, requestError("method %q is no token", r.Method)
	}
	b = append(b, r.Method...)
	b = append(b, ' ')
	target := len(b)
	b = appendTarget(b, r)
	for _, c := range b[target:] {
		if c <= ' ' || c == 0x7f {
			return nil, requestError("request target holds %q", c)
		}
	}
	b = append(b, " HTTP/1.1\r\nHost: "...)
	b, err := appendHost(b, r)
	if err != nil {
		return nil, err
	}
	b = append(b, "\r\n"...)
	if b, err = x.appendFraming(b); err != nil {
		return nil, err
	}
	for name, values := range r.Header {
		if framingField(name) {
			continue
		}
		if b, err = appendField(b, name, values); err != nil {
			return nil, err
		}
	}
	x.keep = !r.Close && !hasToken(r.Header["Connection"], "close")
	if r.Close {
		b = append(b, "Connection: close\r\n"...)
	}
	return append(b, "\r\n"...), nil
}

func requestError(format string, args ...any) error {
	return &RequestError{fmt.Errorf(format, args...)}
}

// appendTarget appends what URL.RequestURI returns.
func appendTarget(b []byte, r *http.Request) []byte {
	u := r.URL
	if u.Opaque != "" {
		return append(b, u.RequestURI()...)
	}
	path := u.EscapedPath()
	if path == "" {
		path = "/"
	}
	b = append(b, path...)
	if u.ForceQuery || u.RawQuery != "" {
		b = append(b, '?')
		b = append(b, u.RawQuery...)
	}
	return b
}

// appendHost appends the Host field's value. An IPv6 zone means something only
// on the machine that wrote it (RFC 6874, section 1).
func appendHost(b []byte, r *http.Request) ([]byte, error) {
	host := r.Host
	if host == "" {
		host = r.URL.Host
	}
	for i := range len(host) {
		if c := host[i]; c <= ' ' || c >= 0x7f || c == '/' || c == '\\' || c == '?' || c == '#' || c == '"' || c == '<' || c == '>' {
			return nil, requestError("host holds %q", c)
		}
	}
	if strings.HasPrefix(host, "[") {
		if end := strings.LastIndexByte(host, ']'); end > 0 {
			if zone := strings.LastIndexByte(host[:end], '%'); zone > 0 {
				b = append(b, host[:zone]...)
				return append(b, host[end:]...), nil
			}
		}
	}
	return append(b, host...), nil
}

// framingField reports whether name is written by appendRequest itself.
func framingField(name string) bool {
	switch name {
	case "Host", "Content-Length", "Transfer-Encoding", "Trailer":
		return true
	}
	return false
}

// appendFraming says how long the body is (RFC 9112, section 6) and which
// trailers follow it.
func (x *exchange) appendFraming(b []byte) ([]byte, error) {
	r := x.req
	switch {
	case !hasBody(r):
		// A method that has a body most of the time says that it has none
		// (RFC 9110, section 8.6).
		if r.Method == http.MethodPost || r.Method == http.MethodPut || r.Method == http.MethodPatch {
			b = append(b, "Content-Length: 0\r\n"...)
		}
		return b, nil
	case r.ContentLength > 0:
		b = append(b, "Content-Length: "...)
		b = strconv.AppendInt(b, r.ContentLength, 10)
		return append(b, "\r\n"...), nil
	}
	b = append(b, "Transfer-Encoding: chunked\r\n"...)
	for name := range r.Trailer {
		if !isToken(name) || framingField(textproto.CanonicalMIMEHeaderKey(name)) {
			return nil, requestError("trailer %q is not allowed", name)
		}
		b = append(b, "Trailer: "...)
		b = append(b, name...)
		b = append(b, "\r\n"...)
	}
	return b, nil
}

// appendField appends one line for each value.
func appendField(b []byte, name string, values []string) ([]byte, error) {
	if !isToken(name) {
		return nil, requestError("field name %q is no token", name)
	}
	for _, value := range values {
		if !validValue(value) {
			return nil, requestError("field %s holds a control character", name)
		}
		b = append(b, name...)
		b = append(b, ": "...)
		b = append(b, value...)
		b = append(b, "\r\n"...)
	}
	return b, nil
}

var errBodyShort = errors.New("request body is shorter than its Content-Length")
