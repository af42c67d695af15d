package proxystatus

import (
	"encoding/json"
	"io"
	"net/http"
	"strconv"
	"time"
)

// sentences says to a client, in constant words, what each Type means. They
// name no address, no host and no cause.
var sentences = [typeCount]string{
	None:                           "no answer can be given",
	DNSTimeout:                     "the next server's name could not be resolved in time",
	DNSError:                       "the next server's name could not be resolved",
	DestinationNotFound:            "nothing is configured to serve this request",
	DestinationUnavailable:         "no server is available to serve this request",
	DestinationIPProhibited:        "the next server's address is not allowed",
	DestinationIPUnroutable:        "the next server cannot be reached",
	ConnectionRefused:              "the next server refused the connection",
	ConnectionTerminated:           "the next server closed the connection",
	ConnectionTimeout:              "the next server could not be connected to in time",
	ConnectionReadTimeout:          "the next server did not send in time",
	ConnectionWriteTimeout:         "the next server did not read in time",
	ConnectionLimitReached:         "too many connections or requests",
	TLSProtocolError:               "the next server broke the TLS protocol",
	TLSCertificateError:            "the next server's certificate is not valid",
	TLSAlertReceived:               "the next server refused the TLS handshake",
	HTTPRequestError:               "the request is malformed",
	HTTPRequestDenied:              "the request is not allowed",
	HTTPResponseIncomplete:         "the next server's response ended early",
	HTTPResponseHeaderSectionSize:  "the next server's response header is too large",
	HTTPResponseHeaderSize:         "a header field of the next server's response is too large",
	HTTPResponseBodySize:           "the next server's response body is too large",
	HTTPResponseTrailerSectionSize: "the next server's response trailers are too large",
	HTTPResponseTrailerSize:        "a trailer field of the next server's response is too large",
	HTTPResponseTransferCoding:     "the next server used a transfer coding that cannot be read",
	HTTPResponseContentCoding:      "the next server used a content coding that cannot be read",
	HTTPResponseTimeout:            "the next server did not answer in time",
	HTTPUpgradeFailed:              "the next server did not switch protocols",
	HTTPProtocolError:              "the next server broke the HTTP protocol",
	ProxyInternalResponse:          "the proxy answers by itself",
	ProxyInternalError:             "the proxy failed",
	ProxyConfigurationError:        "the proxy is misconfigured",
	ProxyLoopDetected:              "the request came back to a proxy that had sent it on",
}

// Sentence returns what e says to a client besides its Type.
func (e *Error) Sentence() string {
	switch {
	case e.Public != "":
		return e.Public
	case e.Type.Valid():
		return sentences[e.Type]
	default:
		return sentences[None]
	}
}

// Field returns the member that e adds to the Proxy-Status field in the name of
// the tier called name: "edge-1; error=connection_refused; details=\"...\"".
func (e *Error) Field(name string) string {
	return Entry{Name: name, Reason: e.Type.String(), Details: e.Sentence()}.String()
}

// Respond answers r with e. It is the one place where a tier writes an error
// answer; the response head must not have been sent. Name is the configured name
// of the tier that answers, requestID the id by which its logs know the request.
//
// The body is two lines of text, or a problem document (RFC 9457) for a client
// whose Accept field prefers JSON. Neither it nor the Proxy-Status field
// (RFC 9209) says more about the cause than e's Type and its sentence. Fields
// that the caller set before (WWW-Authenticate, Allow) are kept, those that
// described another body are removed.
func Respond(w http.ResponseWriter, r *http.Request, name, requestID string, e *Error) {
	status := e.HTTPStatus()
	h := w.Header()
	for _, field := range [...]string{"Content-Encoding", "Content-Language", "Content-Range", "Accept-Ranges",
		"Etag", "Last-Modified", "Expires", "Trailer", "Surrogate-Control", "Cdn-Cache-Control"} {
		delete(h, field)
	}
	h.Add("Proxy-Status", e.Field(name))
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Request-Id", requestID)
	if e.RetryAfter > 0 {
		// Rounded up: a client that comes back early is refused again.
		h.Set("Retry-After", strconv.FormatInt(int64((e.RetryAfter+time.Second-1)/time.Second), 10))
	}
	body, contentType := e.body(r, status, name, requestID)
	h.Set("Content-Type", contentType)
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	if r.Method != http.MethodHead {
		io.WriteString(w, body) // an error means that the client is gone
	}
}

// problem is the document of RFC 9457 with our extension members.
type problem struct {
	Type      string `json:"type"`
	Title     string `json:"title"`
	Status    int    `json:"status"`
	Detail    string `json:"detail"`
	Tier      string `json:"tier"`
	Proxy     string `json:"proxy"`
	Reason    string `json:"reason"`
	RequestID string `json:"request_id"`
}

func (e *Error) body(r *http.Request, status int, name, requestID string) (body, contentType string) {
	if prefersJSON(r.Header["Accept"]) {
		b, err := json.Marshal(problem{
			Type: "about:blank", Title: http.StatusText(status), Status: status, Detail: e.Sentence(),
			Tier: e.Hop, Proxy: name, Reason: e.Type.String(), RequestID: requestID,
		})
		if err == nil {
			return string(b) + "\n", "application/problem+json"
		}
	}
	return strconv.Itoa(status) + " " + http.StatusText(status) + ": " + e.Sentence() + "\n" +
		name + ": " + e.Type.String() + " at the " + e.Hop + ", request " + requestID + "\n", "text/plain; charset=utf-8"
}
