package report_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ergoproxy/ergo/bench/loop"
	"github.com/ergoproxy/ergo/bench/report"
	"github.com/ergoproxy/ergo/bench/soak"
	"github.com/ergoproxy/ergo/bench/wan"
)

func TestBadFilesAreRefused(t *testing.T) {
	for _, row := range []struct{ name, content, want string }{
		{"nothing", ``, "no JSON, or not all of it: byte 0"},
		{"a page", `<html>`, "no JSON, or not all of it: byte 1"},
		{"half a file", `{"kind": "wan", "cells": [`, "no JSON, or not all of it: byte 26"},
		{"more than a result", `{"kind": "wan"} {}`, "no JSON, or not all of it: byte 17"},
		{"a list", `[1]`, "no result of ergo-bench"},
		{"another tool's", `{"requests": 3}`, `it has no "kind", want wan, loop or soak`},
		{"an unknown kind", `{"kind": "load"}`, `kind "load" is not known, want wan, loop or soak`},
		{"an unknown kind to write on a terminal", `{"kind": "\u001b[2J"}`, `kind "\x1b[2J" is not known`},
		{"a later loop", `{"kind": "loop", "schema": "ergo-bench/loop/2"}`, `schema "ergo-bench/loop/2" of kind loop is not known, want "ergo-bench/loop/1"`},
		{"a later loop that has no kind", `{"schema": "ergo-bench/loop/2"}`, `it has no "kind"`},
		{"soak's schema in loop", `{"kind": "loop", "schema": "ergo-bench/soak/1"}`, `schema "ergo-bench/soak/1" of kind loop`},
		{"a schema for wan", `{"kind": "wan", "schema": "x"}`, `schema "x" of kind wan`},
		{"text for a number", `{"kind": "wan", "cells": [{"cpu": "much"}]}`, "cannot unmarshal string into Go struct field"},
		{"a number that is not finite", `{"kind": "wan", "cells": [{"cpu": 1e999}]}`, "1e999"},
		{"no number", `{"kind": "wan", "cells": [{"cpu": NaN}]}`, "no JSON"},
		{"a negative time", `{"kind": "wan", "cells": [{"system": "a"}, {"system": "b", "latency": {"p99": -0.1}}]}`, "cells[1].latency.p99 is -0.1, want no negative number"},
		{"a negative count", `{"kind": "wan", "cells": [{"system": "a", "failures": {"timeout": -1}}]}`, `cells[0].failures["timeout"] is -1`},
		{"a negative figure of the link", `{"kind": "wan", "cells": [{"system": "a", "link": {"repaired": -1}}]}`, "cells[0].link.repaired is -1"},
		{"more than can be", `{"kind": "wan", "cells": [{"system": "a", "cpu": 1e300}]}`, "cells[0].cpu is 1e+300, want a finite number"},
		{"more loss than packets", `{"kind": "wan", "cells": [{"system": "a", "path": {"loss": 1.5}}]}`, "cells[0].path.loss is 1.5, want 0 to 1"},
		{"no system", `{"kind": "wan", "cells": [{}]}`, "cells[0].system is empty"},
		{"a cell twice", `{"kind": "wan", "cells": [{"system": "a"}, {"system": "b"}, {"system": "a", "cpu": 1}]}`, "cells[2] measures the same as cells[0]"},
		{"a timeline twice", `{"kind": "wan", "timelines": [{"system": "a"}, {"system": "a"}]}`, "timelines[1] measures the same as timelines[0]"},
		{"a journey twice", `{"kind": "wan", "journeys": [{"system": "a", "name": "b"}, {"system": "a", "name": "b"}]}`, "journeys[1] measures the same as journeys[0]"},
		{"time that runs back", `{"kind": "wan", "timelines": [{"system": "a", "points": [{"at": 2}, {"at": 1}]}]}`, "timelines[0].points[1].at is 1, want more"},
		{"a share twice", `{"kind": "wan", "shares": [{"system": "a", "own": 0.1}, {"system": "a"}]}`, "shares[1] measures the same as shares[0]"},
		{"more than the whole", `{"kind": "wan", "shares": [{"system": "a", "own": 0.8, "other": 0.7}]}`, "shares[0]: own and other are 1.5 together"},
		{"a journey to nowhere", `{"kind": "wan", "journeys": [{"system": "a"}]}`, "journeys[0].name is empty"},
		{"a negative rate", `{"kind": "loop", "schema": "ergo-bench/loop/1", "results": [{"chain": "a", "median": {"rate": -1}}]}`, "results[0].median.rate is -1"},
		{"a negative round", `{"kind": "loop", "schema": "ergo-bench/loop/1", "results": [{"chain": "a", "rounds": [{}, {"cpu_us": -2}]}]}`, "results[0].rounds[1].cpu_us is -2"},
		{"a chain twice", `{"kind": "loop", "schema": "ergo-bench/loop/1", "results": [{"chain": "a"}, {"chain": "a"}]}`, "results[1] measures the same as results[0]"},
		{"a negative sample", `{"kind": "soak", "schema": "ergo-bench/soak/1", "mixed": {"tiers": [{"samples": [{"rss": -1}]}]}}`, "mixed.tiers[0].samples[0].rss is -1"},
		{"too many", `{"kind": "wan", "cells": [` + strings.Repeat(`{},`, 6000) + `{}]}`, "cells has 6001 items, want at most 5000"},
		{"much that is wrong", `{"kind": "wan", "journeys": [` + strings.Repeat(`{"name": "n"},`, 30) + `{}]}`, "more"},
	} {
		f, err := report.Read("results/run.json", strings.NewReader(row.content))
		if err == nil || f != nil || !strings.Contains(err.Error(), row.want) || !strings.HasPrefix(err.Error(), "read results/run.json: ") {
			t.Errorf("%s: %v, want %q", row.name, err, row.want)
		}
		if err != nil && strings.Count(err.Error(), "\n") > 11 {
			t.Errorf("%s: %d lines", row.name, strings.Count(err.Error(), "\n"))
		}
	}
}

