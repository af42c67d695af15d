package hop

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/ergoproxy/ergo/shared/proxystatus"
)

// AppendVia adds this hop to Via (RFC 9110, section 7.6.3): proto is the
// protocol in which the message was received as in http.Request.Proto, name the
// tier's configured name, which must be a token.
func AppendVia(h http.Header, proto, name string) {
	appendList(h, "Via", viaVersion(proto)+" "+name)
}

// viaVersion leaves the protocol's name out where it is HTTP, as the RFC allows.
func viaVersion(proto string) string {
	switch proto {
	case "HTTP/1.1":
		return "1.1"
	case "HTTP/2.0", "HTTP/2":
		return "2"
	case "HTTP/3.0", "HTTP/3":
		return "3"
	case "HTTP/1.0":
		return "1.0"
	default:
		return strings.TrimPrefix(proto, "HTTP/")
	}
}

// maxLoopIDs is the number of CDN-Loop members that CheckLoop accepts: a request
// that came through more proxies is in a loop that we are only part of.
const maxLoopIDs = 32

// CheckLoop returns a proxy_loop_detected, found by hop, when CDN-Loop (RFC
// 8586) holds id, or more than 32 members. Id is the cdn-id that AppendLoop
// writes: a host name or a token, the same for all nodes that may not see one
// request twice.
func CheckLoop(h http.Header, hop, id string) *proxystatus.Error {
	members := 0
	for _, value := range h["Cdn-Loop"] {
		for member := range strings.SplitSeq(value, ",") {
			member, _, _ = strings.Cut(member, ";")
			if strings.EqualFold(trim(member), id) {
				return proxystatus.New(proxystatus.ProxyLoopDetected, hop, "check cdn-loop",
					fmt.Errorf("the request has passed %s before", id))
			}
			if members++; members > maxLoopIDs {
				return proxystatus.New(proxystatus.ProxyLoopDetected, hop, "check cdn-loop",
					fmt.Errorf("the request has passed more than %d proxies", maxLoopIDs))
			}
		}
	}
	return nil
}

// AppendLoop adds id to CDN-Loop.
func AppendLoop(h http.Header, id string) { appendList(h, "Cdn-Loop", id) }

// appendList adds member to the list in field, which is in canonical form. The
// list becomes one field line, so that a recipient that reads only the first
// sees all of it.
func appendList(h http.Header, field, member string) {
	if have := h[field]; len(have) > 0 {
		member = strings.Join(have, ", ") + ", " + member
	}
	h[field] = []string{member}
}
