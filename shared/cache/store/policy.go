package store

import "github.com/dgraph-io/ristretto/v2"

// newPolicy returns the cache that decides which entries stay: TinyLFU for
// admission, sampled LFU for eviction. Its own map is not what a Get looks at.
// What it does with an entry reaches the store through three callbacks, which it
// makes on its own goroutine or on that of Set or Del; each of them may have no
// entry, since it calls them for keys that it does not have, too.
//
//	OnEvict   made room for another
//	OnReject  not worth it, or (never, as put serialises) there already
//	OnExit    anything that leaves it: what two entries with one hash lose
//	          by it leaves the store as well
func newPolicy(c Config, s *Store) (*ristretto.Cache[uint64, *Entry], error) {
	leave := func(e *Entry, why leaving) {
		if e != nil {
			s.leave(e, why)
		}
	}
	return ristretto.NewCache(&ristretto.Config[uint64, *Entry]{
		NumCounters:        c.counters(),
		MaxCost:            c.stored(),
		BufferItems:        64,
		IgnoreInternalCost: true, // entryBytes counts it
		OnEvict:            func(i *ristretto.Item[*Entry]) { leave(i.Value, evicted) },
		OnReject:           func(i *ristretto.Item[*Entry]) { leave(i.Value, notAdmitted) },
		OnExit:             func(e *Entry) { leave(e, evicted) },
	})
}

// admit asks the policy for room for e, which is in its shard already, and waits
// for the answer. What e takes the place of has left the shard but may still be
// in the policy. The put lock of the shard is held.
//
// Waiting is what makes Put exact: an entry is in the store if and
// only if the policy has it, a Get finds it at once, and of two Puts the later
// one wins. Without it ristretto's queue would have the first of two quick Sets
// of a new key win, and would not say so.
func (s *Store) admit(e *Entry, previous []*Entry) error {
	s.policy.Get(e.hash) // the miss that led to this Put is a use
	for _, old := range previous {
		if old.hash == e.hash && old.cost >= e.cost {
			// Set replaces it in place, without a contest. A larger one is new to
			// the policy, since it would make no room for an update.
			old.inPolicy = false
			continue
		}
		s.forget(old)
	}
	if !s.policy.Set(e.hash, e, e.cost) {
		s.leave(e, notAdmitted) // the queue is full, and e is nowhere in the policy
		return ErrDropped
	}
	e.inPolicy = true
	s.policy.Wait()
	switch leaving(e.left.Load()) {
	case stays, evicted: // evicted: it was in, and others came
		return nil
	case notAdmitted:
		e.inPolicy = false
		return ErrNotAdmitted
	case purged:
		s.forget(e)
		return ErrPurged
	default:
		s.forget(e)
		return nil
	}
}

// forget takes an entry that has left its shard out of the policy. The put lock
// of the shard is held.
func (s *Store) forget(e *Entry) {
	if !e.inPolicy {
		return
	}
	e.inPolicy = false
	if !s.closed.Load() {
		s.policy.Del(e.hash)
	}
}
