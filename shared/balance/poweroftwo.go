package balance

// powerOfTwo draws two different members and takes the one with fewer requests
// in flight (Mitzenmacher, "The Power of Two Choices in Randomized Load
// Balancing", 1996).
type powerOfTwo[T Member] struct{ below source }

func (p powerOfTwo[T]) Pick(members []T) int {
	n := uint32(len(members))
	switch n {
	case 0:
		return -1
	case 1:
		return 0
	}
	// The second draw is from the n-1 others: a number at or above the first
	// one means the member after it.
	a, b := p.below(n), p.below(n-1)
	if b >= a {
		b++
	}
	if members[b].InFlight() < members[a].InFlight() {
		return int(b)
	}
	return int(a)
}
