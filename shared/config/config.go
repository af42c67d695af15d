// Package config reads the YAML files of both tiers strictly: an unknown key, a
// wrong type or an impossible value is a problem with file, line, column and
// key, and all problems of a file are reported at once.
//
// A config struct names its keys with `yaml:"key"` tags. What happens to it, in
// order:
//
//	SetDefaults   on the zero value of every struct, inner ones first
//	decode        the file's values over the defaults
//	files         every Path and Secret is resolved against the file's directory
//	Validate      on every struct, inner ones first
//
// Fields may be bool, integers, floats, strings, structs, slices, maps with
// string keys, pointers to these (nil: not set), and every type with an
// UnmarshalText. An embedded struct tagged `yaml:",inline"` lends its keys to
// the one that holds it. A list or a map in the file replaces the default one,
// it is not merged into it.
//
// Of YAML, everything is read but what hides a value from the one who reads the
// file: anchors, aliases, merge keys, tags, directives and further documents are
// refused, and so is a key without a value. Limits: MaxFile bytes, MaxDepth
// levels.
//
// The package keeps no state. Load, Decode and Watch may be called from several
// goroutines at once; a Loaded is immutable.
package config

import (
	"path/filepath"
	"reflect"

	"github.com/ergoproxy/ergo/shared/config/internal/schema"
)

// Limits of a config file. What exceeds one of them is refused before memory is
// taken for it.
const (
	MaxFile  = 4 << 20 // bytes
	MaxDepth = 64      // mappings and lists within each other

	maxLine     = 1 << 14 // characters of one line
	maxSigns    = 1 << 18 // brackets, braces and commas, wherever they stand
	maxKey      = 256     // bytes of one key
	maxTokens   = 1 << 19 // words and signs of YAML
	maxEntries  = 10_000  // keys of one mapping, or elements of one list, outside of brackets
	maxProblems = 100     // in one Error
	maxProblem  = 1 << 10 // bytes of the text of one
)

// A Defaulter sets the default of each of its fields. It is called on the zero
// value of every struct, those in lists and maps included, before the file's
// values are decoded over it, and after the SetDefaults of the structs that it
// holds: so it may set other defaults for those.
type Defaulter interface{ SetDefaults() }

// A Validator reports what is wrong with its values. It is called after a whole
// file was decoded, the inner ones before those that hold them. A struct with
// a value that could not be read is not asked, and neither are those around it.
type Validator interface{ Validate(r *Report) }

// A Scalar is a struct with a short form: where its mapping is expected, text,
// a number or a boolean may stand too, and comes here as it is written. The
// error says what is wrong and what is allowed.
type Scalar interface{ UnmarshalScalar(text string) error }

// An Enum is a string type with a closed list of values. The decoder refuses
// all others.
type Enum interface{ Values() []string }

// A Describer says in a few words what may be written for a value of its type:
// "a duration such as 30s". Problems with the type of a value and the generated
// reference say it.
type Describer interface{ Describe() string }

// Loaded is what Load and Decode know about the files they read.
type Loaded struct {
	// Files are the absolute paths of the config file itself and then of every
	// Path and Secret in it, each once. Missing ones are among them.
	Files []string

	// Warnings are located like problems, but the config can be used.
	Warnings []Problem

	states map[string]fileState // of Files, when they were read
}

// Load decodes the YAML file at path into the struct that into points to, which
// it sets to its defaults first. Paths in the file are relative to the file's
// directory.
//
// An error is an *Error with all problems; into is then not to be used. Loaded
// is never nil: after an error too it names the files whose change is a reason
// to try again.
func Load(path string, into any) (*Loaded, error) {
	l := newLoaded()
	abs, err := filepath.Abs(path)
	if err != nil {
		return l, &Error{Problems: []Problem{{File: path, Text: err.Error()}}}
	}
	data, state, err := readFile(abs, MaxFile)
	l.add(abs, state)
	if err != nil {
		return l, &Error{Problems: []Problem{{File: path, Text: err.Error()}}}
	}
	return l, decodeFile(source{name: path, dir: filepath.Dir(abs), data: data, loaded: l}, into)
}

// Decode is Load for a file that is in memory already. Problems name it name;
// the paths in it are relative to dir.
func Decode(name, dir string, data []byte, into any) (*Loaded, error) {
	l := newLoaded()
	return l, decodeFile(source{name: name, dir: dir, data: data, loaded: l}, into)
}

// Defaults sets the struct that into points to as an empty file would, without
// looking for files and without Validate.
func Defaults(into any) {
	v := target(into)
	v.SetZero()
	setDefaults(v)
}

func newLoaded() *Loaded { return &Loaded{states: map[string]fileState{}} }

func (l *Loaded) add(path string, state fileState) {
	if _, ok := l.states[path]; !ok {
		l.Files = append(l.Files, path)
	}
	l.states[path] = state
}

// source is a file on its way through decodeFile.
type source struct {
	name   string
	dir    string
	data   []byte
	loaded *Loaded
}

func decodeFile(src source, into any) error {
	v := target(into)
	problems := &problemList{file: src.name}
	if root, ok := parse(src.data, problems); ok {
		v.SetZero()
		setDefaults(v)
		d := &decoder{problems: problems, positions: map[string]position{"": root.pos}}
		d.decode(root, v, "")
		c := newChecker(src, problems, d.positions)
		c.check(v)
	}
	return problems.err()
}

// target returns the struct that into points to, and panics if it is no config:
// a mistake in the program, not in the file.
func target(into any) reflect.Value {
	v := reflect.ValueOf(into)
	if v.Kind() != reflect.Pointer || v.IsNil() || v.Elem().Kind() != reflect.Struct {
		panic("config: want a pointer to a struct")
	}
	schema.Check(v.Type())
	return v.Elem()
}

// setDefaults calls SetDefaults on the structs that v holds by value, then on v.
func setDefaults(v reflect.Value) {
	if v.Kind() != reflect.Struct {
		return
	}
	for i := range v.NumField() {
		if f := v.Type().Field(i); f.IsExported() || f.Anonymous {
			setDefaults(v.Field(i))
		}
	}
	if v.Addr().CanInterface() {
		if d, ok := v.Addr().Interface().(Defaulter); ok {
			d.SetDefaults()
		}
	}
}
