// Package configdoc writes the reference of a config as Markdown: of every key
// the path, what may be written, the default, and the comment of the struct
// field, under the comment of the struct. The struct types and their SetDefaults and Validate say the first
// three, so that the reference can't be wrong about them; the comments are read
// from the source.
package configdoc

import (
	"bytes"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strings"

	"github.com/ergoproxy/ergo/shared/config"
	"github.com/ergoproxy/ergo/shared/config/internal/schema"
)

// Generate writes the reference of the config struct that root is, or points
// to, under title. The sources of all its struct types are looked for below
// moduleDir, the directory of go.mod. Equal input gives equal output.
//
// A key without a comment, and a struct type of another module or without a
// name, is an error; all of them are named, one a line, and nothing is written.
func Generate(w io.Writer, title string, root any, moduleDir string) error {
	t := schema.Deref(reflect.TypeOf(root))
	v := reflect.New(t)
	config.Defaults(v.Interface())
	src, err := newSources(moduleDir)
	if err != nil {
		return err
	}
	g := generator{sources: src}
	g.section("", v.Elem(), nil)
	if len(g.missing) > 0 {
		slices.Sort(g.missing)
		return fmt.Errorf("config keys without a comment:\n%s", strings.Join(slices.Compact(g.missing), "\n"))
	}
	_, err = w.Write(g.document(title))
	return err
}

// generator collects the sections of one document, in order.
type generator struct {
	sources  *sources
	sections []section
	missing  []string // problems
}

type section struct {
	path  string // "" for the top, "listen[]", "backends.<name>"
	about string // what the comment of its struct type says
	rows  []row
}

type row struct {
	path, kind, fallback, meaning string
	below                         bool // has a section of its own
}

// section describes struct v, the value of path. Above holds the types around
// it, to stop at one that holds itself.
func (g *generator) section(path string, v reflect.Value, above []reflect.Type) {
	at := len(g.sections)
	g.sections = append(g.sections, section{path: path, about: g.about(path, v.Type())})
	above = append(slices.Clip(above), v.Type())
	required := requiredKeys(v)
	for _, f := range schema.Fields(v.Type()) {
		meaning, err := g.sources.comment(f)
		if err != nil {
			g.missing = append(g.missing, err.Error())
		}
		value := v.FieldByIndex(f.Index)
		r := row{
			path: join(path, f.Key), kind: kindText(f.Type), fallback: defaultText(value),
			meaning: sentence(meaning, f),
		}
		if required[f.Key] {
			r.fallback = "required"
		}
		if inner, suffix := innerStruct(value); inner.IsValid() {
			if slices.Contains(above, inner.Type()) {
				r.kind += ", like the one that it stands in"
			} else {
				r.below = true
				g.section(r.path+suffix, inner, above)
			}
		}
		g.sections[at].rows = append(g.sections[at].rows, r)
	}
}

// about returns the comment of struct type t, with the last part of path in place
// of the Go name that it begins with.
func (g *generator) about(path string, t reflect.Type) string {
	comment := g.sources.typeComment(t)
	rest, ok := strings.CutPrefix(comment, t.Name()+" ")
	if !ok {
		return comment
	}
	if path == "" {
		rest = strings.TrimPrefix(rest, "is ")
		return strings.ToUpper(rest[:1]) + rest[1:]
	}
	parts := strings.Split(path, ".")
	last := parts[len(parts)-1]
	if last == "<name>" {
		last = parts[len(parts)-2] + ".<name>"
	}
	return "`" + last + "` " + rest
}

// innerStruct returns the struct that v is, or one with the defaults of those
// that v points to or holds, and what to add to the path of v for it.
func innerStruct(v reflect.Value) (reflect.Value, string) {
	for v.Kind() == reflect.Pointer && !v.IsNil() {
		v = v.Elem()
	}
	if v.Kind() == reflect.Struct && schema.KindOf(v.Type()) == schema.Struct {
		return v, ""
	}
	t, suffix := v.Type(), ""
	for {
		t = schema.Deref(t)
		switch schema.KindOf(t) {
		case schema.List:
			t, suffix = t.Elem(), suffix+"[]"
		case schema.Map:
			t, suffix = t.Elem(), suffix+".<name>"
		case schema.Struct:
			inner := reflect.New(t)
			config.Defaults(inner.Interface())
			return inner.Elem(), suffix
		default:
			return reflect.Value{}, ""
		}
	}
}

// requiredKeys returns the keys of struct v that Validate complains about
// although nothing but the defaults is set.
func requiredKeys(v reflect.Value) map[string]bool {
	required := map[string]bool{}
	for i := range v.NumField() {
		if v.Type().Field(i).Tag.Get("yaml") == ",inline" {
			for key := range requiredKeys(v.Field(i)) {
				required[key] = true
			}
		}
	}
	if validator, ok := v.Addr().Interface().(config.Validator); ok {
		var r config.Report
		validator.Validate(&r)
		for _, p := range r.Problems() {
			required[p.Key] = true
		}
	}
	return required
}

func (g *generator) document(title string) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "# %s\n\n", title)
	b.WriteString("<!-- Generated from the config structs and their comments. Do not edit. -->\n\n" +
		"A key is optional unless its default says `required`. `[]` in a path stands for each element of a list,\n" +
		"`<name>` for each name in a mapping. Paths of files are relative to the directory of the config file.\n\n")
	for _, s := range g.sections[1:] {
		fmt.Fprintf(&b, "- [`%s`](#%s)\n", s.path, anchor(s.path))
	}
	for _, s := range g.sections {
		if s.path == "" {
			b.WriteString("\n## Top level\n\n")
		} else {
			fmt.Fprintf(&b, "\n## <a id=\"%s\"></a>`%s`\n\n", anchor(s.path), s.path)
		}
		if s.about != "" {
			b.WriteString(s.about + "\n\n")
		}
		b.WriteString("| key | what to write | default | meaning |\n| --- | --- | --- | --- |\n")
		for _, r := range s.rows {
			r.write(&b)
		}
	}
	return b.Bytes()
}

func (r row) write(b *bytes.Buffer) {
	key := fmt.Sprintf("<a id=\"%s\"></a>`%s`", anchor(r.path), r.path)
	if r.below {
		key = fmt.Sprintf("[`%s`](#%s)", r.path, anchor(r.path))
	}
	fmt.Fprintf(b, "| %s | %s | %s | %s |\n", key, cell(r.kind), cell(r.fallback), cell(r.meaning))
}

// anchor names a path in links: a section has the anchor of its key.
func anchor(path string) string {
	return strings.NewReplacer("[]", "", ".<name>", "", ".", "-").Replace(path)
}

// cell keeps text from being taken for the end of a table cell, or for HTML.
func cell(text string) string {
	text = strings.NewReplacer("|", `\|`, "<", "&lt;").Replace(strings.TrimSpace(text))
	var paragraphs []string
	for p := range strings.SplitSeq(text, "\n\n") {
		paragraphs = append(paragraphs, strings.Join(strings.Fields(p), " "))
	}
	return strings.Join(paragraphs, "<br><br>")
}

func join(prefix, key string) string {
	if prefix == "" {
		return key
	}
	return prefix + "." + key
}
