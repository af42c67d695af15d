package store

import (
	"slices"
	"sync/atomic"
	"time"
)

// A Fill is one attempt to get something into the store. It is what purges are
// held against: everything that came from a backend on behalf of a Fill is as
// old as the Fill. Close ends it, as soon as something was put or nothing will
// be: until then its bodies count against Config.Fill, and the store remembers
// the purges that come, up to Config.Purges.
type Fill struct {
	store  *Store
	epoch  *epoch
	number uint64
	bodies []*Body // one, as a rule
	closed atomic.Bool
}

// Begin begins a Fill. It has to be called before the request goes to the
// backend: what the backend says may be as old as that.
func (s *Store) Begin() *Fill {
	e := s.purges.begin()
	return &Fill{store: s, epoch: e, number: e.number}
}

// Epoch returns the epoch in which the Fill began.
func (f *Fill) Epoch() uint64 { return f.number }

// Body returns a new body to fill, of an announced length or, if size is
// negative, one that ends when it ends. One that is announced too long to be
// stored is a relay from the start: its readers have to come before its first
// byte. Like Put and Close it belongs to the goroutine that fills.
func (f *Fill) Body(size int64) *Body {
	b := newBody(&f.store.config, &f.store.room, size)
	f.bodies = append(f.bodies, b)
	return b
}

// Purged reports whether a purge has come since the Fill began that is for the
// key or for one of the tags. What comes of the Fill is then not for a client
// whose request is younger than the purge; stale says that a soft one came,
// which makes it stale. It may be called concurrently.
func (f *Fill) Purged(key string, tags []string) (purged bool, stale time.Time) {
	ps := f.store.purges
	ps.mu.RLock()
	defer ps.mu.RUnlock()
	return ps.verdict(f.epoch, key, tags)
}

// Close ends the Fill. A body of it that has not ended fails with io.ErrUnexpectedEOF.
func (f *Fill) Close() {
	if f.closed.Swap(true) {
		return
	}
	for _, b := range f.bodies {
		b.Fail(nil)
		b.release()
	}
	f.store.purges.done(f.epoch)
}

// Put puts an item into the store in place of what has the same key and variant.
// When it returns a Get finds the entry, unless it was evicted or removed since.
//
// The error says why it was refused: ErrUnfinished, ErrRelay or the body's own
// error for a body that can't be stored; ErrNoKey, ErrTags, ErrTagsFull,
// ErrTooLarge; ErrPurged; ErrNotAdmitted and ErrDropped by the policy, ErrClosed.
// After ErrNotAdmitted and ErrDropped what had the key and variant before is
// gone, too: it was older. After the others it is still there.
func (f *Fill) Put(it Item) (*Entry, error) {
	e, err := f.put(it)
	if err != nil {
		f.store.counts.refuse(err)
		return nil, err
	}
	return e, nil
}

func (f *Fill) put(it Item) (*Entry, error) {
	s := f.store
	if err := s.check(&it); err != nil {
		return nil, err
	}
	e := &Entry{
		key: it.Key, variant: it.Variant, head: it.Head, body: it.Body,
		epoch: f.number, cost: it.cost(),
	}
	e.keyHash, e.hash = s.hashes(it.Key, it.Variant)
	sh := s.shard(e.keyHash)
	sh.put.Lock()
	defer sh.put.Unlock()
	previous, err := f.enter(sh, e, it.Tags)
	if err != nil {
		return nil, err
	}
	for _, old := range previous {
		old.body.disown()
	}
	if err := s.admit(e, previous); err != nil {
		return nil, err
	}
	return e, nil
}

// check tells what can be said against an item without looking at the store.
func (s *Store) check(it *Item) error {
	switch {
	case it.Key == "":
		return ErrNoKey
	case len(it.Tags) > s.config.Tags:
		return ErrTags
	case it.Body == nil:
		return ErrUnfinished
	}
	switch done, err := it.Body.Done(); {
	case !done:
		return ErrUnfinished
	case err != nil:
		return err
	case !it.Body.Storable():
		return ErrRelay
	}
	// Before the policy sees it: what that refuses may have displaced others.
	if it.cost()-entryBytes > s.config.MaxObject {
		return ErrTooLarge
	}
	return nil
}

// enter makes e one of the entries of its shard, if no purge forbids it, and
// returns those that it takes the place of. For purges, this is the moment at
// which e is put. The put lock of the shard is held.
func (f *Fill) enter(sh *shard, e *Entry, tags []string) (previous []*Entry, err error) {
	s := f.store
	s.purges.mu.RLock()
	defer s.purges.mu.RUnlock()
	if s.closed.Load() {
		return nil, ErrClosed
	}
	hard, soft := s.purges.verdict(f.epoch, e.key, tags)
	if hard {
		return nil, ErrPurged
	}
	if !soft.IsZero() {
		e.markStale(soft)
	}
	sh.mu.Lock()
	defer sh.mu.Unlock()
	share, ok := s.index.add(e, tags)
	if !ok {
		return nil, ErrTagsFull
	}
	e.cost += share
	previous = s.displaced(sh.entries[e.keyHash], e)
	for _, old := range previous {
		s.leaveLocked(sh, old, replaced)
	}
	sh.entries[e.keyHash] = append([]*Entry{e}, sh.entries[e.keyHash]...)
	s.counts.added(e)
	e.body.own()
	return previous, nil
}

// displaced returns which of the entries go when e comes: its own variant, what
// is too many, and everything if the key is another one with the same hash.
func (s *Store) displaced(entries []*Entry, e *Entry) []*Entry {
	if len(entries) > 0 && entries[0].key != e.key {
		return entries
	}
	same := slices.IndexFunc(entries, func(old *Entry) bool { return old.variant == e.variant })
	switch {
	case same >= 0:
		return entries[same : same+1]
	case len(entries) >= s.config.Variants:
		return entries[s.config.Variants-1:]
	}
	return nil
}
