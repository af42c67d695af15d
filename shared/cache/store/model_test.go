package store

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// model is what a store should be: maps and a list of purges, no limits.
type model struct {
	entries map[[2]string]modelEntry // by key and variant
	purges  []Order
}

type modelEntry struct {
	head  int
	tags  []string
	stale bool
}

// modelFill is a fill under way: the number of purges before it, and what it
// will put.
type modelFill struct {
	fill  *Fill
	since int
	item  Item
}

func (o *Order) covers(key string, tags []string) bool {
	return o.Key == key || o.Scope != nil && o.Scope.Matches(key) || slices.Contains(tags, o.Tag)
}

func (m *model) purge(o Order) (matched int) {
	m.purges = append(m.purges, o)
	for name, e := range m.entries {
		switch {
		case !o.covers(name[0], e.tags):
		case o.Soft.IsZero():
			delete(m.entries, name)
			matched++
		case !e.stale:
			e.stale = true
			m.entries[name] = e
			matched++
		}
	}
	return matched
}

// put returns whether the item is stored.
func (m *model) put(f modelFill) bool {
	stale := false
	for _, o := range m.purges[f.since:] {
		if o.covers(f.item.Key, f.item.Tags) {
			if o.Soft.IsZero() {
				return false
			}
			stale = true
		}
	}
	m.entries[[2]string{f.item.Key, f.item.Variant}] = modelEntry{f.item.Head.(int), f.item.Tags, stale}
	return true
}

// Random puts, purges and deletes against the model. With room for everything
// the store has exactly what the model has; with little room it may have less.
func TestStoreBehavesLikeItsModel(t *testing.T) {
	for seed := range uint64(6) {
		small := seed%2 == 1
		c := Config{Capacity: 64 << 20, Variants: 8}
		if small {
			c = Config{Capacity: 2 << 20, Fill: 1 << 20, MeanObject: 8 << 10, Variants: 8}
		}
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			r := &modelRun{
				t: t, rnd: rand.New(rand.NewPCG(seed, 1)), s: openStore(t, c), small: small,
				m: model{entries: map[[2]string]modelEntry{}},
			}
			for range 8000 {
				r.step()
			}
			for _, f := range r.fills {
				f.fill.Close()
			}
			r.compareAll()
			r.s.verify(t)
			if st := r.s.Stats(); st.Filling != 0 || r.s.purges.length != 0 {
				t.Errorf("%d bytes filling, %d purges remembered", st.Filling, r.s.purges.length)
			}
		})
	}
}

type modelRun struct {
	t     *testing.T
	rnd   *rand.Rand
	s     *Store
	m     model
	fills []modelFill
	small bool
	heads int
}

func (r *modelRun) key() string { return fmt.Sprintf("h%d/%d", r.rnd.IntN(3), r.rnd.IntN(60)) }
func (r *modelRun) tag() string { return fmt.Sprint("t", r.rnd.IntN(12)) }

func (r *modelRun) step() {
	switch n := r.rnd.IntN(100); {
	case n < 35:
		r.begin()
	case n < 70:
		r.put()
	case n < 75:
		r.purge()
	case n < 78:
		key := r.key()
		want := 0
		for name := range r.m.entries {
			if name[0] == key {
				delete(r.m.entries, name)
				want++
			}
		}
		if got := r.s.Delete(key); got != want && !r.small {
			r.t.Fatalf("Delete(%s) = %d, want %d", key, got, want)
		}
	default:
		r.compare(r.key())
	}
}

func (r *modelRun) begin() {
	if len(r.fills) == 20 {
		return
	}
	f := modelFill{fill: r.s.Begin(), since: len(r.m.purges)}
	f.item = Item{Key: r.key(), Variant: fmt.Sprint(r.rnd.IntN(3)), Body: fill(r.t, f.fill, r.rnd.IntN(20_000))}
	for range r.rnd.IntN(4) {
		f.item.Tags = append(f.item.Tags, r.tag())
	}
	r.fills = append(r.fills, f)
}

func (r *modelRun) put() {
	if len(r.fills) == 0 {
		return
	}
	i := r.rnd.IntN(len(r.fills))
	f := r.fills[i]
	r.fills = slices.Delete(r.fills, i, i+1)
	r.heads++
	f.item.Head = r.heads
	_, err := f.fill.Put(f.item)
	f.fill.Close()
	want := r.m.put(f)
	if r.small && err == ErrNotAdmitted {
		return // compare allows for less than the model has
	}
	if (err == nil) != want {
		r.t.Fatalf("Put of a fill with %d purges since = %v, the model stores it: %v", len(r.m.purges)-f.since, err, want)
	}
}

func (r *modelRun) purge() {
	var o Order
	switch n := r.rnd.IntN(10); {
	case n < 4:
		o.Key = r.key()
	case n < 8:
		o.Tag = r.tag()
	case n < 9:
		o.Scope = prefix(fmt.Sprintf("h%d/", r.rnd.IntN(3)))
	default:
		o.Scope = prefix(r.key())
	}
	if r.rnd.IntN(2) == 0 {
		o.Soft = time.Unix(100, 0)
	}
	got, err := r.s.Purge(o)
	if want := r.m.purge(o); err != nil || !r.small && got.Matched != want {
		r.t.Fatalf("Purge(%+v) = %+v, %v, want %d matched", o, got, err, want)
	}
}

// compare holds what the store has under a key against the model.
func (r *modelRun) compare(key string) {
	r.t.Helper()
	found := map[string]bool{}
	for _, e := range r.s.Get(key) {
		want, ok := r.m.entries[[2]string{key, e.Variant()}]
		if !ok || e.Head() != want.head || !e.StaleSince().IsZero() != want.stale || found[e.Variant()] {
			r.t.Fatalf("Get(%s) has %s %v, stale since %v; the model has %+v, %v",
				key, e.Variant(), e.Head(), e.StaleSince(), want, ok)
		}
		found[e.Variant()] = true
		r.s.Hit(e)
	}
	for name := range r.m.entries {
		if name[0] == key && !found[name[1]] && !r.small {
			r.t.Fatalf("Get(%s) lacks variant %s", key, name[1])
		}
	}
}

func (r *modelRun) compareAll() {
	for host := range 3 {
		for i := range 60 {
			r.compare(fmt.Sprintf("h%d/%d", host, i))
		}
	}
}
