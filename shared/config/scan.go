package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml/scanner"
	"github.com/goccy/go-yaml/token"
)

// scan cuts data into tokens and stops at the first thing that the parser must
// not see: it recurses once per level and its cost grows with the square of the
// size of one mapping, so both have to be bounded before it starts.
func scan(data []byte, problems *problemList) (token.Tokens, bool) {
	data = bytes.TrimPrefix(data, []byte("\ufeff"))
	if len(data) > MaxFile {
		problems.add(position{}, "", "the file is larger than %v", Bytes(MaxFile))
		return nil, false
	}
	if pos, wrong := notText(data); wrong != "" {
		problems.add(pos, "", "%s", wrong)
		return nil, false
	}
	var s scanner.Scanner
	s.Init(string(data))
	var tokens token.Tokens
	guard := guard{problems: problems}
	for {
		some, err := s.Scan()
		if errors.Is(err, io.EOF) {
			return tokens, true
		}
		for _, tk := range some {
			tokens.Add(tk)
			if tk.Type == token.InvalidType {
				problems.add(at(tk), "", "%s", syntaxText(tk.Error))
				return nil, false
			}
			if tk.Type != token.CommentType && !guard.allow(tk) {
				return nil, false
			}
		}
		if len(tokens) > maxTokens {
			problems.add(at(tokens[maxTokens]), "", "the file has more than %d words and signs", maxTokens)
			return nil, false
		}
		if err != nil { // without an invalid token, which does not happen
			problems.add(position{}, "", "not valid YAML: %v", err)
			return nil, false
		}
	}
}

// notText finds the first thing that does not belong into a text file that a
// person wrote, and says what is wrong; "" if there is none. The scanner hands
// out the tokens of a line, or of a bracket, only when it has them all: those
// have to be bounded here.
func notText(data []byte) (position, string) {
	signs := 0
	pos := position{line: 1, column: 1}
	for len(data) > 0 {
		r, n := utf8.DecodeRune(data)
		switch {
		case r == '\n':
			pos = position{line: pos.line + 1}
		case pos.column > maxLine:
			return pos, fmt.Sprintf("a line has more than %d characters", maxLine)
		case bytes.IndexByte([]byte("[]{},"), data[0]) >= 0:
			if signs++; signs > maxSigns {
				return pos, fmt.Sprintf("the file has more than %d brackets, braces and commas", maxSigns)
			}
		case r == utf8.RuneError && n == 1:
			return pos, fmt.Sprintf("the byte 0x%02x stands here, want a text file in UTF-8", data[0])
		case r < ' ' && r != '\t' && r != '\r', r == 0x7f:
			return pos, fmt.Sprintf("the control character %U stands here, want a text file in UTF-8", r)
		}
		pos.column++
		data = data[n:]
	}
	return pos, ""
}

// guard follows the structure of a file, roughly, from its tokens alone.
type guard struct {
	problems *problemList
	prev     *token.Token
	blocks   []block // the open mappings and lists outside of brackets
	brackets int     // open { and [
	prefixes int     // tags and anchors in front of one value
	started  bool    // a document has content
	ended    bool    // "..." was seen
	nulls    int     // keys and dashes without a value
}

// block is a mapping or a list that is written with indentation.
type block struct {
	column  int
	entries int
}

// allow takes the next token in and reports whether to go on.
func (g *guard) allow(tk *token.Token) bool {
	prev := g.prev
	g.prev = tk
	switch tk.Type {
	case token.DirectiveType:
		return g.refuse(tk, "YAML directives (%%) are not supported, remove the line; a text that starts with %% needs quotes")
	case token.DocumentHeaderType:
		if g.started || g.ended {
			return g.refuse(tk, "a second YAML document starts here, want one document in the file")
		}
		g.started = true
		return true
	case token.DocumentEndType:
		g.ended = true
		return true
	}
	if g.ended {
		return g.refuse(tk, "there is text after the end of the YAML document (...), want one document in the file")
	}
	g.started = true
	if prev != nil && g.withoutValue(prev, tk) {
		g.nulls++
	}
	g.follow(prev, tk)
	switch {
	case len(g.blocks)+g.brackets+g.prefixes > MaxDepth:
		return g.refuse(tk, "mappings and lists are nested more than %d deep", MaxDepth)
	case len(g.blocks) > 0 && g.blocks[len(g.blocks)-1].entries > maxEntries:
		return g.refuse(tk, "a mapping or list has more than %d entries", maxEntries)
	case g.nulls > maxProblems:
		return g.refuse(tk, "more than %d keys and list elements have no value", maxProblems)
	}
	return true
}

func (g *guard) refuse(tk *token.Token, format string, args ...any) bool {
	g.problems.add(at(tk), "", format, args...)
	return false
}

