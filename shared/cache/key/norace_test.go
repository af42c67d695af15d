//go:build !race

package key_test

const raceDetector = false
