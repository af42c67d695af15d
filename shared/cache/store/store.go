package store

import (
	"errors"
	"hash/maphash"
	"iter"
	"math/bits"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/dgraph-io/ristretto/v2"
)

// shards is how many locks the entries are spread over.
const shards = 512

// A Store keeps entries up to a number of bytes. All methods are safe for
// concurrent use.
type Store struct {
	config Config
	seed   maphash.Seed
	policy *ristretto.Cache[uint64, *Entry]
	index  *index
	purges *purges
	room   room
	sweeps chan struct{} // one for each purge under way
	passMu sync.Mutex    // one pass over all entries at a time

	shards [shards]shard
	closed atomic.Bool
	counts counts
}

// A shard is a part of the entries. Its two locks are taken in the order put,
// mu; nothing waits for the policy with mu held, since the policy calls leave.
type shard struct {
	// put serialises what changes the entries of this shard in the policy, so that
	// the policy sees them in the order in which the shard does.
	put sync.Mutex

	// mu guards entries: by hash of the key, all with the same key, newest first.
	// The slices are never changed.
	mu      sync.RWMutex
	entries map[uint64][]*Entry

	hits, misses atomic.Uint64
	_            [8]byte // to the next line of the processor's cache
}

// New returns a store. Close ends the two goroutines of the policy that it
// starts.
func New(c Config) (*Store, error) {
	c, err := c.withDefaults()
	if err != nil {
		return nil, err
	}
	s := &Store{
		config: c,
		seed:   maphash.MakeSeed(),
		index:  newIndex(c.DistinctTags),
		purges: newPurges(c.Purges),
		room:   room{limit: c.Fill},
		sweeps: make(chan struct{}, maxSweeps),
	}
	for i := range s.shards {
		s.shards[i].entries = map[uint64][]*Entry{}
	}
	if s.policy, err = newPolicy(c, s); err != nil {
		return nil, err
	}
	return s, nil
}

// Close empties the store and waits for its goroutines. Afterwards a Get finds
// nothing and a Put is refused. Bodies live on for those who have them.
func (s *Store) Close() error {
	if s.closed.Swap(true) {
		return nil
	}
	// Whoever saw the store open is inside one of these locks, for no longer than
	// a call of the policy. Closing the policy under such a call would be a race.
	for i := range s.shards {
		s.shards[i].empty(s)
	}
	s.policy.Close()
	return nil
}

func (sh *shard) empty(s *Store) {
	sh.put.Lock()
	defer sh.put.Unlock()
	sh.mu.Lock()
	defer sh.mu.Unlock()
	for _, entries := range sh.entries {
		for _, e := range entries {
			s.leaveLocked(sh, e, deleted)
			e.body.disown()
		}
	}
}

func (s *Store) shard(keyHash uint64) *shard { return &s.shards[keyHash%shards] }

func (s *Store) hashes(key, variant string) (keyHash, hash uint64) {
	keyHash = maphash.String(s.seed, key)
	if variant == "" {
		return keyHash, keyHash
	}
	return keyHash, bits.RotateLeft64(keyHash, 31) ^ maphash.String(s.seed, variant)
}

// Get returns what is stored under a key, newest first; the slice is not to be
// changed. An entry of it counts as used when Hit is called with it. What a
// purge applied to that had returned before Get was called is not among it.
func (s *Store) Get(key string) []*Entry {
	keyHash := maphash.String(s.seed, key)
	sh := s.shard(keyHash)
	sh.mu.RLock()
	entries := sh.entries[keyHash]
	sh.mu.RUnlock()
	if len(entries) == 0 || entries[0].key != key {
		return nil
	}
	if open := s.purges.open.Load(); open != nil {
		return unpurged(entries, *open)
	}
	return entries
}

// unpurged returns the entries without those that an open purge removes. It
// marks those that one makes stale.
func unpurged(entries []*Entry, open []*purge) []*Entry {
	var kept []*Entry // nil as long as it would be the same as entries
	for i, e := range entries {
		if apply(e, open) {
			if kept == nil {
				kept = append(make([]*Entry, 0, len(entries)), entries[:i]...)
			}
			continue
		}
		if kept != nil {
			kept = append(kept, e)
		}
	}
	if kept != nil {
		return kept
	}
	return entries
}

