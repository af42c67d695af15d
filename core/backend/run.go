package backend

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"time"

	"golang.org/x/sync/errgroup"
)

// Run probes the backends, looks their names up and closes unused connections,
// until ctx is done. Then it returns nil; requests under way go on. It is called
// once.
func (p *Pool) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { p.sweep(ctx); return nil })
	if p.cfg.DNS != nil {
		g.Go(func() error { p.lookUp(ctx); return nil })
	}
	if p.cfg.Health.Active.Path != "" {
		p.mu.Lock()
		p.added = func(e *endpoint) {
			g.Go(func() error { p.probe(ctx, e); return nil })
		}
		for _, e := range *p.endpoints.Load() {
			p.added(e)
		}
		p.mu.Unlock()
	}
	err := g.Wait()
	p.mu.Lock()
	p.added = nil
	p.mu.Unlock()
	return err
}

// maxSweep is how long a connection that the backend has closed may stay unseen.
const maxSweep = 5 * time.Second

// sweep closes connections that stay unused or were closed.
func (p *Pool) sweep(ctx context.Context) {
	ticker := time.NewTicker(min(max(p.cfg.Timeouts.IdleConnection.Std()/4, 10*time.Millisecond), maxSweep))
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			for _, e := range *p.endpoints.Load() {
				e.conns.sweep()
			}
		}
	}
}

// probe asks e how it is until ctx is done or e was drained.
func (p *Pool) probe(ctx context.Context, e *endpoint) {
	interval := p.cfg.Health.Active.Interval.Std()
	for {
		err := p.probeOnce(ctx, e)
		if ctx.Err() != nil {
			return
		}
		e.health.Probed(err == nil)
		if err != nil {
			p.log.Debug().Str("backend", e.target.addr).Err(err).Msg("backend probe failed")
		}
		// A little less at random: many cores should not probe in step.
		timer := time.NewTimer(interval - time.Duration(rand.Float64()*float64(interval)/10))
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-e.conns.gone:
			timer.Stop()
			return
		case <-timer.C:
		}
	}
}

var errStatus = errors.New("probe got another status than expected")

// maxProbeBody is how many bytes of a probe's answer are read.
const maxProbeBody = 64 << 10

// probeOnce sends one probe over a connection of its own: a backend that takes
// no connections is down, however well the old ones work.
func (p *Pool) probeOnce(ctx context.Context, e *endpoint) error {
	active := &p.cfg.Health.Active
	ctx, cancel := context.WithTimeout(ctx, active.Timeout.Std())
	defer cancel()
	apart := newConns(p.cfg.Limits, 0) // probes take no place of a request
	c, err := p.dialer.dial(ctx, e.target, apart, false)
	if err != nil {
		return err
	}
	defer c.shut()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, e.scheme()+"://"+e.target.addr+active.Path, nil)
	if err != nil {
		return err
	}
	req.Header.Set("User-Agent", "ergo-probe")
	req.Host = active.Host
	if req.Host == "" {
		req.Host = e.config.Host
	}
	resp, err := c.roundTrip(ctx, req, nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if !active.Expect.Contains(resp.StatusCode) {
		return errStatus
	}
	_, err = io.Copy(io.Discard, io.LimitReader(resp.Body, maxProbeBody))
	return err
}
