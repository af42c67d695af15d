package config_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ergoproxy/ergo/shared/config"
)

// FuzzDecode looks for files that make Decode panic, hang, or report a problem
// that nobody can find again.
func FuzzDecode(f *testing.F) {
	files, err := filepath.Glob("testdata/bad/*.yaml")
	if err != nil || len(files) == 0 {
		f.Fatal("no seeds", err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Add([]byte(whole))
	f.Add([]byte("\ufeff? a\n: &b [*b, !!str c, |\n x\n]\r\n---\n..."))
	f.Fuzz(func(t *testing.T, data []byte) {
		// Paths that the fuzzer makes up must not lead out of here.
		if strings.Contains(string(data), "file") || strings.Contains(string(data), "ca") || strings.Contains(string(data), "cert") {
			data = []byte(strings.NewReplacer("/", "_", "~", "_").Replace(string(data)))
		}
		lines := strings.Count(string(data), "\n") + strings.Count(string(data), "\r") + 1
		var e edge
		_, err := config.Decode("f.yaml", t.TempDir(), data, &e)
		if err == nil {
			if e.Name == "" || len(e.Tunnel.Cores) == 0 {
				t.Errorf("accepted without what is required: %+v", e)
			}
			return
		}
		problems, ok := errors.AsType[*config.Error](err)
		if !ok || len(problems.Problems) == 0 || len(problems.Problems) > 100 {
			t.Fatalf("got %v, want 1 to 100 problems", err)
		}
		for _, p := range problems.Problems {
			if p.Text == "" || p.Line < 0 || p.Line > lines || len(p.String()) > 20_000 {
				t.Errorf("problem %+v in a file of %d lines", p, lines)
			}
		}
	})
}
