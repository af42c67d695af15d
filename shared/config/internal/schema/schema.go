// Package schema reads what a config struct type allows from the type itself:
// its keys and the kind of value each takes. The decoder and the generator of
// the reference both ask here, so that they can't disagree.
package schema

import (
	"encoding"
	"fmt"
	"reflect"
	"strings"
)

// A Field is one key of a config struct.
type Field struct {
	Key   string       // as in the file
	Name  string       // as in Go
	Owner reflect.Type // the struct type that declares it, an inlined one for instance
	Type  reflect.Type
	Index []int // for reflect.Value.FieldByIndex on the outer struct
}

// Kind is how a value is written in a file.
type Kind int

// The kinds of values. Pointers have the kind of what they point to.
const (
	Invalid Kind = iota
	Text         // one scalar, read by encoding.TextUnmarshaler
	Bool
	Int
	Uint
	Float
	String
	List
	Map
	Struct
	Leaf // a struct without exported fields that its own package decodes
)

var textUnmarshaler = reflect.TypeFor[encoding.TextUnmarshaler]()

// Deref returns the type that t points to, or t.
func Deref(t reflect.Type) reflect.Type {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	return t
}

// KindOf returns how values of t are written.
func KindOf(t reflect.Type) Kind {
	t = Deref(t)
	if reflect.PointerTo(t).Implements(textUnmarshaler) {
		return Text
	}
	switch t.Kind() {
	case reflect.Bool:
		return Bool
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return Int
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return Uint
	case reflect.Float32, reflect.Float64:
		return Float
	case reflect.String:
		return String
	case reflect.Slice:
		return List
	case reflect.Map:
		return Map
	case reflect.Struct:
		if isLeaf(t) {
			return Leaf
		}
		return Struct
	}
	return Invalid
}

func isLeaf(t reflect.Type) bool {
	for i := range t.NumField() {
		if t.Field(i).IsExported() {
			return false
		}
	}
	return t.NumField() > 0
}

// Fields returns the keys of struct type t in the order of its fields, those of
// inlined structs in their place. It panics if t can't be a config: see Check.
func Fields(t reflect.Type) []Field {
	var fields []Field
	seen := map[string]string{}
	for i := range t.NumField() {
		for _, f := range fieldsOf(t, t.Field(i)) {
			if other, ok := seen[f.Key]; ok {
				panic(fmt.Sprintf("config: %v: %s and %s both have the key %q", t, other, f.Name, f.Key))
			}
			seen[f.Key] = f.Name
			fields = append(fields, f)
		}
	}
	return fields
}

func fieldsOf(t reflect.Type, sf reflect.StructField) []Field {
	tag, ok := sf.Tag.Lookup("yaml")
	key, options, _ := strings.Cut(tag, ",")
	switch {
	case options == "inline" && sf.Anonymous && sf.IsExported() && sf.Type.Kind() == reflect.Struct:
		inner := Fields(sf.Type)
		for i := range inner {
			inner[i].Index = append([]int{sf.Index[0]}, inner[i].Index...)
		}
		return inner
	case tag == "-", !sf.IsExported() && !ok:
		return nil
	case !sf.IsExported():
		panic(fmt.Sprintf("config: %v.%s has a yaml tag and is not exported", t, sf.Name))
	case key == "" || options != "":
		panic(fmt.Sprintf("config: %v.%s: the tag must be `yaml:\"key\"`, `yaml:\"-\"`, or `yaml:\",inline\"` on an embedded struct", t, sf.Name))
	}
	return []Field{{Key: key, Name: sf.Name, Owner: t, Type: sf.Type, Index: sf.Index}}
}

// Check panics with the reason if t, or a type that it holds, can't be decoded:
// a programmer's mistake that is to be found by the first test and not by the
// first file that has the key.
func Check(t reflect.Type) { check(t, t.String(), map[reflect.Type]bool{}) }

func check(t reflect.Type, where string, seen map[reflect.Type]bool) {
	t = Deref(t)
	if seen[t] {
		return
	}
	seen[t] = true
	if t.PkgPath() == "time" && t.Name() == "Duration" {
		panic("config: " + where + " is a time.Duration, use config.Duration")
	}
	switch KindOf(t) {
	case Invalid:
		panic(fmt.Sprintf("config: %s: a %v can't be decoded", where, t))
	case Map:
		if t.Key().Kind() != reflect.String {
			panic(fmt.Sprintf("config: %s: the keys of a %v are not strings", where, t))
		}
		check(t.Elem(), where, seen)
	case List:
		check(t.Elem(), where, seen)
	case Struct:
		for _, f := range Fields(t) {
			check(f.Type, f.Owner.String()+"."+f.Name, seen)
		}
	}
}
