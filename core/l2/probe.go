package l2

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// probe asks Redis while the breaker is open, and tells Deps.Changed, until ctx
// ends.
func (s *Store) probe(ctx context.Context) {
	told, up := false, false
	tell := func(now bool, cause error) {
		if s.deps.Changed != nil && (!told || up != now) {
			s.deps.Changed(now, cause)
		}
		told, up = true, now
	}
	for {
		wait, open := s.breaker.due(s.deps.Now())
		if !open {
			select {
			case <-s.tripped: // by now, or by an opening that is over
			case <-ctx.Done():
				return
			}
			continue
		}
		if up {
			tell(false, s.breaker.lastCause())
		}
		if !pause(ctx, wait) {
			return
		}
		err := s.ask(ctx)
		if ctx.Err() != nil {
			return
		}
		tell(err == nil, err)
		s.breaker.probed(err, s.deps.Now())
	}
}

// ask reports why Redis can't be used, nil if it can. First it sets up what the
// readers will use, for as long as that takes; then an answer has to come within
// the budget.
func (s *Store) ask(ctx context.Context) error {
	errs := make([]error, s.cfg.Connections+1)
	var wg sync.WaitGroup
	for i := range errs {
		wg.Go(func() { errs[i] = s.ping(ctx) })
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	start := s.deps.Now()
	if err := s.ping(ctx); err != nil {
		return err
	}
	if took := s.deps.Now().Sub(start); took > s.cfg.Budget.Std() {
		return fmt.Errorf("%w of %v: it took %v", errSlow, s.cfg.Budget, took)
	}
	return nil
}

// ping reads a key that every Get reads: a PING would need other rights.
func (s *Store) ping(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.Timeout.Std())
	defer cancel()
	_, err := parseEpoch(s.client.Get(ctx, s.epochKey))
	if cause := context.Cause(ctx); err != nil && errors.Is(cause, context.DeadlineExceeded) {
		return fmt.Errorf("no answer within %v: %w", s.cfg.Timeout, err)
	}
	return err
}

// pause waits, and reports whether ctx goes on.
func pause(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
