package tunnel

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/quic-go/quic-go"
	"golang.org/x/sync/errgroup"

	"github.com/ergoproxy/ergo/shared/proxystatus"
)

// ErrControlQueue ends a connection whose peer does not read its control lane.
var ErrControlQueue = errors.New("control lane: peer reads too slowly")

// Control is one end of a control lane. Send, Grant and Fail may be called from
// anywhere.
type Control struct {
	lane  *Lane
	queue chan []byte
	fail  context.CancelCauseFunc
	ctx   context.Context

	wake    chan struct{} // buffered by one: something waits in the maps
	mu      sync.Mutex    // guards what follows, by lane
	credits map[uint64]Credit
	cancels map[uint64]Code
}

// NewControl returns one end of the control lane l, on which nothing was written
// yet.
func NewControl(l *Lane) *Control {
	ctx, fail := context.WithCancelCause(context.Background())
	return &Control{lane: l, queue: make(chan []byte, controlQueue), fail: fail, ctx: ctx,
		wake: make(chan struct{}, 1), credits: make(map[uint64]Credit), cancels: make(map[uint64]Code)}
}

// Exchange sends h and reads the peer's HELLO, within HelloTimeout and until ctx
// ends.
func (c *Control) Exchange(ctx context.Context, h *Hello) (Hello, error) {
	defer c.guard(ctx)()
	if _, err := c.lane.Write(AppendHello(nil, h)); err != nil {
		return Hello{}, fmt.Errorf("write HELLO: %w", err)
	}
	return c.readHello()
}

// guard aborts the lane after HelloTimeout, or when ctx ends, unless the function
// that it returns is called before.
func (c *Control) guard(ctx context.Context) (done func()) {
	ctx, cancel := context.WithTimeout(ctx, HelloTimeout)
	stop := context.AfterFunc(ctx, func() { c.lane.Abort(0) })
	return func() { stop(); cancel() }
}

// Answer reads the peer's HELLO and answers with what reply makes of it, within
// HelloTimeout and until ctx ends. An error of reply ends the connection.
func (c *Control) Answer(ctx context.Context, reply func(Hello) (*Hello, error)) (Hello, error) {
	defer c.guard(ctx)()
	theirs, err := c.readHello()
	if err != nil {
		return Hello{}, err
	}
	ours, err := reply(theirs)
	if err != nil {
		return theirs, err
	}
	if _, err := c.lane.Write(AppendHello(nil, ours)); err != nil {
		return theirs, fmt.Errorf("write HELLO: %w", err)
	}
	return theirs, nil
}

func (c *Control) readHello() (Hello, error) {
	m, err := c.read()
	if err != nil {
		return Hello{}, fmt.Errorf("read HELLO: %w", err)
	}
	h, ok := m.(Hello)
	if !ok {
		return Hello{}, protocolErrorf("control lane starts with %T, want HELLO", m)
	}
	if h.Version < 1 {
		return Hello{}, protocolErrorf("version %d", h.Version)
	}
	return h, nil
}

func (c *Control) read() (any, error) {
	h, err := c.lane.Next()
	if err != nil {
		return nil, noEOF(err)
	}
	if h.Length > MaxControl {
		return nil, protocolErrorf("control message of %d bytes, limit %d", h.Length, MaxControl)
	}
	payload, err := c.lane.Payload(h.Length)
	if err != nil {
		return nil, err
	}
	return ParseControl(h.Type, payload)
}

// Send queues an encoded frame. When the queue is full the peer is not reading
// and the connection ends with ErrControlQueue.
func (c *Control) Send(frame []byte) {
	select {
	case c.queue <- frame:
	default:
		c.Fail(ErrControlQueue)
	}
}

// Grant queues a CREDIT. One that still waits for the same lane is replaced, since
// limits only rise: however many exchanges are under way, what waits is bounded by
// the number of lanes.
func (c *Control) Grant(credit Credit) {
	c.wait(func() { c.credits[credit.Lane] = credit })
}

// Cancel queues a CANCEL. Many clients may leave at the same moment, so these too
// are kept by lane.
func (c *Control) Cancel(cancel Cancel) {
	c.wait(func() { c.cancels[cancel.Lane] = cancel.Code })
}

func (c *Control) wait(add func()) {
	c.mu.Lock()
	add()
	full := len(c.credits)+len(c.cancels) > maxWaiting
	c.mu.Unlock()
	if full {
		c.Fail(ErrControlQueue)
		return
	}
	signal(c.wake)
}

// takeWaiting appends the frames that wait by lane to b.
func (c *Control) takeWaiting(b []byte) []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, credit := range c.credits {
		b = AppendCredit(b, credit)
	}
	for lane, code := range c.cancels {
		b = AppendCancel(b, Cancel{Lane: lane, Code: code})
	}
	clear(c.credits)
	clear(c.cancels)
	return b
}

// Run writes what is sent and hands each message of the peer to handle, one after
// another, until ctx ends or the lane fails, and returns why. PINGs too are for
// handle to answer.
func (c *Control) Run(ctx context.Context, handle func(any) error) error {
	outer := ctx
	g, ctx := errgroup.WithContext(ctx)
	stop := context.AfterFunc(ctx, func() { c.lane.Abort(closingCode(context.Cause(ctx))) })
	defer stop()
	g.Go(func() error { return c.write(ctx) })
	g.Go(func() error {
		select {
		case <-c.ctx.Done(): // write may be stuck in the lane
			return context.Cause(c.ctx)
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	})
	g.Go(func() error { return c.readAll(handle) })
	err := g.Wait()
	if outer.Err() != nil {
		return context.Cause(outer) // what the lane says then is a consequence
	}
	return err
}

func (c *Control) readAll(handle func(any) error) error {
	pings, from := 0, time.Now()
	for {
		m, err := c.read()
		if err != nil {
			return fmt.Errorf("read control lane: %w", err)
		}
		if _, ok := m.(Ping); ok {
			if now := time.Now(); now.Sub(from) > time.Second {
				pings, from = 0, now
			}
			if pings++; pings > MaxPings {
				return protocolErrorf("more than %d PINGs in a second", MaxPings)
			}
		}
		if err := handle(m); err != nil {
			return err
		}
	}
}

func (c *Control) write(ctx context.Context) error {
	var waiting []byte
	for {
		var frame []byte
		select {
		case frame = <-c.queue:
		case <-c.wake:
			waiting = c.takeWaiting(waiting[:0])
			frame = waiting
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		if _, err := c.lane.Write(frame); err != nil {
			return fmt.Errorf("write control lane: %w", err)
		}
	}
}

// closingCode is what the peer is told when the control lane ends because of err.
func closingCode(err error) Code {
	if errors.Is(err, ErrProtocol) {
		return NewCode(proxystatus.HTTPProtocolError)
	}
	return NewCode(proxystatus.None)
}

// Closed reports whether err says that the peer ended the connection because it
// has no more use for it.
func Closed(err error) bool {
	var aborted *AbortError
	if errors.As(err, &aborted) {
		return aborted.Code == NewCode(proxystatus.None)
	}
	var app *quic.ApplicationError
	return errors.As(err, &app) && app.Remote && app.ErrorCode == CloseNormal
}

// Fail ends the control lane, and with it the connection: Run returns err.
func (c *Control) Fail(err error) { c.fail(err) }
