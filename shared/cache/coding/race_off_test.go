//go:build !race

package coding_test

// underRace says that the race detector is on, which allocates and is slow.
const underRace = false
