package store

import (
	"slices"
	"sync/atomic"
	"time"
)

// An Item is what is put into a store. Key and Variant together name it.
type Item struct {
	Key     string // not empty; compared in full, never by a hash alone
	Variant string // tells apart what is stored under one key; may be empty
	Head    any    // what the store does not look at; not changed after Put
	// HeadSize is how many bytes Head takes, counted against the capacity.
	HeadSize int
	// Tags by which the entry can be purged. A tag that is named twice counts once.
	Tags []string
	// Body has ended whole. One that is in the store already may be put again under
	// a new head, as a validation does.
	Body *Body
}

// Bytes that an entry takes besides what is in its Item: Entry, Body, a place
// in the map of its shard, in the two maps of the policy and in its queue.
// Measured by TestCountedBytesCoverWhatEntriesTake; maps are counted as they are
// just after they have grown.
const (
	entryBytes = 640
	// For each tag: the entry's place in the tag and the tag's in the entry,
	// 12 bytes, and slack of the slices.
	tagRefBytes = 24
	// For each different tag: name, slices, a place in the map.
	tagBytes = 176
)

// An Entry is one stored response. Nothing of it changes but whether it is
// stale. It may be used after it has left the store.
type Entry struct {
	key, variant string
	head         any
	body         *Body

	keyHash uint64 // names the shard and the place in it
	hash    uint64 // of key and variant: the key of the policy
	cost    int64
	epoch   uint64       // in which its fill began
	stale   atomic.Int64 // Unix nanoseconds of the first soft purge, or 0

	// The first half are the ids of tags and never changes; the second half is
	// where the entry stands among the members of that tag and is guarded by
	// index.mu.
	tagRefs []uint32
	slot    uint32 // in the index; guarded by index.mu

	left     atomic.Uint32 // why it left the store, a leaving; set with its shard's mu held
	inPolicy bool          // guarded by its shard's put
}

// A leaving says why an entry left the store.
type leaving uint32

const (
	stays leaving = iota
	evicted
	notAdmitted
	replaced
	purged
	deleted
)

// Key returns the key that the entry was put under.
func (e *Entry) Key() string { return e.key }

// Variant returns the variant that the entry was put under.
func (e *Entry) Variant() string { return e.variant }

// Head returns the head that the entry was put with. It is not to be changed.
func (e *Entry) Head() any { return e.head }

// Body returns the body, which is whole.
func (e *Entry) Body() *Body { return e.body }

// Epoch returns the epoch in which the entry's fill began. A purge with a
// greater epoch applies to it.
func (e *Entry) Epoch() uint64 { return e.epoch }

// Cost returns the bytes that the entry counts for.
func (e *Entry) Cost() int64 { return e.cost }

// StaleSince returns when a soft purge first met the entry, or the zero Time if
// none did.
func (e *Entry) StaleSince() time.Time {
	if ns := e.stale.Load(); ns != 0 {
		return time.Unix(0, ns)
	}
	return time.Time{}
}

// markStale notes a soft purge, unless one was noted before. It reports whether
// this was the first.
func (e *Entry) markStale(at time.Time) bool {
	return e.stale.CompareAndSwap(0, at.UnixNano())
}

// tagIDs returns the ids of the entry's tags.
func (e *Entry) tagIDs() []uint32 { return e.tagRefs[:len(e.tagRefs)/2] }

func (e *Entry) hasTag(id uint32) bool { return slices.Contains(e.tagIDs(), id) }

// cost is what an item counts for, without its tags.
func (it *Item) cost() int64 {
	return entryBytes + int64(len(it.Key)+len(it.Variant)+it.HeadSize) + it.Body.memory()
}
