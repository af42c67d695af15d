package config_test

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func read(t *testing.T, file string) string {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// parsePlace reads "name:line:column".
func parsePlace(place, name string, line, column *int) bool {
	rest, ok := strings.CutPrefix(place, name+":")
	if !ok {
		return false
	}
	n, err := fmt.Sscanf(rest, "%d:%d", line, column)
	return n == 2 && err == nil
}

// examples are all configs of this directory, and how many there are at least.
func TestExamplesAreGood(t *testing.T) {
	var files []string
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if d.Name() == "testdata" {
			return fs.SkipDir
		}
		if filepath.Ext(path) == ".yaml" {
			files = append(files, path)
		}
		return err
	})
	if err != nil || len(files) < 8 {
		t.Fatalf("found %q, want the smallest pair, the realistic one and those of docker-compose (%v)", files, err)
	}
	p := newPantry(t)
	for _, file := range files {
		t.Run(file, func(t *testing.T) {
			name := filepath.Base(file)
			tier, _, _ := strings.Cut(strings.TrimSuffix(name, ".yaml"), "-")
			p.mustPass(t, tier, name, read(t, file))
		})
	}
}

// The manifests for Kubernetes hold a config each.
func TestConfigMapsAreGood(t *testing.T) {
	p := newPantry(t)
	for _, tier := range []string{"edge", "core"} {
		text := read(t, filepath.Join("../kubernetes", tier+".yaml"))
		_, text, ok := strings.Cut(text, "\n  "+tier+".yaml: |\n")
		if !ok {
			t.Fatalf("%s.yaml of Kubernetes holds no %s.yaml", tier, tier)
		}
		config, _, _ := strings.Cut(text, "\n---\n")
		p.mustPass(t, tier, tier+".yaml", strings.ReplaceAll(config, "\n    ", "\n")[len("    "):])
	}
}

// A snippet of the documentation is a whole file, or a part of one: then the
// keys that it does not have come from the smallest file. What is about another
// program says so in its first line.
func TestSnippetsAreGood(t *testing.T) {
	p := newPantry(t)
	found := 0
	for _, file := range pages(t) {
		for i, text := range snippets(read(t, file)) {
			first, _, _ := strings.Cut(text, "\n")
			if strings.HasPrefix(first, "# prometheus") {
				continue
			}
			tier, known := strings.CutPrefix(first, "# ")
			tier, _, _ = strings.Cut(tier, ".yaml")
			if !known || tier != "edge" && tier != "core" {
				t.Errorf("%s: snippet %d begins with %q, want \"# edge.yaml\" or \"# core.yaml\"", file, i+1, first)
				continue
			}
			found++
			t.Run(fmt.Sprintf("%s/%d", filepath.Base(file), i+1), func(t *testing.T) {
				p.mustPass(t, tier, tier+".yaml", text+rest(text, read(t, tier+".yaml")))
			})
		}
	}
	if found < 5 {
		t.Errorf("%d snippets found, want some", found)
	}
}

// pages returns the files of the documentation.
func pages(t *testing.T) []string {
	t.Helper()
	files := []string{"../../README.md"}
	err := filepath.WalkDir("../../docs", func(path string, d fs.DirEntry, err error) error {
		if filepath.Ext(path) == ".md" {
			files = append(files, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// snippets returns the YAML blocks of a page.
func snippets(page string) []string {
	var found []string
	for i, part := range strings.Split(page, "\n```") {
		if body, ok := strings.CutPrefix(part, "yaml\n"); ok && i%2 == 1 {
			found = append(found, body+"\n")
		}
	}
	return found
}

// rest returns what text lacks of the file whole: its keys at the top level that
// text does not have.
func rest(text, whole string) string {
	have := topKeys(text)
	var b strings.Builder
	keep := false
	for line := range strings.Lines(whole) {
		if key := topKey(line); key != "" {
			keep = !slices.Contains(have, key)
		}
		if keep {
			b.WriteString(line)
		}
	}
	return b.String()
}

func topKeys(text string) []string {
	var keys []string
	for line := range strings.Lines(text) {
		if key := topKey(line); key != "" {
			keys = append(keys, key)
		}
	}
	return keys
}

// topKey returns the key that begins in the first column of line, or "".
func topKey(line string) string {
	key, _, ok := strings.Cut(line, ":")
	if !ok || strings.ContainsAny(key[:1], " #-") {
		return ""
	}
	return key
}
