package store

import (
	"slices"
	"strings"
	"sync"
)

// index knows which entries have which tag. It is exact: an entry is in it as
// long as it is in the store.
//
//	ids     name -> id
//	tags    id   -> name, members: slots of entries, in no order
//	entries slot -> entry; an entry knows its place among each tag's members
//
// Entries and tags are numbers of 32 bits and not pointers: 12 bytes for each
// tag of each entry, and nothing for the garbage collector to follow. Adding and
// removing an entry takes time for each of its tags, whatever the number of
// members. A tag's name is stored once.
type index struct {
	limit int // different tags

	mu        sync.Mutex
	ids       map[string]uint32
	tags      []tag
	freeTags  []uint32
	entries   []*Entry
	freeSlots []uint32
}

type tag struct {
	name    string
	members []uint32
	pins    int // purges under way: the id must keep its meaning
}

func newIndex(limit int) *index {
	return &index{limit: limit, ids: map[string]uint32{}}
}

// add enters e under the names and returns what that costs. It reports false,
// and enters nothing, if there would be too many different tags.
func (x *index) add(e *Entry, names []string) (cost int64, ok bool) {
	if len(names) == 0 {
		return 0, true
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	refs := make([]uint32, 0, 2*len(names))
	for _, name := range names {
		id, share, ok := x.id(name)
		if !ok {
			for _, id := range refs {
				x.freeIfUnused(id)
			}
			return 0, false
		}
		if !slices.Contains(refs, id) {
			refs = append(refs, id)
			cost += tagRefBytes + share
		}
	}
	e.slot = x.newSlot(e)
	for _, id := range refs[:len(refs):len(refs)] {
		t := &x.tags[id]
		refs = append(refs, uint32(len(t.members)))
		t.members = append(t.members, e.slot)
	}
	e.tagRefs = refs
	return cost, true
}

// id returns the id of a tag, new if need be, and the share of the tag's own
// bytes that one more member counts for: all of them for the first one, less for
// those that join. With members that come and go at one rate that adds up.
func (x *index) id(name string) (id uint32, share int64, ok bool) {
	id, ok = x.ids[name]
	if !ok {
		if len(x.ids) >= x.limit {
			return 0, 0, false
		}
		if n := len(x.freeTags); n > 0 {
			id, x.freeTags = x.freeTags[n-1], x.freeTags[:n-1]
		} else {
			id = uint32(len(x.tags))
			x.tags = append(x.tags, tag{})
		}
		name = strings.Clone(name) // not the head that it may be a part of
		x.tags[id].name = name
		x.ids[name] = id
	}
	return id, (tagBytes + int64(len(name))) / int64(len(x.tags[id].members)+1), true
}

func (x *index) newSlot(e *Entry) uint32 {
	if n := len(x.freeSlots); n > 0 {
		slot := x.freeSlots[n-1]
		x.freeSlots = x.freeSlots[:n-1]
		x.entries[slot] = e
		return slot
	}
	x.entries = append(x.entries, e)
	return uint32(len(x.entries) - 1)
}

// remove takes e out again.
func (x *index) remove(e *Entry) {
	if len(e.tagRefs) == 0 {
		return
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	ids := e.tagIDs()
	for k, id := range ids {
		t := &x.tags[id]
		pos, last := e.tagRefs[len(ids)+k], len(t.members)-1
		moved := t.members[last]
		t.members[pos] = moved
		t.members = shrink(t.members[:last])
		x.setPosition(x.entries[moved], id, pos)
		x.freeIfUnused(id)
	}
	x.entries[e.slot] = nil
	x.freeSlots = append(x.freeSlots, e.slot)
}

func (x *index) setPosition(e *Entry, id, pos uint32) {
	ids := e.tagIDs()
	e.tagRefs[len(ids)+slices.Index(ids, id)] = pos
}

// shrink gives back memory of a tag that lost most of its members.
func shrink(members []uint32) []uint32 {
	if cap(members) > 64 && len(members) < cap(members)/4 {
		return append(make([]uint32, 0, cap(members)/2), members...)
	}
	return members
}

// freeIfUnused forgets a tag without members. x.mu is held.
func (x *index) freeIfUnused(id uint32) {
	t := &x.tags[id]
	if len(t.members) > 0 || t.pins > 0 {
		return
	}
	delete(x.ids, t.name)
	*t = tag{}
	x.freeTags = append(x.freeTags, id)
}

// pin returns the id of a tag, which keeps it until unpin. It reports false if
// no entry has the tag.
func (x *index) pin(name string) (id uint32, ok bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	id, ok = x.ids[name]
	if ok {
		x.tags[id].pins++
	}
	return id, ok
}

func (x *index) unpin(id uint32) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.tags[id].pins--
	x.freeIfUnused(id)
}

// members returns the slots of the entries with a tag: 4 bytes each, copied in
// one go.
func (x *index) members(id uint32) []uint32 {
	x.mu.Lock()
	defer x.mu.Unlock()
	return slices.Clone(x.tags[id].members)
}

// lookup puts the entries that are now at the slots into buf.
func (x *index) lookup(slots []uint32, buf []*Entry) []*Entry {
	x.mu.Lock()
	defer x.mu.Unlock()
	buf = buf[:0]
	for _, slot := range slots {
		if e := x.entries[slot]; e != nil {
			buf = append(buf, e)
		}
	}
	return buf
}

// names returns the tags of an entry, or none if it has left the index.
func (x *index) names(e *Entry) []string {
	if len(e.tagRefs) == 0 {
		return nil
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.entries[e.slot] != e {
		return nil
	}
	var names []string
	for _, id := range e.tagIDs() {
		names = append(names, x.tags[id].name)
	}
	return names
}

// count returns how many different tags there are.
func (x *index) count() int {
	x.mu.Lock()
	defer x.mu.Unlock()
	return len(x.ids)
}
