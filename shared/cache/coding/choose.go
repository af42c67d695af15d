package coding

import (
	"net/http"
	"strconv"
)

// A Reason says why an answer gets the coding it gets. The list is closed.
type Reason uint8

const (
	// Coded: a coding was chosen.
	Coded Reason = iota
	// NotAsked: the request has no Accept-Encoding.
	NotAsked
	// Declined: the client can read none of the codings offered, or likes the content as it is better.
	Declined
	// NotAcceptable: the client wants neither one of the codings offered nor the
	// content as it is, which it gets (RFC 9110, section 12.4.1).
	NotAcceptable
	// RequestNoTransform: the request forbids it (RFC 9111, section 5.2.1.6).
	RequestNoTransform
	// HeadNoLength: the answer to a HEAD does not say how long the content is, so
	// that nobody knows whether that of a GET would be coded.
	HeadNoLength
	// Busy: as many answers are coded as may be. Choose does not say it: it is for
	// those who got ErrBusy.
	Busy

	// Disabled: nothing is coded.
	Disabled
	// NoContent: answers to this method, or with this status, have no content, or
	// none that is worth it.
	NoContent
	// Partial: the answer is a part of a representation.
	Partial
	// AlreadyCoded: the answer has a Content-Encoding.
	AlreadyCoded
	// NoTransform: the answer forbids it (RFC 9110, section 7.7).
	NoTransform
	// WrongType: the media type is not one of those to code, or unknown.
	WrongType
	// Small: the answer is shorter than MinSize.
	Small
)

var reasons = [...]string{
	Coded:              "coded",
	NotAsked:           "not_asked",
	Declined:           "declined",
	NotAcceptable:      "not_acceptable",
	RequestNoTransform: "request_no_transform",
	HeadNoLength:       "head_no_length",
	Busy:               "busy",
	Disabled:           "disabled",
	NoContent:          "no_content",
	Partial:            "partial",
	AlreadyCoded:       "already_coded",
	NoTransform:        "no_transform",
	WrongType:          "wrong_type",
	Small:              "small",
}

// String returns the word for logs and metrics.
func (r Reason) String() string {
	if int(r) < len(reasons) {
		return reasons[r]
	}
	return "reason " + strconv.Itoa(int(r))
}

// Negotiated reports whether another request could have got another coding, so
// that the head needs Apply, with Identity too.
func (r Reason) Negotiated() bool { return r <= Busy }

// Choose says which coding the answer to a request gets: req is the head of the
// request, status and h are those of the answer. It changes nothing and makes no
// garbage.
//
// A HEAD gets the answer of the GET (RFC 9110, section 9.3.2): what is chosen is to
// be applied to its head, and nothing is to be written.
func (c *Coder) Choose(method string, req http.Header, status int, h http.Header) (Coding, Reason) {
	if fit, why := c.fit(method, status, h); !fit {
		return Identity, why
	}
	if hasMember(req["Cache-Control"], "no-transform") {
		return Identity, RequestNoTransform
	}
	if method == http.MethodHead {
		if _, known := length(h); !known {
			return Identity, HeadNoLength
		}
	}
	accept := req["Accept-Encoding"]
	chosen, acceptable := Negotiate(accept, c.settings.Codings)
	switch {
	case chosen != Identity:
		return chosen, Coded
	case len(accept) == 0:
		return Identity, NotAsked
	case !acceptable:
		return Identity, NotAcceptable
	}
	return Identity, Declined
}

// fit reports whether the answer may be coded at all, whoever asks for it.
func (c *Coder) fit(method string, status int, h http.Header) (bool, Reason) {
	switch {
	case !c.settings.Enabled:
		return false, Disabled
	case status == http.StatusPartialContent || len(h["Content-Range"]) > 0:
		return false, Partial
	case method == http.MethodConnect || !hasContent(status):
		return false, NoContent
	case coded(h["Content-Encoding"]):
		return false, AlreadyCoded
	case hasMember(h["Cache-Control"], "no-transform"):
		return false, NoTransform
	}
	if t := h["Content-Type"]; len(t) != 1 || !c.types.match(t[0]) {
		return false, WrongType
	}
	if n, known := length(h); known && (n == 0 || n < int64(c.settings.MinSize)) {
		return false, Small
	}
	return true, Coded
}

// hasContent reports whether answers with this status have content that is worth
// a coding: successes and errors, but not redirects, whose content is a line that
// nobody sees, nor deltas (226, RFC 3229).
func hasContent(status int) bool {
	switch status {
	case http.StatusNoContent, http.StatusResetContent, http.StatusIMUsed:
		return false
	}
	return status >= 200 && status < 300 || status >= 400
}

// coded reports whether a Content-Encoding names another coding than identity,
// which should not stand there (RFC 9110, section 8.4) but does.
func coded(lines []string) bool {
	for _, rest := range lines {
		for more := true; more; {
			var member string
			member, rest, more = cutMember(rest)
			if member != "" && !equalFold(member, "identity") {
				return true
			}
		}
	}
	return false
}

// length returns the Content-Length, if there is one that can be understood.
func length(h http.Header) (int64, bool) {
	v := h["Content-Length"]
	if len(v) != 1 {
		return 0, false
	}
	n, err := strconv.ParseUint(v[0], 10, 63)
	return int64(n), err == nil
}

// Variant returns the normal form of a request's Accept-Encoding, for the key of
// stored answers and for the request to the backend alike: see Normalise. Where
// nothing is coded there is none, and the field stays as the client wrote it.
func (c *Coder) Variant(req http.Header) (variant string, ok bool) {
	if !c.settings.Enabled {
		return "", false
	}
	if hasMember(req["Cache-Control"], "no-transform") {
		return string(Identity), true
	}
	chosen, _ := Negotiate(req["Accept-Encoding"], c.settings.Codings)
	return string(chosen), true
}
