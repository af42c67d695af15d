//go:build race

package store

// underRace says that the race detector is on: everything is slower then,
// allocates, and sync.Pool forgets on purpose.
const underRace = true
