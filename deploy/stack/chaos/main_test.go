//go:build linux

package chaos

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
)

func TestMain(m *testing.M) {
	if journal := os.Getenv(journalVariable); journal != "" {
		os.Exit(backendMain(journal))
	}
	code := m.Run()
	if buildDir != "" {
		os.RemoveAll(buildDir)
	}
	os.Exit(code)
}

// buildDir holds the daemons, once daemons was called.
var buildDir string

// daemons builds ergo-edge and ergo-core from this tree, once, and returns the
// directory that they are in.
var daemons = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "ergo-chaos-")
	if err != nil {
		return "", err
	}
	buildDir = dir
	args := []string{"build", "-o", dir + string(filepath.Separator)}
	if raceEnabled {
		args = append(args, "-race")
	}
	args = append(args, "github.com/ergoproxy/ergo/edge/cmd/ergo-edge", "github.com/ergoproxy/ergo/core/cmd/ergo-core")
	if out, err := exec.Command("go", args...).CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the daemons: %w\n%s", err, out)
	}
	return dir, nil
})
