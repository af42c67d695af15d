package config

import (
	"encoding"
	"fmt"
	"math"
	"reflect"
	"strings"

	"github.com/ergoproxy/ergo/shared/config/internal/schema"
)

// decoder puts the nodes of one file into Go values.
type decoder struct {
	problems  *problemList
	positions map[string]position // by key
	fields    map[reflect.Type][]schema.Field
}

// decode puts n into v, which is addressable and holds its default.
func (d *decoder) decode(n *node, v reflect.Value, key string) {
	d.positions[key] = n.pos
	switch {
	case n.kind == refused:
		return
	case n.kind == null:
		d.problems.add(n.pos, key, "has no value, want %s; remove it to keep the default", Describe(v.Type()))
		return
	case v.Kind() == reflect.Pointer:
		if v.IsNil() {
			v.Set(reflect.New(v.Type().Elem()))
			setDefaults(v.Elem())
		}
		d.decode(n, v.Elem(), key)
		return
	}
	switch p := v.Addr().Interface().(type) {
	case *Secret:
		d.secret(n, p, key)
		return
	case Scalar:
		if n.kind == text || n.kind == number || n.kind == boolean {
			d.value(n, key, p.UnmarshalScalar(n.text))
			return
		}
	}
	switch schema.KindOf(v.Type()) {
	case schema.Struct:
		d.structure(n, v, key)
	case schema.List:
		d.list(n, v, key)
	case schema.Map:
		d.mapping(n, v, key)
	default:
		d.scalar(n, v, key)
	}
}

// value reports what a type says about a value of its own.
func (d *decoder) value(n *node, key string, err error) {
	if err != nil {
		d.problems.add(n.pos, key, "%v", err)
	}
}

// mismatch reports that n is not what v takes.
func (d *decoder) mismatch(n *node, v reflect.Value, key string) {
	d.problems.add(n.pos, key, "is %s, want %s%s", n.found(), Describe(v.Type()), hint(n, v))
}

func (d *decoder) structure(n *node, v reflect.Value, key string) {
	if n.kind != mapping {
		d.mismatch(n, v, key)
		return
	}
	fields := d.fieldsOf(v.Type())
	for _, e := range n.entries {
		if d.problems.full() {
			return
		}
		path := join(key, e.key)
		if f := find(fields, e.key); f != nil {
			d.decode(e.value, v.FieldByIndex(f.Index), path)
		} else {
			d.problems.add(e.pos, path, "%s", unknownKey(e.key, fields))
		}
	}
}

func (d *decoder) fieldsOf(t reflect.Type) []schema.Field {
	if f, ok := d.fields[t]; ok {
		return f
	}
	if d.fields == nil {
		d.fields = map[reflect.Type][]schema.Field{}
	}
	d.fields[t] = schema.Fields(t)
	return d.fields[t]
}

func find(fields []schema.Field, key string) *schema.Field {
	for i := range fields {
		if fields[i].Key == key {
			return &fields[i]
		}
	}
	return nil
}

func (d *decoder) list(n *node, v reflect.Value, key string) {
	if n.kind != list {
		d.mismatch(n, v, key)
		return
	}
	s := reflect.MakeSlice(v.Type(), len(n.items), len(n.items))
	for i, item := range n.items {
		setDefaults(s.Index(i))
		d.decode(item, s.Index(i), fmt.Sprintf("%s[%d]", key, i))
	}
	v.Set(s)
}

func (d *decoder) mapping(n *node, v reflect.Value, key string) {
	if n.kind != mapping {
		d.mismatch(n, v, key)
		return
	}
	m := reflect.MakeMapWithSize(v.Type(), len(n.entries))
	for _, e := range n.entries {
		elem := reflect.New(v.Type().Elem()).Elem()
		setDefaults(elem)
		d.decode(e.value, elem, join(key, e.key))
		m.SetMapIndex(reflect.ValueOf(e.key).Convert(v.Type().Key()), elem)
	}
	v.Set(m)
}