// withoutValue reports whether next leaves the key or dash before it empty.
func (g *guard) withoutValue(prev, next *token.Token) bool {
	if prev.Type != token.SequenceEntryType && prev.Type != token.MappingValueType {
		return false
	}
	if next.Type == token.CollectEntryType || next.Type == token.MappingEndType {
		return true
	}
	open := len(g.blocks) > 0 && g.brackets == 0
	return open && next.Position.Line > prev.Position.Line && next.Position.Column <= g.blocks[len(g.blocks)-1].column
}

func (g *guard) follow(prev, tk *token.Token) {
	switch tk.Type {
	case token.TagType, token.AnchorType:
		g.prefixes++
		return
	case token.MappingStartType, token.SequenceStartType:
		g.brackets++
	case token.MappingEndType, token.SequenceEndType:
		g.brackets--
	case token.SequenceEntryType, token.MappingKeyType:
		g.entry(tk)
	case token.MappingValueType:
		if prev != nil {
			g.entry(prev)
		}
	}
	if prev != nil && prev.Type != token.TagType && prev.Type != token.AnchorType {
		g.prefixes = 0
	}
}

// entry notes a dash or a key: it closes the blocks to its right.
func (g *guard) entry(tk *token.Token) {
	if g.brackets > 0 {
		return
	}
	column := tk.Position.Column
	for len(g.blocks) > 0 && g.blocks[len(g.blocks)-1].column > column {
		g.blocks = g.blocks[:len(g.blocks)-1]
	}
	if n := len(g.blocks); n > 0 && g.blocks[n-1].column == column {
		g.blocks[n-1].entries++
		return
	}
	g.blocks = append(g.blocks, block{column: column, entries: 1})
}

func at(tk *token.Token) position {
	if tk == nil || tk.Position == nil {
		return position{}
	}
	return position{line: tk.Position.Line, column: tk.Position.Column}
}

// syntaxTexts says what a person has to do about the library's terser words.
var syntaxTexts = map[string]string{
	"mapping value is not allowed in this context":                       `a "key: value" stands where none can: only one goes on a line, and a line may not be indented deeper than its neighbours; text with ": " in it needs quotes`,
	"unexpected key name":                                                `this line has no "key:", or the text before the ":" runs over several lines`,
	"non-map value is specified":                                         `want "key: value" here, like in the lines above`,
	"value is not allowed in this context":                               `nothing may stand here: check that the line is indented like its neighbours, and that brackets and quotes are closed`,
	"value is not allowed in this context. map key-value is pre-defined": `the value before this is complete: check that the quotes before it are closed, and the indentation`,
	"found character '\t' that cannot start any token":                   `a tab stands here, indent with spaces`,
	"',' or ']' must be specified":                                       `a "," or the "]" that closes the list is missing before this`,
	"',' or '}' must be specified":                                       `a "," or the "}" that closes the mapping is missing before this`,
	"sequence end token ']' not found":                                   `this "[" is never closed, a "]" is missing`,
	"could not find flow mapping end token '}'":                          `this "{" is never closed, a "}" is missing`,
	"could not find end character of double-quoted text":                 `this double quote is never closed`,
	"could not find end character of single-quoted text":                 `this single quote is never closed`,
	"expected sequence element, but found ','":                           `an element is missing before this ","`,
	"block sequence entries are not allowed in this context":             `a list with dashes has to start on a line of its own below the key`,
	"found an invalid key for this map":                                  `the key before this ":" is no text`,
	"could not find flow map content":                                    `want "key: value" between the braces`,
	"could not find '[' character corresponding to ']'":                  `this "]" closes nothing`,
	"could not find '{' character corresponding to '}'":                  `this "}" closes nothing`,
	"undefined alias name":                                               `text that starts with "*" needs quotes`,
	"undefined anchor name":                                              `text that starts with "&" needs quotes`,
	"undefined anchor value":                                             `text that starts with "&" needs quotes`,
	"tab character cannot be used for indentation in single-quoted text": `a tab stands here, indent with spaces`,
	"tab character cannot be used for indentation in double-quoted text": `a tab stands here, indent with spaces`,
	"map key definition includes an implicit line break":                 `the key and its ":" have to stand on one line`,
	"could not find multi-line content":                                  `the text announced by "|" or ">" is missing, it goes on indented lines below`,
}

// syntaxText returns what is wrong in words of ours if there are any.
func syntaxText(message string) string {
	text, ok := syntaxTexts[message]
	switch {
	case ok:
	case strings.HasSuffix(message, "is a reserved character"):
		text = message + ", text that starts with it needs quotes"
	case strings.HasPrefix(message, "found unknown escape character"):
		text = message + `: between double quotes write \\ for a backslash, or use single quotes`
	default:
		text = message
	}
	return "not valid YAML: " + text
}
