package tunnel

import (
	"time"

	"github.com/quic-go/quic-go"
)

// ALPN is the protocol name in the TLS handshake of every tunnel connection.
const ALPN = "ergo/1"

// Application error codes with which a QUIC connection is closed.
const (
	CloseNormal    quic.ApplicationErrorCode = 0 // drained, or replaced
	CloseProtocol  quic.ApplicationErrorCode = 1 // the peer broke the protocol
	CloseDead      quic.ApplicationErrorCode = 2 // the peer does not answer
	CloseForbidden quic.ApplicationErrorCode = 3 // the peer may not do this
)

// QUICConfig returns the settings of a tunnel connection. maxLanes is how many
// lanes the peer may open at once (0 at an edge, whose peers open none); budget
// bounds what the peer may have sent and nobody read.
//
// The windows of QUIC itself are wide open up to the budget: what one exchange
// may have under way is the business of CREDIT. Were they small, a few slow
// readers would fill the connection's window and every other exchange on it
// would stop.
func QUICConfig(maxLanes int, budget *Budget) *quic.Config {
	incoming := int64(maxLanes) + 1 // the control lane
	if maxLanes == 0 {
		incoming = -1
	}
	connection := uint64(budget.Total()) + 16<<20 // room for heads
	return &quic.Config{
		HandshakeIdleTimeout:           5 * time.Second,
		MaxIdleTimeout:                 30 * time.Second, // PING notices earlier
		InitialStreamReceiveWindow:     MaxWindow + 2*MaxHead,
		MaxStreamReceiveWindow:         MaxWindow + 2*MaxHead,
		InitialConnectionReceiveWindow: connection,
		MaxConnectionReceiveWindow:     connection,
		MaxIncomingStreams:             incoming,
		MaxIncomingUniStreams:          -1,
		// What every path carries (RFC 9000, section 14). quic-go's own 1,280 do not get
		// through a path of that MTU, whose end may not say so; larger packets are found
		// within a few round trips.
		InitialPacketSize: 1200,
	}
}
