//go:build race

package link

// UnderRace says that the race detector is on: everything takes ten times as long
// then, and allocates.
const UnderRace = true
