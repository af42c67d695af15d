package backend

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"syscall"

	"github.com/ergoproxy/ergo/core/backend/h1"
	"github.com/ergoproxy/ergo/shared/proxystatus"
	"github.com/ergoproxy/ergo/shared/retry"
)

const hop = "core"

// statusClientGone is written to the log for a request whose client went away
// first. Nobody receives it.
const statusClientGone = 499

// failure makes the error that leaves this package.
func failure(stage retry.Stage, t proxystatus.Type, op string, cause error) *retry.Failure {
	return &retry.Failure{Stage: stage, Err: proxystatus.New(t, hop, op, cause)}
}

// givenUp translates the end of ctx: its client went away or its time is over.
func givenUp(ctx context.Context, stage retry.Stage, op string) *retry.Failure {
	cause := context.Cause(ctx)
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return failure(stage, proxystatus.HTTPResponseTimeout, op, cause)
	}
	return &retry.Failure{Stage: stage, Err: &proxystatus.Error{
		Type: proxystatus.HTTPRequestError, Hop: hop, Op: op, Status: statusClientGone, Err: cause,
	}}
}

// dialError translates what the resolver and TCP say.
func dialError(ctx context.Context, addr string, err error) error {
	op := "dial " + addr
	if ctx.Err() != nil {
		return givenUp(ctx, retry.Unsent, op)
	}
	return failure(retry.Unsent, dialType(err), op, err)
}

func dialType(err error) proxystatus.Type {
	var dns *net.DNSError
	switch {
	case errors.As(err, &dns) && dns.IsTimeout:
		return proxystatus.DNSTimeout
	case dns != nil:
		return proxystatus.DNSError
	case isTimeout(err):
		return proxystatus.ConnectionTimeout
	case errors.Is(err, syscall.ECONNREFUSED):
		return proxystatus.ConnectionRefused
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		return proxystatus.DestinationIPUnroutable
	case isReset(err):
		return proxystatus.ConnectionTerminated
	case errors.Is(err, syscall.EMFILE), errors.Is(err, syscall.ENFILE),
		errors.Is(err, syscall.EADDRNOTAVAIL):
		return proxystatus.ConnectionLimitReached // ours, but that is what it is
	}
	return proxystatus.DestinationUnavailable
}

// handshakeError translates what TLS says.
func handshakeError(ctx context.Context, addr string, err error) error {
	op := "handshake with " + addr
	if ctx.Err() != nil {
		return givenUp(ctx, retry.Unsent, op)
	}
	return failure(retry.Unsent, handshakeType(err), op, err)
}

func handshakeType(err error) proxystatus.Type {
	var (
		unverified *tls.CertificateVerificationError
		unknownCA  x509.UnknownAuthorityError
		invalid    x509.CertificateInvalidError
		wrongHost  x509.HostnameError
		op         *net.OpError
	)
	switch {
	case errors.As(err, &unverified), errors.As(err, &unknownCA), errors.As(err, &invalid), errors.As(err, &wrongHost):
		return proxystatus.TLSCertificateError
	case isTimeout(err):
		return proxystatus.ConnectionTimeout
	case errors.As(err, &op) && op.Op == "remote error": // crypto/tls: an alert came in
		return proxystatus.TLSAlertReceived
	case isReset(err):
		return proxystatus.ConnectionTerminated
	}
	return proxystatus.TLSProtocolError
}

// waitError translates why no connection could be had, unless dial did.
func waitError(ctx context.Context, addr string, err error) error {
	var f *retry.Failure
	op := "wait for a connection to " + addr
	switch {
	case errors.As(err, &f):
		return f
	case errors.Is(err, errQueueFull), errors.Is(err, errQueueTimeout):
		return failure(retry.Unsent, proxystatus.ConnectionLimitReached, op, err)
	case errors.Is(err, errDied):
		return failure(retry.Unsent, proxystatus.ConnectionTerminated, op, err)
	case ctx.Err() != nil:
		return givenUp(ctx, retry.Unsent, op)
	}
	return failure(retry.Unsent, proxystatus.DestinationUnavailable, op, err)
}

func isTimeout(err error) bool {
	var t net.Error
	return errors.As(err, &t) && t.Timeout()
}

// isReset reports whether the other end cut the connection.
func isReset(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) ||
		errors.Is(err, syscall.ECONNABORTED) || errors.Is(err, net.ErrClosed)
}

// streamError has the shape of net/http's error for a reset HTTP/2 stream,
// which fills any struct of these fields through errors.As.
type streamError struct {
	StreamID uint32
	Code     uint32
	Cause    error
}

