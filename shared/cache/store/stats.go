package store

import (
	"errors"
	"sync/atomic"
)

// Stats is what a store has and what it did, since New.
type Stats struct {
	Entries   int64
	Bytes     int64 // that the entries count for, at most Capacity-Fill
	Filling   int64 // bytes of bodies that are filled, or that readers hold after they left
	Tags      int64 // different ones
	Hits      uint64
	Misses    uint64
	Puts      uint64 // entries that came in
	Evictions uint64 // entries that the policy dropped for others
	Purged    uint64 // entries that a purge removed
	Refusals  Refusals
}

// Refusals counts why entries were not stored.
type Refusals struct {
	TooLarge    uint64 // ErrTooLarge, ErrRelay: too long, or no room while it was filled
	Incomplete  uint64 // ErrUnfinished, or the body failed
	Tags        uint64 // ErrTags, ErrTagsFull
	Purged      uint64 // ErrPurged
	NotAdmitted uint64 // ErrNotAdmitted
	Dropped     uint64 // ErrDropped
	Other       uint64 // ErrNoKey, ErrClosed
}

// counts is what Stats is made from, where it isn't kept elsewhere.
type counts struct {
	entries, bytes           atomic.Int64
	puts, evictions, purged  atomic.Uint64
	tooLarge, incomplete     atomic.Uint64
	tags, outdated           atomic.Uint64
	notAdmitted, drops, rest atomic.Uint64
}

func (c *counts) added(e *Entry) {
	c.entries.Add(1)
	c.bytes.Add(e.cost)
	c.puts.Add(1)
}

func (c *counts) removed(e *Entry, why leaving) {
	c.entries.Add(-1)
	c.bytes.Add(-e.cost)
	switch why {
	case evicted:
		c.evictions.Add(1)
	case purged:
		c.purged.Add(1)
	case notAdmitted:
		c.puts.Add(^uint64(0)) // it was in only to be judged
	}
}

func (c *counts) refuse(err error) {
	switch {
	case errors.Is(err, ErrTooLarge), errors.Is(err, ErrRelay):
		c.tooLarge.Add(1)
	case errors.Is(err, ErrTags), errors.Is(err, ErrTagsFull):
		c.tags.Add(1)
	case errors.Is(err, ErrPurged):
		c.outdated.Add(1)
	case errors.Is(err, ErrNotAdmitted):
		c.notAdmitted.Add(1)
	case errors.Is(err, ErrDropped):
		c.drops.Add(1)
	case errors.Is(err, ErrNoKey), errors.Is(err, ErrClosed):
		c.rest.Add(1)
	default:
		c.incomplete.Add(1)
	}
}

// Stats returns the current numbers. They are not of one moment.
func (s *Store) Stats() Stats {
	c := &s.counts
	st := Stats{
		Entries: c.entries.Load(), Bytes: c.bytes.Load(), Filling: s.room.used.Load(),
		Tags: int64(s.index.count()),
		Puts: c.puts.Load(), Evictions: c.evictions.Load(), Purged: c.purged.Load(),
		Refusals: Refusals{
			TooLarge: c.tooLarge.Load(), Incomplete: c.incomplete.Load(), Tags: c.tags.Load(),
			Purged: c.outdated.Load(), NotAdmitted: c.notAdmitted.Load(), Dropped: c.drops.Load(),
			Other: c.rest.Load(),
		},
	}
	for i := range s.shards {
		st.Hits += s.shards[i].hits.Load()
		st.Misses += s.shards[i].misses.Load()
	}
	return st
}
