package balance

// leastRequests takes the member with the fewest requests in flight. Of equals
// it takes any one with the same chance: taking the first would send every
// request of an idle pool to the same member.
type leastRequests[T Member] struct{ below source }

func (p leastRequests[T]) Pick(members []T) int {
	best, least, equals := -1, int64(0), uint32(0)
	for i, m := range members {
		n := m.InFlight()
		switch {
		case best < 0 || n < least:
			best, least, equals = i, n, 1
		case n == least:
			// The k-th of k equals replaces the choice with chance 1/k, which
			// leaves each of them the same chance in one pass.
			equals++
			if p.below(equals) == 0 {
				best = i
			}
		}
	}
	return best
}
