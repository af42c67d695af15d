package store

import (
	"context"
	"slices"
	"strings"
	"testing"
)

func openStore(t testing.TB, c Config) *Store {
	t.Helper()
	if c.Capacity == 0 {
		c.Capacity = 16 << 20
	}
	s, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// fill fills a body with n bytes.
func fill(t testing.TB, f *Fill, n int) *Body {
	t.Helper()
	b := f.Body(int64(n))
	if err := b.Append(context.Background(), make([]byte, n)); err != nil {
		t.Fatal(err)
	}
	if err := b.Finish(nil); err != nil {
		t.Fatal(err)
	}
	return b
}

// tryPut puts a body of n bytes under a key. The head is the key.
func tryPut(t testing.TB, s *Store, key, variant string, n int, tags ...string) (*Entry, error) {
	t.Helper()
	f := s.Begin()
	defer f.Close()
	return f.Put(Item{Key: key, Variant: variant, Head: key, HeadSize: len(key), Tags: tags, Body: fill(t, f, n)})
}

func put(t testing.TB, s *Store, key string, n int, tags ...string) *Entry {
	t.Helper()
	e, err := tryPut(t, s, key, "", n, tags...)
	if err != nil {
		t.Fatalf("put %s: %v", key, err)
	}
	return e
}

func has(s *Store, key string) bool { return len(s.Get(key)) > 0 }

// verify compares everything that the store keeps twice. It may run only while
// nothing else uses the store.
func (s *Store) verify(t testing.TB) {
	t.Helper()
	s.policy.Wait()
	var entries, cost int64
	tags := map[string]int{}
	for e := range s.All() {
		entries++
		cost += e.cost
		if got, ok := s.policy.Get(e.hash); !ok || got != e {
			t.Errorf("entry %q %q is not in the policy", e.key, e.variant)
		}
		if !slices.Contains(s.Get(e.key), e) {
			t.Errorf("entry %q %q is not found by its key", e.key, e.variant)
		}
		for _, tag := range s.Tags(e) {
			tags[tag]++
		}
		if e.body.owners != 1 {
			t.Errorf("body of %q has %d owners", e.key, e.body.owners)
		}
	}
	st := s.Stats()
	if st.Entries != entries || st.Bytes != cost {
		t.Errorf("Stats say %d entries with %d bytes, there are %d with %d", st.Entries, st.Bytes, entries, cost)
	}
	if used := s.config.stored() - s.policy.RemainingCost(); used != cost {
		t.Errorf("policy counts %d bytes, the entries have %d", used, cost)
	}
	if s.policy.RemainingCost() < 0 {
		t.Errorf("policy is %d bytes over its limit", -s.policy.RemainingCost())
	}
	if s.purges.open.Load() != nil {
		t.Error("a purge is still open")
	}
	s.verifyIndex(t, tags)
}

func (s *Store) verifyIndex(t testing.TB, want map[string]int) {
	t.Helper()
	x := s.index
	if x.count() != len(want) {
		t.Errorf("index has %d tags, the entries have %d", x.count(), len(want))
	}
	for name, n := range want {
		id := x.ids[name]
		if got := len(x.tags[id].members); got != n {
			t.Errorf("tag %q has %d members, want %d", name, got, n)
		}
		for pos, slot := range x.tags[id].members {
			e := x.entries[slot]
			i := slices.Index(e.tagIDs(), id)
			if i < 0 || e.tagRefs[len(e.tagIDs())+i] != uint32(pos) {
				t.Errorf("entry %q does not know its place in tag %q", e.key, name)
			}
		}
	}
}

type prefix string

func (p prefix) Matches(key string) bool { return strings.HasPrefix(key, string(p)) }

func purgeNow(t testing.TB, s *Store, o Order) Receipt {
	t.Helper()
	r, err := s.Purge(o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}
