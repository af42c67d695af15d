package l2

import (
	"context"
	"errors"
	"time"

	"github.com/redis/go-redis/v9"
)

const (
	// maxBatchBytes ends a batch of writes.
	maxBatchBytes = 4 << 20

	// writeOverhead is what a write in the queue takes besides its value, in bytes.
	writeOverhead = 128
)

// A write is a Put, or the Delete of one key, on its way to Redis.
type write struct {
	key   []byte
	value *Value // nil: delete
	size  int64  // of memory
}

// Put stores a value under key, soon. It never waits, and reports false if the value
// will not be stored: it is too large, has expired, or the queue is full, or the
// server is not used now. Neither key nor v's parts may be changed after.
//
// That it will be stored is not certain either. What Redis then says is in Stats.
func (s *Store) Put(key []byte, v Value) bool {
	size := s.codec.size(key, &v)
	switch {
	case size > s.codec.maxValue:
		s.stats.Oversized.Add(1)
		return false
	case !v.Expires.After(s.deps.Now()):
		s.stats.Expired.Add(1)
		return false
	}
	if !s.enqueue(write{key: key, value: &v, size: int64(size)}) {
		return false
	}
	s.stats.Puts.Add(1)
	return true
}

// Delete removes the values of keys, soon, and after what was Put before. It never
// waits, and reports how many of them, from the first, will be removed: the queue
// had no room for the rest. It frees memory; what a purge means is up to the purge
// log. The keys may not be changed after.
func (s *Store) Delete(keys ...[]byte) int {
	for i, key := range keys {
		if !s.enqueue(write{key: key, size: int64(len(key))}) {
			return i
		}
		s.stats.Deletes.Add(1)
	}
	return len(keys)
}

// enqueue reports whether the queue had room for w.
func (s *Store) enqueue(w write) bool {
	if !s.breaker.closed() {
		s.stats.Dropped.Add(1)
		return false
	}
	w.size += writeOverhead
	// Counted before it is compared: two callers cannot both take the last place.
	if s.stats.QueueBytes.Add(w.size) > int64(s.cfg.Queue.Bytes)+writeOverhead {
		s.stats.QueueBytes.Add(-w.size)
		s.stats.Dropped.Add(1)
		return false
	}
	s.stats.QueueEntries.Add(1)
	select {
	case s.writes <- w:
		return true
	default:
		s.dequeued(w)
		s.stats.Dropped.Add(1)
		return false
	}
}

// dequeued notes that w is not in the queue any more.
func (s *Store) dequeued(w write) {
	s.stats.QueueEntries.Add(-1)
	s.stats.QueueBytes.Add(-w.size)
}

// write sends what is in the queue until ctx ends. It is one goroutine: the writes
// of a key reach Redis in the order in which they were made.
func (s *Store) write(ctx context.Context) {
	batch := make([]write, 0, s.cfg.Batch)
	for {
		batch = s.collect(ctx, batch[:0])
		if ctx.Err() != nil {
			return
		}
		if s.breaker.closed() {
			s.send(ctx, batch)
		} else {
			s.stats.Dropped.Add(uint64(len(batch)))
		}
		clear(batch)
	}
}

// collect waits for a write, and then for others until the batch is full, as large
// as it may be, or its first write has waited for Config.BatchDelay. It returns
// early when ctx ends.
func (s *Store) collect(ctx context.Context, batch []write) []write {
	var size int64
	add := func(w write) {
		s.dequeued(w)
		batch = append(batch, w)
		size += w.size
	}
	select {
	case w := <-s.writes:
		add(w)
	case <-ctx.Done():
		return batch
	}
	delay := time.NewTimer(s.cfg.BatchDelay.Std())
	defer delay.Stop()
	for len(batch) < cap(batch) && size < maxBatchBytes {
		select { // what is there is taken, however late it is
		case w := <-s.writes:
			add(w)
			continue
		default:
		}
		select {
		case w := <-s.writes:
			add(w)
		case <-delay.C:
			return batch
		case <-ctx.Done():
			return batch
		}
	}
	return batch
}

// send writes a batch in one round trip.
func (s *Store) send(ctx context.Context, batch []write) {
	pipe := s.client.Pipeline()
	sizes := make([]int, 0, len(batch)) // of sealed values; 0 for a delete
	var plaintext []byte
	for _, w := range batch {
		names := s.names(w.key)
		if w.value == nil {
			pipe.Unlink(ctx, names...)
			sizes = append(sizes, 0)
			continue
		}
		left := w.value.Expires.Sub(s.deps.Now()).Truncate(time.Millisecond)
		if left <= 0 {
			s.stats.Expired.Add(1)
			continue
		}
		plaintext = s.codec.encode(plaintext[:0], w.key, w.value)
		sealed := s.deps.Sealer.Seal(nil, plaintext, valueContext(w.key))
		pipe.Do(ctx, "SET", names[0], sealed, "PX", left.Milliseconds())
		sizes = append(sizes, len(sealed))
	}
	if len(sizes) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, s.cfg.Timeout.Std())
	defer cancel()
	cmds, err := pipe.Exec(ctx)
	s.confirm(cmds, sizes)
	if err != nil && !isReply(err) {
		s.failed(err)
	}
}

// confirm counts what became of writes.
func (s *Store) confirm(cmds []redis.Cmder, sizes []int) {
	for i, cmd := range cmds {
		switch err := cmd.Err(); {
		case err == nil:
			s.stats.Written.Add(1)
			s.stats.WrittenBytes.Add(uint64(sizes[i]))
		case isReply(err):
			s.stats.Refused.Add(1)
			s.lastRefusal.Store(&err)
		default:
			s.stats.Unsent.Add(1)
		}
	}
}

// isReply reports whether err is an answer of Redis, which then is there and, as
// with no memory left, may still be good for Gets.
func isReply(err error) bool {
	_, ok := errors.AsType[redis.Error](err)
	return ok
}