// apply holds e against the purges, marks it if one of them is soft and reports
// whether one removes it.
func apply(e *Entry, open []*purge) (removed bool) {
	for _, p := range open {
		switch {
		case !p.appliesTo(e):
		case p.Soft.IsZero():
			return true
		case e.markStale(p.Soft):
			p.matched.Add(1)
		}
	}
	return false
}

// Hit says that an entry that Get returned is used. The policy learns from it
// what is worth keeping.
func (s *Store) Hit(e *Entry) {
	sh := s.shard(e.keyHash)
	sh.hits.Add(1)
	s.touch(sh, e.hash)
}

// Miss says that nothing of what Get returned for a key could be used.
func (s *Store) Miss(key string) {
	s.shard(maphash.String(s.seed, key)).misses.Add(1)
}

// touch counts a use in the policy.
func (s *Store) touch(sh *shard, hash uint64) {
	sh.mu.RLock()
	if !s.closed.Load() {
		s.policy.Get(hash)
	}
	sh.mu.RUnlock()
}

// Delete removes what is stored under a key, all variants, and returns how many
// they were. What is being filled is not concerned: that takes a purge.
func (s *Store) Delete(key string) int {
	keyHash := maphash.String(s.seed, key)
	sh := s.shard(keyHash)
	sh.mu.RLock()
	entries := sh.entries[keyHash]
	sh.mu.RUnlock()
	n := 0
	for _, e := range entries {
		if e.key == key && s.remove(e, deleted) {
			n++
		}
	}
	return n
}

// Remove removes one entry and reports whether it was still there.
func (s *Store) Remove(e *Entry) bool { return s.remove(e, deleted) }

// remove takes e out of the store and out of the policy.
func (s *Store) remove(e *Entry, why leaving) bool {
	if !s.leave(e, why) {
		return false
	}
	sh := s.shard(e.keyHash)
	sh.put.Lock()
	defer sh.put.Unlock()
	s.forget(e)
	return true
}

// leave takes e out of its shard and out of the index, and reports whether it
// was there. The policy calls it for everything that it drops.
func (s *Store) leave(e *Entry, why leaving) bool {
	sh := s.shard(e.keyHash)
	sh.mu.Lock()
	gone := s.leaveLocked(sh, e, why)
	sh.mu.Unlock()
	if gone {
		e.body.disown()
	}
	return gone
}

func (s *Store) leaveLocked(sh *shard, e *Entry, why leaving) bool {
	if !e.left.CompareAndSwap(uint32(stays), uint32(why)) {
		return false
	}
	entries := sh.entries[e.keyHash]
	if len(entries) == 1 {
		delete(sh.entries, e.keyHash)
	} else {
		i := slices.Index(entries, e)
		sh.entries[e.keyHash] = slices.Concat(entries[:i], entries[i+1:])
	}
	s.index.remove(e)
	s.counts.removed(e, why)
	return true
}

// All yields every entry that is in the store from the call to the end of the
// loop, and some of those that come or go meanwhile.
func (s *Store) All() iter.Seq[*Entry] {
	return func(yield func(*Entry) bool) {
		var buf []*Entry
		for i := range s.shards {
			buf = s.shards[i].snapshot(buf)
			for _, e := range buf {
				if !yield(e) {
					return
				}
			}
		}
	}
}

// snapshot puts the entries of the shard into buf, so that nothing is done with
// them while its lock is held.
func (sh *shard) snapshot(buf []*Entry) []*Entry {
	buf = buf[:0]
	sh.mu.RLock()
	defer sh.mu.RUnlock()
	for _, entries := range sh.entries {
		buf = append(buf, entries...)
	}
	return buf
}

// Tags returns the tags of an entry that is in the store, in no order.
func (s *Store) Tags(e *Entry) []string { return s.index.names(e) }

// Refusals of Put.
var (
	ErrNoKey       = errors.New("entry has no key")
	ErrTooLarge    = errors.New("entry is larger than the store allows")
	ErrTags        = errors.New("entry has more tags than the store allows")
	ErrTagsFull    = errors.New("store has as many different tags as it allows")
	ErrPurged      = errors.New("a purge came after the fill began")
	ErrNotAdmitted = errors.New("entry is worth less than what it would displace")
	ErrDropped     = errors.New("admission policy is overloaded")
	ErrClosed      = errors.New("store is closed")
)
