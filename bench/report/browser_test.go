package report_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ergoproxy/ergo/bench/report"
	"github.com/ergoproxy/ergo/bench/wan"
)

// render writes the page of some results.
func render(t *testing.T, results ...any) string {
	t.Helper()
	var files []*report.File
	for _, r := range results {
		content, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		f, err := report.Read("result.json", bytes.NewReader(content))
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, f)
	}
	var page strings.Builder
	if err := report.Write(&page, files); err != nil {
		t.Fatal(err)
	}
	return page.String()
}

// flaws is a script that lists what a reader would see go wrong on a page.
const flaws = `(() => {
	const found = [];
	const about = e => (e.className.baseVal || e.className || e.tagName) + " " + JSON.stringify(e.textContent.slice(0, 60));
	const visible = e => e.getBoundingClientRect().width > 0;
	const root = document.documentElement;
	if (root.scrollWidth > innerWidth) found.push("the page is " + root.scrollWidth + " px wide in a window of " + innerWidth);
	for (const e of document.querySelectorAll("body *:not(.scroll):not(.scroll *):not(svg *)"))
		if (visible(e) && e.scrollWidth > e.clientWidth + 1 && e.clientWidth > 0) found.push("does not fit: " + about(e));
	for (const p of document.querySelectorAll(".panel")) {
		if (!visible(p)) continue;
		const pictures = [...p.querySelectorAll("svg.plot")].filter(visible);
		if (pictures.length + p.querySelectorAll(":scope > .missing").length !== 1) found.push(pictures.length + " pictures in a panel: " + about(p));
	}
	for (const s of document.querySelectorAll("svg.plot")) {
		if (!visible(s)) continue;
		const all = s.getBoundingClientRect();
		if (all.width < 200 || all.height < 80) found.push("small: " + all.width + " x " + all.height + " " + about(s));
		const texts = [...s.querySelectorAll("text")].map(e => [e, e.getBoundingClientRect()]);
		for (const [i, [e, r]] of texts.entries()) {
			if (r.left < all.left - .5 || r.right > all.right + .5 || r.top < all.top - .5 || r.bottom > all.bottom + .5) found.push("cut off: " + about(e) + " in " + about(s));
			for (const [f, q] of texts.slice(i + 1))
				if (r.left < q.right - 1 && q.left < r.right - 1 && r.top < q.bottom - 3 && q.top < r.bottom - 3) found.push("over each other: " + about(e) + " and " + about(f) + " in " + about(s));
		}
	}
	return found;
})()`

var views = []view{{400, "light", false}, {1400, "light", false}, {400, "dark", false}, {1400, "dark", false}, {1400, "light", true}, {820, "dark", true}}

func TestReadersSeeTheWholePage(t *testing.T) {
	c := newChromium(t)
	path := filepath.Join(t.TempDir(), "report.html")
	if err := os.WriteFile(path, []byte(render(t, wanFixture(), loopFixture(), soakFixture())), 0o644); err != nil {
		t.Fatal(err)
	}
	backgrounds := map[string]string{}
	for _, v := range views {
		for _, complaint := range c.open(path, v) {
			t.Errorf("%s: %s", v, complaint)
		}
		var found []string
		c.evaluate(flaws, &found)
		for _, flaw := range found {
			t.Errorf("%s: %s", v, flaw)
		}
		var background string
		c.evaluate("getComputedStyle(document.body).backgroundColor", &background)
		backgrounds[v.scheme] = background
		c.photograph(filepath.Join(t.ArtifactDir(), v.String()+".png"))
	}
	if backgrounds["light"] == backgrounds["dark"] {
		t.Errorf("both schemes have the background %s", backgrounds["light"])
	}
}

func TestMarksSayTheirFigures(t *testing.T) {
	c := newChromium(t)
	path := filepath.Join(t.TempDir(), "report.html")
	if err := os.WriteFile(path, []byte(render(t, wanFixture())), 0o644); err != nil {
		t.Fatal(err)
	}
	const point = `(() => {
		const mark = document.querySelector("g.mark");
		mark.dispatchEvent(new PointerEvent("pointermove", {bubbles: true, clientX: 200, clientY: 200}));
		const tip = document.querySelector(".tip");
		const shown = tip.hidden ? "" : tip.textContent;
		document.body.dispatchEvent(new PointerEvent("pointermove", {bubbles: true}));
		return [shown, mark.querySelectorAll("title").length, tip.hidden];
	})()`
	c.open(path, view{1400, "light", false})
	var with []any
	c.evaluate(point, &with)
	if text, _ := with[0].(string); !strings.Contains(text, "82 ms p50; 1,600 answers") || with[1] != 0.0 || with[2] != true {
		t.Errorf("tooltip, titles left, hidden after: %v", with)
	}
	c.open(path, view{1400, "light", true})
	var without string
	c.evaluate(`document.querySelector("g.mark > title").textContent`, &without)
	if !strings.Contains(without, "82 ms p50; 1,600 answers") {
		t.Errorf("without a script a mark says %q", without)
	}
}

