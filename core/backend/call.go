package backend

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/ergoproxy/ergo/core/backend/h1"
	"github.com/ergoproxy/ergo/shared/exchange"
	"github.com/ergoproxy/ergo/shared/health"
	"github.com/ergoproxy/ergo/shared/proxystatus"
	"github.com/ergoproxy/ergo/shared/retry"
)

var (
	errAllDown   = errors.New("every backend is down")
	errNeedsH1   = errors.New("an upgrade needs HTTP/1.1, and the backend is set to HTTP/2 only")
	errNoConnect = errors.New("CONNECT is not supported")
)

// A call is one request through all of its tries.
type call struct {
	pool     *Pool
	in       *http.Request
	exchange *exchange.Exchange
	ctx      context.Context
	cancel   context.CancelFunc // nil unless timeouts.request is set
	body     *retry.Body        // nil without a body
	upgrade  bool
	began1xx bool // an informational response was passed on
	tries    int
	tried    []*endpoint
	first    [3]*endpoint // memory of tried
}

func (c *call) run() (*http.Response, error) {
	c.ctx = c.in.Context()
	if limit := c.pool.cfg.Timeouts.Request.Std(); limit > 0 {
		c.ctx, c.cancel = context.WithTimeout(c.ctx, limit)
	}
	if c.in.ContentLength != 0 {
		c.body = retry.NewBody(c.in.Body, int(c.pool.cfg.Retries.BodyLimit))
	} else if c.in.Body != nil {
		c.in.Body.Close()
	}
	c.upgrade = len(c.in.Header["Upgrade"]) > 0
	c.tried = c.first[:0]
	for {
		resp, err := c.try()
		if err == nil {
			return resp, nil
		}
		if verdict := retry.Allowed(c.ctx, c.failed(err), c.pool.budget); verdict != retry.Again {
			c.end()
			c.body.Close()
			return nil, err
		}
		c.pool.retries.Add(1)
	}
}

func (c *call) failed(err error) retry.Failed {
	var invalid *h1.RequestError // would be that everywhere
	return retry.Failed{
		Method:     c.in.Method,
		Stage:      retry.StageOf(err),
		Replayable: c.body.Replayable() && !errors.As(err, &invalid),
		Begun:      c.began1xx,
		Tries:      c.tries,
		MaxTries:   c.pool.cfg.Retries.Tries,
	}
}

// try sends the request to one backend.
func (c *call) try() (*http.Response, error) {
	c.tries++
	report := &c.exchange.Report
	report.Attempts++
	if c.in.Method == http.MethodConnect {
		return nil, c.final(proxystatus.HTTPRequestError, errNoConnect)
	}
	e, permit, err := c.pool.pick(c.tried)
	if err != nil {
		return nil, err
	}
	c.tried = append(c.tried, e)
	report.Backend = e.target.addr
	if c.upgrade && c.pool.dialer.onlyH2(e.target) {
		permit.Cancel()
		return nil, c.final(proxystatus.HTTPUpgradeFailed, errNeedsH1)
	}
	e.requests.Add(1)
	e.inFlight.Add(1)
	resp, err := c.send(e, permit)
	if err != nil {
		e.inFlight.Add(-1)
		e.failures.Add(1)
		return nil, err
	}
	permit.Success()
	report.FirstByte = time.Since(c.exchange.Start)
	return resp, nil
}

// final is an error that no other backend would mend.
func (c *call) final(t proxystatus.Type, cause error) error {
	return failure(retry.Unknown, t, "send request to pool "+c.pool.name, cause)
}

// send gets a connection and makes the attempt on it.
func (c *call) send(e *endpoint, permit health.Permit) (*http.Response, error) {
	g, err := e.conns.get(c.ctx, c.upgrade)
	report := &c.exchange.Report
	report.Queue += g.queued
	if g.connect > 0 {
		report.Connect = g.connect
	}
	if err != nil {
		err = waitError(c.ctx, e.target.addr, err)
		mark(permit, err)
		return nil, err
	}
	a := &attempt{call: c, endpoint: e, conn: g.conn, permit: permit, body: c.body}
	report.ConnReused = g.conn.used.Swap(true)
	resp, err := a.roundTrip()
	switch {
	case err == nil:
	case retry.StageOf(err).NotBegun():
		// A backend may close an unused connection and refuse a stream without
		// being ill.
		permit.Cancel()
	default:
		mark(permit, err)
	}
	return resp, err
}

// end frees what the call holds, once.
func (c *call) end() {
	if c.cancel != nil {
		c.cancel()
	}
	c.pool.ended()
}

// mark tells health of a failed try. What the client or we did wrong says
// nothing about the backend.
func mark(permit health.Permit, err error) {
	switch proxystatus.From(hop, err).Type {
	case proxystatus.HTTPRequestError, proxystatus.HTTPRequestDenied, proxystatus.ProxyInternalError,
		proxystatus.ConnectionLimitReached:
		permit.Cancel()
	default:
		permit.Failure()
	}
}
