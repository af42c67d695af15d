package require_test

import (
	"errors"
	"fmt"
	"runtime"
	"testing"

	"github.com/ergoproxy/ergo/deploy/require"
)

// recorder notes what became of a test.
type recorder struct {
	testing.TB
	skipped, failed string
}

func (r *recorder) Helper() {}

func (r *recorder) Skipf(format string, args ...any) {
	r.skipped = fmt.Sprintf(format, args...)
	runtime.Goexit()
}

func (r *recorder) Fatalf(format string, args ...any) {
	r.failed = fmt.Sprintf(format, args...)
	runtime.Goexit()
}

func TestHave(t *testing.T) {
	missing := errors.New("not root")
	for _, c := range []struct {
		name, required  string
		missing         error
		skipped, failed string
	}{
		{"there", "netns", nil, "", ""},
		{"missing", "", missing, "no netns: not root", ""},
		{"other required", "docker,netnsx", missing, "no netns: not root", ""},
		{"required", "docker,netns", missing, "", "ERGO_REQUIRE lists netns: not root"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Setenv("ERGO_REQUIRE", c.required)
			r := &recorder{TB: t}
			done := make(chan struct{})
			go func() {
				defer close(done)
				require.Have(r, "netns", c.missing)
			}()
			<-done
			if r.skipped != c.skipped || r.failed != c.failed {
				t.Errorf("skipped %q, failed %q, want %q and %q", r.skipped, r.failed, c.skipped, c.failed)
			}
		})
	}
}
