package tunnel

import (
	"fmt"
	"net/http"
	"time"

	"github.com/quic-go/quic-go/quicvarint"

	"github.com/ergoproxy/ergo/shared/exchange"
)

// A RequestHead is the payload of a HEAD frame. Who the client is, what it was
// proved to be, how long it waits and which trace it belongs to are typed values
// here and never header fields, so no client can imitate them.
type RequestHead struct {
	Method        string
	Authority     string // what the client put in Host or :authority
	Target        string // origin-form, as the client wrote it
	Upgrade       string // the protocol asked for by an Upgrade; "" for none
	Header        http.Header
	Trailer       []string // names of the trailer fields announced
	HasBody       bool     // BODY frames may follow; never together with Upgrade
	ContentLength int64    // of the body, at most MaxContentLength; -1: unknown
	Continue      bool     // the client waits for 100 (Continue)

	// Credit is how many body bytes the edge takes before it gives more, in
	// bytes; 0 means no limit but the lane's own, as on TCP.
	Credit uint64

	ID        exchange.ID
	Attempt   uint8
	Remaining time.Duration // until the deadline, in whole microseconds; 0: none
	Trace     exchange.Trace
	Client    exchange.Client
	Principal exchange.Principal
}

// Flags of a HEAD.
const (
	headBody = 1 << iota
	headLength
	headContinue
	headUpgrade
	headTrailer
	headDeadline
	headPrincipal
	headHTTPS
	headTLS
	headEarlyData
	headPeer
	headForwarded
	headExtensions
	headKnown = 1<<iota - 1
)

