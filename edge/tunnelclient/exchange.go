package tunnelclient

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ergoproxy/ergo/shared/exchange"
	"github.com/ergoproxy/ergo/shared/proxystatus"
	"github.com/ergoproxy/ergo/shared/retry"
	"github.com/ergoproxy/ergo/shared/tunnel"
)

// An attempt is one exchange on one lane. Two goroutines may work on it: the one
// that reads the response, and one that sends the request's body. The reader gives
// the lane back; a sender that is not done by then has lost it.
type attempt struct {
	conn    *conn
	lane    *tunnel.Lane
	req     *http.Request
	x       *exchange.Exchange
	upgrade string
	stop    func() bool // takes back the abort when the context ends

	sending atomic.Bool                       // the sender is at work
	bodyErr atomic.Pointer[proxystatus.Error] // why the request's body could not be read

	// proceed is closed when the body may be sent: the core asked for it, or has
	// answered in a way that leaves it open. Nil unless the client waits for 100
	// (Continue).
	proceed chan struct{}
	once    sync.Once

	mu       sync.Mutex // guards what follows
	dirty    bool       // the lane must not be used again
	aborted  bool       // the core was told why; the first code counts
	left     bool       // both directions are complete, nothing must be cut off
	answered bool       // a response head was read, if only an informational one
	late     bool       // it was handed over before
	released bool       // the lane belongs to others
}

// roundTrip sends req on lane and reads the head of the response. k counts the
// exchange already.
func (k *conn) roundTrip(req *http.Request, lane *tunnel.Lane) (*http.Response, error) {
	a := &attempt{conn: k, lane: lane, req: req, x: exchange.From(req.Context())}
	a.x.Core, a.x.Carrier = k.hello.Name, string(k.carrier)
	credit, ok := lane.Receive(k.client.options.Budget, 0)
	if !ok {
		a.give(true)
		closeBody(req)
		return nil, a.fail(retry.Unsent, proxystatus.ConnectionLimitReached, "reserve receive memory for", errMemory)
	}
	head := a.head(credit)
	if err := lane.WriteRequest(head); err != nil {
		a.give(true)
		closeBody(req)
		return nil, a.unsendable(err)
	}
	lane.Begin(tunnel.StartCredit(k.hello.BodyCredit, a.upgrade != ""))
	ctx := req.Context()
	a.stop = context.AfterFunc(ctx, func() { a.abort(cancelCode(ctx)) })
	if !head.HasBody && a.upgrade == "" && retry.Idempotent(req.Method) && !a.x.Stay {
		k.waiting.add(a)
	}
	if err := lane.Flush(); err != nil {
		closeBody(req)
		// A head that was not written whole cannot have been begun.
		return nil, a.broken(retry.Unsent, "write request head to", err)
	}
	switch {
	case head.HasBody:
		a.sending.Store(true)
		go a.sendBody() // ends with the lane, or with a Read of the body that Close must end
	case a.upgrade != "":
		a.spoil() // without an END the lane cannot serve another exchange
	}
	return a.response()
}

var errMemory = errors.New("receive_memory is used up by responses that clients have not taken")

// head builds the HEAD for a.req. A request that has a body is not upgraded (RFC
// 9110, section 7.8 leaves that to us).
func (a *attempt) head(credit uint64) *tunnel.RequestHead {
	req, x := a.req, a.x
	h := &tunnel.RequestHead{
		Method: req.Method, Authority: req.Host, Target: req.URL.RequestURI(), Header: req.Header,
		Credit: credit, ID: x.ID, Attempt: uint8(min(x.Attempt, 255)),
		Trace: x.Trace, Client: x.Client, Principal: x.Principal,
	}
	if !x.Deadline.IsZero() {
		h.Remaining = max(time.Until(x.Deadline), time.Microsecond)
	}
	if req.Body == nil || req.Body == http.NoBody {
		h.Upgrade = req.Header.Get("Upgrade")
		a.upgrade = h.Upgrade
		return h
	}
	h.HasBody, h.ContentLength = true, req.ContentLength
	if h.ContentLength == 0 {
		h.ContentLength = -1 // as net/http has it: a Body that is there, of unknown length
	}
	for name := range req.Trailer {
		h.Trailer = append(h.Trailer, name)
	}
	if req.Header.Get("Expect") != "" {
		h.Continue = true
		a.proceed = make(chan struct{})
	}
	return h
}

