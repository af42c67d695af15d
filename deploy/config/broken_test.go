package config_test

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite what the tests compare with: docs/configuration.md and testdata")

// atLeast is how many broken files there must be: a test that finds none of them
// would not fail.
const atLeast = 25

func TestBrokenFilesAreRefused(t *testing.T) {
	files, err := filepath.Glob("testdata/broken/*.yaml")
	if err != nil || len(files) < atLeast {
		t.Fatalf("%d broken files, want at least %d (%v)", len(files), atLeast, err)
	}
	p := newPantry(t)
	for _, file := range files {
		name := filepath.Base(file)
		t.Run(strings.TrimSuffix(name, ".yaml"), func(t *testing.T) {
			text := read(t, file)
			tier, _, _ := strings.Cut(name, "-")
			v := p.check(t, tier, name, text)
			if v.code != 1 {
				t.Errorf("exit code %d, want 1", v.code)
			}
			if v.stdout != "" {
				t.Errorf("stdout has %q, want nothing", v.stdout)
			}
			golden := strings.TrimSuffix(file, ".yaml") + ".golden"
			if *update {
				if err := os.WriteFile(golden, []byte(v.stderr), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			if want := read(t, golden); v.stderr != want {
				t.Errorf("stderr:\n%s\nwant:\n%s", v.stderr, want)
			}
		})
	}
}

// What a message is for: it leads to the line, and says what is wrong with which
// key. The golden files show the words, this shows that none forgets one.
func TestEveryMessageLeadsToItsLine(t *testing.T) {
	files, err := filepath.Glob("testdata/broken/*.golden")
	if err != nil || len(files) < atLeast {
		t.Fatalf("%d golden files, want at least %d (%v)", len(files), atLeast, err)
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".golden") + ".yaml"
		lines := strings.Split(read(t, filepath.Join("testdata/broken", name)), "\n")
		for message := range strings.Lines(read(t, file)) {
			var line, column int
			place, _, _ := strings.Cut(message, ": ")
			if message == name+": the file is empty\n" {
				continue
			}
			if !parsePlace(place, name, &line, &column) || line < 1 || line > len(lines) || column < 1 || column > len(lines[line-1])+1 {
				t.Errorf("%s: %q does not begin with a place in %s", file, message, name)
			}
		}
	}
}
