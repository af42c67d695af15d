package balance

import "sync/atomic"

// roundRobin takes the members in turn. When the set changes, it goes on from
// wherever its count happens to fall in the new one.
type roundRobin[T Member] struct {
	next atomic.Uint64
}

func (p *roundRobin[T]) Pick(members []T) int {
	if len(members) == 0 {
		return -1
	}
	return int((p.next.Add(1) - 1) % uint64(len(members)))
}
