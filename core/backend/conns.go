package backend

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"time"
)

// Why no connection could be had; translate gives them their words.
var (
	errQueueFull    = errors.New("too many requests wait for a connection")
	errQueueTimeout = errors.New("no connection became free in time")
	errPoolClosed   = errors.New("backend was removed")
	errDied         = errors.New("connection was closed as soon as it was open")
)

// conns is the connections to one backend.
//
//	open = unused (idle) + with requests + being dialled, at most limits.Connections
//
// An HTTP/1.1 connection is out of idle while a request uses it and comes back
// when that ends. Nobody watches it while it is idle: it is looked at before it
// is used again, in each sweep and when it is counted, and closed if the backend
// has closed it or sent what nobody asked for. HTTP/2 connections stay in
// shared all the time. Whoever
// finds nothing free waits in line; a connection that comes back, a stream that
// ends and a connection that closes wake the first in line, who looks again.
//
// net/http calls Close of a conn and the state hook of a ClientConn from its own
// goroutines, the former under its locks. So no method of a ClientConn is called
// while mu is held.
type conns struct {
	limits Limits
	expiry time.Duration // of an unused connection
	dial   func(ctx context.Context, h1 bool) (*conn, error)
	// preferH2 says that a connection to be opened is likely to be HTTP/2, so
	// that one dial is enough for all who wait.
	preferH2 func() bool
	gone     chan struct{} // closed by retire

	mu      sync.Mutex
	idle    []*conn // HTTP/1.1, the latest used last
	shared  []*conn // HTTP/2
	open    int
	dialing int // of open
	line    []*waiter
	retired bool
}

func newConns(limits Limits, expiry time.Duration) *conns {
	return &conns{limits: limits, expiry: expiry, gone: make(chan struct{})}
}

// A waiter stands in line. It is woken at most once.
type waiter struct {
	wake chan error // buffered; nil: look again, else the dial it waited for failed
}

// A grant is a connection with room for one request, reserved.
type grant struct {
	conn    *conn
	connect time.Duration // 0 unless it was opened for this request
	queued  time.Duration
}

// get returns a connection on which a request can begin. h1 demands HTTP/1.1,
// for an upgrade. The errors are those of dial, of ctx, and the ones above.
func (p *conns) get(ctx context.Context, h1 bool) (grant, error) {
	if c := p.takeFree(h1, false); c != nil {
		return grant{conn: c}, nil
	}
	return p.getSlow(ctx, h1)
}

func (p *conns) getSlow(ctx context.Context, h1 bool) (grant, error) {
	start := time.Now()
	var timeout <-chan time.Time
	waited := false
	for {
		if c := p.takeFree(h1, waited); c != nil {
			p.passOn(c)
			return grant{conn: c, queued: time.Since(start)}, nil
		}
		w, err := p.reserve(h1, waited)
		if err != nil {
			return grant{}, err
		}
		if w == nil {
			began := time.Now()
			c, err := p.open1(ctx, h1)
			return grant{conn: c, connect: time.Since(began), queued: began.Sub(start)}, err
		}
		if timeout == nil {
			timer := time.NewTimer(p.limits.QueueTimeout.Std())
			defer timer.Stop()
			timeout = timer.C
		}
		select {
		case err := <-w.wake:
			if err != nil {
				return grant{}, err
			}
		case <-ctx.Done():
			p.leave(w)
			return grant{}, context.Cause(ctx)
		case <-timeout:
			p.leave(w)
			return grant{}, errQueueTimeout
		}
		waited = true
	}
}

// takeFree reserves a place on a connection that is there. Those who come new
// leave it to those in line.
func (p *conns) takeFree(h1, waited bool) *conn {
	if !h1 {
		if c := p.takeShared(waited); c != nil {
			return c
		}
	}
	for {
		c, expired := p.popIdle(waited)
		switch {
		case c == nil:
			return nil
		case expired || !c.quiet():
			c.Close()
		default:
			return c
		}
	}
}

// popIdle takes the connection that was used last: the others get a chance to
// expire.
func (p *conns) popIdle(waited bool) (c *conn, expired bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.idle) == 0 || len(p.line) > 0 && !waited {
		return nil, false
	}
	last := len(p.idle) - 1
	c = p.idle[last]
	p.idle[last] = nil
	p.idle = p.idle[:last]
	c.idle = false
	return c, time.Since(c.idleSince) > p.expiry
}

// takeShared reserves a stream on the first HTTP/2 connection that has one.
func (p *conns) takeShared(waited bool) *conn {
	for i := 0; ; i++ {
		p.mu.Lock()
		if i >= len(p.shared) || len(p.line) > 0 && !waited {
			p.mu.Unlock()
			return nil
		}
		c := p.shared[i]
		p.mu.Unlock()
		if c.client.Reserve() == nil {
			return c
		}
	}
}

// reserve takes a place for a new connection, or else one in line: first in
// line for who has waited before.
func (p *conns) reserve(h1, waited bool) (*waiter, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.retired {
		return nil, errPoolClosed
	}
	shareDial := !h1 && p.dialing > 0 && len(p.line) < p.limits.Queue && p.preferH2()
	if p.open < p.limits.Connections && !shareDial && (waited || len(p.line) == 0) {
		p.open++
		p.dialing++
		return nil, nil
	}
	if len(p.line) >= p.limits.Queue {
		return nil, errQueueFull
	}
	w := &waiter{wake: make(chan error, 1)}
	if waited {
		p.line = append([]*waiter{w}, p.line...)
	} else {
		p.line = append(p.line, w)
	}
	return w, nil
}

