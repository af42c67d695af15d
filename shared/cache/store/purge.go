package store

import (
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// ErrOrder is returned for an Order that names nothing to purge, or more than
// one thing.
var ErrOrder = errors.New("purge names not exactly one of key, tag and scope")

// A Scope says which keys a purge is for: those of a host, those with a prefix,
// all. Matches is called concurrently and often; it must not call the store.
type Scope interface {
	Matches(key string) bool
}

// Everything is the Scope of all keys.
var Everything Scope = everything{}

type everything struct{}

func (everything) Matches(string) bool { return true }

// An Order says what to purge, by exactly one of Key, Tag and Scope.
type Order struct {
	Key   string
	Tag   string
	Scope Scope
	// Soft, if it is not the zero Time, is when the entries become stale. They
	// stay in the store, but Entry.StaleSince says so.
	Soft time.Time
}

func (o *Order) valid() bool {
	named := 0
	for _, is := range []bool{o.Key != "", o.Tag != "", o.Scope != nil} {
		if is {
			named++
		}
	}
	return named == 1
}

// A Receipt says what a purge did.
type Receipt struct {
	// Epoch began with the purge: it applies to whatever began to be filled in an
	// earlier one.
	Epoch uint64
	// Matched is how many entries were removed, or made stale for the first time.
	Matched int
}

// A purge is an Order that came into force.
type purge struct {
	Order
	epoch   uint64
	tagID   uint32 // if byTag
	byTag   bool
	matched atomic.Int64
}

// appliesTo reports whether a stored entry is one that p is for.
func (p *purge) appliesTo(e *Entry) bool {
	switch {
	case e.epoch >= p.epoch:
		return false
	case p.byTag:
		return e.hasTag(p.tagID)
	case p.Scope != nil:
		return p.Scope.Matches(e.key)
	default:
		return p.Key == e.key
	}
}

// appliesToFill is the same for something that is not stored yet and began
// before p.
func (p *purge) appliesToFill(key string, tags []string) bool {
	switch {
	case p.Tag != "":
		return slices.Contains(tags, p.Tag)
	case p.Scope != nil:
		return p.Scope.Matches(key)
	default:
		return p.Key == key
	}
}

// purges is the history that fills are held against, and the purges that are
// not yet carried out.
//
//	epoch 4 ──purge 5──▶ epoch 5 ──purge 6──▶ epoch 6 ──purge 7──▶ epoch 7
//	2 fills               no fill               1 fill                now
//	  └── must be compared with 5, 6, 7           └── only with 7
//
// An epoch with its fills points to the purge that ended it, which points to the
// next epoch: what a fill must be compared with hangs on its own epoch, and what
// no fill needs is garbage. When the chain is too long its first purge is
// dropped and the fills before it count as purged: too much, never too little.
type purges struct {
	limit int

	// mu makes a purge one point in time for fills. What puts an entry into the
	// store holds it for reading from the comparison until the entry can be found.
	mu     sync.RWMutex
	oldest *epoch // with fills, or the current one
	newest *epoch // the current one
	length int    // purges from oldest to newest

	// open are the purges whose sweep has not ended: entries that they apply to
	// may still be found. Nearly always nil, which is all that a Get looks at. The
	// slice is never changed.
	open atomic.Pointer[[]*purge]
}

// An epoch is the time between two purges. Its fields are guarded by purges.mu.
type epoch struct {
	number uint64
	fills  int    // that began in it and have not ended
	end    *purge // nil in the current one
	next   *epoch
	// The purge that ended it was dropped from the chain: its fills count as purged.
	lost bool
}

func newPurges(limit int) *purges {
	first := &epoch{number: 1}
	return &purges{limit: limit, oldest: first, newest: first}
}

// begin returns the current epoch with one fill more.
func (ps *purges) begin() *epoch {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	ps.newest.fills++
	return ps.newest
}

// done says that a fill of an epoch has ended.
func (ps *purges) done(e *epoch) {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	e.fills--
	ps.prune()
}

// prune forgets what no fill has to be compared with. ps.mu is held.
func (ps *purges) prune() {
	for ps.oldest.fills == 0 && ps.oldest != ps.newest {
		ps.oldest = ps.oldest.next
		ps.length--
	}
}

// add puts an order into force: from now on fills that began before it are held
// against it, and if there may be entries to sweep, it is open. x resolves tags.
func (ps *purges) add(o Order, x *index) *purge {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	p := &purge{Order: o, epoch: ps.newest.number + 1}
	next := &epoch{number: p.epoch}
	ps.newest.end, ps.newest.next = p, next
	ps.newest = next
	ps.length++
	ps.prune()
	if ps.length > ps.limit {
		ps.lose()
		ps.prune()
	}
	if o.Tag != "" {
		p.tagID, p.byTag = x.pin(o.Tag)
	}
	if p.byTag || o.Scope != nil {
		ps.setOpen(append(ps.openNow(), p))
	}
	return p
}

// lose drops the first purge of the chain. The fills before it hold an epoch
// that leads nowhere, and is lost. ps.mu is held.
func (ps *purges) lose() {
	first := ps.oldest
	ps.oldest = first.next
	ps.length--
	first.lost, first.end, first.next = true, nil, nil
}

// verdict tells what the purges since a fill began say about it: that it is not
// to be stored, or that it is stale since a time. ps.mu is held, for reading at
// least.
func (ps *purges) verdict(e *epoch, key string, tags []string) (hard bool, soft time.Time) {
	if e.lost {
		return true, time.Time{}
	}
	for ; e.end != nil; e = e.next {
		switch {
		case !e.end.appliesToFill(key, tags):
		case e.end.Soft.IsZero():
			return true, time.Time{}
		case soft.IsZero():
			soft = e.end.Soft
		}
	}
	return false, soft
}

// openNow returns a copy of the open purges.
func (ps *purges) openNow() []*purge {
	if open := ps.open.Load(); open != nil {
		return slices.Clone(*open)
	}
	return nil
}

func (ps *purges) setOpen(open []*purge) {
	if len(open) == 0 {
		ps.open.Store(nil)
		return
	}
	ps.open.Store(&open)
}

// close says that no entry is left to which the purges apply.
func (ps *purges) close(done ...*purge) {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	ps.setOpen(slices.DeleteFunc(ps.openNow(), func(p *purge) bool { return slices.Contains(done, p) }))
}
