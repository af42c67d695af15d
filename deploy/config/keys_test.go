package config_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"
)

// A key that is parsed and then ignored is worse than none: somebody relies on
// it. Each field with a yaml tag must be read somewhere besides SetDefaults,
// Validate and the tests.
func TestEachKeyIsUsed(t *testing.T) {
	packages := listPackages(t)
	fields, used := map[string]string{}, map[string]bool{}
	checked := 0
	for _, p := range packages {
		if !strings.HasPrefix(p.ImportPath, "github.com/ergoproxy/ergo/") || strings.Contains(p.ImportPath, "/testdata/") {
			continue
		}
		checked++
		if err := readUses(p, packages, fields, used); err != nil {
			t.Fatalf("%s: %v", p.ImportPath, err)
		}
	}
	if checked < 20 || len(fields) < 100 {
		t.Fatalf("%d packages with %d keys found, the test does not find them", checked, len(fields))
	}
	for place, field := range fields {
		if !used[place] {
			t.Errorf("%s (%s) is read by nothing: a key without effect", field, place)
		}
	}
}

// A listed is a package as go list describes it.
type listed struct {
	ImportPath, Dir, Export string
	GoFiles                 []string
}

// listPackages returns the packages of both tiers and all that they import, by
// their path.
func listPackages(t *testing.T) map[string]listed {
	t.Helper()
	cmd := exec.Command("go", "list", "-export", "-deps", "-json=ImportPath,Dir,Export,GoFiles", "./edge/...", "./core/...")
	cmd.Dir = moduleDir
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	packages := map[string]listed{}
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var p listed
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			return packages
		} else if err != nil {
			t.Fatal(err)
		}
		packages[p.ImportPath] = p
	}
}

// readUses adds the fields with a yaml tag that p declares, and those of any
// package that it reads, by where they are declared.
func readUses(p listed, packages map[string]listed, fields map[string]string, used map[string]bool) error {
	set := token.NewFileSet()
	var files []*ast.File
	for _, name := range p.GoFiles {
		f, err := parser.ParseFile(set, filepath.Join(p.Dir, name), nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		files = append(files, f)
	}
	open := func(path string) (io.ReadCloser, error) { return os.Open(packages[path].Export) }
	info := &types.Info{Defs: map[*ast.Ident]types.Object{}, Selections: map[*ast.SelectorExpr]*types.Selection{}}
	conf := types.Config{Importer: importer.ForCompiler(set, "gc", open)}
	if _, err := conf.Check(p.ImportPath, set, files, info); err != nil {
		return err
	}
	place := func(o types.Object) string {
		at := set.Position(o.Pos())
		return o.Pkg().Path() + "/" + filepath.Base(at.Filename) + ":" + strconv.Itoa(at.Line)
	}
	for _, f := range files {
		declaredKeys(f, func(field *ast.Ident) { fields[place(info.Defs[field])] = field.Name })
		for _, d := range f.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && (fn.Name.Name == "SetDefaults" || fn.Name.Name == "Validate") {
				continue
			}
			ast.Inspect(d, func(n ast.Node) bool {
				if s, ok := n.(*ast.SelectorExpr); ok && info.Selections[s] != nil {
					if v, ok := info.Selections[s].Obj().(*types.Var); ok && v.Pkg() != nil {
						used[place(v)] = true
					}
				}
				return true
			})
		}
	}
	return nil
}

// declaredKeys calls f with the name of each field of file that has a yaml tag.
func declaredKeys(file *ast.File, f func(*ast.Ident)) {
	ast.Inspect(file, func(n ast.Node) bool {
		s, ok := n.(*ast.StructType)
		if !ok {
			return true
		}
		for _, field := range s.Fields.List {
			if field.Tag == nil {
				continue
			}
			tag, _ := strconv.Unquote(field.Tag.Value)
			if reflect.StructTag(tag).Get("yaml") == "" {
				continue
			}
			for _, name := range field.Names {
				f(name)
			}
		}
		return true
	})
}