func (e streamError) Error() string { return "stream reset" }

const refusedStream = 0x7 // RFC 9113, section 7

// roundTripError translates what h1 or net/http says before there is a response.
func (a *attempt) roundTripError(ctx context.Context, err error) *retry.Failure {
	stage, op := a.stage(err), "read response head of "+a.endpoint.target.addr
	switch bodyErr := a.body.Err(); {
	case a.hookErr != nil:
		return a.refused(a.hookErr)
	case ctx.Err() != nil:
		return givenUp(ctx, stage, op)
	case bodyErr != nil:
		return requestBodyError(bodyErr)
	}
	if stage == retry.Unsent {
		return a.unsentError(err)
	}
	var invalid *h1.RequestError
	var reset streamError
	c, broken := a.conn, a.conn.broken()
	received := c.read.Load() - a.readBefore
	switch {
	case errors.As(err, &invalid):
		return failure(retry.Unknown, proxystatus.HTTPRequestError, "send request to "+a.endpoint.target.addr, err)
	case errors.As(err, &reset) && reset.Code == refusedStream, stage == retry.Refused:
		return failure(retry.Refused, proxystatus.DestinationUnavailable, op, err)
	case errors.As(err, &reset):
		return failure(stage, proxystatus.HTTPProtocolError, op, err)
	case broken == nil && isTimeout(err):
		return failure(stage, proxystatus.HTTPResponseTimeout, op, err)
	case broken != nil && isTimeout(broken):
		return failure(stage, proxystatus.ConnectionReadTimeout, op, err)
	case errors.Is(err, h1.ErrHeadTooLarge):
		return failure(stage, proxystatus.HTTPResponseHeaderSectionSize, op, err)
	case received > 0 && (isReset(err) || broken != nil && isReset(broken)) && !c.h2:
		return failure(stage, proxystatus.HTTPResponseIncomplete, op, err)
	case isReset(err), broken != nil:
		return failure(stage, proxystatus.ConnectionTerminated, op, err)
	}
	return failure(stage, proxystatus.HTTPProtocolError, op, err)
}

// stage is how far the request got, by what was seen on the connection.
func (a *attempt) stage(err error) retry.Stage {
	if !a.conn.h2 {
		if a.conn.wrote.Load() == a.wroteBefore {
			return retry.Unsent
		}
		return retry.Unknown
	}
	stream := a.stream.Load()
	var reset streamError
	switch {
	case stream == 0:
		return retry.Unsent
	case a.conn.frames.refused(stream), errors.As(err, &reset) && reset.Code == refusedStream:
		return retry.Refused
	}
	return retry.Unknown
}

// unsentError is for a request of which nothing was sent: its connection died
// before, or nobody would write it.
func (a *attempt) unsentError(err error) *retry.Failure {
	op := "send request to " + a.endpoint.target.addr
	var invalid *h1.RequestError
	c := a.conn
	if !errors.As(err, &invalid) && (!c.h2 || c.broken() != nil || c.client.Err() != nil || c.client.Available() == 0) {
		return failure(retry.Unsent, proxystatus.ConnectionTerminated, op, err)
	}
	// Sending it elsewhere would end in the same way.
	return failure(retry.Unknown, proxystatus.HTTPRequestError, op, err)
}

// refused is for what our own side would not take.
func (a *attempt) refused(err error) *retry.Failure {
	var known *proxystatus.Error
	if !errors.As(err, &known) {
		known = proxystatus.New(proxystatus.ProxyInternalError, hop, "pass on informational response", err)
	}
	return &retry.Failure{Err: known}
}

// requestBodyError is for a body whose sender failed. Whoever sends it may have
// given it its words already.
func requestBodyError(err error) *retry.Failure {
	var known *proxystatus.Error
	if !errors.As(err, &known) {
		known = proxystatus.New(proxystatus.HTTPRequestError, hop, "read request body", err)
	}
	return &retry.Failure{Err: known}
}

// responseBodyError translates what ends a body before its end.
func (a *attempt) responseBodyError(ctx context.Context, err error) error {
	op := "read response body of " + a.endpoint.target.addr
	broken := a.conn.broken()
	switch {
	case ctx.Err() != nil:
		return givenUp(ctx, retry.Unknown, op).Err
	case a.body.Err() != nil && broken == nil:
		return requestBodyError(a.body.Err()).Err
	case broken != nil && isTimeout(broken):
		return proxystatus.New(proxystatus.ConnectionReadTimeout, hop, op, err)
	}
	return proxystatus.New(proxystatus.HTTPResponseIncomplete, hop, op, err)
}
