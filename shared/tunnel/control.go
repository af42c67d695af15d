package tunnel

import (
	"github.com/quic-go/quic-go/quicvarint"
)

// Version is the version of the protocol in HELLO. The ALPN name changes with
// incompatible versions; this number tells compatible ones apart.
const Version = 1

// SessionID names a TCP session: a control connection and its lanes.
type SessionID [16]byte

// Hello is the first message of a control lane, in both directions.
type Hello struct {
	Version    uint64
	Name       string    // of the tier that sends it
	Session    SessionID // core, TCP: what lanes attach to; zero otherwise
	MaxLanes   uint64    // core: lanes that the connection may have at once
	BodyCredit uint64    // core: request body bytes it takes for a start; 0: no limit
	Generation uint64    // of the sender's configuration
	State      State     // core
	Link       LinkOffer // QUIC: how the sender takes part in the link
}

// LinkOffer is what a tier offers for the link below a QUIC connection: the version
// it speaks, 0 for none, what it calls the peer, and what it takes reports signed
// with. See shared/link.
type LinkOffer struct {
	Version uint8
	Flow    uint32
	Key     [16]byte
}

// State is what a core tells about itself, unasked when it changes and in each
// PONG.
type State struct {
	Ready    bool   // takes new exchanges
	Draining bool   // goes away: new exchanges belong elsewhere
	InFlight uint64 // exchanges being served, over all tunnels
	Backends uint64 // backends that are up
}

// Ping asks for a Pong with the same Nonce.
type Ping struct{ Nonce uint64 }

// Pong answers a Ping.
type Pong struct {
	Nonce uint64
	State State
}

// Credit lets the peer send more of a body: Limit bytes in all for the numbered
// Exchange (from 1) of a Lane.
type Credit struct{ Lane, Exchange, Limit uint64 }

// Attach is the first message of a TCP lane.
type Attach struct {
	Session SessionID
	Lane    uint64 // number of the lane, unique in its session
}

// Cancel tells a core that the edge aborted a TCP lane. The ABORT on the lane
// itself stands behind body bytes that the core may not be reading.
type Cancel struct {
	Lane uint64
	Code Code
}

func appendFrame(b []byte, t FrameType, payload []byte) []byte {
	return append(AppendHeader(b, Header{t, len(payload)}), payload...)
}

// AppendHello appends a HELLO frame to b.
func AppendHello(b []byte, h *Hello) []byte {
	p := quicvarint.Append(nil, h.Version)
	p = appendString(p, h.Name[:min(len(h.Name), MaxName)])
	p = append(p, h.Session[:]...)
	for _, v := range [...]uint64{h.MaxLanes, h.BodyCredit, h.Generation} {
		p = quicvarint.Append(p, v)
	}
	p = appendState(p, h.State)
	p = append(p, h.Link.Version)
	p = quicvarint.Append(p, uint64(h.Link.Flow))
	return appendFrame(b, FrameHello, append(p, h.Link.Key[:]...))
}

func parseHello(payload string) (Hello, error) {
	d := decoder{rest: payload}
	h := Hello{Version: d.uint(), Name: d.string(MaxName)}
	copy(h.Session[:], d.bytes(len(h.Session)))
	h.MaxLanes, h.BodyCredit, h.Generation = d.uint(), d.uint(), d.uint()
	h.State = d.state()
	h.Link.Version, h.Link.Flow = d.byte(), uint32(d.uint())
	copy(h.Link.Key[:], d.bytes(len(h.Link.Key)))
	return h, d.err // a later version may add to it
}

func appendState(b []byte, s State) []byte {
	var flags byte
	if s.Ready {
		flags |= 1
	}
	if s.Draining {
		flags |= 2
	}
	b = append(b, flags)
	return quicvarint.Append(quicvarint.Append(b, s.InFlight), s.Backends)
}

func (d *decoder) state() State {
	flags := d.byte()
	return State{Ready: flags&1 != 0, Draining: flags&2 != 0, InFlight: d.uint(), Backends: d.uint()}
}

// AppendPing appends a PING frame to b.
func AppendPing(b []byte, p Ping) []byte {
	return appendFrame(b, FramePing, quicvarint.Append(nil, p.Nonce))
}

// AppendPong appends a PONG frame to b.
func AppendPong(b []byte, p Pong) []byte {
	return appendFrame(b, FramePong, appendState(quicvarint.Append(nil, p.Nonce), p.State))
}

// AppendState appends a STATE frame to b.
func AppendState(b []byte, s State) []byte { return appendFrame(b, FrameState, appendState(nil, s)) }

// AppendCredit appends a CREDIT frame to b.
func AppendCredit(b []byte, c Credit) []byte {
	p := quicvarint.Append(nil, c.Lane)
	p = quicvarint.Append(p, c.Exchange)
	return appendFrame(b, FrameCredit, quicvarint.Append(p, c.Limit))
}

// AppendAttach appends an ATTACH frame to b.
func AppendAttach(b []byte, a Attach) []byte {
	return appendFrame(b, FrameAttach, quicvarint.Append(append([]byte(nil), a.Session[:]...), a.Lane))
}

// AppendCancel appends a CANCEL frame to b.
func AppendCancel(b []byte, c Cancel) []byte {
	return appendFrame(b, FrameCancel, quicvarint.Append(quicvarint.Append(nil, c.Lane), uint64(c.Code)))
}

// appendAbort appends an ABORT frame to b.
func appendAbort(b []byte, c Code) []byte {
	return appendFrame(b, FrameAbort, quicvarint.Append(nil, uint64(c)))
}

// ParseControl reads the payload of a frame of a control lane, or of an ATTACH,
// and returns a Hello, Ping, Pong, State, Credit, Attach or Cancel. Errors match
// ErrProtocol. Bytes behind the last value that this version knows are ignored.
func ParseControl(t FrameType, payload string) (any, error) {
	if t == FrameHello {
		return parseHello(payload)
	}
	d := decoder{rest: payload}
	var m any
	switch t {
	case FramePing:
		m = Ping{Nonce: d.uint()}
	case FramePong:
		m = Pong{Nonce: d.uint(), State: d.state()}
	case FrameState:
		m = d.state()
	case FrameCredit:
		m = Credit{Lane: d.uint(), Exchange: d.uint(), Limit: d.uint()}
	case FrameAttach:
		var a Attach
		copy(a.Session[:], d.bytes(len(a.Session)))
		a.Lane = d.uint()
		m = a
	case FrameCancel:
		m = Cancel{Lane: d.uint(), Code: CodeFrom(d.uint())}
	default:
		d.fail("frame type %#02x on a control lane", byte(t))
	}
	return m, d.err
}
