package config

import (
	"cmp"
	"fmt"
	"reflect"
	"slices"

	"github.com/ergoproxy/ergo/shared/config/internal/schema"
)

// checker does with a decoded config what needs more than the text: files,
// secrets, Validate.
type checker struct {
	source
	problems  *problemList
	positions map[string]position
	missing   map[string]bool // keys of files and secrets that can't be read, and all keys around them
}

func newChecker(src source, problems *problemList, positions map[string]position) *checker {
	return &checker{source: src, problems: problems, positions: positions, missing: map[string]bool{}}
}

func (c *checker) check(v reflect.Value) {
	c.walk(v, "", true)
	sortProblems(c.loaded.Warnings)
}

// walk checks v, the value of key, and before it all that it holds. A struct
// that the file does not mention is validated only if the one around it is: the
// key may be there, but misspelt.
func (c *checker) walk(v reflect.Value, key string, validate bool) {
	switch p := v.Addr().Interface().(type) {
	case *Path:
		c.path(p, key)
		return
	case *Secret:
		if !p.IsZero() && (*p.held).source != "" {
			c.secret(*p.held, key)
		}
		return
	}
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			c.walk(v.Elem(), key, validate)
		}
	case reflect.Slice:
		for i := range v.Len() {
			c.walk(v.Index(i), fmt.Sprintf("%s[%d]", key, i), validate)
		}
	case reflect.Map:
		c.mapping(v, key, validate)
	case reflect.Struct:
		c.structure(v, key, validate)
	}
}

// mapping checks copies of the elements, which can't be addressed in place, and
// puts them back.
func (c *checker) mapping(v reflect.Value, key string, validate bool) {
	keys := v.MapKeys()
	slices.SortFunc(keys, func(a, b reflect.Value) int { return cmp.Compare(a.String(), b.String()) })
	for _, k := range keys {
		elem := reflect.New(v.Type().Elem()).Elem()
		elem.Set(v.MapIndex(k))
		c.walk(elem, join(key, k.String()), validate)
		v.SetMapIndex(k, elem)
	}
}

func (c *checker) structure(v reflect.Value, key string, validate bool) {
	if schema.KindOf(v.Type()) != schema.Struct {
		return
	}
	if _, mentioned := c.positions[key]; mentioned {
		validate = true
	}
	validate = validate && !c.problems.dirty[key]
	for _, f := range schema.Fields(v.Type()) {
		c.walk(v.FieldByIndex(f.Index), join(key, f.Key), validate)
	}
	if validate {
		c.validate(v, key)
	}
}

// validate asks v, and before it the structs inlined in it.
func (c *checker) validate(v reflect.Value, key string) {
	for i := range v.NumField() {
		if f := v.Type().Field(i); f.Anonymous && f.Tag.Get("yaml") == ",inline" {
			c.validate(v.Field(i), key)
		}
	}
	validator, ok := v.Addr().Interface().(Validator)
	if !ok {
		return
	}
	r := Report{prefix: key}
	validator.Validate(&r)
	for _, p := range r.Problems() {
		if !c.missing[p.Key] {
			c.problems.note(c.position(p.Key), p.Key, p.Text)
		}
	}
	for _, w := range r.Warnings() {
		c.warn(w.Key, w.Text)
	}
}

// position returns where key is in the file, or what it would be in.
func (c *checker) position(key string) position {
	for {
		if pos, ok := c.positions[key]; ok {
			return pos
		}
		key = parentKey(key)
	}
}

func (c *checker) path(p *Path, key string) {
	if *p == "" {
		return
	}
	abs, err := resolve(c.dir, string(*p))
	if err == nil {
		var state fileState
		state, err = lookAt(abs)
		c.loaded.add(abs, state)
		*p = Path(abs)
	}
	if err != nil {
		c.fail(key, err)
	}
}

func (c *checker) secret(s *heldSecret, key string) {
	var err error
	if s.source == "env" {
		err = s.fromEnv()
	} else {
		err = c.secretFile(s, key)
	}
	if err != nil {
		c.fail(join(key, s.source), err)
	}
}

func (c *checker) secretFile(s *heldSecret, key string) error {
	abs, err := resolve(c.dir, s.name)
	if err != nil {
		return err
	}
	data, state, err := readFile(abs, maxSecret)
	c.loaded.add(abs, state)
	if err != nil {
		return err
	}
	if mode := state.info.Mode().Perm(); mode&0o044 != 0 {
		c.warn(key, fmt.Sprintf("file %s holds a secret and others may read it (mode %04o), want mode 0600", abs, mode))
	}
	return s.set(data, "file "+abs)
}

func (c *checker) warn(key, text string) {
	pos := c.position(key)
	c.loaded.Warnings = append(c.loaded.Warnings, Problem{File: c.name, Line: pos.line, Column: pos.column, Key: key, Text: text})
}

// fail reports a file or secret that is not there. What Validate says about it
// then would only be the same in other words, and is left out.
func (c *checker) fail(key string, err error) {
	pos := c.position(key)
	for k := key; !c.missing[k]; k = parentKey(k) {
		c.missing[k] = true
	}
	c.problems.note(pos, key, err.Error())
}
