package report_test

import (
	"encoding/json"
	"math"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/ergoproxy/ergo/bench/report"
	"github.com/ergoproxy/ergo/bench/wan"
)

func TestPageOfOneRunIsAlwaysTheSame(t *testing.T) {
	first := render(t, wanFixture(), loopFixture(), soakFixture())
	for range 5 {
		if again := render(t, wanFixture(), loopFixture(), soakFixture()); again != first {
			t.Fatal("two pages of the same files differ")
		}
	}
}

func TestPageHoldsTogether(t *testing.T) {
	// The same kind twice: ids must not meet.
	page := parse(t, render(t, wanFixture(), wanFixture(), loopFixture(), soakFixture()))
	ids := map[string]bool{}
	for _, e := range page.all("", "") {
		if id := e.attr("id"); id != "" {
			if ids[id] {
				t.Errorf("id %s is there twice", id)
			}
			ids[id] = true
		}
	}
	references := 0
	for _, e := range page.all("", "") {
		for _, a := range e.Attr {
			switch {
			case a.Key == "aria-labelledby":
				for _, id := range strings.Fields(a.Val) {
					references++
					if !ids[id] {
						t.Errorf("<%s> is labelled by %s, which is not there", e.Data, id)
					}
				}
			case a.Key == "href":
				references++
				if !strings.HasPrefix(a.Val, "#") || !ids[a.Val[1:]] {
					t.Errorf("link to %s, want something on the page", a.Val)
				}
			}
		}
	}
	if references < 50 {
		t.Errorf("%d references seen, the test does not find them", references)
	}
}

func TestPageLoadsNothing(t *testing.T) {
	page := parse(t, render(t, wanFixture(), loopFixture(), soakFixture()))
	for _, tag := range []string{"link", "img", "iframe", "object", "base"} {
		if found := page.all(tag, ""); len(found) > 0 {
			t.Errorf("%d <%s>, want a page that loads nothing", len(found), tag)
		}
	}
	for _, e := range page.all("", "") {
		for _, a := range e.Attr {
			if a.Key == "src" || a.Key == "style" || strings.HasPrefix(a.Key, "on") {
				t.Errorf("<%s> has %s, which the page's policy forbids", e.Data, a.Key)
			}
		}
	}
	allowed := regexp.MustCompile(`^default-src 'none'; style-src 'sha256-[^' ]+'; script-src 'sha256-[^' ]+'; base-uri 'none'; form-action 'none'$`)
	if policy := page.all("meta", "")[1].attr("content"); !allowed.MatchString(policy) {
		t.Errorf("policy %s", policy)
	}
}

func TestPlotsAndTablesAreComplete(t *testing.T) {
	page := parse(t, render(t, wanFixture(), loopFixture(), soakFixture()))
	if plots, tables := len(page.all("svg", "plot")), len(page.all("table", "")); plots < 30 || tables < 12 {
		t.Errorf("%d plots and %d tables, the test does not find them", plots, tables)
	}
	for _, s := range page.all("svg", "plot") {
		if s.attr("role") != "img" || len(s.all("title", "")) == 0 || s.all("desc", "")[0].text() == "" {
			t.Errorf("a plot without role, title or description: %.80s", s.text())
		}
	}
	for _, table := range page.all("table", "") {
		columns := len(table.all("thead", "")[0].all("th", ""))
		for _, row := range table.all("tbody", "")[0].all("tr", "") {
			cells := len(row.all("td", "")) + len(row.all("th", ""))
			for _, note := range row.all("td", "missing") {
				cells += int(note.number(t, "colspan")) - 1
			}
			if cells != columns {
				t.Errorf("a row of %d cells below %d columns: %s", cells, columns, texts(row.all("td", "")))
			}
		}
	}
}

// hostile is what a name could do to a page that trusts it.
const hostile = `</script></title></style></svg>"'><img src=x onerror="fail()"><script>fail()</script>&lt;{{.}}`

