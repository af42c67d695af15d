//go:build race

package accesslog_test

// The race detector makes sync.Pool forget at random.
const raceDetector = true
