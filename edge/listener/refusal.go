package listener

import (
	"io"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/ergoproxy/ergo/shared/proxystatus"
)

// A refusal is why a request is not passed on. The values are constants of the
// package: refusing allocates nothing that a client could choose the size of.
type refusal struct {
	status int
	reason string // for the access log and the answer; holds nothing of the client
}

func (r *refusal) Error() string { return r.reason }

// proxyError is what a handler finds in the error of a request body.
func (r *refusal) proxyError() *proxystatus.Error {
	return &proxystatus.Error{
		Type: proxystatus.HTTPRequestError, Hop: "edge", Op: "read request", Status: r.status, Err: r,
	}
}

func bad(reason string) *refusal { return &refusal{http.StatusBadRequest, reason} }

// What the scanner refuses; RFC 9112 if nothing else is said.
var (
	badMethod        = bad("request line does not begin with a method")                 // 3.1
	badTarget        = bad("request target is malformed")                               // 3.2
	badAuthority     = bad("authority of the request target is malformed")              // 3.2.2, 3.2.3
	badRequestLine   = bad("request line is not METHOD SP TARGET SP VERSION CRLF")      // 3
	badFold          = bad("field line begins with white space (obs-fold)")             // 5.2
	badName          = bad("field name is malformed")                                   // 5.1
	badColon         = bad("white space between field name and colon")                  // 5.1
	badValue         = bad("field value holds a control character, bare CR or bare LF") // 2.2, 5.5
	badLineEnd       = bad("line does not end with CRLF")                               // 2.2
	badHost          = bad("Host is malformed")                                         // 3.2
	badHostCount     = bad("more than one Host")                                        // 3.2
	badHostMissing   = bad("Host is missing")                                           // 3.2
	badHostDiffers   = bad("Host differs from the authority of the request target")     // 3.2.2
	badLength        = bad("Content-Length is no number")                               // 6.2
	badLengthCount   = bad("more than one Content-Length")                              // 6.3
	badCoding        = bad("Transfer-Encoding is not exactly chunked")                  // 6.1
	badCodingCount   = bad("more than one Transfer-Encoding")                           // 6.1
	badCodingVersion = bad("Transfer-Encoding in HTTP/1.0")                             // 6.1
	badFraming       = bad("both Content-Length and Transfer-Encoding")                 // 6.3
	badChunkSize     = bad("chunk size is malformed")                                   // 7.1
	badChunkExt      = bad("chunk extension is malformed or too long")                  // 7.1.1
	badChunkEnd      = bad("chunk data does not end with CRLF")                         // 7.1
	badTrailer       = bad("framing field in the trailers")                             // 6.5.1
	badPreface       = bad("HTTP/2 connection preface is malformed")                    // RFC 9113, 3.4

	badH3Head  = bad("HTTP/3 request head is malformed, too long or incomplete")
	clearOnTLS = bad("HTTP in clear text was sent to a TLS port")

	badVersion    = &refusal{http.StatusHTTPVersionNotSupported, "HTTP version is not supported"}
	badConnect    = &refusal{http.StatusMethodNotAllowed, "CONNECT is not allowed"}
	longTarget    = &refusal{http.StatusRequestURITooLong, "request target is too long"}
	longHead      = &refusal{http.StatusRequestHeaderFieldsTooLarge, "request head is too long"}
	manyFields    = &refusal{http.StatusRequestHeaderFieldsTooLarge, "request has too many fields"}
	longTrailer   = &refusal{http.StatusRequestHeaderFieldsTooLarge, "trailers are too long"}
	longBody      = &refusal{http.StatusRequestEntityTooLarge, "request body is too long"}
	slowHead      = &refusal{http.StatusRequestTimeout, "request head took too long"}
	slowBody      = &refusal{http.StatusRequestTimeout, "request body made no progress"}
	floodedFrames = &refusal{http.StatusTooManyRequests, "too many HTTP/2 control frames"}
)

// appendTo appends the whole HTTP/1.1 answer to b.
func (r *refusal) appendTo(b []byte, name string, now time.Time) []byte {
	b = append(b, "HTTP/1.1 "...)
	b = strconv.AppendInt(b, int64(r.status), 10)
	b = append(b, ' ')
	b = append(b, http.StatusText(r.status)...)
	b = append(b, "\r\nDate: "...)
	b = now.UTC().AppendFormat(b, http.TimeFormat)
	b = append(b, "\r\nContent-Type: text/plain; charset=utf-8\r\nProxy-Status: "...)
	b = append(b, r.proxyStatus(name)...)
	b = append(b, "\r\nConnection: close\r\nContent-Length: "...)
	b = strconv.AppendInt(b, int64(len(r.body())), 10)
	b = append(b, "\r\n\r\n"...)
	return append(b, r.body()...)
}

// A halfCloser is a sock, or a *tls.Conn over one.
type halfCloser interface {
	net.Conn
	CloseWrite() error
}

// Bounds on what is read from a client after its request was refused, so that
// closing does not destroy the answer on its way (RFC 9112, section 9.6).
const (
	lingerTime  = 500 * time.Millisecond
	lingerBytes = 256 << 10
)

// refuseOn answers on the bare connection. The caller closes it.
func refuseOn(c halfCloser, no *refusal, name string) {
	if _, err := c.Write(no.appendTo(nil, name, time.Now())); err != nil {
		return
	}
	c.CloseWrite()
	c.SetReadDeadline(time.Now().Add(lingerTime))
	io.CopyN(io.Discard, c, lingerBytes)
}

// answer writes r through a handler's ResponseWriter and ends the connection
// after it, where the protocol has such a thing.
func (r *refusal) answer(w http.ResponseWriter, req *http.Request, name string) {
	h := w.Header()
	h.Set("Content-Type", "text/plain; charset=utf-8")
	h.Set("Proxy-Status", r.proxyStatus(name))
	if req.ProtoMajor == 1 {
		h.Set("Connection", "close")
	}
	w.WriteHeader(r.status)
	w.Write([]byte(r.body()))
}

// proxyStatus is the value of Proxy-Status (RFC 9209).
func (r *refusal) proxyStatus(name string) string {
	return name + "; error=" + proxystatus.HTTPRequestError.String() + `; details="` + r.reason + `"`
}

func (r *refusal) body() string { return "edge: " + r.reason + "\n" }
