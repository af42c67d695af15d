package report

import (
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"

	"github.com/ergoproxy/ergo/bench/loop"
	"github.com/ergoproxy/ergo/bench/wan"
)

const (
	// maxProblems bounds how much an error tells of one file.
	maxProblems = 10
	// maxItems bounds each list in a file: more cells, or points of a line,
	// nobody can look at.
	maxItems = 5000
	// maxFigure is above all that can be measured, and far from where arithmetic
	// on a plot's axis overflows.
	maxFigure = 1e18
)

// signed are the figures that may be below zero: differences of two samples,
// in which the garbage collector has a say.
var signed = []string{"rss_per_connection", "heap_per_connection", "stack_per_connection", "goroutines_per_connection"}

// A checker collects what is wrong with a file.
type checker struct {
	problems []error
	more     int // problems that were not kept
}

func (c *checker) add(format string, args ...any) {
	if len(c.problems) == maxProblems {
		c.more++
		return
	}
	c.problems = append(c.problems, fmt.Errorf(format, args...))
}

func (c *checker) err() error {
	if c.more > 0 {
		return fmt.Errorf("%w\nand %d more", errors.Join(c.problems...), c.more)
	}
	return errors.Join(c.problems...)
}

// check reports the figures that cannot have been measured.
func (f *File) check() error {
	var c checker
	switch {
	case f.wan != nil:
		c.figures("", reflect.ValueOf(f.wan))
		c.wan(f.wan)
	case f.loop != nil:
		c.figures("", reflect.ValueOf(f.loop))
		c.loop(f.loop)
	case f.soak != nil:
		c.figures("", reflect.ValueOf(f.soak))
	}
	return c.err()
}

// figures looks at every number below v, which stands at the JSON path at.
func (c *checker) figures(at string, v reflect.Value) {
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			c.figures(at, v.Elem())
		}
	case reflect.Struct:
		c.fields(at, v)
	case reflect.Slice:
		if v.Len() > maxItems {
			c.add("%s has %d items, want at most %d", at, v.Len(), maxItems)
			return
		}
		for i := range v.Len() {
			c.figures(fmt.Sprintf("%s[%d]", at, i), v.Index(i))
		}
	case reflect.Map:
		for _, key := range v.MapKeys() {
			c.figures(fmt.Sprintf("%s[%q]", at, key), v.MapIndex(key))
		}
	case reflect.Float64:
		c.number(at, v.Float())
	case reflect.Int, reflect.Int64:
		c.number(at, float64(v.Int()))
	}
}

func (c *checker) fields(at string, v reflect.Value) {
	for field, value := range v.Fields() {
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		switch {
		case !field.IsExported() || name == "-":
		case field.Anonymous:
			c.figures(at, value)
		default:
			c.figures(strings.TrimPrefix(at+"."+name, "."), value)
		}
	}
}

func (c *checker) number(at string, n float64) {
	switch {
	case math.IsNaN(n) || math.Abs(n) > maxFigure:
		c.add("%s is %g, want a finite number, at most %g", at, n, maxFigure)
	case n < 0 && !slices.Contains(signed, at[strings.LastIndexByte(at, '.')+1:]):
		c.add("%s is %g, want no negative number", at, n)
	}
}

func (c *checker) share(at string, n float64) {
	if n > 1 {
		c.add("%s is %g, want 0 to 1", at, n)
	}
}

func (c *checker) named(at, name string) {
	if name == "" {
		c.add("%s is empty, want a name", at)
	}
}

func (c *checker) wan(r *wan.Result) {
	seen := map[any]string{}
	for i, cell := range r.Cells {
		at := fmt.Sprintf("cells[%d]", i)
		c.named(at+".system", cell.System)
		c.path(at, cell.Path)
		c.once(seen, at, cellPlace{cell.System, cell.Path, cell.Workload})
	}
	for i, t := range r.Timelines {
		at := fmt.Sprintf("timelines[%d]", i)
		c.named(at+".system", t.System)
		c.once(seen, at, timelinePlace{t.System, course{t.Name, t.Workload, t.RTT}})
		c.points(at, t.Points)
	}
	for i, s := range r.Shares {
		at := fmt.Sprintf("shares[%d]", i)
		c.named(at+".system", s.System)
		c.once(seen, at, sharePlace{duel{s.System, s.Against}, bottleneck{s.Rate, s.RTT}})
		c.share(at+".own", s.Own)
		c.share(at+".other", s.Other)
		if s.Own+s.Other > 1.01 { // they are rounded
			c.add("%s: own and other are %g together, want at most 1", at, s.Own+s.Other)
		}
	}
	for i, j := range r.Journeys {
		at := fmt.Sprintf("journeys[%d]", i)
		c.named(at+".system", j.System)
		c.named(at+".name", j.Name)
		c.path(at, j.Path)
		c.once(seen, at, journeyPlace{j.System, j.Name, j.Path})
	}
}

func (c *checker) loop(r *loop.Report) {
	seen := map[any]string{}
	for i, result := range r.Results {
		at := fmt.Sprintf("results[%d]", i)
		c.named(at+".chain", result.Chain)
		c.once(seen, at, resultPlace{result.Chain, result.Case})
	}
}

// What may be in a file once.
type (
	cellPlace struct {
		system   string
		path     wan.Path
		workload wan.Workload
	}
	timelinePlace struct {
		system string
		course course
	}
	sharePlace struct {
		duel
		bottleneck
	}
	journeyPlace struct {
		system, name string
		path         wan.Path
	}
	resultPlace struct {
		chain string
		loop.Case
	}
)

// once refuses what was seen before: a plot would show one of the two and hide
// the other.
func (c *checker) once(seen map[any]string, at string, place any) {
	if before, twice := seen[place]; twice {
		c.add("%s measures the same as %s", at, before)
		return
	}
	seen[place] = at
}

func (c *checker) points(at string, points []wan.Point) {
	for i, p := range points {
		c.share(fmt.Sprintf("%s.points[%d].loss", at, i), p.Loss)
		if i > 0 && p.At <= points[i-1].At {
			c.add("%s.points[%d].at is %g, want more than the one before", at, i, p.At)
		}
	}
}

func (c *checker) path(at string, p wan.Path) {
	c.share(at+".path.loss", p.Loss)
	c.share(at+".path.reorder", p.Reorder)
	c.share(at+".path.duplicate", p.Duplicate)
}
