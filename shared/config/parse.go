package config

import (
	"errors"
	"fmt"
	"strings"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// kind is what a node is in YAML.
type kind int

const (
	null kind = iota
	boolean
	number // not in quotes, and a number to YAML
	text
	list
	mapping
	refused // reported already
)

// node is one value of a file: what the decoder needs of the library's tree.
type node struct {
	kind    kind
	pos     position // of a scalar itself, of the key of a list or mapping
	text    string   // of a scalar; as it is written, for what is not text
	quoted  bool
	items   []*node // of a list
	entries []entry // of a mapping; no key twice
}

type entry struct {
	key   string
	pos   position // of the key
	value *node
}

// parse returns the tree of the one document in data, or false after problems
// that leave no tree.
func parse(data []byte, problems *problemList) (*node, bool) {
	tokens, ok := scan(data, problems)
	if !ok {
		return nil, false
	}
	file, err := parseTokens(tokens)
	if err != nil {
		var located interface {
			GetToken() *token.Token
			GetMessage() string
		}
		if errors.As(err, &located) {
			problems.add(at(located.GetToken()), "", "%s", syntaxText(located.GetMessage()))
		} else {
			problems.add(position{}, "", "not valid YAML: %v", err)
		}
		return nil, false
	}
	for _, doc := range file.Docs {
		if doc.Body == nil {
			continue
		}
		b := builder{problems: problems}
		root := b.build(doc.Body, "")
		root.pos = position{line: 1, column: 1}
		if root.kind == refused {
			return nil, false
		}
		if root.kind != mapping {
			problems.add(b.start(doc.Body), "", "the file is %s, want a mapping: lines of \"key: value\"", root.found())
			return nil, false
		}
		return root, true
	}
	problems.add(position{}, "", "the file is empty")
	return nil, false
}

// parseTokens is parser.Parse for tokens that nobody promises to be sane: a
// panic in the library may not end a proxy that only wanted to reload.
func parseTokens(tokens token.Tokens) (file *ast.File, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("the parser gave up: %v", r)
		}
	}()
	return parser.Parse(tokens, 0, parser.AllowDuplicateMapKey())
}

// builder turns the library's tree into nodes and refuses what hides values.
type builder struct{ problems *problemList }

func (b builder) build(n ast.Node, key string) *node {
	switch n := n.(type) {
	case *ast.MappingNode:
		return b.mapping(n, key)
	case *ast.SequenceNode:
		return b.list(n, key)
	case *ast.AnchorNode:
		b.problems.add(b.start(n), key, "anchors (&) are not supported, write the value out at each place; text that starts with & needs quotes")
		return b.inner(n, n.Value, key)
	case *ast.TagNode:
		b.problems.add(b.start(n), key, "tags (!) are not supported, remove %s; text that starts with ! needs quotes", n.GetToken().Value)
		return b.inner(n, n.Value, key)
	case *ast.AliasNode:
		b.problems.add(b.start(n), key, "text that starts with * needs quotes; aliases are not supported, write the value out")
		return &node{kind: refused, pos: b.start(n)}
	}
	return b.scalar(n, key)
}

// inner builds the value behind an anchor or a tag, so that what is wrong in
// there is found too.
func (b builder) inner(outer, value ast.Node, key string) *node {
	if value == nil {
		return &node{kind: null, pos: b.start(outer)}
	}
	return b.build(value, key)
}

func (b builder) mapping(n *ast.MappingNode, key string) *node {
	m := &node{kind: mapping, pos: b.start(n)}
	lines := make(map[string]int, len(n.Values))
	for _, v := range n.Values {
		e := entry{pos: b.start(v.Key)}
		name, ok := b.key(v.Key, e.pos, key)
		if !ok {
			continue
		}
		if len(name) > maxKey {
			b.problems.add(e.pos, key, "a key has %d bytes, want at most %d", len(name), maxKey)
			continue
		}
		e.key = name
		path := join(key, name)
		if line, ok := lines[name]; ok {
			b.problems.add(e.pos, path, "key %q is set already in line %d, remove one of the two", name, line)
			continue
		}
		lines[name] = e.pos.line
		e.value = b.inner(v.Key, v.Value, path)
		if e.value.kind != boolean && e.value.kind != number && e.value.kind != text {
			e.value.pos = e.pos
		}
		m.entries = append(m.entries, e)
	}
	return m
}

func (b builder) key(n ast.MapKeyNode, pos position, key string) (string, bool) {
	switch n := n.(type) {
	case *ast.MergeKeyNode:
		b.problems.add(pos, key, "merge keys (<<) are not supported, write the keys out")
		return "", false
	case *ast.StringNode:
		if n.Value != "" {
			return n.Value, true
		}
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode:
		return n.GetToken().Value, true
	}
	b.problems.add(pos, key, "a key has to be plain text")
	return "", false
}

func (b builder) list(n *ast.SequenceNode, key string) *node {
	l := &node{kind: list, pos: b.start(n)}
	for i, v := range n.Values {
		item := b.inner(n, v, fmt.Sprintf("%s[%d]", key, i))
		if item.kind == null && i < len(n.Entries) && n.Entries[i] != nil {
			item.pos = at(n.Entries[i].Start)
		}
		l.items = append(l.items, item)
	}
	return l
}

func (b builder) scalar(n ast.Node, key string) *node {
	tk := n.GetToken()
	s := &node{kind: number, pos: at(tk), text: tk.Value}
	switch n := n.(type) {
	case *ast.NullNode:
		s.kind = null
	case *ast.BoolNode:
		s.kind = boolean
	case *ast.IntegerNode, *ast.FloatNode, *ast.InfinityNode, *ast.NanNode:
	case *ast.StringNode:
		s.kind, s.text, s.quoted = text, n.Value, tk.Type != token.StringType
		if !s.quoted && strings.ContainsAny(firstByte(s.text), "{}[],&*!%@`") {
			b.problems.add(s.pos, key, "not valid YAML: text that starts with %q needs quotes, or a bracket is misplaced", firstByte(s.text))
			s.kind = refused
		}
	case *ast.LiteralNode:
		s.kind, s.text, s.quoted = text, n.Value.Value, true
	default:
		b.problems.add(s.pos, key, "%s is not supported here, want plain YAML", n.Type())
		s.kind = refused
	}
	return s
}

func firstByte(s string) string { return s[:min(len(s), 1)] }

// start returns where n begins; the library's own position of a mapping is that
// of its first colon.
func (b builder) start(n ast.Node) position {
	if m, ok := n.(*ast.MappingNode); ok && !m.IsFlowStyle && len(m.Values) > 0 {
		return b.start(m.Values[0].Key)
	}
	return at(n.GetToken())
}

// found names n as it is in the file, for "is ..., want ...".
func (n *node) found() string {
	short := n.text
	if r := []rune(short); len(r) > 40 {
		short = string(r[:40]) + "..."
	}
	switch n.kind {
	case null:
		return "empty"
	case boolean:
		return short
	case number:
		return "the number " + short
	case text:
		if !n.quoted && wholeNumber.MatchString(n.text) { // too long for the library
			return "the number " + short
		}
	case list:
		return "a list"
	case mapping:
		return "a mapping"
	}
	return fmt.Sprintf("the text %q", short)
}