// leave takes w out of line. If it was woken already, the next one is.
func (p *conns) leave(w *waiter) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, other := range p.line {
		if other == w {
			p.line = append(p.line[:i], p.line[i+1:]...)
			return
		}
	}
	p.wakeOne(nil)
}

// passOn wakes the next in line when c, just taken, is HTTP/2: the state hook
// may tell of several streams that ended only once.
func (p *conns) passOn(c *conn) {
	if !c.h2 {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.wakeOne(nil)
}

// wakeOne needs p.mu.
func (p *conns) wakeOne(err error) {
	if len(p.line) == 0 {
		return
	}
	p.line[0].wake <- err
	p.line[0] = nil
	p.line = p.line[1:]
}

// wakeAll needs p.mu.
func (p *conns) wakeAll(err error) {
	for len(p.line) > 0 {
		p.wakeOne(err)
	}
}

// open1 opens a connection in the place that reserve took.
func (p *conns) open1(ctx context.Context, h1 bool) (*conn, error) {
	oneForAll := !h1 && p.preferH2()
	c, err := p.dial(ctx, h1)
	p.mu.Lock()
	p.dialing--
	if err != nil {
		p.open--
		if oneForAll && ctx.Err() == nil {
			p.wakeAll(err) // they wait for this very dial
		} else {
			p.wakeOne(nil)
		}
		p.mu.Unlock()
		return nil, err
	}
	retired := p.retired
	c.admitted = true
	if c.closed {
		p.open--
	} else if c.h2 && !retired {
		p.shared = append(p.shared, c)
	}
	p.mu.Unlock()
	if retired {
		c.shut()
		return nil, errPoolClosed
	}
	if !c.h2 {
		if oneForAll {
			p.mu.Lock()
			p.wakeAll(nil) // to learn that it can't be shared
			p.mu.Unlock()
		}
		return c, nil
	}
	// Reserved before anyone is woken: the one who dialled goes first.
	if c.client.Reserve() != nil {
		c.client.Close()
		p.mu.Lock()
		p.wakeOne(nil)
		p.mu.Unlock()
		return nil, errDied
	}
	c.client.SetStateHook(func(*http.ClientConn) { p.changed(c) })
	if oneForAll {
		p.mu.Lock()
		p.wakeAll(nil) // to share it
		p.mu.Unlock()
	}
	return c, nil
}

// changed is the state hook of HTTP/2: c has room again, or is gone.
func (p *conns) changed(c *conn) {
	if c.client.Err() != nil {
		return // Close of the conn does the rest
	}
	if c.client.Available() == 0 {
		return
	}
	p.streamEnded(c)
}

// freed takes an HTTP/1.1 connection back whose request has ended.
func (p *conns) freed(c *conn) {
	if !p.put(c) {
		c.Close()
	}
}

// put makes an HTTP/1.1 connection available, unless there are enough.
func (p *conns) put(c *conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.retired || len(p.idle) >= p.limits.IdleConnections && len(p.line) == 0 {
		return false
	}
	c.idle, c.idleSince = true, time.Now()
	p.idle = append(p.idle, c)
	p.wakeOne(nil)
	return true
}

func (p *conns) streamEnded(c *conn) {
	p.mu.Lock()
	retired := p.retired
	p.wakeOne(nil)
	p.mu.Unlock()
	if retired && c.client.InFlight() == 0 {
		c.client.Close()
	}
}

// released takes a closed connection out.
func (p *conns) released(c *conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	c.closed = true
	if !c.admitted {
		return // open1 counts it, if the dial did not fail
	}
	p.open--
	p.shared = remove(p.shared, c)
	if c.idle {
		c.idle = false
		p.idle = remove(p.idle, c)
	}
	p.wakeOne(nil)
}

func remove(list []*conn, c *conn) []*conn {
	for i, other := range list {
		if other == c {
			copy(list[i:], list[i+1:])
			list[len(list)-1] = nil
			return list[:len(list)-1]
		}
	}
	return list
}

// sweep closes connections that were not used for too long, and those that the
// backend has closed.
func (p *conns) sweep() {
	p.expire()
	p.prune()
}

func (p *conns) expire() {
	var expired []*conn
	p.mu.Lock()
	for len(p.idle) > 0 && time.Since(p.idle[0].idleSince) > p.expiry {
		p.idle[0].idle = false
		expired = append(expired, p.idle[0])
		p.idle[0] = nil
		p.idle = p.idle[1:]
	}
	p.mu.Unlock()
	for _, c := range expired {
		c.Close()
	}
}

// prune closes what is no longer good of idle. It gives the lock up between
// connections.
func (p *conns) prune() {
	for i := 0; ; {
		p.mu.Lock()
		if i >= len(p.idle) {
			p.mu.Unlock()
			return
		}
		c := p.idle[i]
		dead := !c.quiet()
		if dead {
			c.idle = false
			p.idle = remove(p.idle, c)
		}
		p.mu.Unlock()
		if dead {
			c.Close()
		} else {
			i++
		}
	}
}

// retire lets requests under way end, and closes each connection after its
// last. Those in line fail.
func (p *conns) retire() {
	p.mu.Lock()
	if !p.retired {
		close(p.gone)
	}
	p.retired = true
	idle := p.idle
	p.idle = nil
	for _, c := range idle {
		c.idle = false
	}
	shared := append([]*conn(nil), p.shared...)
	p.wakeAll(errPoolClosed)
	p.mu.Unlock()
	for _, c := range idle {
		c.Close()
	}
	for _, c := range shared {
		if c.client.InFlight() == 0 {
			c.client.Close()
		}
	}
}

// counts returns the open and the unused connections.
func (p *conns) counts() (open, idle int) {
	p.prune()
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.open, len(p.idle)
}
