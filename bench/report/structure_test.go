package report_test

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/net/html"
)

var update = flag.Bool("update", false, "write testdata/structure.golden")

// A node is an element of a page.
type node struct{ *html.Node }

func parse(t *testing.T, page string) node {
	t.Helper()
	root, err := html.Parse(strings.NewReader(page))
	if err != nil {
		t.Fatal(err)
	}
	return node{root}
}

// all returns the elements below n that are called tag and are of a class, in
// their order; "" is any.
func (n node) all(tag, class string) []node {
	var found []node
	for d := range n.Descendants() {
		e := node{d}
		if d.Type == html.ElementNode && (tag == "" || d.Data == tag) && (class == "" || slices.Contains(strings.Fields(e.attr("class")), class)) {
			found = append(found, e)
		}
	}
	return found
}

func (n node) attr(name string) string {
	for _, a := range n.Attr {
		if a.Key == name {
			return a.Val
		}
	}
	return ""
}

func (n node) text() string {
	var b strings.Builder
	for d := range n.Descendants() {
		if d.Type == html.TextNode {
			b.WriteString(d.Data)
		}
	}
	return strings.TrimSpace(b.String())
}

func (n node) number(t *testing.T, name string) float64 {
	t.Helper()
	v, err := strconv.ParseFloat(n.attr(name), 64)
	if err != nil {
		t.Fatalf("%s of <%s>: %v", name, n.Data, err)
	}
	return v
}

// one returns the text of the only such element, or "".
func (n node) one(tag, class string) string {
	if found := n.all(tag, class); len(found) == 1 {
		return found[0].text()
	}
	return ""
}

func texts(nodes []node) string {
	var all []string
	for _, n := range nodes {
		all = append(all, n.text())
	}
	return strings.Join(all, " | ")
}

// outline says what is on a page, without the figures that belong to a run.
func outline(page node) string {
	var b strings.Builder
	fmt.Fprintf(&b, "# %s\ncontents: %s\n", page.one("h1", ""), texts(page.all("nav", "")[0].all("a", "")))
	for _, file := range page.all("section", "file") {
		fmt.Fprintf(&b, "\n## %s\nfacts: %s\n", file.one("h2", ""), texts(file.all("dt", "")))
		for _, aside := range file.all("aside", "") {
			fmt.Fprintf(&b, "skipped: %s\n", texts(aside.all("li", "")))
		}
		for _, v := range file.all("div", "verdict") {
			fmt.Fprintf(&b, "verdict: %s: %s\n", v.one("strong", ""), texts(v.all("li", "")))
		}
		for _, g := range file.all("section", "group") {
			fmt.Fprintf(&b, "\n### %s\n", g.one("h3", ""))
			for _, f := range g.all("figure", "") {
				outlineFigure(&b, f)
			}
		}
	}
	return b.String()
}

func outlineFigure(b *strings.Builder, f node) {
	fmt.Fprintf(b, "\n#### %s\n%s\n", f.one("h4", ""), f.all("figcaption", "")[0].one("p", ""))
	for _, l := range f.all("ul", "legend") {
		fmt.Fprintf(b, "legend: %s\n", texts(l.all("li", "")))
	}
	for _, p := range f.all("div", "panel") {
		fmt.Fprintf(b, "- %s:", p.one("h5", ""))
		for _, empty := range p.all("p", "missing") {
			fmt.Fprintf(b, " %s", empty.text())
		}
		for _, s := range p.all("svg", "plot") {
			fmt.Fprintf(b, " [%d marks, %d lines, %d bars, %d warnings, %d crosses, %d absent]", len(s.all("g", "mark")), len(s.all("path", "line")), len(s.all("rect", "bar")),
				len(s.all("path", "warn")), len(s.all("line", "cross"))/2, len(s.all("line", "absent"))+len(s.all("text", "missing")))
		}
		b.WriteString("\n")
	}
	for _, class := range []string{"sums", "missing", "note"} {
		for _, p := range f.all("p", class) {
			if p.Parent == f.Node {
				fmt.Fprintf(b, "%s: %s\n", class, p.text())
			}
		}
	}
	for _, l := range f.all("ul", "troubles") {
		fmt.Fprintf(b, "troubles: %s\n", texts(l.all("li", "")))
	}
	for _, table := range f.all("table", "") {
		fmt.Fprintf(b, "table: %s; %d rows, %d not measured\n", texts(table.all("thead", "")[0].all("th", "")), len(table.all("tbody", "")[0].all("tr", "")), len(table.all("td", "missing")))
	}
}

func TestStructureOfAPage(t *testing.T) {
	const file = "testdata/structure.golden"
	got := outline(parse(t, render(t, wanFixture(), loopFixture(), soakFixture())))
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	gotLines, wantLines := strings.Split(got, "\n"), strings.Split(string(want), "\n")
	for i := range max(len(gotLines), len(wantLines)) {
		if i >= len(gotLines) || i >= len(wantLines) || gotLines[i] != wantLines[i] {
			t.Fatalf("line %d of %s differs (go test -update writes it):\ngot  %q\nwant %q", i+1, file, gotLines[min(i, len(gotLines)-1)], wantLines[min(i, len(wantLines)-1)])
		}
	}
}
