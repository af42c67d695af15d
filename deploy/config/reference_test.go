package config_test

import (
	"bytes"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ergoproxy/ergo/core"
	"github.com/ergoproxy/ergo/edge"
	"github.com/ergoproxy/ergo/shared/config/configdoc"
)

const (
	moduleDir = "../.."
	reference = moduleDir + "/docs/configuration.md"
)

// introduction stands above the two generated halves.
const introduction = `# Configuration

<!-- Written by "go test ./deploy/config -update" from the config structs and their comments. Do not edit. -->

An edge reads ` + "`edge.yaml`" + `, a core ` + "`core.yaml`" + `. [The files of the quick start](../deploy/config/edge.yaml) are the smallest that work,
[a realistic pair](../deploy/config/two-sites/edge.yaml) says why of each key that it sets.

- [Keys of edge.yaml](#edge)
- [Keys of core.yaml](#core)

## How the files are read

- YAML, strictly: an unknown key, a value of the wrong type or an impossible one stops the start. ` + "`--check`" + ` prints every problem
  with file, line, column and key, reads the certificates and keys that the file names, opens nothing, and exits with 0 or 1.
- Anchors, merge keys, tags and several documents in one file are refused, and so is a key without a value.
- Durations have a unit: ` + "`250ms`, `30s`, `1h30m`" + `. Sizes are bytes, or have a unit of 1024: ` + "`64KiB`, `16MiB`, `2GiB`" + `.
- Paths of files are relative to the directory of the config file.
- A secret never stands in the file itself: write ` + "`{file: PATH}` or `{env: NAME}`" + `.
- A list or a mapping of the file takes the place of the default one, nothing is merged.
- A reload (SIGHUP, or a changed file) that is not valid changes nothing. [Operations](operations.md#reload) lists the keys that need a restart.
`

// TestReferenceIsInStep fails when a config struct or a comment has changed and
// docs/configuration.md has not.
func TestReferenceIsInStep(t *testing.T) {
	var page strings.Builder
	page.WriteString(introduction)
	for _, half := range []struct {
		anchor, title string
		root          any
	}{{"edge", "Keys of edge.yaml", edge.Config{}}, {"core", "Keys of core.yaml", core.Config{}}} {
		var b bytes.Buffer
		if err := configdoc.Generate(&b, half.title, half.root, moduleDir); err != nil {
			t.Fatal(err)
		}
		page.WriteString(asHalf(b.String(), half.anchor, half.title))
	}
	if *update {
		if err := os.WriteFile(reference, []byte(page.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if page.String() != read(t, reference) {
		t.Error("docs/configuration.md is not what the config structs say: go test ./deploy/config -update")
	}
}

// asHalf makes a generated page one half of ours: its headings one level deeper,
// its anchors with the name of the tier before them, so that none is there twice.
func asHalf(page, tier, title string) string {
	_, body, _ := strings.Cut(page, "-->\n\n")
	body = strings.NewReplacer(
		"\n## ", "\n### ",
		`<a id="`, `<a id="`+tier+`-`,
		"](#", "](#"+tier+"-",
	).Replace(body)
	return "\n## <a id=\"" + tier + "\"></a>" + title + "\n\n" + body
}

// A comment that names a default must name the one that counts.
func TestCommentsNameTheDefault(t *testing.T) {
	named := 0
	for line := range strings.Lines(read(t, reference)) {
		cells := strings.Split(line, " | ")
		if len(cells) < 4 || !strings.HasPrefix(cells[2], "`") {
			continue
		}
		fallback := strings.Trim(cells[2], "`")
		_, said, ok := strings.Cut(strings.Join(cells[3:], " | "), "Default")
		if !ok || slices.Contains([]string{"0", "0s", "false"}, fallback) {
			continue // the comment says what zero does
		}
		named++
		words := strings.FieldsFunc(said, func(r rune) bool { return strings.ContainsRune(" \t\n,;:\"", r) })
		if !slices.ContainsFunc(words, func(w string) bool { return sameValue(strings.TrimSuffix(w, "."), fallback) }) {
			t.Errorf("%s has the default %s, its comment says: Default%s", cells[0], fallback, said)
		}
	}
	if named < 40 {
		t.Errorf("%d comments name a default, the test does not find them", named)
	}
}

// sameValue compares values as text, or as durations: 60s is 1m.
func sameValue(a, b string) bool {
	x, err1 := time.ParseDuration(a)
	y, err2 := time.ParseDuration(b)
	return a == b || err1 == nil && err2 == nil && x == y
}
