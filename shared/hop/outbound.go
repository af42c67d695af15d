package hop

import (
	"net/http"
	"net/netip"
	"strings"

	"github.com/ergoproxy/ergo/shared/exchange"
)

// Outbound writes what a backend is told about the request, from the typed
// fields of x and host, the Host that the client asked for: Forwarded,
// X-Forwarded-For, -Host and -Proto, X-Request-Id, traceparent, tracestate, and
// Early-Data for a request that may be a replay (RFC 8470, section 5.1). What
// stood in h under these names is replaced, Early-Data excepted.
//
// All values are parts of one string and one slice: two allocations, besides
// what the map needs to grow.
func Outbound(h http.Header, x *exchange.Exchange, host string) {
	var stack [512]byte
	b := stack[:0]
	b = appendForwarded(b, x, host)
	forwarded := len(b)
	b = appendChain(b, x)
	chain := len(b)
	b = x.ID.Append(b)
	id := len(b)
	b = x.Trace.AppendParent(b)
	all := string(b)

	v := fieldWriter{h: h, values: make([]string, 0, 8)}
	v.set("Forwarded", all[:forwarded])
	v.set("X-Forwarded-For", all[forwarded:chain])
	v.set("X-Forwarded-Host", host)
	v.set("X-Forwarded-Proto", x.Client.Scheme)
	v.set("X-Request-Id", all[chain:id])
	if x.Trace.IsZero() {
		delete(h, "Traceparent")
		delete(h, "Tracestate")
	} else {
		v.set("Traceparent", all[id:])
		v.set("Tracestate", x.Trace.State)
	}
	if x.Client.EarlyData {
		v.set("Early-Data", "1")
	}
}

// fieldWriter sets fields whose value slices are cut from one array.
type fieldWriter struct {
	h      http.Header
	values []string
}

// set replaces the field, or removes it when value is empty.
func (w *fieldWriter) set(field, value string) {
	if value == "" {
		delete(w.h, field)
		return
	}
	n := len(w.values)
	w.values = append(w.values, value)
	w.h[field] = w.values[n : n+1 : n+1] // full: Header.Add must copy
}

// appendForwarded writes the chain as Forwarded elements; host and proto stand
// in the last one, which is ours.
func appendForwarded(b []byte, x *exchange.Exchange, host string) []byte {
	if x.Client.Forwarded != "" {
		for node := range strings.SplitSeq(x.Client.Forwarded, ",") {
			if addr, err := netip.ParseAddr(trim(node)); err == nil {
				b = append(appendFor(b, addr), ", "...)
			}
		}
	}
	b = appendFor(b, x.Client.Addr.Addr())
	if host != "" {
		b = appendValue(append(b, ";host="...), host)
	}
	if x.Client.Scheme != "" {
		b = append(append(b, ";proto="...), x.Client.Scheme...)
	}
	return b
}

// appendFor writes for=192.0.2.1, or for="[2001:db8::1]" (RFC 7239, section 6).
func appendFor(b []byte, addr netip.Addr) []byte {
	b = append(b, "for="...)
	switch addr = addr.Unmap(); {
	case !addr.IsValid():
		return append(b, "unknown"...)
	case addr.Is4():
		return addr.AppendTo(b)
	default:
		return append(addr.WithZone("").AppendTo(append(b, `"[`...)), `]"`...)
	}
}

// appendChain writes the value of X-Forwarded-For.
func appendChain(b []byte, x *exchange.Exchange) []byte {
	b = append(b, x.Client.Forwarded...)
	addr := x.Client.Addr.Addr()
	if !addr.IsValid() {
		return b
	}
	if x.Client.Forwarded != "" {
		b = append(b, ", "...)
	}
	return addr.Unmap().WithZone("").AppendTo(b)
}

// appendValue writes s as a token if it is one, otherwise as a quoted-string
// (RFC 9110, section 5.6.4). Control bytes become '?'.
func appendValue(b []byte, s string) []byte {
	token := s != ""
	for i := range len(s) {
		token = token && isTokenByte(s[i])
	}
	if token {
		return append(b, s...)
	}
	b = append(b, '"')
	for i := range len(s) {
		switch c := s[i]; {
		case c == '"' || c == '\\':
			b = append(b, '\\', c)
		case c < 0x20 || c == 0x7f:
			b = append(b, '?')
		default:
			b = append(b, c)
		}
	}
	return append(b, '"')
}

func isTokenByte(c byte) bool {
	return 'a' <= c|0x20 && c|0x20 <= 'z' || '0' <= c && c <= '9' || strings.IndexByte("!#$%&'*+-.^_`|~", c) >= 0
}
