// Package proxystatus is the one vocabulary in which both tiers say why an
// exchange failed. A Type is the wire code in the tunnel, the log field, the
// metric label and the Proxy-Status parameter (RFC 9209) at once.
//
// An Error is made where a library's error enters Ergo and is passed up
// unchanged from there; callers use errors.As to read it. Values are immutable
// and safe to share between goroutines.
package proxystatus

import (
	"errors"
	"fmt"
	"time"
)

// Type names a reason in the words of RFC 9209, section 2.3. Its number is the
// code that travels in the tunnel, so entries keep their number for ever and
// new ones are added at the end.
type Type uint8

// The closed list of reasons.
const (
	None Type = iota // no error
	DNSTimeout
	DNSError
	DestinationNotFound
	DestinationUnavailable
	DestinationIPProhibited
	DestinationIPUnroutable
	ConnectionRefused
	ConnectionTerminated
	ConnectionTimeout
	ConnectionReadTimeout
	ConnectionWriteTimeout
	ConnectionLimitReached
	TLSProtocolError
	TLSCertificateError
	TLSAlertReceived
	HTTPRequestError
	HTTPRequestDenied
	HTTPResponseIncomplete
	HTTPResponseHeaderSectionSize
	HTTPResponseHeaderSize
	HTTPResponseBodySize
	HTTPResponseTrailerSectionSize
	HTTPResponseTrailerSize
	HTTPResponseTransferCoding
	HTTPResponseContentCoding
	HTTPResponseTimeout
	HTTPUpgradeFailed
	HTTPProtocolError
	ProxyInternalResponse
	ProxyInternalError
	ProxyConfigurationError
	ProxyLoopDetected

	typeCount
)

// types gives each Type its RFC 9209 name and the status that the RFC
// recommends for an answer made because of it.
var types = [typeCount]struct {
	name   string
	status int
}{
	None:                           {"", 0},
	DNSTimeout:                     {"dns_timeout", 504},
	DNSError:                       {"dns_error", 502},
	DestinationNotFound:            {"destination_not_found", 500},
	DestinationUnavailable:         {"destination_unavailable", 503},
	DestinationIPProhibited:        {"destination_ip_prohibited", 502},
	DestinationIPUnroutable:        {"destination_ip_unroutable", 502},
	ConnectionRefused:              {"connection_refused", 502},
	ConnectionTerminated:           {"connection_terminated", 502},
	ConnectionTimeout:              {"connection_timeout", 504},
	ConnectionReadTimeout:          {"connection_read_timeout", 504},
	ConnectionWriteTimeout:         {"connection_write_timeout", 504},
	ConnectionLimitReached:         {"connection_limit_reached", 503},
	TLSProtocolError:               {"tls_protocol_error", 502},
	TLSCertificateError:            {"tls_certificate_error", 502},
	TLSAlertReceived:               {"tls_alert_received", 502},
	HTTPRequestError:               {"http_request_error", 400},
	HTTPRequestDenied:              {"http_request_denied", 403},
	HTTPResponseIncomplete:         {"http_response_incomplete", 502},
	HTTPResponseHeaderSectionSize:  {"http_response_header_section_size", 502},
	HTTPResponseHeaderSize:         {"http_response_header_size", 502},
	HTTPResponseBodySize:           {"http_response_body_size", 502},
	HTTPResponseTrailerSectionSize: {"http_response_trailer_section_size", 502},
	HTTPResponseTrailerSize:        {"http_response_trailer_size", 502},
	HTTPResponseTransferCoding:     {"http_response_transfer_coding", 502},
	HTTPResponseContentCoding:      {"http_response_content_coding", 502},
	HTTPResponseTimeout:            {"http_response_timeout", 504},
	HTTPUpgradeFailed:              {"http_upgrade_failed", 502},
	HTTPProtocolError:              {"http_protocol_error", 502},
	ProxyInternalResponse:          {"proxy_internal_response", 500},
	ProxyInternalError:             {"proxy_internal_error", 500},
	ProxyConfigurationError:        {"proxy_configuration_error", 500},
	ProxyLoopDetected:              {"proxy_loop_detected", 502},
}

// Valid reports whether t is in the list. A number read from a peer is checked
// with it before use.
func (t Type) Valid() bool { return t < typeCount }

// String returns the RFC 9209 name, or "" for None.
func (t Type) String() string {
	if !t.Valid() {
		return fmt.Sprintf("type_%d", uint8(t))
	}
	return types[t].name
}

// Status returns the HTTP status that RFC 9209 recommends for t.
func (t Type) Status() int {
	if !t.Valid() || t == None {
		return 502
	}
	return types[t].status
}

// Error is a failure of one hop.
type Error struct {
	Type   Type
	Hop    string // "edge" or "core": the tier that found it
	Op     string // operation and object: "dial 10.0.0.7:8443"
	Status int    // HTTP status to answer with; 0 means Type.Status()
	Err    error  // the cause; may be nil

	// Public is what the client may read besides the Type: a constant or a
	// configured name, never an address or the text of a cause. Empty: the
	// Type's own sentence.
	Public string

	// RetryAfter tells the client when to ask again; 0: it is not told.
	RetryAfter time.Duration
}

// New returns an Error with the recommended status of t.
func New(t Type, hop, op string, cause error) *Error {
	return &Error{Type: t, Hop: hop, Op: op, Err: cause}
}

// Error prints "core: dial 10.0.0.7:8443: connection_refused: <cause>".
func (e *Error) Error() string {
	s := e.Hop + ": " + e.Op + ": " + e.Type.String()
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// HTTPStatus returns the status to answer with.
func (e *Error) HTTPStatus() int {
	if e.Status != 0 {
		return e.Status
	}
	return e.Type.Status()
}

// From returns the Error in err's chain. An err that nobody translated comes
// back as a proxy_internal_error of hop, which is a mistake to be mended.
func From(hop string, err error) *Error {
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	return New(ProxyInternalError, hop, "serve", err)
}
