package hop

import (
	"net/http"
	"net/netip"
	"strings"

	"github.com/ergoproxy/ergo/shared/exchange"
)

// maxChain is the number of forwarding elements that ClientFrom looks at, from
// the right. What stands further left is ignored.
const maxChain = 32

// maxState is the longest tracestate that TraceFrom takes, in bytes: what the
// W3C recommendation asks everybody to carry.
const maxState = 512

// Trusted reports whether peer is a proxy whose forwarding fields are believed.
func Trusted(peer netip.AddrPort, trusted []netip.Prefix) bool {
	return len(trusted) > 0 && contains(trusted, peer.Addr().Unmap())
}

// ClientFrom returns the address of the client behind the trusted proxies, and
// what the forwarding chain says came before it, as the value of
// X-Forwarded-For.
//
// When peer is not in trusted, that is peer and no chain. Otherwise the chain
// is walked from the right, where the nearest proxy wrote, to the first address
// that is not trusted. An element that is no address ends the walk: the client
// is then the last address before it. Elements left of the client were sent by
// the client itself: they are returned as far as they are addresses, and are
// hearsay. At most 32 elements are looked at. An address without a port has
// port 0.
//
// The chain is X-Forwarded-For or, where there is none, Forwarded (RFC 7239). A
// proxy may be trusted if it appends to X-Forwarded-For or overwrites it.
func ClientFrom(peer netip.AddrPort, h http.Header, trusted []netip.Prefix) (client netip.AddrPort, chain string) {
	client = netip.AddrPortFrom(peer.Addr().Unmap(), peer.Port())
	if !contains(trusted, client.Addr()) {
		return client, ""
	}
	elements := chainWalker{values: h["X-Forwarded-For"]}
	if len(elements.values) == 0 {
		elements = chainWalker{values: h["Forwarded"], forwarded: true}
	}
	var before []string
	found := false
	for range maxChain {
		element, ok := elements.previous()
		if !ok {
			break
		}
		node, ok := parseNode(element)
		if !ok {
			break
		}
		if found {
			before = append(before, node.Addr().String())
			continue
		}
		client = node
		found = !contains(trusted, node.Addr())
	}
	return client, joinReversed(before)
}

func contains(prefixes []netip.Prefix, addr netip.Addr) bool {
	for _, p := range prefixes {
		if p.Contains(addr) {
			return true
		}
	}
	return false
}

func joinReversed(s []string) string {
	if len(s) == 0 {
		return ""
	}
	var b strings.Builder
	for i := len(s) - 1; i >= 0; i-- {
		b.WriteString(s[i])
		if i > 0 {
			b.WriteString(", ")
		}
	}
	return b.String()
}

// chainWalker returns the elements of a list field from the right, without
// building the list.
type chainWalker struct {
	values    []string
	rest      string // what is left of the current value
	inValue   bool
	forwarded bool // elements are those of RFC 7239
}

func (c *chainWalker) previous() (string, bool) {
	if !c.inValue {
		if len(c.values) == 0 {
			return "", false
		}
		last := len(c.values) - 1
		c.rest, c.values, c.inValue = c.values[last], c.values[:last], true
	}
	element := c.rest
	if i := strings.LastIndexByte(c.rest, ','); i >= 0 {
		element, c.rest = c.rest[i+1:], c.rest[:i]
	} else {
		c.inValue = false
	}
	if c.forwarded {
		return forParameter(element), true
	}
	return trim(element), true
}

// forParameter returns the node of a Forwarded element, "" if it has none.
// Neither an address nor its quotes hold a comma or a semicolon, so an element
// that was cut inside a quoted string is garbage here and ends the walk.
func forParameter(element string) string {
	for param := range strings.SplitSeq(element, ";") {
		key, value, _ := strings.Cut(trim(param), "=")
		if strings.EqualFold(key, "for") {
			if len(value) >= 2 && value[0] == '"' && value[len(value)-1] == '"' {
				value = value[1 : len(value)-1]
			}
			return value
		}
	}
	return ""
}

// parseNode reads "192.0.2.1", "192.0.2.1:80", "2001:db8::1", "[2001:db8::1]" or
// "[2001:db8::1]:80". Zones are refused: they mean nothing on another host.
func parseNode(s string) (netip.AddrPort, bool) {
	const longest = len("[ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255]:65535")
	if len(s) == 0 || len(s) > longest {
		return netip.AddrPort{}, false
	}
	var node netip.AddrPort
	if inner, ok := strings.CutPrefix(s, "["); ok && strings.HasSuffix(inner, "]") {
		addr, err := netip.ParseAddr(strings.TrimSuffix(inner, "]"))
		if err != nil || !addr.Is6() {
			return netip.AddrPort{}, false
		}
		node = netip.AddrPortFrom(addr, 0)
	} else if addr, err := netip.ParseAddr(s); err == nil {
		node = netip.AddrPortFrom(addr, 0)
	} else if node, err = netip.ParseAddrPort(s); err != nil {
		return netip.AddrPort{}, false
	}
	if node.Addr().Zone() != "" {
		return netip.AddrPort{}, false
	}
	return netip.AddrPortFrom(node.Addr().Unmap(), node.Port()), true
}

// TraceFrom returns the trace that traceparent and tracestate continue, or the
// zero Trace when there is none, it is malformed, or it is sent twice. It is
// called only for a peer that is trusted to say so, before DropClaims. A
// tracestate above 512 bytes is left out.
func TraceFrom(h http.Header) exchange.Trace {
	if len(h["Traceparent"]) != 1 {
		return exchange.Trace{}
	}
	trace, err := exchange.ParseTrace(h["Traceparent"][0])
	if err != nil {
		return exchange.Trace{}
	}
	if state := h["Tracestate"]; len(state) > 0 {
		if joined := strings.Join(state, ","); len(joined) <= maxState {
			trace.State = joined
		}
	}
	return trace
}
