//go:build race

package h1_test

// The race detector makes things allocate that do not otherwise.
const raceDetector = true