func TestNamesCannotBeMarkup(t *testing.T) {
	text := render(t, spoiled(t, wanFixture(), loopFixture(), soakFixture())...)
	if n := strings.Count(text, "&lt;/script&gt;"); n < 500 {
		t.Errorf("the hostile name is on the page %d times, the test does not get it there", n)
	}
	page := parse(t, text)
	clean := parse(t, render(t, wanFixture(), loopFixture(), soakFixture()))
	for _, tag := range []string{"script", "style", "img", "main"} {
		if got, want := len(page.all(tag, "")), len(clean.all(tag, "")); got != want {
			t.Errorf("%d <%s>, without hostile names %d", got, tag, want)
		}
	}
	if got, want := page.all("script", "")[0].text(), clean.all("script", "")[0].text(); got != want {
		t.Error("a name changed the script")
	}
	for _, e := range page.all("", "") {
		for _, a := range e.Attr {
			if strings.HasPrefix(a.Key, "on") {
				t.Errorf("<%s> has %s", e.Data, a.Key)
			}
		}
	}
}

// spoiled returns results whose names are hostile.
func spoiled(t *testing.T, results ...any) []any {
	t.Helper()
	var all []any
	for _, r := range results {
		content, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		var tree any
		if err := json.Unmarshal(content, &tree); err != nil {
			t.Fatal(err)
		}
		all = append(all, spoil(tree))
	}
	return all
}

// spoil makes every text of a result hostile but those that say what it is.
func spoil(tree any) any {
	switch n := tree.(type) {
	case string:
		return hostile + n
	case []any:
		for i := range n {
			n[i] = spoil(n[i])
		}
	case map[string]any:
		for key, v := range n {
			if !slices.Contains([]string{"kind", "schema", "date", "size", "sizes"}, key) {
				n[key] = spoil(v)
			}
		}
		if failures, ok := n["failures"].(map[string]any); ok {
			failures[hostile] = 1
		}
	}
	return tree
}

func TestEmptyResultsSaySo(t *testing.T) {
	r := wanFixture()
	r.Cells, r.Timelines, r.Shares, r.Journeys = nil, nil, nil, nil
	page := parse(t, render(t, r))
	if n := len(page.all("figure", "")); n != 0 {
		t.Errorf("%d figures of nothing", n)
	}
	section := page.all("section", "file")[0]
	if !strings.Contains(section.text(), "The file holds no measurement.") || !strings.Contains(section.text(), "caddy: not installed") {
		t.Errorf("the section of nothing says %q", section.text())
	}
	if text := render(t); !strings.Contains(text, "<h1>") {
		t.Error("no page of no files")
	}
}

