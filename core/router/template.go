package router

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// An ending is what may follow the segments of a template.
type ending uint8

const (
	endFull   ending = iota // nothing
	endBelow                // a slash and anything
	endPrefix               // nothing, or a slash and anything
)

// A template is a path or pattern of the config, taken apart.
type template struct {
	segments []segment
	end      ending
	names    []string // of the variables, in order; the last one may be rest
	rest     bool     // the last name is {rest...}
}

type segment struct {
	text     string // decoded; of a literal
	variable bool
}

// maxSegments of a template; a path may have more.
const maxSegments = 32

var (
	errNoSlash  = errors.New("does not begin with a slash")
	errSegments = fmt.Errorf("has more than %d segments", maxSegments)
)

// parsePath takes a path apart: "/", "/api", "/api/".
func parsePath(path string) (template, error) {
	if strings.ContainsAny(path, "{}") {
		return template{}, errors.New("holds a variable, which only a pattern can")
	}
	if path == "/" {
		return template{end: endPrefix}, nil
	}
	below := strings.HasSuffix(path, "/")
	t, err := parseSegments(strings.TrimSuffix(path, "/"))
	t.end = endPrefix
	if below {
		t.end = endBelow
	}
	return t, err
}

// parsePattern takes a pattern apart: "/users/{id}", "/files/{rest...}".
func parsePattern(pattern string) (template, error) {
	head, last := cutLast(pattern)
	name, isRest := strings.CutSuffix(last, "...}")
	if !isRest {
		return parseSegments(pattern)
	}
	name, ok := strings.CutPrefix(name, "{")
	if !ok {
		return template{}, fmt.Errorf("has %q, want a whole segment such as {rest...}", last)
	}
	t := template{}
	if head != "" {
		var err error
		if t, err = parseSegments(head); err != nil {
			return t, err
		}
	}
	t.end, t.rest = endBelow, true
	return t, t.addName(name)
}

// cutLast cuts path before its last segment.
func cutLast(path string) (head, last string) {
	i := strings.LastIndexByte(path, '/')
	if i < 0 {
		return path, ""
	}
	return path[:i], path[i+1:]
}

func parseSegments(path string) (template, error) {
	var t template
	if !strings.HasPrefix(path, "/") {
		return t, errNoSlash
	}
	if err := validPath(path); err != nil {
		return t, err
	}
	for _, s := range strings.Split(path[1:], "/") {
		if len(t.segments) == maxSegments {
			return t, errSegments
		}
		name, isVar := strings.CutPrefix(s, "{")
		if !isVar {
			if strings.ContainsAny(s, "{}") {
				return t, fmt.Errorf("has %q, want a variable to be a whole segment such as {id}", s)
			}
			decoded, err := decode(s)
			if err != nil {
				return t, err
			}
			t.segments = append(t.segments, segment{text: decoded})
			continue
		}
		name, closed := strings.CutSuffix(name, "}")
		if !closed {
			return t, fmt.Errorf("has %q, want a variable to be a whole segment such as {id}", s)
		}
		if err := t.addName(name); err != nil {
			return t, err
		}
		t.segments = append(t.segments, segment{variable: true})
	}
	return t, nil
}

func (t *template) addName(name string) error {
	switch {
	case !isName(name):
		return fmt.Errorf("has the variable %q, want letters, digits and underscores, or for the last one {rest...}", name)
	case slices.Contains(t.names, name):
		return fmt.Errorf("has the variable %q twice", name)
	case len(t.names) == maxVariables:
		return fmt.Errorf("has more than %d variables", maxVariables)
	}
	t.names = append(t.names, name)
	return nil
}

func isName(s string) bool {
	for i := range len(s) {
		c := s[i]
		if c != '_' && (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') {
			return false
		}
	}
	return s != ""
}

// validPath refuses what can't stand in a request's path as it is.
func validPath(path string) error {
	for i := range len(path) {
		if c := path[i]; c <= ' ' || c >= 0x7f || c == '?' || c == '#' {
			return fmt.Errorf("holds %q, want it written as %%%02X", c, c)
		}
	}
	return checkPath(path)
}

// hasPrefix reports whether t begins with the segments of another template,
// all of them literal.
func (t *template) hasPrefix(of template) bool {
	if len(of.segments) > len(t.segments) {
		return false
	}
	for i, s := range of.segments {
		if s.variable || t.segments[i] != s {
			return false
		}
	}
	return true
}
