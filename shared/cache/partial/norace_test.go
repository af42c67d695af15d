//go:build !race

package partial_test

const raceDetector = false
