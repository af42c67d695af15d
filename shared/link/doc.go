// Package link repairs packet loss below QUIC, without waiting for a round trip.
//
//	quic.Transport                                      quic.Transport
//	      │ packets                                           ▲ packets, late ones too
//	┌─────▼──────────────────────────┐        ┌───────────────┴──────────────┐
//	│ sender: number, time ──────────┼─ data ─▶ receiver: deliver at once    │
//	│         add to the open group ─┼ parity ▶           rebuild, deliver   │
//	│         keep for a round trip ◀┼ request┼─          ask for the rest   │
//	│ controller ◀───────────────────┼ report ┼─          count, watch delay │
//	└────────────────────────────────┘        └──────────────────────────────┘
//
// A Conn is the net.PacketConn that a quic.Transport sends and receives through. It
// has a Peer for each QUIC connection whose far end has a link too; packets of
// others pass as they are. A data packet leaves at once, behind a header of 10 bytes.
// Up to 128 of them in a row are a group; rows of parity follow it when it is full,
// when nothing was added for 3 ms, or, in bulk, after half a round trip, at most 40
// ms. Any r rows repair any r lost packets of the group, be they in a row or not.
// Nothing is held back for order.
//
// How many rows a group gets is what the controller makes of the receiver's reports:
// none while nothing is lost. Loss that comes with a long queue is congestion: no
// parity is sent for it, nothing is sent again, and nothing rebuilt, so that QUIC
// slows down.
//
// A packet that no parity brings back is asked for and sent once more. Its bytes
// come too late to be news; but with it QUIC, which has cut its window for the loss,
// finds that nothing was lost and takes the cut back.
//
// Everything is bounded: 512 sequence numbers, 16 groups and 256 requests per peer,
// and the bytes kept for repairs by Settings.Memory over all peers. Reports and
// requests are signed; all else that is forged or replayed can at worst make a
// packet that QUIC drops. docs/link.md says more, and what it is good for.
package link