// secret reads where a secret is. No problem quotes what it finds instead: that
// may be the secret.
func (d *decoder) secret(n *node, s *Secret, key string) {
	if n.kind != mapping {
		d.problems.add(n.pos, key, "a secret may not stand in this file itself, write %s", s.Describe())
		return
	}
	if len(n.entries) != 1 {
		d.problems.add(n.pos, key, "a secret comes from one place, this has %d keys: write %s", len(n.entries), s.Describe())
		return
	}
	e := n.entries[0]
	path := join(key, e.key)
	d.positions[path] = e.value.pos
	switch {
	case e.key != "file" && e.key != "env":
		d.problems.add(e.pos, key, "this is neither file nor env, write %s", s.Describe())
	case e.value.kind == refused:
	case e.value.kind != text || e.value.text == "":
		d.problems.add(e.value.pos, path, "is no name, write %s", s.Describe())
	default:
		*s = newSecret(&heldSecret{source: e.key, name: e.value.text})
	}
}

func (d *decoder) scalar(n *node, v reflect.Value, key string) {
	if n.kind == list || n.kind == mapping {
		d.mismatch(n, v, key)
		return
	}
	if e, ok := v.Addr().Interface().(Enum); ok {
		if err := OneOf(n.text, e.Values()...); err != nil {
			d.value(n, key, err)
			return
		}
		n = &node{kind: text, pos: n.pos, text: n.text} // 1.2 may be a value without quotes
	}
	if u, ok := v.Addr().Interface().(encoding.TextUnmarshaler); ok {
		if err := u.UnmarshalText([]byte(n.text)); err != nil {
			d.value(n, key, textError(v.Type(), n.text, err))
		}
		return
	}
	if !setScalar(n, v) {
		d.mismatch(n, v, key)
		return
	}
	if p, ok := v.Addr().Interface().(*Path); ok && *p == "" {
		d.problems.add(n.pos, key, "is empty, want %s; remove the key to leave it out", p.Describe())
	}
}

// hint says how to write it when it is easy to guess what was meant.
func hint(n *node, v reflect.Value) string {
	switch want := schema.KindOf(v.Type()); want {
	case schema.List:
		elem := schema.KindOf(v.Type().Elem())
		_, short := reflect.New(schema.Deref(v.Type().Elem())).Interface().(Scalar)
		if n.kind == text && (elem == schema.Text || elem == schema.String || short) && len(n.text) < 80 {
			return fmt.Sprintf(": write [%q]", n.text)
		}
	case schema.Struct:
		return keysHint(schema.Fields(v.Type()))
	case schema.String:
		if n.kind == number || n.kind == boolean {
			return fmt.Sprintf(": write %q", n.text)
		}
	case schema.Bool, schema.Int, schema.Uint, schema.Float:
		if n.kind == text && n.quoted {
			return ", without quotes"
		}
		return limitHint(n, want, v.Type())
	}
	return ""
}

// limitHint names the limit of a 64-bit number, which is too long to be named
// where the number is not too large.
func limitHint(n *node, want schema.Kind, t reflect.Type) string {
	if n.kind == boolean || strings.HasPrefix(n.text, "-") || !wholeNumber.MatchString(n.text) || want == schema.Bool || t.Bits() < 64 {
		return ""
	}
	switch want {
	case schema.Int:
		return fmt.Sprintf(", at most %d", math.MaxInt64)
	case schema.Uint:
		return fmt.Sprintf(", at most %d", uint64(math.MaxUint64))
	}
	return ""
}

// keysHint names the keys of a mapping, if they are few.
func keysHint(fields []schema.Field) string {
	if len(fields) == 0 || len(fields) > 8 {
		return ""
	}
	return " with the keys " + strings.Join(keysOf(fields), ", ")
}

func keysOf(fields []schema.Field) []string {
	keys := make([]string, len(fields))
	for i, f := range fields {
		keys[i] = f.Key
	}
	return keys
}
