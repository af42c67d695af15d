// Package balance chooses one of several members: the edge picks a core with
// it, the core picks a backend.
//
//	round_robin     each in turn                          equal members, equal work
//	random          any one                               many pickers that do not know each other
//	least_requests  the fewest requests in flight         work of very unequal length; looks at every member
//	p2c             the less busy of two drawn at random  as good for most loads, and its cost does not grow
//
// A Picker sees only the members that may be picked: health is decided before.
// It is safe for concurrent use, takes no lock and allocates nothing.
package balance

import (
	"fmt"
	"strings"
)

// A Member is something that can be picked.
type Member interface {
	// InFlight returns how many requests the member is serving now, as far as
	// this process knows. It is safe for concurrent use.
	InFlight() int64
}

// A Picker chooses among members.
type Picker[T Member] interface {
	// Pick returns the index of the member to use, or -1 when members is empty.
	// The order of members should be stable between calls. It does not retain
	// the slice.
	Pick(members []T) int
}

// Names of the algorithms, as a config file writes them.
const (
	RoundRobin    = "round_robin"
	Random        = "random"
	LeastRequests = "least_requests"
	PowerOfTwo    = "p2c"
)

// Names returns the names that New knows, in the order to print them in.
func Names() []string { return []string{RoundRobin, Random, LeastRequests, PowerOfTwo} }

// New returns a Picker by its name. An unknown name is an error that lists the
// known ones.
func New[T Member](name string) (Picker[T], error) {
	switch name {
	case RoundRobin:
		return &roundRobin[T]{}, nil
	case Random:
		return random[T]{draw}, nil
	case LeastRequests:
		return leastRequests[T]{draw}, nil
	case PowerOfTwo:
		return powerOfTwo[T]{draw}, nil
	}
	return nil, fmt.Errorf("%q is no balance algorithm, want one of %s", name, strings.Join(Names(), ", "))
}
