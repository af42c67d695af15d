package tunnel

import (
	"fmt"
	"net/http"
	"net/textproto"
	"strings"

	"github.com/quic-go/quic-go/quicvarint"
	"golang.org/x/net/http/httpguts"
)

// fieldNames is the static table. An entry's number is its place, from 1; 0
// stands for a literal name. Numbers never change: new names go at the end.
// The first 63 take one byte on the wire.
var fieldNames = [...]string{
	"Accept", "Accept-Encoding", "Accept-Language", "Accept-Ranges", "Age",
	"Authorization", "Cache-Control", "Content-Disposition", "Content-Encoding",
	"Content-Language", "Content-Location", "Content-Range", "Content-Security-Policy",
	"Content-Type", "Cookie", "Date", "Etag", "Expires", "If-Match", "If-Modified-Since",
	"If-None-Match", "If-Range", "If-Unmodified-Since", "Last-Modified", "Link", "Location",
	"Origin", "Pragma", "Range", "Referer", "Retry-After", "Server", "Set-Cookie",
	"Strict-Transport-Security", "Te", "Trailer", "User-Agent", "Vary", "Via",
	"Www-Authenticate", "X-Content-Type-Options", "X-Frame-Options", "X-Requested-With",
	"Upgrade-Insecure-Requests", "Sec-Fetch-Dest", "Sec-Fetch-Mode", "Sec-Fetch-Site",
	"Sec-Fetch-User", "Sec-Ch-Ua", "Sec-Ch-Ua-Mobile", "Sec-Ch-Ua-Platform", "Priority",
	"Alt-Svc", "Cdn-Loop", "Proxy-Status", "Cache-Status", "Server-Timing", "Grpc-Status",
	"Grpc-Message", "Grpc-Timeout", "Grpc-Encoding", "Grpc-Accept-Encoding", "Allow",
	"Access-Control-Allow-Origin", "Access-Control-Allow-Credentials",
	"Access-Control-Allow-Headers", "Access-Control-Allow-Methods",
	"Access-Control-Expose-Headers", "Access-Control-Max-Age",
	"Access-Control-Request-Headers", "Access-Control-Request-Method",
	"Cdn-Cache-Control", "Surrogate-Control", "Surrogate-Key", "Cache-Tag", "Cache-Groups",
	"Idempotency-Key", "Early-Data", "Expect", "Content-Md5", "Content-Digest", "Dnt",
	"Sec-Gpc", "Sec-Websocket-Key", "Sec-Websocket-Version", "Sec-Websocket-Protocol",
	"Sec-Websocket-Extensions", "Sec-Websocket-Accept", "X-Accel-Buffering",
	"Referrer-Policy", "Permissions-Policy", "Cross-Origin-Opener-Policy",
	"Cross-Origin-Embedder-Policy", "Cross-Origin-Resource-Policy", "Timing-Allow-Origin",
	"Last-Event-Id", "Forwarded", "X-Forwarded-For",
}

var fieldNumbers = func() map[string]uint64 {
	m := make(map[string]uint64, len(fieldNames))
	for i, name := range fieldNames {
		m[name] = uint64(i + 1)
	}
	return m
}()

// contentLength is the one field that never travels as a field: heads have a
// number for it, and two places could disagree.
const contentLength = "Content-Length"

// appendFields appends the number of field lines and the lines of h. Names are
// written as http.CanonicalHeaderKey has them, which is how net/http keeps them.
// What the peer would take for a violation is an error here: one field of a
// careless backend must not cost a whole connection.
func appendFields(b []byte, h http.Header) ([]byte, error) {
	lines := -len(h[contentLength])
	for _, values := range h {
		lines += len(values)
	}
	if lines > MaxFields {
		return nil, fmt.Errorf("%w: %d field lines, limit %d", ErrHeadSize, lines, MaxFields)
	}
	b = quicvarint.Append(b, uint64(lines))
	for name, values := range h {
		number := fieldNumbers[name]
		switch {
		case len(values) == 0 || name == contentLength:
			continue
		case number == 0 && (!validToken(name) || strings.EqualFold(name, contentLength)):
			return nil, fmt.Errorf("%w: field name %q", ErrHeadSyntax, name)
		}
		for _, value := range values {
			if !httpguts.ValidHeaderFieldValue(value) {
				return nil, fmt.Errorf("%w: value of field %q", ErrHeadSyntax, name)
			}
			b = quicvarint.Append(b, number)
			if number == 0 {
				b = appendString(b, name)
			}
			b = appendString(b, value)
		}
	}
	return b, nil
}

// appendNames appends a list of field names.
func appendNames(b []byte, names []string) ([]byte, error) {
	if len(names) > MaxFields {
		return nil, fmt.Errorf("%w: %d trailer names, limit %d", ErrHeadSize, len(names), MaxFields)
	}
	b = quicvarint.Append(b, uint64(len(names)))
	for _, name := range names {
		number := fieldNumbers[name]
		b = quicvarint.Append(b, number)
		if number != 0 {
			continue
		}
		if !validToken(name) || strings.EqualFold(name, contentLength) {
			return nil, fmt.Errorf("%w: trailer name %q", ErrHeadSyntax, name)
		}
		b = appendString(b, name)
	}
	return b, nil
}

// fields reads field lines. Names and values come back valid (RFC 9110, section
// 5), so what a peer sends can never smuggle a line into HTTP/1.1.
func (d *decoder) fields() http.Header {
	lines := d.count(MaxFields)
	if lines == 0 {
		return make(http.Header)
	}
	h := make(http.Header, lines)
	values := make([]string, lines) // one allocation for all the one-line slices
	for i := range lines {
		name := d.fieldName()
		value := d.string(MaxHead)
		if d.err != nil {
			return nil
		}
		if !httpguts.ValidHeaderFieldValue(value) {
			d.fail("field %q has an invalid value", name)
			return nil
		}
		if earlier, ok := h[name]; ok {
			h[name] = append(earlier, value)
			continue
		}
		values[i] = value
		h[name] = values[i : i+1 : i+1]
	}
	return h
}

func (d *decoder) fieldName() string {
	number := d.uint()
	switch {
	case number == 0:
		name := d.string(MaxHead)
		if d.err == nil && !validToken(name) {
			d.fail("invalid field name %q", name)
		}
		// A canonical name comes back as it is, without an allocation.
		name = textproto.CanonicalMIMEHeaderKey(name)
		if name == contentLength {
			d.fail("%s among the fields", contentLength)
		}
		return name
	case number <= uint64(len(fieldNames)):
		return fieldNames[number-1]
	}
	d.fail("field name number %d, table has %d", number, len(fieldNames))
	return ""
}

// AppendTrailers appends the payload of a TRAILERS frame to b. Errors are as for
// AppendRequestHead.
func AppendTrailers(b []byte, h http.Header) ([]byte, error) { return appendFields(b, h) }

// ParseTrailers reads the payload of a TRAILERS frame. It retains payload.
func ParseTrailers(payload string) (http.Header, error) {
	d := decoder{rest: payload}
	h := d.fields()
	return h, d.done()
}
