// Package store is the memory of the cache: responses under keys, up to a number
// of bytes, and purges that miss nothing. It knows nothing of HTTP.
//
//	Begin ──▶ Fill ──▶ Body ◀── bytes from the backend
//	           │        │ ▲ ▲
//	           │        │ readers, from the first byte on
//	           ▼        ▼
//	          Put: Item{Key, Variant, Head, Tags, Body}
//	           │ no purge came since Begin?            else ErrPurged
//	           ▼
//	 shards    key ──▶ entries, newest variant first   ◀── Get
//	 index     tag ──▶ entries                         ◀── Purge
//	           │ worth its place?                      else ErrNotAdmitted
//	           ▼
//	 policy    ristretto: TinyLFU admission, sampled LFU eviction
//
// # Bytes
//
// Config.Capacity is what everything together may take, and it is split once:
//
//	entries   ¾ and more   body, head, key, tags and about 640 bytes of
//	                       bookkeeping each; the policy keeps to it exactly
//	filling   ⅛            bodies that are filled, and bodies that left the store
//	                       while a reader holds them
//	counters  the rest     of the policy: 30 bytes for each expected object
//
// What finds no room in the second part is passed on without being stored,
// through a window (see Body). Slow readers that hold evicted bodies use it up,
// so that less is stored, not more kept. The split is fixed since the policy makes
// room only when an entry comes: it could not be told to give some back.
//
// Memory is the garbage collector's. With Go's defaults the heap grows to twice
// what is in use and beyond; whoever owns the process keeps it down with
// debug.SetMemoryLimit and Config.MemoryLimit. Bodies of 1 KiB to 50 MB, 4 GiB of
// them, each with a reader (BenchmarkResidentMemory), make the process grow by
//
//	capacity   without a limit      with it
//	 64 MiB    217 MiB, 3.4 times    84 MiB, 1.32 times
//	128 MiB    337 MiB, 2.6 times   158 MiB, 1.24 times
//
// of which 5 to 9 MiB are the runtime's own, whatever the capacity. Memory outside
// of the heap would need a reference count on every slice that a reader passes to
// a Write; one that is missed is another client's bytes in a response.
//
// # Purges
//
// Each purge begins an epoch. A Put is refused if a purge that is for it has begun
// since its Fill did; the comparison and the entry's becoming visible are one
// step for a purge. A purge is in force before it removes the first entry, and
// while it removes them each Get compares what it found with it. So when Purge
// has returned no Get finds what was older, and no such thing comes later. Soft
// purges mark instead of removing: Entry.StaleSince.
//
// # The policy
//
// ristretto decides what stays, nothing else. Its queue, lossy by design, makes it
// forget updates and show old ones (see admit); so entries are found in the
// shards, Put waits for the policy's verdict, and what leaves the policy leaves
// the shards. Nothing in it expires: freshness is for whoever reads the Head.
//
// Of requests by Zipf's law, exponent 0.9, over a million objects of which a tenth
// fit, 68.5 % are hits; with LRU it would be 63.7 %, with otter 68.1 %
// (BenchmarkHitRatio).
//
// # Figures
//
// On two cores that were not quite idle: a Get of something and its Hit take 0.2
// µs and no allocation, a Put of 1 KiB with the policy's verdict 9 µs. The index
// takes 14.6 bytes for each tag of an entry, with a million entries of ten tags.
// A purge of a tag with 100,000 entries takes 0.2 s, a soft one 5 to 20 ms. Of the
// Gets meanwhile, one in 10,000 took 0.12 ms or more and the longest 1 to 5 ms
// (0.06 and 1 ms without a purge); a soft purge, which takes no lock that a Get
// needs for more than a copy, had one of 48 ms: that is the scheduler's share.
//
// # Concurrency and errors
//
// Everything may be called concurrently except that a Fill and the writing side
// of its Body belong to one goroutine, as does a Reader. There are no goroutines
// but the two of the policy, which Close ends. The errors of Put say why
// something was not stored; none of them is a reason not to serve it, except
// that ErrPurged tells that the response is older than a purge.
package store
