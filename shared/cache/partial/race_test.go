//go:build race

package partial_test

// The race detector makes things allocate that do not otherwise.
const raceDetector = true
