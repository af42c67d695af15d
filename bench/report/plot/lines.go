package plot

import (
	"cmp"
	"math"
	"slices"
)

// Lines show a value of each series over what an ordinal axis or time counts.
type Lines struct {
	X, Y   Axis
	XTitle string // empty: no names at the ticks either
	Title  string // inside the plot, for one of several that share X
	Series []Series
	Steps  bool // values hold over an interval, up to their X
	Spread bool // series stand beside each other, so that equal values show; for an ordinal X
	Bare   bool // no markers: there are too many points for them
}

// A Series is one line, or the columns of one colour.
type Series struct {
	Look
	Points []Point
}

// A Point is one value. X and Y must be finite.
type Point struct {
	X, Y  float64
	Gap   bool   // was not measured: the line breaks
	Empty bool   // came to nothing: a cross, and the line breaks
	Alone bool   // stands for itself, no line leads to it
	Tip   string // what it says when it is pointed at
	Warn  bool   // a part of it failed: a triangle above
}

// frame is the rectangle that the axes of a plot span.
type frame struct{ left, top, right, bottom float64 }

func (f frame) x(a Axis, v float64) float64 { return f.left + (f.right-f.left)*a.share(v) }
func (f frame) y(a Axis, v float64) float64 { return f.bottom - (f.bottom-f.top)*a.share(v) }

// labelGap is the least distance of two names at the ends of lines.
const labelGap = 15

// draw puts the plot into a frame. To the right of it there must be room for the
// names of the series.
func (p *Lines) draw(c *canvas, f frame) {
	p.grid(c, f)
	for _, own := range []bool{false, true} { // what is drawn last is on top
		for i := range p.Series {
			if p.Series[i].Own == own {
				p.drawSeries(c, f, i)
			}
		}
	}
	p.names(c, f)
}

func (p *Lines) grid(c *canvas, f frame) {
	for _, t := range p.Y.ticks {
		y := f.y(p.Y, t.at)
		c.line("grid", spot{f.left, y}, spot{f.right, y})
		c.text("tick", end, spot{f.left - 7, y + 4}, t.label)
	}
	for _, at := range p.Y.minor {
		y := f.y(p.Y, at)
		c.line("grid minor", spot{f.left, y}, spot{f.right, y})
	}
	c.line("axis", spot{f.left, f.bottom}, spot{f.right, f.bottom})
	if p.Title != "" {
		c.text("subtitle", start, spot{f.left, f.top - 20}, p.Title)
	}
	p.xTicks(c, f)
}

// xTicks names the ticks for which there is room.
func (p *Lines) xTicks(c *canvas, f frame) {
	free := 0.0
	for _, t := range p.X.ticks {
		x := f.x(p.X, t.at)
		c.line("axis", spot{x, f.bottom}, spot{x, f.bottom + 4})
		half := textWidth(t.label, smallSize) / 2
		if p.XTitle == "" || x-half < free {
			continue
		}
		c.text("tick", middle, spot{x, f.bottom + 18}, t.label)
		free = x + half + 4
	}
	if p.XTitle != "" {
		c.text("label", middle, spot{(f.left + f.right) / 2, f.bottom + 37}, p.XTitle)
	}
}

// place returns where a point of the i-th series is drawn.
func (p *Lines) place(f frame, i int, q Point) spot {
	at := spot{f.x(p.X, q.X), f.y(p.Y, q.Y)}
	if p.Spread {
		apart := min(7, 0.6*(f.right-f.left)/(p.X.Max-p.X.Min)/float64(len(p.Series)))
		at.x += apart * (float64(i) - float64(len(p.Series)-1)/2)
	}
	if q.Empty {
		at.y = f.top + 7
	}
	return at
}

func (p *Lines) drawSeries(c *canvas, f frame, i int) {
	s := p.Series[i]
	for _, run := range s.runs() {
		c.polyline(s.lineClass(), p.way(f, i, run))
	}
	taken := math.Inf(-1) // up to here by a sign of trouble: of those over each other one is enough
	for _, q := range s.Points {
		if q.Gap {
			continue
		}
		sign := (q.Warn || q.Empty) && p.place(f, i, q).x >= taken
		if sign {
			taken = p.place(f, i, q).x + signWidth
		}
		p.mark(c, f, i, q, sign)
	}
}

// signWidth is what a warning or a cross takes.
const signWidth = 14

// runs cuts the points into those that one line joins.
func (s *Series) runs() [][]Point {
	var runs [][]Point
	joined := false
	for _, q := range s.Points {
		if q.Gap || q.Empty || q.Alone {
			joined = false
			continue
		}
		if !joined {
			runs = append(runs, nil)
		}
		joined = true
		runs[len(runs)-1] = append(runs[len(runs)-1], q)
	}
	return runs
}

// way is the line through points, with corners if values hold over intervals.
func (p *Lines) way(f frame, i int, run []Point) []spot {
	var spots []spot
	for k, q := range run {
		at := p.place(f, i, q)
		if p.Steps {
			from := f.left
			if k > 0 {
				from = spots[len(spots)-1].x
			}
			spots = append(spots, spot{from, at.y})
		}
		spots = append(spots, at)
	}
	return spots
}

func (p *Lines) mark(c *canvas, f frame, i int, q Point, sign bool) {
	s := p.Series[i]
	at := p.place(f, i, q)
	radius := 4.0
	if s.Own {
		radius = 5
	}
	c.mark(q.Tip, func() {
		switch {
		case q.Empty:
			c.rect("target", at.x-5, f.top, 10, f.bottom-f.top)
			if sign {
				c.cross(s.Class, at)
			}
		case p.Bare && !q.Alone:
			c.rect("target", at.x-3, at.y-12, 6, 24)
		default:
			c.rect("target", at.x-8, at.y-12, 16, 24)
			c.marker(s.Shape, s.Class, at, radius)
		}
		if q.Warn && sign {
			c.warning(spot{at.x, max(f.top-8, at.y-15)})
		}
	})
}

// names writes each series' name beside the end of its line.
func (p *Lines) names(c *canvas, f frame) {
	type name struct {
		Look
		from spot
		y    float64
	}
	var names []name
	for i, s := range p.Series {
		for _, q := range slices.Backward(s.Points) {
			if !q.Gap && !q.Empty && !q.Alone {
				at := p.place(f, i, q)
				names = append(names, name{s.Look, at, at.y})
				break
			}
		}
	}
	slices.SortStableFunc(names, func(a, b name) int { return cmp.Compare(a.y, b.y) })
	ys := make([]float64, len(names))
	for i := range names {
		ys[i] = names[i].y
	}
	spreadOut(ys, f.top+4, f.bottom-4, labelGap)
	for i, e := range names {
		c.line(e.Class+" leader", spot{e.from.x + 7, e.from.y}, spot{f.right + 8, ys[i]})
		class := "name"
		if e.Own {
			class += " own"
		}
		c.text(class, start, spot{f.right + 11, ys[i] + 4}, clipTo(e.Name, c.width-f.right-11, textSize))
	}
}

// spreadOut moves sorted places apart until there is a gap between any two, and
// keeps them between top and bottom as far as there is room.
func spreadOut(places []float64, top, bottom, gap float64) {
	for i := range places {
		places[i] = max(places[i], top+float64(i)*gap)
		if i > 0 {
			places[i] = max(places[i], places[i-1]+gap)
		}
	}
	for i := range slices.Backward(places) {
		places[i] = min(places[i], bottom-float64(len(places)-1-i)*gap)
	}
}
