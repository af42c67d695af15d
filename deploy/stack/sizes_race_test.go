//go:build race

package stack_test

// Sizes of the big bodies, in bytes. The race detector makes them take ten times
// as long, so they are smaller with it.
const (
	uploadSize   = 8 << 20
	downloadSize = 64 << 20
)
