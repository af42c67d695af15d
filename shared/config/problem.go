package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Problem is one thing wrong with a config.
type Problem struct {
	File   string // as it was named to Load or Decode
	Line   int    // from 1; 0: the file as a whole
	Column int    // in characters, from 1
	Key    string // path from the top of the file: "listen[1].tls.min_version"; "": the file as a whole
	Text   string // what is wrong, and what would be right
}

// String returns "file:line:column: key: text" without the parts that are not
// known.
func (p Problem) String() string {
	var parts []string
	switch {
	case p.File != "" && p.Line > 0:
		parts = append(parts, fmt.Sprintf("%s:%d:%d", p.File, p.Line, p.Column))
	case p.File != "":
		parts = append(parts, p.File)
	}
	if p.Key != "" {
		parts = append(parts, p.Key)
	}
	return strings.Join(append(parts, p.Text), ": ")
}

// Error is all that is wrong with a file, by position. At most 100 problems are
// listed.
type Error struct{ Problems []Problem }

// Error returns the problems, one a line.
func (e *Error) Error() string {
	lines := make([]string, len(e.Problems))
	for i, p := range e.Problems {
		lines[i] = p.String()
	}
	return strings.Join(lines, "\n")
}

// position is a place in a file, from 1.
type position struct{ line, column int }

// problemList collects the problems of one file.
type problemList struct {
	file  string
	list  []Problem
	dirty map[string]bool // keys with a problem, and all keys around them
}

// add reports a problem with the value of key. Whatever holds the value can't
// be validated any more.
func (l *problemList) add(pos position, key, format string, args ...any) {
	if l.dirty == nil {
		l.dirty = map[string]bool{}
	}
	for k := key; !l.dirty[k]; k = parentKey(k) {
		l.dirty[k] = true
	}
	l.note(pos, key, fmt.Sprintf(format, args...))
}

// note reports a problem that says nothing about the values around it.
func (l *problemList) note(pos position, key, text string) {
	if l.full() {
		return
	}
	if len(text) > maxProblem {
		text = strings.ToValidUTF8(text[:maxProblem], "") + "..."
	}
	l.list = append(l.list, Problem{File: l.file, Line: pos.line, Column: pos.column, Key: key, Text: text})
}

// full reports whether no more problems are taken.
func (l *problemList) full() bool { return len(l.list) >= maxProblems }

func (l *problemList) err() error {
	if len(l.list) == 0 {
		return nil
	}
	sortProblems(l.list)
	return &Error{Problems: slices.Compact(l.list)}
}

func sortProblems(list []Problem) {
	slices.SortStableFunc(list, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column),
			cmp.Compare(a.Key, b.Key), cmp.Compare(a.Text, b.Text))
	})
}

func join(prefix, key string) string {
	if prefix == "" || key == "" || strings.HasPrefix(key, "[") {
		return prefix + key
	}
	return prefix + "." + key
}

// parentKey cuts the last part off key. A key of a map may hold a dot itself;
// then there are some steps more on the way up, to keys that do not exist.
func parentKey(key string) string { return key[:max(strings.LastIndexAny(key, ".["), 0)] }
