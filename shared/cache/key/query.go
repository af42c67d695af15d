package key

import (
	"slices"
	"strings"
)

// maxSorted is how many parameters are sorted, on the stack.
const maxSorted = 64

// queryRules are compiled Query rules.
type queryRules struct {
	ignore, sort bool
	keep         []string
	drop         []string
	dropPrefixes []string
}

func compileQuery(q Query) queryRules {
	c := queryRules{ignore: q.Ignore, sort: q.Sort, keep: slices.Clone(q.Keep)}
	for _, name := range q.Drop {
		if prefix, ok := strings.CutSuffix(name, "*"); ok {
			c.dropPrefixes = append(c.dropPrefixes, prefix)
		} else {
			c.drop = append(c.drop, name)
		}
	}
	return c
}

// append appends query to dst, with a question mark before it, as the rules want
// it: nothing if no parameter is left.
func (q *queryRules) append(dst []byte, query string) []byte {
	switch {
	case q.ignore:
		return dst
	case q.sort:
		var list [maxSorted]string
		if n, ok := q.collect(&list, query); ok {
			slices.SortStableFunc(list[:n], compareNames)
			return appendParameters(dst, list[:n])
		}
	case q.keep == nil && q.drop == nil && q.dropPrefixes == nil:
		return append(append(dst, '?'), query...)
	}
	mark := byte('?')
	for more := true; more; {
		var parameter string
		parameter, query, more = strings.Cut(query, "&")
		if q.takesOut(parameter) {
			continue
		}
		dst = append(append(dst, mark), parameter...)
		mark = '&'
	}
	return dst
}

func appendParameters(dst []byte, list []string) []byte {
	mark := byte('?')
	for _, parameter := range list {
		dst = append(append(dst, mark), parameter...)
		mark = '&'
	}
	return dst
}

// collect puts the parameters that stay into list, and returns how many they are
// and whether they may be sorted.
func (q *queryRules) collect(list *[maxSorted]string, query string) (int, bool) {
	n := 0
	for more := true; more; {
		var parameter string
		parameter, query, more = strings.Cut(query, "&")
		if q.takesOut(parameter) {
			continue
		}
		if n == maxSorted || !isPlain(nameOf(parameter)) || hasSemicolon(parameter) {
			return 0, false
		}
		list[n] = parameter
		n++
	}
	return n, true
}

// takesOut reports whether parameter is not to be in the key.
func (q *queryRules) takesOut(parameter string) bool {
	if hasSemicolon(parameter) {
		return false
	}
	name := nameOf(parameter)
	if q.keep != nil {
		return isPlain(name) && !slices.ContainsFunc(q.keep, func(k string) bool { return strings.EqualFold(k, name) })
	}
	return slices.Contains(q.drop, name) ||
		slices.ContainsFunc(q.dropPrefixes, func(prefix string) bool { return strings.HasPrefix(name, prefix) })
}

func nameOf(parameter string) string {
	name, _, _ := strings.Cut(parameter, "=")
	return name
}

// hasSemicolon reports whether a backend might see more than one parameter.
func hasSemicolon(parameter string) bool { return strings.IndexByte(parameter, ';') >= 0 }

// isPlain reports whether all backends read name as it is written.
func isPlain(name string) bool {
	for i := range len(name) {
		switch c := name[i]; {
		case 'a' <= lower(c) && lower(c) <= 'z', '0' <= c && c <= '9', c == '-', c == '_':
		default:
			return false
		}
	}
	return true
}

// compareNames compares two parameters by name, without regard to case.
func compareNames(a, b string) int {
	a, b = nameOf(a), nameOf(b)
	for i := range min(len(a), len(b)) {
		if x, y := lower(a[i]), lower(b[i]); x != y {
			return int(x) - int(y)
		}
	}
	return len(a) - len(b)
}
