package coding

import (
	"net/http"
	"strings"
)

// Apply makes h, the head of an answer that has no coding, the head of the same
// answer with coding c. It is called for every answer whose Reason is Negotiated,
// with Identity too: then it says no more than that the answer varies. Applied a
// second time it changes nothing, so it also mends the head of a stored answer
// after a 304 of the backend has brought fields for the content without a coding.
//
// With a coding the length is no longer known, parts can't be had (nothing that is
// coded while it is sent is the same twice), digests of the content are gone
// (RFC 9530, section 2: the coding is part of what they are over), and a strong
// entity tag is weak (RFC 9110, section 8.8.1): the same content, other bytes. A tag
// that is not of the form of section 8.8.3 can't be made weak and is dropped.
// Content-Location and Last-Modified stay.
//
// Digests may be in the trailers too: DropDigests is for those.
func Apply(h http.Header, c Coding) {
	addVary(h)
	if c == Identity {
		return
	}
	h["Content-Encoding"] = []string{string(c)}
	dropChanged(h)
	if tags := h["Etag"]; len(tags) > 0 && !isWeak(tags[0]) {
		if isStrong(tags[0]) {
			h["Etag"] = []string{"W/" + tags[0]}
		} else {
			delete(h, "Etag")
		}
	}
}

// ApplyNotModified makes h, the head of a 304 that a backend sent, speak of the
// answer that the client holds. The client says which: where its If-None-Match has
// the entity tag of h only as a weak one, it is Apply that made it so. To update what
// a client stores, the tag must be the one stored (RFC 9111, section 4.3.4), and the
// fields that come with it must be those of the coded answer (RFC 9110, section
// 15.4.5).
func ApplyNotModified(req, h http.Header) {
	tags := h["Etag"]
	if len(tags) != 1 || !isStrong(tags[0]) || !heldWeakly(req["If-None-Match"], tags[0]) {
		return
	}
	h["Etag"] = []string{"W/" + tags[0]}
	addVary(h)
	dropChanged(h)
}

// DropDigests takes the digests out of a head or of trailers that are over bytes
// which a coding changes (RFC 9530 and its predecessors RFC 3230 and RFC 1864).
func DropDigests(h http.Header) {
	delete(h, "Content-Digest")
	delete(h, "Repr-Digest")
	delete(h, "Digest")
	delete(h, "Content-Md5")
}

// dropChanged takes out of h what is wrong once the content is coded.
func dropChanged(h http.Header) {
	delete(h, "Content-Length")
	delete(h, "Accept-Ranges")
	DropDigests(h)
}

// addVary adds Accept-Encoding to the fields that an answer varies with (RFC 9110,
// section 12.5.5), unless they cover it.
func addVary(h http.Header) {
	if vary := h["Vary"]; !hasMember(vary, "*") && !hasMember(vary, "Accept-Encoding") {
		h.Add("Vary", "Accept-Encoding")
	}
}

func isWeak(tag string) bool {
	opaque, ok := strings.CutPrefix(tag, "W/")
	return ok && isStrong(opaque)
}

// isStrong reports whether tag is a strong entity tag (RFC 9110, section 8.8.3).
func isStrong(tag string) bool {
	return len(tag) >= 2 && tag[0] == '"' && strings.IndexByte(tag[1:], '"') == len(tag)-2
}

// heldWeakly reports whether the lists of entity tags in lines have the strong tag
// as a weak one, and not as it is.
func heldWeakly(lines []string, tag string) bool {
	weakly := false
	for _, rest := range lines {
		for {
			// Commas may be part of a tag, and a backslash is no escape in one.
			start := strings.IndexByte(rest, '"')
			if start < 0 {
				break
			}
			end := strings.IndexByte(rest[start+1:], '"')
			if end < 0 {
				break
			}
			end += start + 2
			if rest[start:end] == tag {
				if start < 2 || rest[start-2:start] != "W/" {
					return false
				}
				weakly = true
			}
			rest = rest[end:]
		}
	}
	return weakly
}
