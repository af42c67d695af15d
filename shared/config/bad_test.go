package config_test

import (
	"errors"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/ergoproxy/ergo/shared/config"
)

var update = flag.Bool("update", false, "write the messages of testdata/bad/*.yaml to their .golden files")

// Every broken file has the messages that a person gets to read beside it.
func TestBrokenFilesSayWhatToChange(t *testing.T) {
	files, err := filepath.Glob("testdata/bad/*.yaml")
	if err != nil || len(files) < 25 {
		t.Fatalf("%d broken files, %v; want at least 25", len(files), err)
	}
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".yaml"), func(t *testing.T) {
			var e edge
			_, err := config.Load(file, &e)
			if _, ok := errors.AsType[*config.Error](err); !ok {
				t.Fatalf("got %v, want an *Error", err)
			}
			got := strings.ReplaceAll(err.Error(), here, "/etc/ergo") + "\n"
			golden := strings.TrimSuffix(file, ".yaml") + ".golden"
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if got != string(want) {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
			located(t, file, got)
		})
	}
}

var place = regexp.MustCompile(`^testdata/bad/[a-z0-9_]+\.yaml:[0-9]+:[0-9]+: `)

// located checks that each line says where it belongs; "whole" files have no
// place to name.
func located(t *testing.T, file, messages string) {
	t.Helper()
	if strings.Contains(file, "whole_") {
		return
	}
	for line := range strings.Lines(messages) {
		if !place.MatchString(line) {
			t.Errorf("no file:line:column: in %q", line)
		}
	}
}