func TestEmptyPartsAreNamed(t *testing.T) {
	r := wan.Result{Kind: "wan", Timelines: []wan.Timeline{{System: "ergo", Name: "nothing happened"}}}
	p := openPath(0.01)
	for _, system := range []string{"ergo", "nginx"} { // no answers, and no cost
		r.Cells = append(r.Cells, wan.Cell{System: system, Path: p, Workload: small, Measured: wan.Measured{Failures: map[string]int64{"refused": 3}}})
	}
	page := parse(t, render(t, r))
	text := page.text()
	for _, want := range []string{"no answer", "not measured", "Ergo at 80 ms, 1 % loss: 3 failed (refused: 3), 0 answers", "0 answers in all, 6 failed"} {
		if !strings.Contains(text, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
}

func TestOneSystemIsEnough(t *testing.T) {
	r := wanFixture()
	r.Cells = slices.DeleteFunc(r.Cells, func(c wan.Cell) bool { return c.System != "ergo" })
	r.Timelines, r.Shares, r.Journeys = r.Timelines[:1], r.Shares[:1], nil
	page := parse(t, render(t, r))
	if n := len(page.all("figure", "")); n != 7 {
		t.Errorf("%d figures, want 3 over loss, 2 of paths, a share and a timeline", n)
	}
	for _, f := range page.all("figure", "") {
		if len(f.all("svg", "plot")) == 0 || len(f.all("p", "missing")) > 0 {
			t.Errorf("%s: %d plots, missing: %s", f.one("h4", ""), len(f.all("svg", "plot")), texts(f.all("p", "missing")))
		}
	}
}

func TestFilesOfOneKindAreToldApart(t *testing.T) {
	page := parse(t, render(t, wanFixture(), loopFixture(), loopFixture()))
	if got := texts(page.all("h2", "")); got != "Across a WAN | On loopback: result.json | On loopback: result.json" {
		t.Errorf("sections %s", got)
	}
}

func TestTablesHoldTheFigures(t *testing.T) {
	page := parse(t, render(t, wanFixture()))
	var found []string
	for _, row := range page.all("tr", "own") {
		if strings.HasPrefix(row.text(), "1 % loss") {
			found = append(found, texts(row.all("td", "")))
		}
	}
	want := []string{ // of the three bodies, as measuredRows has them
		"Ergo | 1,600 | 0 | 0 | 81.0 | 82.0 | 85.0 | 89.0 | 92.0 | ",
		"Ergo | 160 | 0 | 0 | 91.0 | 94.0 | 99.0 | 99.0 | 104 | ",
		"Ergo | 32 | 0 | 0 | 176 | 180 | 189 | 189 | 189 | ",
	}
	if len(found) != len(want) {
		t.Fatalf("%d rows of Ergo at 1 %% loss: %q", len(found), found)
	}
	for i := range want {
		if !strings.HasPrefix(found[i], want[i]) {
			t.Errorf("%s, want %s", found[i], want[i])
		}
	}
}

// lossy is one system at three losses.
func lossy(of func(*wan.Cell, int)) wan.Result {
	r := wan.Result{Kind: "wan"}
	for i, loss := range []float64{0, 0.01, 0.03} {
		c := wan.Cell{System: "ergo", Path: openPath(loss), Workload: small, Measured: wan.Measured{Answered: 2000}}
		of(&c, i)
		r.Cells = append(r.Cells, c)
	}
	return r
}

func plotOf(t *testing.T, page node, title string) node {
	t.Helper()
	for _, p := range page.all("div", "panel") {
		if p.one("h5", "") == title {
			return p.all("svg", "plot")[0]
		}
	}
	t.Fatalf("no panel %q", title)
	return node{}
}

func TestColumnsAreAsHighAsTheirValues(t *testing.T) {
	r := lossy(func(c *wan.Cell, i int) { c.CPU = []float64{100e-6, 200e-6, 50e-6}[i] })
	bars := plotOf(t, parse(t, render(t, r)), "CPU of both tiers per answer").all("rect", "bar")
	if len(bars) != 3 {
		t.Fatalf("%d columns", len(bars))
	}
	base := bars[0].number(t, "height")
	for i, want := range []float64{1, 2, 0.5} {
		if got := bars[i].number(t, "height") / base; math.Abs(got-want) > 0.01 {
			t.Errorf("column %d is %.2f times as high as the first, want %g", i, got, want)
		}
	}
}

func TestSmallAndLargeTimesCanBothBeRead(t *testing.T) {
	for _, row := range []struct {
		name  string
		times [3]float64 // of p50, in seconds
		want  []float64  // how far each mark is above the first, in parts of the last
	}{
		{"on a logarithm", [3]float64{0.05, 0.5, 5}, []float64{0, 0.5, 1}},
		{"in proportion", [3]float64{0.05, 0.1, 0.2}, []float64{0, 1. / 3, 1}},
	} {
		r := lossy(func(c *wan.Cell, i int) {
			v := row.times[i]
			c.Latency = wan.Quantiles{P50: v, P99: v, P999: v, Max: v}
		})
		marks := plotOf(t, parse(t, render(t, r)), "Latency, p50").all("circle", "marker")
		if len(marks) != 3 {
			t.Fatalf("%s: %d marks", row.name, len(marks))
		}
		first, last := marks[0].number(t, "cy"), marks[2].number(t, "cy")
		for i, want := range row.want {
			if got := (first - marks[i].number(t, "cy")) / (first - last); math.Abs(got-want) > 0.01 {
				t.Errorf("%s: mark %d is at %.3f, want %.3f", row.name, i, got, want)
			}
		}
	}
}

func TestWhatFailedIsMarkedWhereItHappened(t *testing.T) {
	r := lossy(func(c *wan.Cell, i int) {
		c.Latency = wan.Quantiles{P50: 0.1, P99: 0.1, P999: 0.1, Max: 0.1}
		if i == 1 {
			c.Overflow = 7
		}
	})
	marks := plotOf(t, parse(t, render(t, r)), "Latency, p99").all("g", "mark")
	for i, m := range marks {
		if got := len(m.all("path", "warn")) == 1; got != (i == 1) {
			t.Errorf("mark %d has a warning: %v", i, got)
		}
	}
	if tip := marks[1].one("title", ""); tip != "Ergo, 1 % loss: 100 ms p99; 2,000 answers, 7 not sent" {
		t.Errorf("the mark says %q", tip)
	}
}

func TestWriteReturnsTheErrorOfItsWriter(t *testing.T) {
	if err := report.Write(brokenWriter{}, nil); err != errBroken {
		t.Errorf("%v, want the writer's error", err)
	}
}

type brokenWriter struct{}

func (brokenWriter) Write([]byte) (int, error) { return 0, errBroken }