func TestButtonShowsTablesInPlaceOfPlots(t *testing.T) {
	c := newChromium(t)
	path := filepath.Join(t.TempDir(), "report.html")
	if err := os.WriteFile(path, []byte(render(t, loopFixture())), 0o644); err != nil {
		t.Fatal(err)
	}
	c.open(path, view{1400, "light", false})
	const state = `[document.querySelectorAll("details[open]").length, [...document.querySelectorAll(".panels")].filter(e => e.offsetParent).length, document.querySelectorAll("figure").length]`
	var before, on, off []int
	c.evaluate(state, &before)
	c.evaluate(`document.querySelector("button").click()`, nil)
	c.evaluate(state, &on)
	c.evaluate(`document.querySelector("button").click()`, nil)
	c.evaluate(state, &off)
	figures := before[2]
	if figures < 2 || before[0] != 0 || before[1] != figures || on[0] != figures || on[1] != 0 || off[0] != 0 || off[1] != figures {
		t.Errorf("open tables and visible plots of %d figures: %v, then %v, then %v", figures, before[:2], on[:2], off[:2])
	}
}

// crowded has more systems and losses, and longer names, than anybody measures.
func crowded() wan.Result {
	r := wan.Result{Kind: "wan", Systems: map[string]string{}}
	systems := []string{"ergo", "ergo-plain", "nginx", "haproxy-h1", "haproxy-h2", "caddy with an experimental carrier", "quic-go 16 connections", "straight", strings.Repeat("x", 300)}
	for i, loss := range []float64{0, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.03, 0.05, 0.10} {
		for k, system := range systems {
			r.Systems[system] = strings.Repeat("long ", 60)
			p := openPath(loss)
			p.Name = strings.Repeat("a path with a long name ", 8)
			top := float64((1+i)*(1+k)) * 3
			m := measuredFixture(system, small, loss, [5]float64{81, 82 + top, 90 + 9*top, 100 + 20*top, 5000 + 100*top})
			m.Failures = map[string]int64{strings.Repeat("a long reason ", 20): int64(k)}
			r.Cells = append(r.Cells, wan.Cell{System: system, Path: p, Workload: small, Measured: m})
			p.Rate = int64(1+i) * 1e6 // each a path of its own
			r.Cells = append(r.Cells, wan.Cell{System: system, Path: p, Workload: small, Measured: m})
		}
	}
	for _, system := range systems {
		t := timelineFixture("ergo-plain")
		t.System = system
		r.Timelines = append(r.Timelines, t)
		r.Shares = append(r.Shares, wan.Share{System: system, Against: "cubic", Rate: 20e6, Own: 0.5, Other: 0.5})
		r.Journeys = append(r.Journeys, wan.Journey{Name: strings.Repeat("wait ", 50), System: system, Tries: 3, Latency: quantiles(1, 2, 3, 4, 5), Failures: 1})
	}
	return r
}

func TestCrowdedAndHostilePagesStayWhole(t *testing.T) {
	c := newChromium(t)
	for name, page := range map[string]string{"crowded": render(t, crowded()), "hostile": render(t, spoiled(t, wanFixture(), loopFixture(), soakFixture())...)} {
		path := filepath.Join(t.TempDir(), name+".html")
		if err := os.WriteFile(path, []byte(page), 0o644); err != nil {
			t.Fatal(err)
		}
		for _, v := range []view{{400, "dark", false}, {1400, "light", false}} {
			for _, complaint := range c.open(path, v) {
				t.Errorf("%s, %s: %s", name, v, complaint)
			}
			c.evaluate(`document.querySelector("button").click()`, nil)
			c.evaluate(`document.querySelector("button").click()`, nil)
			var found []string
			c.evaluate(flaws, &found)
			for _, flaw := range found[:min(len(found), 20)] {
				t.Errorf("%s, %s: %s", name, v, flaw)
			}
			c.photograph(filepath.Join(t.ArtifactDir(), name+"-"+v.String()+".png"))
		}
	}
}

// The other tests are worth nothing if a bad page would pass them.
func TestFlawsOfAPageAreFound(t *testing.T) {
	c := newChromium(t)
	for _, row := range []struct{ name, page, want string }{
		{"a page that is too wide", `<div style="width: 900px">x</div>`, "px wide in a window of 400"},
		{"a word that does not fit", `<div style="width: 100px; overflow: hidden">` + strings.Repeat("w", 100) + `</div>`, "does not fit"},
		{"a panel without a picture", `<div class="panel"><h5>Title</h5></div>`, "0 pictures in a panel"},
		{"a picture without size", `<svg class="plot" width="20" height="20"></svg>`, "small: 20 x 20"},
		{"a label that is cut off", `<svg class="plot" width="300" height="100"><text x="280" y="50">too far right</text></svg>`, "cut off"},
		{"labels over each other", `<svg class="plot" width="300" height="100"><text x="50" y="50">one</text><text x="55" y="52">two</text></svg>`, "over each other"},
		{"a request", `<img src="http://127.0.0.1:9/pixel.png">`, "request: http://127.0.0.1:9/pixel.png"},
		{"a script that fails", `<script>nothing()</script>`, "Runtime.exceptionThrown"},
		{"a good page", `<svg class="plot" width="300" height="100"><text x="50" y="50">one</text><text x="150" y="50">two</text></svg>`, ""},
	} {
		path := filepath.Join(t.TempDir(), "page.html")
		if err := os.WriteFile(path, []byte("<!DOCTYPE html><body>"+row.page), 0o644); err != nil {
			t.Fatal(err)
		}
		found := c.open(path, view{400, "light", false})
		var seen []string
		c.evaluate(flaws, &seen)
		all := strings.Join(append(found, seen...), "\n")
		if (row.want == "") != (all == "") || !strings.Contains(all, row.want) {
			t.Errorf("%s: %q, want %q", row.name, all, row.want)
		}
	}
}
