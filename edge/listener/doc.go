// Package listener opens every listener of the edge and hands all requests, over
// HTTP/1.1, HTTP/2 and HTTP/3, to one http.Handler.
//
//	TCP ▸ limits ▸ PROXY header ▸ TLS ▸ ALPN ─┬─ h1 ▸ scanner ────┬─▸ net/http ─┬─▸ Handler
//	                                          └─ h2 ▸ frame watch ┘             │
//	UDP ▸ limits ▸ QUIC (Retry under load) ▸ stream limits and deadlines ▸ http3┘
//
// The libraries do the protocols; this package adds what they leave open at an
// internet edge. The HTTP/1 scanner refuses every message whose borders two
// readers could see differently (RFC 9112, section 11.2). Every wait has an end:
// handshake, head, body without progress, response without progress, idle
// connection. Connections are counted in all and by address, streams and control
// frames by connection. What is refused before there is a handler is reported to
// Deps.Refused, so that the access log has it too.
//
// A handler gets what net/http and http3 give: Flush, full duplex on HTTP/1
// through http.ResponseController, Hijack on HTTP/1, 1xx responses, trailers, and
// 100 Continue when it first reads the body. Errors of a request body that the
// client is to blame for are a *proxystatus.Error with the status to answer.
//
// Sizes are bytes. A Server is safe for concurrent use; the order of its life is
// Listen, Run, then any number of Reload, then Drain or the end of Run's context.
package listener