// unsendable is the error for a request that no core would take.
func (a *attempt) unsendable(err error) error {
	e := a.conn.client.errorf(proxystatus.HTTPRequestError, "write request head to", err)
	if errors.Is(err, tunnel.ErrHeadSize) {
		e.Status = http.StatusRequestHeaderFieldsTooLarge
	}
	return &retry.Failure{Stage: retry.Unsent, Err: e}
}

// response reads up to the head of the final response.
func (a *attempt) response() (*http.Response, error) {
	for informational := 0; ; informational++ {
		h, err := a.lane.Next()
		if err != nil {
			return nil, a.unread("read response head from", err)
		}
		if h.Type != tunnel.FrameResponse && h.Type != tunnel.FrameInformational || informational > tunnel.MaxInformational {
			return nil, a.unread("understand", fmt.Errorf("%w: frame type %#02x, or too many of them, where a response head belongs", tunnel.ErrProtocol, byte(h.Type)))
		}
		payload, err := a.lane.Payload(h.Length)
		if err != nil {
			return nil, a.unread("read response head from", err)
		}
		head, err := tunnel.ParseResponseHead(payload)
		if err == nil {
			err = a.misplaced(h.Type, head.Status)
		}
		if err != nil {
			return nil, a.unread("understand response head of", err)
		}
		if !a.answer() {
			return nil, a.broken(retry.Unknown, "read response head from", errLate)
		}
		if h.Type == tunnel.FrameResponse {
			return a.result(head), nil
		}
		if err := a.informational(head); err != nil {
			return nil, a.broken(retry.Unknown, "pass on informational response of", err)
		}
	}
}

// misplaced says what is wrong with a status in a frame of type t, if anything.
func (a *attempt) misplaced(t tunnel.FrameType, status int) error {
	final := status >= 200 || status == http.StatusSwitchingProtocols
	switch {
	case final != (t == tunnel.FrameResponse):
		return fmt.Errorf("%w: status %d in frame type %#02x", tunnel.ErrProtocol, status, byte(t))
	case status == http.StatusSwitchingProtocols && a.upgrade == "":
		return fmt.Errorf("%w: status 101, and nobody asked", tunnel.ErrProtocol)
	}
	return nil
}

func (a *attempt) informational(head *tunnel.ResponseHead) error {
	if head.Status == http.StatusContinue {
		a.mayProceed()
	}
	if a.x.Informational == nil {
		return nil
	}
	return a.x.Informational(head.Status, head.Header)
}

func (a *attempt) mayProceed() {
	if a.proceed != nil {
		a.once.Do(func() { close(a.proceed) })
	}
}

// result turns the head of the final response into a Response whose Body reads
// the rest from the lane.
func (a *attempt) result(head *tunnel.ResponseHead) *http.Response {
	res := &http.Response{
		Status: strconv.Itoa(head.Status) + " " + http.StatusText(head.Status), StatusCode: head.Status,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: head.Header, ContentLength: head.ContentLength, Request: a.req,
	}
	if head.ContentLength >= 0 {
		res.Header["Content-Length"] = []string{strconv.FormatInt(head.ContentLength, 10)}
	}
	if len(head.Trailer) > 0 {
		res.Trailer = make(http.Header, len(head.Trailer))
		for _, name := range head.Trailer {
			res.Trailer[name] = nil
		}
	}
	if head.Status < 300 {
		a.mayProceed() // a refusal leaves the body where it is
	}
	body := newResponseBody(a, res)
	res.Body = body
	if head.Status == http.StatusSwitchingProtocols {
		res.Body = &upgradedBody{responseBody: body}
	}
	return res
}

