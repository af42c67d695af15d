package config

import (
	"fmt"
	"strings"

	"github.com/ergoproxy/ergo/shared/config/internal/schema"
)

// OneOf returns nil if got is one of the allowed values, and otherwise an error
// that names them and the one that was probably meant.
func OneOf[T ~string](got T, allowed ...T) error {
	names := make([]string, len(allowed))
	for i, a := range allowed {
		if a == got {
			return nil
		}
		names[i] = string(a)
	}
	msg := fmt.Sprintf("%q is not one of %s", string(got), strings.Join(names, ", "))
	if near := nearest(string(got), names); near != "" {
		msg += fmt.Sprintf("; did you mean %q?", near)
	}
	return fmt.Errorf("%s", msg)
}

// unknownKey says what is known where key is not: the key that was probably
// meant, the one of that name one level deeper, or else all of them.
func unknownKey(key string, fields []schema.Field) string {
	names := keysOf(fields)
	if near := nearest(key, names); near != "" {
		return fmt.Sprintf("unknown key %q, did you mean %q?", key, near)
	}
	for _, f := range fields {
		t := schema.Deref(f.Type)
		if schema.KindOf(t) == schema.Struct && find(schema.Fields(t), key) != nil {
			return fmt.Sprintf("unknown key %q here, it belongs under %q", key, f.Key)
		}
	}
	if len(names) == 0 {
		return fmt.Sprintf("unknown key %q, none is allowed here", key)
	}
	return fmt.Sprintf("unknown key %q, want one of %s", key, strings.Join(names, ", "))
}

// nearest returns the name that got was probably meant to be, or "". Of
// numbers, one is as near as the other.
func nearest(got string, names []string) string {
	if got == "" || got[0] >= '0' && got[0] <= '9' {
		return ""
	}
	best, bestDistance := "", max(1, len(got)/3)+1
	for _, name := range names {
		if plain(name) == plain(got) {
			return name
		}
		if d := distance(got, name); d < bestDistance && d < len(name) {
			best, bestDistance = name, d
		}
	}
	return best
}

// plain removes what people mix up first: minVersion, min-version, min_version.
func plain(s string) string {
	return strings.ToLower(strings.NewReplacer("_", "", "-", "", " ", "").Replace(s))
}

// maxNearest is the longest word, in bytes, that is compared with others.
const maxNearest = 64

// distance counts the letters to insert, remove, change, or swap with their
// neighbour to make b of a (optimal string alignment).
func distance(a, b string) int {
	if len(a) > maxNearest || len(b) > maxNearest {
		return maxNearest
	}
	var before, last, row [maxNearest + 1]int
	for j := range len(b) + 1 {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		before, last = last, row
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
	}
	return row[len(b)]
}
