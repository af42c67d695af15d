package load

import (
	"context"
	"sync"
	"time"
)

// RunClosed runs a closed loop. It returns an error only if its arguments make
// no sense or ctx ends first; failed exchanges are in the Result. A worker whose
// exchange failed waits 10 ms before the next one.
func RunClosed(ctx context.Context, t Target, c Closed) (*Result, error) {
	if err := t.prepare(); err != nil {
		return nil, err
	}
	if err := c.prepare(t.Protocol); err != nil {
		return nil, err
	}
	sessions, closeAll := open(ctx, &t, c.Connections, c.Streams)
	defer closeAll()
	shards := newShards(len(sessions), c.Each)
	begin := time.Now().Add(c.Warmup)
	end := begin.Add(c.Duration)
	var workers sync.WaitGroup
	for i, s := range sessions {
		workers.Go(func() {
			closedLoop(ctx, &t, s, shards[i%len(shards)], begin, end)
		})
	}
	return finish(ctx, &c, &workers, shards, begin)
}

func closedLoop(ctx context.Context, t *Target, s session, book *shard, begin, end time.Time) {
	sent := time.Now()
	for sent.Before(end) && ctx.Err() == nil {
		o := s.do()
		done := time.Now()
		if !sent.Before(begin) {
			book.record(t, o, sent, sent, done)
		}
		sent = done
		if o.failure != "" {
			if !pause(ctx) {
				return
			}
			sent = time.Now()
		}
	}
}

// finish waits for the workers and calls the hooks around the window.
func finish(ctx context.Context, c *Closed, workers *sync.WaitGroup, shards []*shard, begin time.Time) (*Result, error) {
	defer workers.Wait()
	if c.Begin != nil {
		timer := time.NewTimer(time.Until(begin))
		defer timer.Stop()
		select {
		case <-timer.C:
			c.Begin()
		case <-ctx.Done():
		}
	}
	workers.Wait()
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if c.End != nil {
		c.End()
	}
	return sum(shards, begin), nil
}

// RunOpen runs an open loop. Errors are those of RunClosed.
func RunOpen(ctx context.Context, t Target, o Open) (*Result, error) {
	if err := t.prepare(); err != nil {
		return nil, err
	}
	if err := o.prepare(t.Protocol); err != nil {
		return nil, err
	}
	return runOpen(ctx, &t, &o, sleepUntil)
}

// runOpen is RunOpen with the clock's sleep passed in, since tests run on a
// clock that a system call does not wait for.
func runOpen(ctx context.Context, t *Target, o *Open, sleep func(context.Context, time.Time)) (*Result, error) {
	sessions, closeAll := open(ctx, t, o.Connections, o.Streams)
	defer closeAll()
	shards := newShards(len(sessions), o.Each)
	start := time.Now()
	begin := start.Add(o.Warmup)
	end := begin.Add(o.Duration)
	line := newLineup(len(sessions), o.Queue)
	var overflow int64
	var workers sync.WaitGroup
	workers.Go(func() {
		defer line.close()
		overflow = pace(ctx, line, o.Rate, start, begin, end, sleep)
	})
	for i, s := range sessions {
		workers.Go(func() {
			openLoop(ctx, t, s, shards[i%len(shards)], begin, line.workers[i])
		})
	}
	r, err := finish(ctx, &o.Closed, &workers, shards, begin)
	if err != nil {
		return nil, err
	}
	r.Overflow = overflow
	return r, nil
}

// pace lines up the moments at which requests are due, each when it has come, and
// returns how many of the window found no place.
func pace(ctx context.Context, line *lineup, rate float64, start, begin, end time.Time, sleep func(context.Context, time.Time)) int64 {
	var overflow int64
	for i := 0; ctx.Err() == nil; i++ {
		due := start.Add(time.Duration(float64(i) / rate * float64(time.Second)))
		if !due.Before(end) {
			break
		}
		if time.Now().Before(due) {
			sleep(ctx, due)
		}
		if !line.offer(due) && !due.Before(begin) {
			overflow++
		}
	}
	return overflow
}

// openLoop sends what is due until the line is closed and empty. It does not
// pause after a failure: the rate is given.
func openLoop(ctx context.Context, t *Target, s session, book *shard, begin time.Time, w *worker) {
	for due, ok := w.first(); ok; due, ok = w.next() {
		if ctx.Err() != nil {
			continue
		}
		sent := time.Now()
		o := s.do()
		if !due.Before(begin) {
			book.record(t, o, due, sent, time.Now())
		}
	}
}
