package rules

import (
	"maps"
	"net/http"
	"slices"
)

// Freshen returns the fields of a stored response updated from a 304 that
// Validated chose it for, or from an answer to HEAD that HeadMatches (RFC 9111,
// section 3.2). Stored is not changed. Policy.Store, with the status of the stored
// response and the times of from, makes a new Stored of the result, and says
// whether it may stay: from may have said no-store.
//
// Every field that from has replaces all lines of the stored one, except:
//
//   - fields that are not stored, see Fields; Set-Cookie too where it would not
//     be stored;
//   - Content-Length, which says nothing about the stored body;
//   - Content-Range and Transfer-Encoding, which were processed when the body was
//     received.
//
// Content-Encoding and Content-Type are replaced. A cache that keeps a body in
// another coding than it came in has to remove Content-Encoding from from first,
// and weaken its ETag. Age goes unless from has it, and Date becomes that of from:
// both count from this answer now.
func (p *Policy) Freshen(stored http.Header, from Response) http.Header {
	h := stored.Clone()
	if h == nil {
		h = http.Header{}
	}
	update := p.Read(from)
	fields := maps.Clone(from.Header)
	p.removeUnstored(fields, &update)
	if p.config.SetCookie == CookieStrip || p.config.SetCookie == CookieRefuse && !update.shared() {
		delete(fields, "Set-Cookie")
	}
	delete(h, "Age")
	for key, lines := range fields {
		switch key {
		case "Content-Length", "Content-Range":
		default:
			h[key] = slices.Clone(lines)
		}
	}
	setDate(h, update.Date)
	return h
}

// HeadMatches reports whether a stored response to GET can be freshened from a
// 200 that answered HEAD (RFC 9111, section 4.3.5): the validators and the length
// that the latter gives are those of the former. If not, the stored response is
// stale.
func HeadMatches(stored, head http.Header) bool {
	for _, key := range [...]string{"Etag", "Last-Modified", "Content-Length"} {
		if lines := head[key]; len(lines) > 0 && !slices.Equal(lines, stored[key]) {
			return false
		}
	}
	return true
}

// NotModifiedFields returns the fields of a 304 that is sent to a client in place
// of the stored response with header h (RFC 9110, section 15.4.5): all but those
// that describe the representation, which the client has. Content-Location and
// ETag stay, and Last-Modified where there is no ETag. Fields that are no
// metadata, like those for CORS, may have changed and stay too. Age is the
// caller's to set, as for every response. H is not changed; the lines are shared.
func NotModifiedFields(h http.Header) http.Header {
	fields := make(http.Header, len(h))
	for key, lines := range h {
		switch key {
		case "Content-Encoding", "Content-Language", "Content-Length", "Content-Range", "Content-Type",
			"Content-Digest", "Repr-Digest", "Digest", "Content-Md5", "Accept-Ranges":
		case "Last-Modified":
			if len(h["Etag"]) == 0 {
				fields[key] = lines
			}
		default:
			fields[key] = lines
		}
	}
	return fields
}
