//go:build race

package chaos

// raceEnabled says that the daemons too are built with the race detector.
const raceEnabled = true
