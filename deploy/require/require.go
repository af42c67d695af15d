// Package require lets a test skip where the machine lacks what it needs, and
// turns that skip into a failure where the environment says that it must be
// there: ERGO_REQUIRE=netns,ipv6,docker,nginx,haproxy,redis,chromium go test ./...
package require

import (
	"os"
	"slices"
	"strings"
	"testing"
)

// variable lists, with commas, what must not be missing.
const variable = "ERGO_REQUIRE"

// Have skips t if missing is not nil, which says why the machine has no name. If
// ERGO_REQUIRE lists name, t fails instead.
func Have(t testing.TB, name string, missing error) {
	t.Helper()
	if missing == nil {
		return
	}
	if slices.Contains(strings.Split(os.Getenv(variable), ","), name) {
		t.Fatalf("%s lists %s: %v", variable, name, missing)
	}
	t.Skipf("no %s: %v", name, missing)
}
