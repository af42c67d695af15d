package report

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"io"
	"slices"
	"unicode/utf8"
)

//go:embed page.html
var pageText string

//go:embed style.css
var styleText string

//go:embed script.js
var scriptText string

var pageTemplate = template.Must(template.New("page").Parse(pageText))

// A page is what page.html shows.
type page struct {
	Policy   string // what the browser may load and run: the two below, by their hash
	Style    template.CSS
	Script   template.JS
	Sections []*section
}

// A section is one file.
type section struct {
	ID, Title string
	Date      string
	Facts     []fact
	Systems   []fact // name and version
	Notes     []string
	Verdict   *verdict
	Groups    []*group
}

// A fact is a line of a section's head.
type fact struct{ Name, Text string }

// A verdict is what soak says of itself.
type verdict struct {
	Good     bool
	Text     string
	Findings []string
}

// A group is the figures about one question.
type group struct {
	ID, Title, Text string
	Figures         []*figureView
}

// A figureView is some panels about one subject, and the table of all that they
// show.
type figureView struct {
	ID, Title, Caption string
	Legend             []legendItem
	Panels             []panel
	Sums               string   // answers, failures, what was not sent
	Troubles           []string // where something failed
	Missing            []string // what was not measured
	Notes              []string
	Table              table
}

type legendItem struct {
	Swatch template.HTML
	Name   string
	Own    bool
}

// A panel is one picture. One that spans a row has several forms of it, for
// windows of different widths.
type panel struct {
	Title    string
	Pictures []template.HTML
	Span     bool
	Empty    string // said in the place of a picture
}

// A table holds the figures of a figureView.
type table struct {
	Open bool // beside no picture
	Head []string
	Text int  // columns from the left that hold words
	Note bool // the last column does so, too
	Rows []tableRow
}

type tableRow struct {
	Own   bool
	Cells []string
	Note  string // in the place of what Cells does not reach, "not measured"
}

// Class is that of a cell with a text in the i-th column: figures stand to the
// right, and what is long may be broken.
func (t table) Class(i int, text string) string {
	switch {
	case utf8.RuneCountInString(text) > 28:
		return "words long"
	case i < t.Text, t.Note && i == len(t.Head)-1:
		return "words"
	default:
		return "figure"
	}
}

// Rest returns how many columns the note of a row takes.
func (t table) Rest(r tableRow) int { return len(t.Head) - len(r.Cells) }

// Write writes the page of the files, in their order, to w.
func Write(w io.Writer, files []*File) error {
	var systems []string
	for _, f := range files {
		systems = append(systems, f.systemsOf()...)
	}
	b := &builder{looks: newLooks(systems)}
	p := page{
		Policy: fmt.Sprintf("default-src 'none'; style-src '%s'; script-src '%s'; base-uri 'none'; form-action 'none'", sourceHash(styleText), sourceHash(scriptText)),
		Style:  template.CSS(styleText), Script: template.JS(scriptText),
	}
	for i, f := range files {
		b.prefix = fmt.Sprintf("f%d", i+1)
		s := b.section(f)
		if slices.ContainsFunc(files, func(other *File) bool { return other != f && other.kind() == f.kind() }) {
			s.Title += ": " + f.name
		}
		p.Sections = append(p.Sections, s)
	}
	var content bytes.Buffer // half a page is none
	if err := pageTemplate.Execute(&content, p); err != nil {
		return err
	}
	_, err := w.Write(content.Bytes())
	return err
}

// sourceHash is how a content security policy names an inline script or style.
func sourceHash(text string) string {
	sum := sha256.Sum256([]byte(text))
	return "sha256-" + base64.StdEncoding.EncodeToString(sum[:])
}
