package tunnelserver

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"runtime/debug"
	"time"

	"golang.org/x/net/http/httpguts"

	"github.com/ergoproxy/ergo/shared/exchange"
	"github.com/ergoproxy/ergo/shared/proxystatus"
	"github.com/ergoproxy/ergo/shared/tunnel"
)

// serveExchange reads one HEAD, has it handled and answers. It reports whether
// the lane can be used again. An error is a violation of the protocol.
func (p *peer) serveExchange(l *tunnel.Lane) (again bool, err error) {
	start := time.Now()
	head, err := p.readHead(l)
	switch {
	case errors.Is(err, tunnel.ErrProtocol):
		return false, err
	case err != nil:
		l.Abort(tunnel.RefusedCode(proxystatus.ConnectionTerminated))
		return false, nil
	}
	if refusal := p.begin(l, head); refusal != proxystatus.None {
		p.server.counters.Refused.Add(1)
		l.Abort(tunnel.RefusedCode(refusal))
		return false, nil
	}
	defer l.End()
	x := newExchange(head, start, p.server.options.Core)
	ctx, cancel := exchangeContext(l, x)
	defer cancel()
	req, err := newRequest(ctx, head)
	if err != nil {
		// The frame is sound, what the client asked for is not.
		p.log.Warn().Err(err).Stringer("exchange", x.ID).Msg("exchange refused: not a valid request")
		l.Abort(tunnel.NewCode(proxystatus.HTTPRequestError))
		return false, nil
	}
	w := newResponse(l, x, req, head)
	req.Body = w.body
	p.count(1)
	defer p.count(-1)
	p.handleRequest(w, req)
	return w.finish()
}

func (p *peer) count(n int64) {
	if n > 0 {
		p.server.counters.Exchanges.Add(1)
	}
	p.server.inFlight.Add(n)
	p.inFlight.Add(n)
}

// begin starts the exchange on the lane, or says why it is refused.
func (p *peer) begin(l *tunnel.Lane, head *tunnel.RequestHead) proxystatus.Type {
	s := p.server
	if s.refusing.Load() {
		return proxystatus.DestinationUnavailable
	}
	l.Begin(head.Credit)
	upgrade := head.Upgrade != ""
	if !head.HasBody && !upgrade {
		return proxystatus.None
	}
	credit := tunnel.StartCredit(uint64(s.options.Settings.BodyCredit), upgrade)
	if _, ok := l.Receive(s.budget, int64(credit)); !ok {
		return proxystatus.ConnectionLimitReached
	}
	return proxystatus.None
}

var errHeadTimeout = errors.New("half of a HEAD, and then nothing")

// readHead reads a HEAD frame. What has begun must be there within HeadTimeout.
func (p *peer) readHead(l *tunnel.Lane) (*tunnel.RequestHead, error) {
	if l.FrameBuffered() {
		return parseHead(l)
	}
	guard := time.AfterFunc(p.server.headTimeout, func() {
		p.log.Warn().Uint64("lane", l.Number()).Err(errHeadTimeout).Msg("lane given up")
		l.Abort(tunnel.RefusedCode(proxystatus.ConnectionReadTimeout))
	})
	head, err := parseHead(l)
	if !guard.Stop() {
		return nil, errHeadTimeout // the edge was told so, whatever came since
	}
	return head, err
}

func parseHead(l *tunnel.Lane) (*tunnel.RequestHead, error) {
	h, err := l.Next()
	if err != nil {
		return nil, err
	}
	if h.Type != tunnel.FrameHead {
		return nil, fmt.Errorf("%w: frame type %#02x, want HEAD", tunnel.ErrProtocol, byte(h.Type))
	}
	payload, err := l.Payload(h.Length)
	if err != nil {
		return nil, err
	}
	return tunnel.ParseRequestHead(payload)
}

func newExchange(head *tunnel.RequestHead, start time.Time, core string) *exchange.Exchange {
	x := &exchange.Exchange{ID: head.ID, Attempt: int(head.Attempt), Start: start, Trace: head.Trace,
		Client: head.Client, Principal: head.Principal}
	x.Report.Name = core
	if head.Remaining > 0 {
		x.Deadline = start.Add(head.Remaining)
	}
	return x
}

// exchangeContext ends when the edge aborts the exchange, at its deadline, and
// when it is over.
func exchangeContext(l *tunnel.Lane, x *exchange.Exchange) (context.Context, context.CancelFunc) {
	ctx := exchange.With(l.Context(), x)
	if x.Deadline.IsZero() {
		return context.WithCancel(ctx)
	}
	return context.WithDeadline(ctx, x.Deadline)
}

func newRequest(ctx context.Context, head *tunnel.RequestHead) (*http.Request, error) {
	target, err := url.ParseRequestURI(head.Target)
	if err != nil {
		return nil, fmt.Errorf("request target: %w", err)
	}
	if !httpguts.ValidHostHeader(head.Authority) {
		return nil, fmt.Errorf("authority %q", head.Authority)
	}
	req := (&http.Request{
		Method: head.Method, URL: target, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: head.Header, ContentLength: head.ContentLength, Host: head.Authority, RequestURI: head.Target,
	}).WithContext(ctx)
	if len(head.Trailer) > 0 || head.HasBody && head.ContentLength < 0 {
		// The map is there before handlers copy the request: they all see what
		// the end of the body brings, announced or not.
		req.Trailer = make(http.Header, len(head.Trailer))
		for _, name := range head.Trailer {
			req.Trailer[name] = nil
		}
	}
	return req, nil
}

// handleRequest calls the handler. A panic costs this exchange and no other.
func (p *peer) handleRequest(w *response, req *http.Request) {
	defer func() {
		v := recover()
		if v == nil {
			return
		}
		w.aborted = true
		if v != http.ErrAbortHandler {
			p.log.Error().Stringer("exchange", w.x.ID).Str("panic", fmt.Sprint(v)).Bytes("stack", debug.Stack()).Msg("handler panicked")
		}
	}()
	p.server.options.Handler.ServeHTTP(w, req)
}
