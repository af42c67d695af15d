//go:build race

package coding_test

// underRace says that the race detector is on, which allocates.
const underRace = true
