// Package tunnel is the protocol that an edge and a core speak: frames, heads,
// abort codes, limits, flow control and the settings of both ends. It knows
// bytes; who dials, who serves and what a request means is the business of
// edge/tunnelclient and core/tunnelserver. docs/tunnel-protocol.md describes it
// for a second implementation.
//
// A tunnel is the relation of one edge and one core. It has several connections:
// QUIC ones (RFC 9000), or a TLS/TCP session where UDP does not get through. A
// connection carries lanes. A lane is a bidirectional byte stream that serves one
// exchange at a time and is then used again:
//
//	edge ─▶ HEAD  BODY…  [TRAILERS]  END        HEAD        …
//	core ─▶ [INFORMATIONAL…]  RESPONSE  BODY…  [TRAILERS]  END        …
//
// Each direction ends by itself, so both may stream at once; a HEAD that says
// that no body follows is the whole of its direction. A lane whose exchange was
// cut short is aborted with a Code and never used again. The first
// lane of a connection is its control lane: HELLO, PING, PONG, STATE and CREDIT.
//
// No exchange waits behind the bytes of another: lanes are QUIC streams (or TCP
// connections), and a receiver lets a sender have no more of a body under way
// than the credit it gave for that exchange, the sum of which is bounded by a
// Budget for the whole process.
//
// Every length is checked against limits.go before memory is taken. Parse
// functions return an error matching ErrProtocol for input that no correct peer
// sends; the connection it came on is closed.
package tunnel
