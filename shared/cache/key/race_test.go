//go:build race

package key_test

// The race detector makes things allocate that do not otherwise.
const raceDetector = true
