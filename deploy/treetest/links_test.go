package treetest

import (
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	link    = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	heading = regexp.MustCompile(`(?m)^#+ (.+)$`)
	anchor  = regexp.MustCompile(`<a id="([^"]+)">`)
	fenced  = regexp.MustCompile("(?ms)^```.*?^```$")
)

// pagesOf returns the README and all pages below docs, by their path.
func pagesOf(t *testing.T) map[string]string {
	t.Helper()
	pages := map[string]string{}
	eachFile(t, func(name string, content []byte) {
		if path.Ext(name) == ".md" && (name == "README.md" || strings.HasPrefix(name, "docs/")) {
			pages[name] = string(content)
		}
	})
	if len(pages) < 10 {
		t.Fatalf("%d pages found, the test does not find the documentation", len(pages))
	}
	return pages
}

func TestLinksOfThePagesLeadSomewhere(t *testing.T) {
	pages := pagesOf(t)
	links := 0
	for name, page := range pages {
		for _, m := range link.FindAllStringSubmatch(fenced.ReplaceAllString(page, ""), -1) {
			if strings.Contains(m[1], "://") || strings.HasPrefix(m[1], "mailto:") {
				continue
			}
			links++
			if problem := followLink(pages, name, m[1]); problem != "" {
				t.Errorf("%s: link %s: %s", name, m[1], problem)
			}
		}
	}
	if links < 50 {
		t.Errorf("%d links found, the test does not find them", links)
	}
}

// followLink returns what is wrong with a link of the page called name, or "".
func followLink(pages map[string]string, name, to string) string {
	file, fragment, _ := strings.Cut(to, "#")
	target := name
	if file != "" {
		target = path.Join(path.Dir(name), file)
	}
	if _, err := os.Stat(filepath.Join(root, filepath.FromSlash(target))); err != nil {
		return "there is no " + target
	}
	if page, ok := pages[target]; ok && fragment != "" && !fragments(page)[fragment] {
		return target + " has no heading or anchor of that name"
	}
	return ""
}

// fragments returns the names under which the parts of a page can be reached.
func fragments(page string) map[string]bool {
	found := map[string]bool{}
	for _, m := range anchor.FindAllStringSubmatch(page, -1) {
		found[m[1]] = true
	}
	for _, m := range heading.FindAllStringSubmatch(fenced.ReplaceAllString(page, ""), -1) {
		found[slug(m[1])] = true
	}
	return found
}

// slug is what GitHub makes of a heading.
func slug(text string) string {
	var b strings.Builder
	for _, r := range strings.ToLower(text) {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9', r == '-', r == '_':
			b.WriteRune(r)
		case r == ' ':
			b.WriteByte('-')
		}
	}
	return b.String()
}

// A page that nothing leads to is not read.
func TestEachPageIsLinked(t *testing.T) {
	pages := pagesOf(t)
	linked := map[string]bool{"README.md": true}
	for name, page := range pages {
		for _, m := range link.FindAllStringSubmatch(page, -1) {
			file, _, _ := strings.Cut(m[1], "#")
			linked[path.Join(path.Dir(name), file)] = true
		}
	}
	for name := range pages {
		if !linked[name] {
			t.Errorf("no page links to %s", name)
		}
	}
}

func TestBrokenLinksAreFound(t *testing.T) {
	pages := map[string]string{"docs/a.md": "# One thing\n\n<a id=\"here\"></a>\n\n```sh\n# no heading\n```\n"}
	for to, good := range map[string]bool{
		"#one-thing": true, "#here": true, "../go.mod": true, "a.md": false, // is not there on disk
		"#two": false, "#no-heading": false, "gone.md": false,
	} {
		if problem := followLink(pages, "docs/a.md", to); (problem == "") != good && to[0] != '#' {
			t.Errorf("%s: %q", to, problem)
		}
		if to[0] == '#' && fragments(pages["docs/a.md"])[to[1:]] != good {
			t.Errorf("%s: found %v, want %v", to, !good, good)
		}
	}
}
