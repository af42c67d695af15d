package soak

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/ergoproxy/ergo/bench/load"
	"github.com/ergoproxy/ergo/bench/peers"
)

const (
	// openers is how many connections are made at the same time.
	openers = 32
	// heldOpen is the edge's idle timeout while connections are counted.
	heldOpen = 30 * time.Minute
	// closeTimeout is how long the edge may take to notice that all have closed.
	closeTimeout = time.Minute
	// poll is how often a tier is asked whether it is quiet.
	poll = 500 * time.Millisecond
)

// An IdleResult is what connections of one protocol cost one edge.
type IdleResult struct {
	Protocol    load.Protocol `json:"protocol"`
	Connections int           `json:"connections"`
	OpenSeconds float64       `json:"open_s"` // how long it took to make them
	Before      Sample        `json:"before"`
	Open        Sample        `json:"open"`
	Closed      Sample        `json:"closed"`
	ClosedAgain Sample        `json:"closed_again"` // after as many were opened a second time

	// Of one connection.
	RSS        float64 `json:"rss_per_connection"`
	Heap       float64 `json:"heap_per_connection"`
	Stack      float64 `json:"stack_per_connection"`
	Goroutines float64 `json:"goroutines_per_connection"`
}

// costs fills in what one connection costs.
func (r *IdleResult) costs() {
	one := func(before, open int64) float64 { return float64(open-before) / float64(r.Connections) }
	r.RSS = one(r.Before.RSS, r.Open.RSS)
	r.Heap = one(r.Before.Heap, r.Open.Heap)
	r.Stack = one(r.Before.Stack, r.Open.Stack)
	r.Goroutines = one(r.Before.Goroutines, r.Open.Goroutines)
}

func (s *soak) runIdle(ctx context.Context) error {
	if s.Idle == 0 {
		return nil
	}
	for _, protocol := range s.IdleProtocols {
		err := s.with(ctx, peers.ErgoConfig{ClientIdle: heldOpen}, func(e *peers.Ergo) error {
			return s.countIdle(ctx, e, protocol)
		})
		if err != nil {
			return fmt.Errorf("idle connections over %s: %w", protocol, err)
		}
	}
	return nil
}

// countIdle measures connections of one protocol at a new edge.
func (s *soak) countIdle(ctx context.Context, e *peers.Ergo, protocol load.Protocol) error {
	r := IdleResult{Protocol: protocol, Connections: s.Idle}
	if protocol == load.H3 {
		r.Connections = min(s.Idle, maxIdleH3)
	}
	edge := newTiers(e)[0]
	to, err := newEntrance(e, protocol)
	if err != nil {
		return err
	}
	// As many at once as later, so that lanes and pools are there before.
	if err := hold(ctx, to, 2*openers, func() error { return nil }); err != nil {
		return err
	}
	if r.Before, err = edge.without(ctx); err != nil {
		return err
	}
	s.say("opening %d connections over %s", r.Connections, protocol)
	began := time.Now()
	err = hold(ctx, to, r.Connections, func() (err error) {
		r.OpenSeconds = time.Since(began).Seconds()
		if r.Open, err = edge.sample(ctx); err == nil && r.Open.Connections != int64(r.Connections) {
			err = fmt.Errorf("the edge counts %d connections, want %d", r.Open.Connections, r.Connections)
		}
		return err
	})
	if err != nil {
		return err
	}
	if r.Closed, err = edge.without(ctx); err != nil {
		return err
	}
	if err := hold(ctx, to, r.Connections, func() error { return nil }); err != nil {
		return err
	}
	if r.ClosedAgain, err = edge.without(ctx); err != nil {
		return err
	}
	r.costs()
	s.report.Idle = append(s.report.Idle, r)
	return nil
}

// without waits until the edge has no client and returns a sample.
func (t *tier) without(ctx context.Context) (Sample, error) {
	ctx, cancel := context.WithTimeout(ctx, closeTimeout)
	defer cancel()
	_, err := until(ctx, func() (bool, error) {
		s, err := t.look(ctx)
		return s.Connections == 0 && s.InFlight == 0, err
	})
	if err != nil {
		return Sample{}, fmt.Errorf("wait for closed connections: %w", err)
	}
	return t.sample(ctx)
}

// until asks again and again, and reports whether the answer was yes. It gives
// up when ctx ends.
func until(ctx context.Context, yes func() (bool, error)) (bool, error) {
	tick := time.NewTicker(poll)
	defer tick.Stop()
	for {
		if ok, err := yes(); ok || err != nil {
			return ok, err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return false, context.Cause(ctx)
		}
	}
}

// hold opens n connections, calls work while they are idle, and closes them. It
// returns an error if one of them did not last.
func hold(ctx context.Context, to entrance, n int, work func() error) (err error) {
	dialer, err := newDialer(to, n)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, dialer.close()) }()
	group, opening := errgroup.WithContext(ctx)
	group.SetLimit(openers)
	for i := range n {
		group.Go(func() error {
			if opening.Err() != nil {
				return nil // another has failed
			}
			return dialer.open(ctx, i)
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	if err := work(); err != nil {
		return err
	}
	return dialer.check()
}
