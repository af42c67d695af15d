package configdoc

import (
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"reflect"
	"strings"

	"github.com/ergoproxy/ergo/shared/config/internal/schema"
)

// sources finds the comments of struct fields in the packages of one module.
type sources struct {
	dir      string
	module   string
	packages map[string]map[string]string // by import path: "Type" and "Type.Field" to comment
}

func newSources(moduleDir string) (*sources, error) {
	data, err := os.ReadFile(filepath.Join(moduleDir, "go.mod"))
	if err != nil {
		return nil, err
	}
	for line := range strings.Lines(string(data)) {
		if module, ok := strings.CutPrefix(strings.TrimSpace(line), "module "); ok {
			return &sources{dir: moduleDir, module: strings.TrimSpace(module), packages: map[string]map[string]string{}}, nil
		}
	}
	return nil, errors.New("read module path: go.mod has no module line")
}

// comment returns the comment of f; its absence is an error.
func (s *sources) comment(f schema.Field) (string, error) {
	name := f.Owner.Name() + "." + f.Name
	if f.Owner.Name() == "" {
		return "", fmt.Errorf("%v: field %s: a config struct needs a type name", f.Owner, f.Name)
	}
	comments, err := s.comments(f.Owner)
	if err != nil {
		return "", fmt.Errorf("%s of %s: %w", name, f.Owner.PkgPath(), err)
	}
	if comments[name] == "" {
		return "", fmt.Errorf("%s.%s", f.Owner.PkgPath(), name)
	}
	return comments[name], nil
}

// typeComment returns the comment of struct type t, "" if it has none.
func (s *sources) typeComment(t reflect.Type) string {
	comments, err := s.comments(t)
	if err != nil {
		return "" // comment says so for each of its fields
	}
	return comments[t.Name()]
}

func (s *sources) comments(t reflect.Type) (map[string]string, error) {
	path := t.PkgPath()
	if found, ok := s.packages[path]; ok {
		return found, nil
	}
	sub, ok := strings.CutPrefix(path, s.module)
	if !ok || sub != "" && sub[0] != '/' {
		return nil, fmt.Errorf("not a package of module %s", s.module)
	}
	found, err := readComments(filepath.Join(s.dir, filepath.FromSlash(sub)))
	if err != nil {
		return nil, err
	}
	s.packages[path] = found
	return found, nil
}

// readComments returns the comments of all structs and of their fields that are
// declared at the top level of the package in dir, tests excluded.
func readComments(dir string) (map[string]string, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		return nil, err
	}
	found := map[string]string{}
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return nil, err
		}
		for _, decl := range file.Decls {
			if gen, ok := decl.(*ast.GenDecl); ok {
				addComments(found, gen)
			}
		}
	}
	return found, nil
}

func addComments(found map[string]string, decl *ast.GenDecl) {
	for _, spec := range decl.Specs {
		named, ok := spec.(*ast.TypeSpec)
		if !ok {
			continue
		}
		body, ok := named.Type.(*ast.StructType)
		if !ok {
			continue
		}
		about := named.Doc.Text()
		if about == "" && len(decl.Specs) == 1 {
			about = decl.Doc.Text()
		}
		found[named.Name.Name] = strings.TrimSpace(about)
		for _, field := range body.Fields.List {
			text := field.Doc.Text()
			if text == "" {
				text = field.Comment.Text()
			}
			for _, name := range field.Names {
				found[named.Name.Name+"."+name.Name] = strings.TrimSpace(text)
			}
		}
	}
}