func TestAnErrorOfTheReaderIsReturned(t *testing.T) {
	if _, err := report.Read("x.json", brokenReader{}); !errors.Is(err, errBroken) {
		t.Errorf("%v, want the reader's error", err)
	}
	if _, err := report.ReadFile(filepath.Join(t.TempDir(), "none.json")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%v, want fs.ErrNotExist", err)
	}
}

var errBroken = errors.New("broken")

type brokenReader struct{}

func (brokenReader) Read([]byte) (int, error) { return 0, errBroken }

func TestGoodFilesAreRead(t *testing.T) {
	oldLoop, oldSoak := loopFixture(), soakFixture()
	oldLoop.Kind, oldSoak.Kind = "", ""
	fewConnections := soakFixture()
	fewConnections.Idle[0].Stack = -0.5
	for name, r := range map[string]any{
		"wan": wanFixture(), "loop": loopFixture(), "soak": soakFixture(),
		"loop before it had a kind": oldLoop, "soak before it had a kind": oldSoak,
		"nothing of wan": wan.Result{Kind: "wan"}, "nothing of loop": loop.Report{Kind: loop.Kind, Schema: loop.Schema}, "nothing of soak": soak.Report{Kind: soak.Kind, Schema: soak.Schema},
		"a connection that costs less than none": fewConnections,
	} {
		content, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		f, err := report.Read("result.json", bytes.NewReader(content))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if err := report.Write(&bytes.Buffer{}, []*report.File{f}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// someOfEach returns results that have a little of everything.
func someOfEach() []any {
	wide, loaded, long := wanFixture(), loopFixture(), soakFixture()
	wide.Cells = append(wide.Cells[:4:4], bottleneckFixture()[:2]...)
	wide.Shares, wide.Journeys, wide.Timelines = wide.Shares[:1], wide.Journeys[:2], wide.Timelines[:1]
	wide.Timelines[0].Points = wide.Timelines[0].Points[35:38]
	loaded.Results = loaded.Results[:2]
	long.Idle, long.Mixed.Tiers[0].Samples, long.Mixed.Tiers[1].Samples = long.Idle[:1], long.Mixed.Tiers[0].Samples[:2], nil
	return []any{wide, loaded, long}
}

// draw is what must work for every file that is accepted.
func draw(t *testing.T, content []byte) (accepted bool) {
	t.Helper()
	file, err := report.Read("result.json", bytes.NewReader(content))
	if err != nil {
		return false
	}
	var page bytes.Buffer
	if err := report.Write(&page, []*report.File{file}); err != nil {
		t.Error(err)
	}
	if bytes.Contains(page.Bytes(), []byte("NaN")) && !bytes.Contains(content, []byte("aN")) {
		t.Error("a figure is no number")
	}
	return true
}

func TestEveryFigureMayBeExtreme(t *testing.T) {
	for _, r := range someOfEach() {
		content, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		var tree any
		if err := json.Unmarshal(content, &tree); err != nil {
			t.Fatal(err)
		}
		drawn := 0
		eachNumber(tree, func(set func(float64)) {
			for _, v := range []float64{0, 5e-324, 1e-13, 1, 1e18} {
				set(v)
				changed, err := json.Marshal(tree)
				if err != nil {
					t.Fatal(err)
				}
				if draw(t, changed) {
					drawn++
				}
			}
		})
		if drawn < 100 {
			t.Errorf("%T: %d changed files were drawn, the test does not find the figures", r, drawn)
		}
	}
}

// eachNumber calls change with a way to set each number of a JSON tree, and puts
// it back afterwards.
func eachNumber(tree any, change func(set func(float64))) {
	visit := func(v any, set func(any)) {
		if number, ok := v.(float64); ok {
			change(func(f float64) { set(f) })
			set(number)
			return
		}
		eachNumber(v, change)
	}
	switch node := tree.(type) {
	case map[string]any:
		for key, v := range node {
			visit(v, func(to any) { node[key] = to })
		}
	case []any:
		for i, v := range node {
			visit(v, func(to any) { node[i] = to })
		}
	}
}

func FuzzAcceptedFilesAreDrawn(f *testing.F) {
	for _, r := range someOfEach() {
		content, err := json.Marshal(r)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(content)
	}
	for _, seed := range []string{
		`{"kind": "wan", "timelines": [{"system": "a", "points": [{"at": 0, "latency": {"p99": 1e-12}}, {"at": 1e-300}]}]}`,
		`{"kind": "wan", "shares": [{"system": "a", "own": 1e-300}]}`,
		`{"kind": "soak", "schema": "ergo-bench/soak/1", "settings": {"duration": "1ns"}, "mixed": {"tiers": [{"samples": [{"at_s": 1e18, "rss": 1}]}]}}`,
		`{"kind": "loop", "schema": "ergo-bench/loop/1", "results": [{"chain": "nginx", "rounds": [{}], "median": {"rate": 1e-300}}]}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, content []byte) { draw(t, content) })
}
