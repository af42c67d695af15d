package treetest

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// root is the top of the repository, seen from this package.
const root = "../.."

// maxLines is where a file has stopped being one subject.
const maxLines = 600

// topLevel is all that may lie at the top, dotfiles aside.
var topLevel = []string{"bench", "core", "deploy", "docs", "edge", "shared", "go.mod", "go.sum", "docker-compose.yml", "README.md"}

// emptyNames say nothing about what is inside.
var emptyNames = []string{"base", "common", "helper", "helpers", "interfaces", "lib", "manager", "misc", "types", "util", "utils"}

// ignored returns the names at the top that git does not track: results and
// keys that somebody works with.
func ignored(t *testing.T) []string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(root, ".gitignore"))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for line := range strings.Lines(string(b)) {
		if name, ok := strings.CutPrefix(strings.TrimSpace(line), "/"); ok {
			names = append(names, strings.TrimSuffix(name, "/"))
		}
	}
	return names
}

// eachFile calls f with every file of the repository that is not ignored, as a
// slash-separated path from the top.
func eachFile(t *testing.T, f func(name string, content []byte)) {
	t.Helper()
	skip := append(ignored(t), ".git")
	err := fs.WalkDir(os.DirFS(root), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if slices.Contains(skip, name) {
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		if !d.Type().IsRegular() {
			return nil
		}
		content, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(name)))
		if err == nil {
			f(name, content)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestTopLevel(t *testing.T) {
	entries, err := os.ReadDir(root)
	if err != nil {
		t.Fatal(err)
	}
	var have []string
	allowed := append(ignored(t), topLevel...)
	for _, e := range entries {
		have = append(have, e.Name())
		if !strings.HasPrefix(e.Name(), ".") && !slices.Contains(allowed, e.Name()) {
			t.Errorf("%s lies at the top, where only %v do", e.Name(), topLevel)
		}
	}
	for _, name := range topLevel {
		if !slices.Contains(have, name) {
			t.Errorf("%s is missing at the top", name)
		}
	}
}

func TestFilesAreOneSubject(t *testing.T) {
	seen := 0
	eachFile(t, func(name string, content []byte) {
		if path.Ext(name) != ".go" {
			return
		}
		seen++
		if n := bytes.Count(content, []byte("\n")); n > maxLines {
			t.Errorf("%s has %d lines, want at most %d: split it by subject", name, n, maxLines)
		}
		base := strings.TrimSuffix(strings.TrimSuffix(path.Base(name), ".go"), "_test")
		for _, word := range []string{base, path.Base(path.Dir(name))} {
			if slices.Contains(emptyNames, word) {
				t.Errorf("%s: the name %q does not say what is inside", name, word)
			}
		}
	})
	if seen < 20 {
		t.Errorf("saw %d Go files, the test does not find the tree", seen)
	}
}

func TestEachPackageHasOneDoc(t *testing.T) {
	for _, p := range ourPackages(t) {
		entries, err := os.ReadDir(p.Dir)
		if err != nil {
			t.Fatal(err)
		}
		var docs []string
		sources := 0
		for _, e := range entries {
			if path.Ext(e.Name()) != ".go" || strings.HasSuffix(e.Name(), "_test.go") {
				continue
			}
			sources++
			file, err := parser.ParseFile(token.NewFileSet(), filepath.Join(p.Dir, e.Name()), nil, parser.PackageClauseOnly|parser.ParseComments)
			if err != nil {
				t.Fatal(err)
			}
			if file.Doc.Text() == "" {
				continue
			}
			docs = append(docs, e.Name())
			want := "Package " + file.Name.Name + " "
			if file.Name.Name == "main" {
				want = "Command " + path.Base(p.path()) + " "
			}
			if !strings.HasPrefix(file.Doc.Text(), want) {
				t.Errorf("%s/%s: the package doc does not begin with %q", p.path(), e.Name(), want)
			}
		}
		if sources > 0 && len(docs) != 1 {
			t.Errorf("%s has a package doc in %q, want exactly one", p.path(), docs)
		}
	}
}

func TestTestsDoNotSleep(t *testing.T) {
	eachFile(t, func(name string, content []byte) {
		if !strings.HasSuffix(name, "_test.go") {
			return
		}
		set := token.NewFileSet()
		file, err := parser.ParseFile(set, name, content, parser.SkipObjectResolution)
		if err != nil {
			t.Error(err)
			return
		}
		for _, at := range sleeps(file) {
			t.Errorf("%v: time.Sleep in a test: wait for what is meant, or use testing/synctest", set.Position(at))
		}
	})
}

// sleeps returns where file calls time.Sleep. Inside the func given to
// synctest.Test that is how its clock is moved, and takes no time.
func sleeps(file *ast.File) []token.Pos {
	var found []token.Pos
	ast.Inspect(file, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok {
			return true
		}
		if isSelector(call.Fun, "synctest", "Test") {
			return false
		}
		if isSelector(call.Fun, "time", "Sleep") {
			found = append(found, call.Pos())
		}
		return true
	})
	return found
}

func isSelector(e ast.Expr, pkg, name string) bool {
	s, ok := e.(*ast.SelectorExpr)
	if !ok || s.Sel.Name != name {
		return false
	}
	id, ok := s.X.(*ast.Ident)
	return ok && id.Name == pkg
}

func TestSleepIsFound(t *testing.T) {
	const source = `package p
func f() { time.Sleep(1) }
func g() { synctest.Test(t, func(t *testing.T) { time.Sleep(1) }) }
`
	file, err := parser.ParseFile(token.NewFileSet(), "p.go", source, 0)
	if err != nil {
		t.Fatal(err)
	}
	if got := sleeps(file); len(got) != 1 {
		t.Errorf("%d sleeps found, want the one outside the bubble", len(got))
	}
}

// Directories of the machine that somebody wrote on mean nothing to others. The
// words are put together here so that this file does not hold them.
var machinePaths = []string{"/ro" + "ot/", "/wo" + "rk/", "/tm" + "p/wt/", "C:" + `\Users`}

func TestNoPathsOfOneMachine(t *testing.T) {
	eachFile(t, func(name string, content []byte) {
		if name == "go.sum" || bytes.IndexByte(content, 0) >= 0 {
			return
		}
		for i, line := range bytes.Split(content, []byte("\n")) {
			for _, p := range machinePaths {
				if bytes.Contains(line, []byte(p)) {
					t.Errorf("%s:%d holds %q: a path of the machine it was written on", name, i+1, p)
				}
			}
		}
	})
}
