package l2

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
)

// errSlow is why the breaker opened when answers came late.
var errSlow = errors.New("no answer within the budget")

// A lookup is a Get on its way to Redis and back.
type lookup struct {
	names []string
	left  atomic.Bool // the caller does not wait any more
	done  chan answer // of 1: who answers never waits
}

// answer is what Redis said to a lookup.
type answer struct {
	sealed []byte // empty: there is no value; the bytes may not be changed
	log    uint64
	err    error

	wrongType bool // err is about what is at the key, and not about the server
}

// Get returns the value of key, if the Outcome is Hit. It takes no longer than
// Config.Budget, or until ctx ends. It does not retain key.
func (s *Store) Get(ctx context.Context, key []byte) (Value, Outcome) {
	v, outcome := s.get(ctx, key)
	s.stats.gets[outcome].Add(1)
	return v, outcome
}

func (s *Store) get(ctx context.Context, key []byte) (Value, Outcome) {
	if !s.breaker.closed() {
		return Value{}, Down
	}
	l := &lookup{names: s.names(key), done: make(chan answer, 1)}
	select {
	case s.lookups <- l:
	default:
		return Value{}, Busy
	}
	budget := time.NewTimer(s.cfg.Budget.Std())
	defer budget.Stop()
	select {
	case a := <-l.done:
		return s.take(a, key)
	case <-budget.C:
		l.left.Store(true)
		s.failed(fmt.Errorf("%w of %v", errSlow, s.cfg.Budget))
		return Value{}, Slow
	case <-ctx.Done():
		l.left.Store(true)
		return Value{}, Canceled
	case <-s.stopped:
		return Value{}, Down
	}
}

// take makes a value of an answer.
func (s *Store) take(a answer, key []byte) (Value, Outcome) {
	if a.err != nil && !a.wrongType {
		s.failed(a.err)
		return Value{}, Failed
	}
	s.breaker.succeeded()
	switch {
	case a.wrongType:
		return Value{}, Damaged
	case len(a.sealed) == 0:
		return Value{Log: a.log}, Miss
	case int64(len(a.sealed)) > s.maxSealed:
		return Value{}, TooLarge
	}
	s.stats.ReadBytes.Add(uint64(len(a.sealed)))
	plaintext, err := s.deps.Sealer.Open(make([]byte, 0, len(a.sealed)), a.sealed, valueContext(key))
	switch {
	case errors.Is(err, s.deps.UnknownKey):
		return Value{}, UnknownKey
	case err != nil:
		return Value{}, Damaged
	}
	v, err := s.codec.decode(plaintext, key)
	if err != nil {
		return Value{}, Damaged
	}
	if !v.Expires.After(s.deps.Now()) {
		return Value{Log: a.log}, Miss // somebody has put it back, or clocks differ
	}
	v.Log = a.log
	return v, Hit
}

// read sends the lookups that wait, in one round trip at a time, until ctx ends.
func (s *Store) read(ctx context.Context) {
	batch := make([]*lookup, 0, s.cfg.Batch)
	for {
		select {
		case l := <-s.lookups:
			batch = append(batch[:0], l)
		case <-ctx.Done():
			return
		}
		for more := true; more && len(batch) < cap(batch); {
			select {
			case l := <-s.lookups:
				batch = append(batch, l)
			default:
				more = false
			}
		}
		s.fetch(ctx, batch)
		clear(batch) // of those who have left, or hold large values
	}
}

// fetch answers the lookups of batch.
//
// Values are read with GETRANGE, which ends where a value would be too large, so
// that the memory for an answer is bounded whatever is there. The epoch of the log
// is read last: the server does commands in the order in which they come.
func (s *Store) fetch(ctx context.Context, batch []*lookup) {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.Timeout.Std())
	defer cancel()
	pipe := s.client.Pipeline()
	ranges := make([]*redis.StringCmd, 0, len(batch))
	live := batch[:0]
	for _, l := range batch {
		if l.left.Load() {
			continue
		}
		live = append(live, l)
		for _, name := range l.names {
			ranges = append(ranges, pipe.GetRange(ctx, name, 0, s.maxSealed))
		}
	}
	if len(live) == 0 {
		return
	}
	s.stats.Batches.Add(1)
	epoch := pipe.Get(ctx, s.epochKey)
	_, _ = pipe.Exec(ctx) // every command has its own error
	log, err := parseEpoch(epoch)
	for _, l := range live {
		a := answer{log: log, err: err}
		if err == nil {
			a.sealed, a.err = firstFound(ranges[:len(l.names)])
			a.wrongType = redis.HasErrorPrefix(a.err, "WRONGTYPE")
		}
		ranges = ranges[len(l.names):]
		l.done <- a
	}
}

// firstFound returns the first answer that is not empty, and an error only if
// there is none.
func firstFound(ranges []*redis.StringCmd) ([]byte, error) {
	var failed error
	for _, r := range ranges {
		b, err := r.Bytes()
		if err == nil && len(b) > 0 {
			return b, nil
		}
		if err != nil {
			failed = err
		}
	}
	return nil, failed
}

// parseEpoch returns the epoch of the log, 0 if there is no log.
func parseEpoch(cmd *redis.StringCmd) (uint64, error) {
	epoch, err := cmd.Uint64()
	if errors.Is(err, redis.Nil) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("read the epoch of the purge log: %w", err)
	}
	return epoch, nil
}
