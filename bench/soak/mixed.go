package soak

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/ergoproxy/ergo/bench/peers"
)

// restSpare is how much longer than the idle timeouts a rest may take. It is more
// than the edge's idle timeout for clients, 75 s: net/http keeps what it has of
// an HTTP/2 connection that ended in the middle of a stream until that is over.
const restSpare = 90 * time.Second

// A MixedResult is what the tiers held in the course of a mixed load.
type MixedResult struct {
	Outcomes []Outcome    `json:"outcomes"`
	Skipped  int64        `json:"skipped"` // operations for which no place was free
	CPU      float64      `json:"cpu_cores"`
	Tiers    []TierCourse `json:"tiers"`
}

// A TierCourse is one tier's part.
type TierCourse struct {
	Tier    string   `json:"tier"`
	Before  Sample   `json:"before"` // at rest after the warm-up
	Samples []Sample `json:"samples"`
	After   Sample   `json:"after"` // at rest after the load
}

func (s *soak) runMixed(ctx context.Context) error {
	if s.Duration == 0 {
		return nil
	}
	if s.ProfileDir != "" {
		if err := os.MkdirAll(s.ProfileDir, 0o755); err != nil {
			return err
		}
	}
	err := s.with(ctx, peers.ErgoConfig{ForwardIdle: s.IdleTimeout}, func(e *peers.Ergo) error { return s.watchMixed(ctx, e) })
	if err != nil {
		return fmt.Errorf("mixed load: %w", err)
	}
	return nil
}

func (s *soak) watchMixed(ctx context.Context, e *peers.Ergo) error {
	tiers := newTiers(e)
	r := &MixedResult{}
	for _, t := range tiers {
		r.Tiers = append(r.Tiers, TierCourse{Tier: t.Name})
	}
	s.say("warming up for %s", s.Warmup)
	// What fails here fails later too, and is counted then.
	if err := (&mix{ergo: e, rate: s.Rate, book: newBook()}).run(ctx, s.Warmup); err != nil {
		return err
	}
	rested, err := s.rest(ctx, tiers, nil, "before")
	if err != nil {
		return err
	}
	for i := range tiers {
		r.Tiers[i].Before = rested[i]
	}
	if err := s.loadAndSample(ctx, e, tiers, r); err != nil {
		return err
	}
	after, err := s.rest(ctx, tiers, rested, "after")
	if err != nil {
		return err
	}
	for i := range tiers {
		r.Tiers[i].After = after[i]
	}
	s.report.Mixed = r
	return nil
}

// loadAndSample runs the load that counts.
func (s *soak) loadAndSample(ctx context.Context, e *peers.Ergo, tiers []*tier, r *MixedResult) error {
	began := time.Now()
	before, err := e.CPU()
	if err != nil {
		return err
	}
	loading, cancel := context.WithCancel(ctx)
	defer cancel()
	b := newBook()
	ended := make(chan error, 1)
	go func() { ended <- (&mix{ergo: e, rate: s.Rate, book: b}).run(loading, s.Duration) }()
	err = s.sampleUnderLoad(ctx, tiers, r, began)
	if err != nil {
		cancel()
	}
	if err := errors.Join(err, <-ended); err != nil {
		return err
	}
	after, err := e.CPU()
	if err != nil {
		return err
	}
	r.CPU = (after - before).Seconds() / time.Since(began).Seconds()
	r.Outcomes, r.Skipped = b.outcomes, b.skipped
	return nil
}

// sampleUnderLoad takes a sample in the middle of each twentieth part of the load.
func (s *soak) sampleUnderLoad(ctx context.Context, tiers []*tier, r *MixedResult, began time.Time) error {
	for n := range samples {
		at := s.Duration * time.Duration(2*n+1) / (2 * samples)
		if !pause(ctx, time.Until(began.Add(at))) {
			return context.Cause(ctx)
		}
		if time.Since(began) > s.Duration {
			return fmt.Errorf("sample %d of %d came after the end of the load: %w", n+1, samples, ErrBusy)
		}
		for i, t := range tiers {
			sample, err := t.sample(ctx)
			if err != nil {
				return err
			}
			sample.At = time.Since(began).Seconds()
			r.Tiers[i].Samples = append(r.Tiers[i].Samples, sample)
		}
		s.say("%d/%d  %s", n+1, samples, at.Round(time.Second))
	}
	return nil
}

// rest waits until the tiers hold nothing more for requests, and not more than
// in before, and returns a sample of each. It does not wait for ever: what is
// still held then is in the samples.
func (s *soak) rest(ctx context.Context, tiers []*tier, before []Sample, phase string) ([]Sample, error) {
	began := time.Now()
	s.say("waiting until the tiers are at rest")
	// Before has nothing to be compared with: all that can time out shall do so.
	if !pause(ctx, s.IdleTimeout+2*time.Second) {
		return nil, context.Cause(ctx)
	}
	waiting, cancel := context.WithDeadline(ctx, began.Add(s.IdleTimeout+restSpare))
	defer cancel()
	_, err := until(waiting, func() (bool, error) { return atRest(waiting, tiers, before) })
	if err != nil && waiting.Err() == nil {
		return nil, err
	}
	return s.sampleAll(ctx, tiers, phase)
}

// atRest reports whether nothing is left over. It collects garbage only if all
// else is right.
func atRest(ctx context.Context, tiers []*tier, before []Sample) (bool, error) {
	for i, t := range tiers {
		now, err := t.look(ctx)
		if err != nil {
			return false, err
		}
		now.Heap = 0 // garbage is in it
		var was *Sample
		if before != nil {
			was = &before[i]
		}
		if len(leftover(t.Name, was, now)) > 0 {
			return false, nil
		}
		if was == nil {
			continue
		}
		if now, err = t.sample(ctx); err != nil {
			return false, err
		}
		if len(leftover(t.Name, was, now)) > 0 {
			return false, nil
		}
	}
	return true, nil
}

func (s *soak) sampleAll(ctx context.Context, tiers []*tier, phase string) ([]Sample, error) {
	var all []Sample
	for _, t := range tiers {
		sample, err := t.sample(ctx)
		if err != nil {
			return nil, err
		}
		all = append(all, sample)
		if s.ProfileDir != "" {
			if err := t.keepProfiles(ctx, filepath.Join(s.ProfileDir, phase)); err != nil {
				return nil, err
			}
		}
	}
	return all, nil
}
