//go:build !race

package stack_test

// Sizes of the big bodies, in bytes.
const (
	uploadSize   = 100 << 20
	downloadSize = 1 << 30
)