// methods are the static table of method names, numbered from 1.
var methods = [...]string{"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "CONNECT"}

var protos = [...]string{"", "HTTP/1.0", "HTTP/1.1", "HTTP/2.0", "HTTP/3.0"}

func indexOf(table []string, s string) (int, bool) {
	for i, entry := range table {
		if entry == s {
			return i, true
		}
	}
	return 0, false
}

func (h *RequestHead) flags() uint64 {
	c := &h.Client
	var f uint64
	for _, bit := range [...]struct {
		set  bool
		flag uint64
	}{
		{h.HasBody, headBody}, {h.HasBody && knownLength(h.ContentLength), headLength}, {h.Continue, headContinue},
		{h.Upgrade != "", headUpgrade}, {len(h.Trailer) > 0, headTrailer}, {h.Remaining > 0, headDeadline},
		{h.Principal != exchange.Principal{}, headPrincipal}, {c.Scheme == "https", headHTTPS},
		{c.TLSVersion != 0, headTLS}, {c.EarlyData, headEarlyData}, {c.Peer != c.Addr, headPeer},
		{c.Forwarded != "", headForwarded},
	} {
		if bit.set {
			f |= bit.flag
		}
	}
	return f
}

// MaxContentLength is the longest body whose length can be told.
const MaxContentLength = 1<<62 - 2

// knownLength reports whether a content length is told. No body is ever as long
// as the ones beyond the maximum say, so those are as good as unknown.
func knownLength(n int64) bool { return n >= 0 && n <= MaxContentLength }

// check finds what the peer would not take and no field section holds.
func (h *RequestHead) check() error {
	switch {
	case !validToken(h.Method):
		return fmt.Errorf("%w: method %q", ErrHeadSyntax, h.Method)
	case h.HasBody && h.Upgrade != "":
		return fmt.Errorf("%w: a body and an upgrade", ErrHeadSyntax)
	}
	for _, s := range [...]struct{ what, text string }{{"method", h.Method}, {"upgrade", h.Upgrade},
		{"server name", h.Client.ServerName}, {"authentication method", h.Principal.Method}} {
		if len(s.text) > MaxName {
			return fmt.Errorf("%w: %s of %d bytes, limit %d", ErrHeadSize, s.what, len(s.text), MaxName)
		}
	}
	return nil
}

// AppendRequestHead appends the payload of a HEAD frame to b. Errors match
// ErrHeadSize or ErrHeadSyntax. The size of the whole is the caller's to check.
func AppendRequestHead(b []byte, h *RequestHead) ([]byte, error) {
	if err := h.check(); err != nil {
		return nil, err
	}
	flags := h.flags()
	b = quicvarint.Append(b, flags)
	b = append(b, h.ID[:]...)
	b = append(b, h.Attempt)
	b = quicvarint.Append(b, h.Credit)
	if i, ok := indexOf(methods[:], h.Method); ok {
		b = append(b, byte(i+1))
	} else {
		b = appendString(append(b, 0), h.Method)
	}
	b = appendString(b, h.Authority)
	b = appendString(b, h.Target)
	b = append(b, h.Trace.ID[:]...)
	b = append(b, h.Trace.Span[:]...)
	b = append(b, h.Trace.Flags)
	b = appendString(b, h.Trace.State)
	b = h.appendClient(b, flags)
	if flags&headLength != 0 {
		b = quicvarint.Append(b, uint64(h.ContentLength))
	}
	if flags&headUpgrade != 0 {
		b = appendString(b, h.Upgrade)
	}
	if flags&headTrailer != 0 {
		var err error
		if b, err = appendNames(b, h.Trailer); err != nil {
			return nil, err
		}
	}
	if flags&headDeadline != 0 {
		b = quicvarint.Append(b, uint64(h.Remaining.Microseconds()))
	}
	if flags&headPrincipal != 0 {
		b = appendString(b, h.Principal.Subject)
		b = appendString(b, h.Principal.Issuer)
		b = appendString(b, h.Principal.Method)
	}
	return appendFields(b, h.Header)
}

func (h *RequestHead) appendClient(b []byte, flags uint64) []byte {
	c := &h.Client
	b = appendAddr(b, c.Addr)
	proto, _ := indexOf(protos[:], c.Proto)
	b = append(b, byte(proto))
	if flags&headPeer != 0 {
		b = appendAddr(b, c.Peer)
	}
	if flags&headForwarded != 0 {
		b = appendString(b, c.Forwarded)
	}
	if flags&headTLS != 0 {
		b = appendUint16(appendUint16(b, c.TLSVersion), c.TLSCipher)
		b = appendString(b, c.ServerName)
	}
	return b
}

// ParseRequestHead reads the payload of a HEAD frame. The head's strings share
// payload's memory. Errors match ErrProtocol.
func ParseRequestHead(payload string) (*RequestHead, error) {
	d := decoder{rest: payload}
	h := new(RequestHead)
	flags := d.uint()
	copy(h.ID[:], d.bytes(len(h.ID)))
	h.Attempt = d.byte()
	h.Credit = d.uint()
	h.Method = d.method()
	h.Authority = d.string(MaxHead)
	h.Target = d.string(MaxHead)
	copy(h.Trace.ID[:], d.bytes(len(h.Trace.ID)))
	copy(h.Trace.Span[:], d.bytes(len(h.Trace.Span)))
	h.Trace.Flags = d.byte()
	h.Trace.State = d.string(MaxHead)
	h.Client = d.client(flags)
	h.HasBody = flags&headBody != 0
	if h.HasBody && flags&headUpgrade != 0 {
		d.fail("a body and an upgrade")
	}
	h.Continue = flags&headContinue != 0
	if h.HasBody {
		h.ContentLength = -1
	}
	if flags&headLength != 0 {
		h.ContentLength = d.length()
	}
	if flags&headUpgrade != 0 {
		h.Upgrade = d.string(MaxName)
	}
	if flags&headTrailer != 0 {
		h.Trailer = d.names()
	}
	if flags&headDeadline != 0 {
		h.Remaining = d.duration()
	}
	if flags&headPrincipal != 0 {
		h.Principal = exchange.Principal{Subject: d.string(MaxHead), Issuer: d.string(MaxHead), Method: d.string(MaxName)}
	}
	h.Header = d.fields()
	if flags&headExtensions != 0 {
		d.extensions()
	}
	if flags > headKnown {
		d.fail("head flags %#x", flags)
	}
	return h, d.done()
}

func (d *decoder) method() string {
	n := d.byte()
	switch {
	case n == 0:
		m := d.string(MaxName)
		if d.err == nil && !validToken(m) {
			d.fail("invalid method %q", m)
		}
		return m
	case int(n) <= len(methods):
		return methods[n-1]
	}
	d.fail("method number %d", n)
	return ""
}

func (d *decoder) client(flags uint64) exchange.Client {
	c := exchange.Client{Addr: d.addr(), Scheme: "http", EarlyData: flags&headEarlyData != 0}
	if proto := d.byte(); int(proto) < len(protos) {
		c.Proto = protos[proto]
	} else {
		d.fail("protocol number %d", proto)
	}
	c.Peer = c.Addr
	if flags&headPeer != 0 {
		c.Peer = d.addr()
	}
	if flags&headForwarded != 0 {
		c.Forwarded = d.string(MaxHead)
	}
	if flags&headHTTPS != 0 {
		c.Scheme = "https"
	}
	if flags&headTLS != 0 {
		c.TLSVersion, c.TLSCipher = d.uint16(), d.uint16()
		c.ServerName = d.string(MaxName)
	}
	return c
}

// length reads a content length, which must fit an int64.
func (d *decoder) length() int64 { return int64(d.uint()) } // 62 bits at the most

func (d *decoder) duration() time.Duration {
	us := d.uint()
	if us > uint64(1<<63-1)/1000 {
		d.fail("duration of %d µs", us)
		return 0
	}
	return time.Duration(us) * time.Microsecond
}

func (d *decoder) names() []string {
	n := d.count(MaxFields)
	if n == 0 {
		return nil
	}
	names := make([]string, n)
	for i := range names {
		names[i] = d.fieldName()
	}
	return names
}

// extensions skips values that a later version may add to a head.
func (d *decoder) extensions() {
	for range d.count(MaxExtensions) {
		d.uint()
		d.string(MaxHead)
	}
}

// A ResponseHead is the payload of a RESPONSE or INFORMATIONAL frame.
type ResponseHead struct {
	Status        int // 100 to 199 in INFORMATIONAL, 101 or 200 to 999 in RESPONSE
	Header        http.Header
	ContentLength int64 // what Content-Length says; -1: it is absent
	Trailer       []string
}

// AppendResponseHead appends the payload of a RESPONSE or INFORMATIONAL frame.
// Errors are as for AppendRequestHead.
func AppendResponseHead(b []byte, h *ResponseHead) ([]byte, error) {
	if h.Status < 100 || h.Status > 999 {
		return nil, fmt.Errorf("%w: status %d", ErrHeadSyntax, h.Status)
	}
	length := int64(-1)
	if knownLength(h.ContentLength) {
		length = h.ContentLength
	}
	b = quicvarint.Append(b, uint64(h.Status))
	b = quicvarint.Append(b, uint64(length+1))
	b, err := appendNames(b, h.Trailer)
	if err != nil {
		return nil, err
	}
	return appendFields(b, h.Header)
}

// ParseResponseHead reads the payload of a RESPONSE or INFORMATIONAL frame. The
// head's strings share payload's memory. Errors match ErrProtocol.
func ParseResponseHead(payload string) (*ResponseHead, error) {
	d := decoder{rest: payload}
	h := new(ResponseHead)
	status := d.uint()
	if status < 100 || status > 999 {
		d.fail("status %d", status)
	}
	h.Status = int(status)
	h.ContentLength = d.length() - 1
	h.Trailer = d.names()
	h.Header = d.fields()
	return h, d.done()
}
