package configdoc

import (
	"encoding"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/ergoproxy/ergo/shared/config"
	"github.com/ergoproxy/ergo/shared/config/internal/schema"
)

// kindText says what may be written for a value of t.
func kindText(t reflect.Type) string {
	t = schema.Deref(t)
	if e, ok := reflect.New(t).Interface().(config.Enum); ok {
		values := slices.Clone(e.Values())
		for i, v := range values {
			values[i] = "`" + v + "`"
		}
		return "one of " + strings.Join(values, ", ")
	}
	switch schema.KindOf(t) {
	case schema.List:
		if inner := kindText(t.Elem()); inner != "a mapping" {
			return "list; each " + inner
		}
		return "list of mappings"
	case schema.Map:
		return "names, each with " + kindText(t.Elem())
	}
	return config.Describe(t)
}

// defaultText writes v as it would stand in a file.
func defaultText(v reflect.Value) string {
	switch {
	case v.Kind() == reflect.Pointer && v.IsNil(), schema.KindOf(v.Type()) == schema.Leaf:
		return "not set"
	case v.Kind() == reflect.Pointer:
		return defaultText(v.Elem())
	}
	switch schema.KindOf(v.Type()) {
	case schema.Struct:
		return "see there"
	case schema.List, schema.Map:
		if v.Len() == 0 {
			return "empty"
		}
	}
	if s := yamlText(v); s != "" {
		return "`" + s + "`"
	}
	return "not set"
}

// yamlText writes v in YAML on one line; "" if it is empty.
func yamlText(v reflect.Value) string {
	if v.Kind() == reflect.Pointer {
		if v.IsNil() {
			return ""
		}
		return yamlText(v.Elem())
	}
	if m, ok := v.Interface().(encoding.TextMarshaler); ok {
		text, err := m.MarshalText()
		if err != nil {
			return ""
		}
		return string(text)
	}
	switch schema.KindOf(v.Type()) {
	case schema.List:
		parts := make([]string, v.Len())
		for i := range parts {
			parts[i] = yamlText(v.Index(i))
		}
		return "[" + strings.Join(parts, ", ") + "]"
	case schema.Map:
		var parts []string
		for _, k := range v.MapKeys() {
			parts = append(parts, k.String()+": "+yamlText(v.MapIndex(k)))
		}
		slices.Sort(parts)
		return "{" + strings.Join(parts, ", ") + "}"
	case schema.Struct:
		var parts []string
		for _, f := range schema.Fields(v.Type()) {
			if s := yamlText(v.FieldByIndex(f.Index)); s != "" {
				parts = append(parts, f.Key+": "+s)
			}
		}
		return "{" + strings.Join(parts, ", ") + "}"
	}
	return fmt.Sprint(v.Interface())
}

// sentence returns the comment of a field with the key in place of the Go name
// that it begins with, unless the name reads like a word.
func sentence(comment string, f schema.Field) string {
	rest, ok := strings.CutPrefix(comment, f.Name+" ")
	if !ok || f.Name[1:] == strings.ToLower(f.Name[1:]) {
		return comment
	}
	return "`" + f.Key + "` " + rest
}
