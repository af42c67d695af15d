package store

import (
	"errors"
	"fmt"
	"time"
)

// Config says how much a Store may keep. A field that is 0 stands for its
// default.
type Config struct {
	// Bytes of memory for everything: bodies, heads, keys, tags, bookkeeping, and
	// what is still being filled. No default.
	Capacity int64
	// The part of Capacity for bytes that are not in the store: bodies that are
	// being filled, and those that left it while a reader holds them. A body that
	// finds no room here is passed on without being stored. Default: an eighth of
	// Capacity.
	Fill int64
	// Bytes of the largest entry, its body, head and key together. Default and
	// maximum: half of Fill, or a 20th of what Capacity leaves for entries if that
	// is less.
	MaxObject int64
	// Bytes that an object is expected to have, which sizes the counters of the
	// admission policy: ten for each object that fits, 3 bytes each, taken from
	// Capacity. Default 16 KiB.
	MeanObject int64
	// Variants that one key may have; one more replaces the oldest. Default 8.
	Variants int
	// Tags that one entry may have. Default 64.
	Tags int
	// Different tags that all entries together may have. Default: one for each
	// KiB of Capacity.
	DistinctTags int
	// Purges that are remembered for the fills that began before them. If there
	// are more, the fills that began before the oldest are refused, whatever it
	// was for. Default 4096.
	Purges int
	// Bytes between the writer and the slowest reader of a body that is not
	// stored. Default 256 KiB.
	Window int64
	// Time that slow readers of a body that is not stored may hold up faster ones,
	// all such times together. Default 5 s.
	Patience time.Duration
}

const (
	minCapacity  = 1 << 20
	maxVariants  = 1 << 10
	maxTags      = 1 << 10
	countersEach = 10 // per object, as the policy's authors advise
	counterBytes = 3
)

// withDefaults returns c with every field set, or all that is wrong with it.
func (c Config) withDefaults() (Config, error) {
	if c.Capacity < minCapacity {
		return c, fmt.Errorf("store: capacity of %d bytes, want at least %d", c.Capacity, minCapacity)
	}
	setDefault(&c.Fill, c.Capacity/8)
	setDefault(&c.MeanObject, 16<<10)
	most := min(c.Fill/2, c.stored()/20)
	setDefault(&c.MaxObject, most)
	setDefault(&c.Variants, 8)
	setDefault(&c.Tags, 64)
	setDefault(&c.DistinctTags, int(c.Capacity>>10))
	setDefault(&c.Purges, 4096)
	setDefault(&c.Window, 256<<10)
	setDefault(&c.Patience, 5*time.Second)
	return c, errors.Join(
		inside("fill", c.Fill, chunkSize, c.Capacity/2),
		inside("mean object", c.MeanObject, 1, c.Capacity),
		inside("max object", c.MaxObject, 1, most),
		inside("variants", int64(c.Variants), 1, maxVariants),
		inside("tags", int64(c.Tags), 1, maxTags),
		inside("distinct tags", int64(c.DistinctTags), 1, 1<<31),
		inside("purges", int64(c.Purges), 1, 1<<20),
		inside("window", c.Window, 1<<10, 1<<30),
		inside("patience", int64(c.Patience), 1, int64(time.Hour)),
	)
}

func setDefault[T int | int64 | time.Duration](field *T, value T) {
	if *field == 0 {
		*field = value
	}
}

func inside(name string, got, low, high int64) error {
	if got < low || got > high {
		return fmt.Errorf("store: %s is %d, want %d to %d", name, got, low, high)
	}
	return nil
}

// counters is how many the admission policy has.
func (c Config) counters() int64 {
	n := max((c.Capacity-c.Fill)/c.MeanObject*countersEach, 1<<10)
	power := int64(1) // the policy rounds up, so we do
	for power < n {
		power *= 2
	}
	return power
}

// stored is the part of Capacity for entries.
func (c Config) stored() int64 {
	return c.Capacity - c.Fill - c.counters()*counterBytes
}

// MemoryLimit returns the bytes that a process needs for this store if it
// collects garbage at a sane pace: a fifth more than Capacity. The owner of
// the process adds what the rest of it needs and passes the sum to
// debug.SetMemoryLimit. Without that Go lets garbage grow to as much as is in
// use, and the process takes twice the capacity.
//
// The fifth is what may be garbage at a time. Collecting it is cheap, since
// nearly all of a store is bytes without pointers, which are not scanned.
func (c Config) MemoryLimit() int64 { return c.Capacity + c.Capacity/5 }
