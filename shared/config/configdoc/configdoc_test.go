package configdoc_test

import (
	"bytes"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ergoproxy/ergo/shared/config/configdoc"
	"github.com/ergoproxy/ergo/shared/config/configdoc/testdata/fixture"
)

var update = flag.Bool("update", false, "write testdata/reference.golden.md")

const moduleDir = "../../.."

func TestReferenceOfEveryKindOfKey(t *testing.T) {
	var first, second bytes.Buffer
	if err := configdoc.Generate(&first, "Configuration of the fixture", fixture.Config{}, moduleDir); err != nil {
		t.Fatal(err)
	}
	if err := configdoc.Generate(&second, "Configuration of the fixture", &fixture.Config{}, moduleDir); err != nil {
		t.Fatal(err)
	}
	if first.String() != second.String() {
		t.Error("two runs differ")
	}
	const golden = "testdata/reference.golden.md"
	if *update {
		if err := os.WriteFile(golden, first.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if first.String() != string(want) {
		t.Errorf("got\n%s\nwant\n%s", first.String(), want)
	}
}

func TestEveryLinkHasOneAnchor(t *testing.T) {
	var b bytes.Buffer
	if err := configdoc.Generate(&b, "x", fixture.Config{}, moduleDir); err != nil {
		t.Fatal(err)
	}
	links := strings.Split(b.String(), "](#")[1:]
	if len(links) < 5 {
		t.Fatalf("%d links, want some", len(links))
	}
	for _, rest := range links {
		id, _, _ := strings.Cut(rest, ")")
		if n := strings.Count(b.String(), `<a id="`+id+`"></a>`); n != 1 {
			t.Errorf("#%s leads to %d anchors, want 1", id, n)
		}
	}
}

func TestKeysWithoutCommentAreAllNamed(t *testing.T) {
	var b bytes.Buffer
	err := configdoc.Generate(&b, "x", fixture.Bare{}, moduleDir)
	const pkg = "github.com/ergoproxy/ergo/shared/config/configdoc/testdata/fixture."
	want := "config keys without a comment:\n" + pkg + "Bare.Again\n" + pkg + "Bare.Inner\n" + pkg + "Bare.Unsaid\n" + pkg + "BareInner.Silent"
	if err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
	if b.Len() > 0 {
		t.Errorf("wrote %d bytes beside the error", b.Len())
	}
}

func TestWhatHasNoSourceIsRefused(t *testing.T) {
	module := func(gomod string) string {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "go.mod"), []byte(gomod), 0o600); err != nil {
			t.Fatal(err)
		}
		return dir
	}
	tests := []struct {
		name, dir string
		root      any
		want      string
	}{
		{"nameless struct", moduleDir, fixture.Nameless{}, "needs a type name"},
		{"another module", module("module example.com/other\n"), fixture.Config{}, "not a package of module example.com/other"},
		{"no module", t.TempDir(), fixture.Config{}, "go.mod"},
		{"no module line", module("go 1.26.0\n"), fixture.Config{}, "no module line"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := configdoc.Generate(&bytes.Buffer{}, "x", tt.root, tt.dir)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want something with %q", err, tt.want)
			}
		})
	}
}

type broken struct{}

func (broken) Write([]byte) (int, error) { return 0, errBroken }

var errBroken = errors.New("disk full")

func TestErrorOfTheWriterComesBack(t *testing.T) {
	if err := configdoc.Generate(broken{}, "x", fixture.Config{}, moduleDir); !errors.Is(err, errBroken) {
		t.Errorf("got %v, want %v", err, errBroken)
	}
}
