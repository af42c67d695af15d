package store

import "slices"

const (
	// maxSweeps is how many purges may be under way; another one waits before it
	// begins. Each is held against every hit meanwhile.
	maxSweeps = 64
	// sweepBatch is how many entries are looked up, and removed from the policy's
	// point of view, in one go.
	sweepBatch = 256
)

// Purge removes, or makes stale, what an order is for: entries, and whatever
// began to be filled before it and is put later. When it returns no Get finds
// what it removed. The error is ErrOrder.
//
// It is in force before it has removed the first entry, and from then on each
// Get compares what it finds with it. Removing goes in small steps in the
// caller's goroutine and holds up nobody else. By key, it takes microseconds; by
// tag, 2 µs for each entry of the tag; by Scope, up to 1 µs for each entry of the
// store in addition, and no memory, which an index of prefixes would take for
// every entry. Purges by Scope that are called together share a pass.
func (s *Store) Purge(o Order) (Receipt, error) {
	if !o.valid() {
		return Receipt{}, ErrOrder
	}
	if o.Key != "" {
		p := s.purges.add(o, s.index)
		s.purgeKey(p)
		return p.receipt(), nil
	}
	s.sweeps <- struct{}{}
	defer func() { <-s.sweeps }()
	p := s.purges.add(o, s.index)
	switch {
	case p.byTag:
		s.sweepTag(p)
	case p.Scope != nil:
		s.sweepAll(p)
	}
	return p.receipt(), nil
}

func (p *purge) receipt() Receipt {
	return Receipt{Epoch: p.epoch, Matched: int(p.matched.Load())}
}

// purgeKey carries out a purge of one key.
func (s *Store) purgeKey(p *purge) {
	keyHash, _ := s.hashes(p.Key, "")
	sh := s.shard(keyHash)
	sh.mu.RLock()
	entries := sh.entries[keyHash]
	sh.mu.RUnlock()
	for _, e := range entries {
		s.sweepEntry(e, []*purge{p})
	}
}

// sweepEntry removes or marks e if one of the purges is for it.
func (s *Store) sweepEntry(e *Entry, open []*purge) {
	if !apply(e, open) {
		return
	}
	if !s.remove(e, purged) {
		return
	}
	for _, p := range open {
		if p.Soft.IsZero() && p.appliesTo(e) {
			p.matched.Add(1)
			return
		}
	}
}

// sweepTag carries out a purge of one tag. Nothing that it has to find can come
// to the tag any more: what began to be filled earlier is refused.
func (s *Store) sweepTag(p *purge) {
	open := []*purge{p}
	var buf []*Entry
	for batch := range slices.Chunk(s.index.members(p.tagID), sweepBatch) {
		// A slot may have got another entry meanwhile: the purge looks for itself.
		buf = s.index.lookup(batch, buf)
		for _, e := range buf {
			s.sweepEntry(e, open)
		}
		s.settlePolicy()
	}
	s.purges.close(p)
	s.index.unpin(p.tagID)
}

// sweepAll carries out a purge by Scope, together with all others that are open,
// unless one of those has taken it along.
func (s *Store) sweepAll(p *purge) {
	s.passMu.Lock()
	defer s.passMu.Unlock()
	open := s.purges.open.Load()
	if open == nil || !slices.Contains(*open, p) {
		return
	}
	todo := slices.DeleteFunc(slices.Clone(*open), func(p *purge) bool { return p.Scope == nil })
	var buf []*Entry
	for i := range s.shards {
		buf = s.shards[i].snapshot(buf)
		for batch := range slices.Chunk(buf, sweepBatch) {
			for _, e := range batch {
				s.sweepEntry(e, todo)
			}
			s.settlePolicy()
		}
	}
	s.purges.close(todo...)
}

// settlePolicy waits until the policy has done what it was told. Its queue is
// short of the 32,768 places then, which a long sweep would fill: a Set that
// finds no place is dropped.
func (s *Store) settlePolicy() {
	sh := &s.shards[0]
	sh.put.Lock() // the policy is not closed meanwhile
	defer sh.put.Unlock()
	if !s.closed.Load() {
		s.policy.Wait()
	}
}
