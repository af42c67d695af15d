package balance

import "math/rand/v2"

// A source returns a uniform number below n, which is not 0. It is safe for
// concurrent use.
type source func(n uint32) uint32

// draw uses the runtime's generator: one per thread, no lock, no seed to guess.
var draw source = rand.Uint32N

// random takes any member.
type random[T Member] struct{ below source }

func (p random[T]) Pick(members []T) int {
	if len(members) == 0 {
		return -1
	}
	return int(p.below(uint32(len(members))))
}
