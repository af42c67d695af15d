package tunnel

import (
	"errors"
	"fmt"

	"github.com/ergoproxy/ergo/shared/proxystatus"
)

// ErrProtocol is matched by every error about bytes that a correct peer does not
// send.
var ErrProtocol = errors.New("tunnel protocol violation")

// ErrHeadSize and ErrHeadSyntax are matched by errors about a head or a trailer
// section that cannot be sent, since every peer would take it for a violation:
// it exceeds a maximum, or holds what HTTP does not allow. Nothing was queued.
var (
	ErrHeadSize   = errors.New("head too large for the tunnel")
	ErrHeadSyntax = errors.New("head is not valid HTTP")
)

func protocolErrorf(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{ErrProtocol}, args...)...)
}

// Code says why a lane was aborted: the reason in the vocabulary of
// proxystatus, and whether the peer had begun the exchange. It travels as the
// QUIC stream error code, or in an ABORT frame on TCP.
type Code uint32

// codeRefused marks an exchange that the core did not begin: no handler saw it,
// so it may be sent again elsewhere whatever its method is.
const codeRefused Code = 1 << 8

// CodeSessionUnknown refuses a TCP lane whose session is not there (any more).
const CodeSessionUnknown = codeRefused | Code(proxystatus.ConnectionTerminated)

// NewCode returns the Code for an exchange that failed because of t.
func NewCode(t proxystatus.Type) Code { return Code(t) }

// RefusedCode returns the Code for an exchange that was not begun because of t.
func RefusedCode(t proxystatus.Type) Code { return Code(t) | codeRefused }

// CodeFrom returns the Code that a peer sent as the number n. Numbers that this
// version does not know count as an internal error of a begun exchange.
func CodeFrom(n uint64) Code {
	c := Code(n)
	if n > uint64(codeRefused|0xff) || !c.Type().Valid() {
		return NewCode(proxystatus.ProxyInternalError)
	}
	return c
}

// Type returns the reason.
func (c Code) Type() proxystatus.Type { return proxystatus.Type(c & 0xff) }

// Refused reports whether the peer said that it did not begin the exchange.
func (c Code) Refused() bool { return c&codeRefused != 0 }

// AbortError is the error of reading or writing a lane that the peer aborted.
type AbortError struct{ Code Code }

// Error names the reason.
func (e *AbortError) Error() string {
	if e.Code.Refused() {
		return "lane refused by peer: " + e.Code.Type().String()
	}
	return "lane aborted by peer: " + e.Code.Type().String()
}