// spoil says that the lane must not be used again.
func (a *attempt) spoil() {
	a.mu.Lock()
	a.dirty = true
	a.mu.Unlock()
}

// abort cuts the exchange short, unless it is over.
func (a *attempt) abort(c tunnel.Code) {
	a.mu.Lock()
	a.abortLocked(c)
	a.mu.Unlock()
	a.mayProceed()
}

func (a *attempt) abortLocked(c tunnel.Code) {
	if a.released || a.left || a.aborted {
		return
	}
	a.dirty, a.aborted = true, true
	a.lane.Abort(c)
	if a.conn.tcp != nil {
		// The ABORT stands behind what the core has not read yet.
		a.conn.control.Cancel(tunnel.Cancel{Lane: a.lane.Number(), Code: c})
	}
}

// leave ends a lane on which both directions are complete: unlike abort it waits
// until the core has everything.
func (a *attempt) leave() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.released {
		a.dirty, a.left = true, true
		a.lane.Leave()
	}
}

// give gives the lane back, to be used again if clean. It belongs to the reader of
// the response; calls after the first do nothing.
func (a *attempt) give(clean bool) {
	if a.stop != nil && !a.stop() {
		clean = false
	}
	a.mu.Lock()
	if a.released {
		a.mu.Unlock()
		return
	}
	a.released = true
	clean = clean && !a.dirty
	if !clean && !a.left {
		a.lane.Abort(tunnel.NewCode(proxystatus.None)) // frees the stream of one that the core left
	}
	a.mu.Unlock()
	a.mayProceed()
	a.conn.release(a.lane, clean)
}

// broken ends the attempt because of err and returns the error to pass up.
func (a *attempt) broken(stage retry.Stage, op string, err error) error {
	t, cause := a.reason(err)
	a.conn.waiting.remove(a)
	a.abort(tunnel.NewCode(proxystatus.ConnectionTerminated))
	a.give(false)
	if e := a.bodyErr.Load(); e != nil {
		return &retry.Failure{Stage: retry.Unknown, Err: e}
	}
	var aborted *tunnel.AbortError
	byCore := errors.As(err, &aborted)
	switch {
	case errors.Is(cause, errLate):
		stage = retry.Late
	case byCore && aborted.Code.Refused():
		stage = retry.Refused
	}
	e := a.conn.client.errorf(t, op, cause)
	if byCore && cause == err {
		e.Hop = "core" // which has told us why
	}
	return &retry.Failure{Stage: stage, Err: e}
}

// unread is broken for an error of reading. A violation costs the core the
// connection.
func (a *attempt) unread(op string, err error) error {
	if errors.Is(err, tunnel.ErrProtocol) {
		a.conn.control.Fail(err)
	}
	return a.broken(retry.Unknown, op, err)
}

func (a *attempt) fail(stage retry.Stage, t proxystatus.Type, op string, cause error) error {
	return &retry.Failure{Stage: stage, Err: a.conn.client.errorf(t, op, cause)}
}

// reason translates an error of the lane into the vocabulary.
func (a *attempt) reason(err error) (proxystatus.Type, error) {
	var aborted *tunnel.AbortError
	switch ctxErr := a.req.Context().Err(); {
	case errors.Is(ctxErr, context.DeadlineExceeded):
		return proxystatus.HTTPResponseTimeout, ctxErr
	case ctxErr != nil:
		return proxystatus.ConnectionTerminated, context.Cause(a.req.Context())
	case errors.As(err, &aborted) && aborted.Code.Type() != proxystatus.None:
		return aborted.Code.Type(), err
	case errors.Is(err, tunnel.ErrProtocol):
		return proxystatus.HTTPProtocolError, err
	case a.wasLate():
		return proxystatus.ConnectionTerminated, errLate
	}
	return proxystatus.ConnectionTerminated, err
}

// cancelCode is what the core is told when the client's side ended the exchange.
func cancelCode(ctx context.Context) tunnel.Code {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return tunnel.NewCode(proxystatus.HTTPResponseTimeout)
	}
	return tunnel.NewCode(proxystatus.ConnectionTerminated)
}
