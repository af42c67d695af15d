package tunnel

import "time"

// The maxima of the protocol. A peer that exceeds one loses its connection.
const (
	// MaxHead bounds the payload of HEAD, RESPONSE, INFORMATIONAL and TRAILERS
	// frames, in bytes. Listeners accept far less by default.
	MaxHead = 256 << 10
	// MaxFields bounds the field lines of one head or trailer section.
	MaxFields = 1024
	// MaxBodyFrame bounds the payload of a BODY frame, in bytes.
	MaxBodyFrame = 64 << 10
	// MaxEnd bounds the payload of an END frame, in bytes.
	MaxEnd = 4 << 10
	// MaxControl bounds the payload of every frame on a control lane, in bytes.
	MaxControl = 4 << 10
	// MaxName bounds names of tiers, routes, backends and the like, in bytes.
	MaxName = 255
	// MaxInformational bounds the 1xx responses of one exchange.
	MaxInformational = 32
	// MaxPings bounds the PINGs that a peer may send in a second. Ours sends 20 at
	// the most.
	MaxPings = 100
	// MaxExtensions bounds the extensions of one head, and the extension frames
	// between two others.
	MaxExtensions = 16
)

// Sizes and times of both ends.
const (
	// bodyChunk is how much of a body one BODY frame carries at the most when
	// written by this package: large enough that framing costs nothing beside
	// encryption, small enough that a lane's buffer is cheap.
	bodyChunk = 32 << 10
	// readBuffer holds a small head, body and end, so that an ordinary exchange
	// takes one read.
	readBuffer = 4 << 10
	// keepBuffer is the largest write buffer that an idle lane keeps.
	keepBuffer = 8 << 10
	// controlQueue bounds the messages that wait to be written on a control lane.
	controlQueue = 256
	// maxWaiting bounds the lanes whose CREDIT or CANCEL waits to be written. Few
	// connections have that many lanes, so only a peer that does not read gets there.
	maxWaiting = 1 << 16

	// HelloTimeout bounds the exchange of HELLO after the handshake.
	HelloTimeout = 5 * time.Second
	// HeadTimeout bounds the time from the first byte of a HEAD to its last, and
	// from the opening of a lane to its first HEAD.
	HeadTimeout = 10 * time.Second
	// MaxLaneIdle bounds how long a lane may wait for its next exchange. Edges give
	// lanes up earlier; past it the core takes one for forgotten and refuses it.
	MaxLaneIdle = 65 * time.Minute
)
