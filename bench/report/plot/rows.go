package plot

import "math"

// Rows are horizontal bars, each below its name and value, in groups. They need
// no room beside the bars, so that names may be long.
type Rows struct {
	X      Axis
	XTitle string
	Groups []Group
	Band   *Band // marked behind the bars; nil: none
}

// A Group is some rows under one title.
type Group struct {
	Title string // empty: none
	Rows  []Row
}

// A Row is one bar. All numbers must be finite.
type Row struct {
	Look
	Bar      float64
	From, To float64 // a whisker; none if To is 0
	Rest     float64 // stacked behind Bar, in grey
	Value    string  // at the right end
	Missing  string  // in the place of a bar and its value: "not measured"
	Trouble  string  // what failed, on a line of its own with a triangle
	Tip      string  // what it says when it is pointed at
}

// A Band is a part of the axis in which values should be.
type Band struct {
	From, To float64
	Label    string
}

const (
	titleHeight   = 27
	groupGap      = 8 // between a group and the title of the next
	rowHeight     = 39
	missingHeight = 25 // of a row without a bar
	troubleHeight = 17
	rowMargin     = 2 // left and right of the bars
)

// height is how high a canvas must be.
func (p *Rows) height() float64 {
	height := 48.0 // the axis
	if p.Band != nil {
		height += 22
	}
	for i, g := range p.Groups {
		height += g.head(i)
		for _, r := range g.Rows {
			height += r.height()
		}
	}
	return height
}

func (r *Row) height() float64 {
	height := float64(rowHeight)
	if r.Missing != "" {
		height = missingHeight
	}
	if r.Trouble != "" {
		height += troubleHeight
	}
	return height
}

// head is how high the title of the i-th group is.
func (g *Group) head(i int) float64 {
	switch {
	case g.Title == "":
		return 0
	case i == 0:
		return titleHeight
	default:
		return titleHeight + groupGap
	}
}

func (p *Rows) draw(c *canvas) {
	f := frame{left: rowMargin, top: 2, right: c.width - rowMargin - 6, bottom: c.height - 44}
	if p.Band != nil {
		f.top += 22
	}
	p.axis(c, f)
	y := f.top
	for i, g := range p.Groups {
		y += g.head(i)
		if g.Title != "" {
			c.text("subtitle", start, spot{f.left, y - 9}, clipTo(g.Title, f.right-f.left, textSize))
		}
		for _, r := range g.Rows {
			c.mark(r.Tip, func() { p.row(c, f, y, r) })
			y += r.height()
		}
	}
}

func (p *Rows) axis(c *canvas, f frame) {
	if p.Band != nil {
		from, to := f.x(p.X, p.Band.From), f.x(p.X, p.Band.To)
		c.rect("band", from, f.top, to-from, f.bottom-f.top)
		c.line("band-edge", spot{from, f.top}, spot{from, f.bottom})
		c.line("band-edge", spot{to, f.top}, spot{to, f.bottom})
		c.text("tick", middle, spot{(from + to) / 2, f.top - 7}, p.Band.Label)
	}
	c.line("axis", spot{f.left, f.bottom}, spot{f.right, f.bottom})
	free := 0.0
	for _, t := range p.X.ticks {
		x := f.x(p.X, t.at)
		c.line("axis", spot{x, f.bottom}, spot{x, f.bottom + 4})
		half := textWidth(t.label, smallSize) / 2
		x = min(max(x, half), c.width-half) // those at the ends move in
		if x-half >= free {
			c.text("tick", middle, spot{x, f.bottom + 18}, t.label)
			free = x + half + 2
		}
	}
	c.text("label", middle, spot{(f.left + f.right) / 2, f.bottom + 37}, p.XTitle)
}

func (p *Rows) row(c *canvas, f frame, y float64, r Row) {
	class := "name"
	if r.Own {
		class += " own"
	}
	value := r.Value
	if r.Missing != "" {
		value = r.Missing
	}
	right := f.right - textWidth(value, textSize)
	c.rect("target", f.left, y, f.right-f.left, r.height())
	c.marker(r.Shape, r.Class, spot{f.left + 6, y + 13}, 4)
	c.text(class, start, spot{f.left + 16, y + 17}, clipTo(r.Name, right-f.left-24, textSize))
	class = "value"
	if r.Missing != "" {
		class += " missing"
	}
	c.text(class, end, spot{f.right, y + 17}, value)
	if r.Missing == "" {
		p.bar(c, f, y+23, r)
	}
	if r.Trouble != "" {
		below := y + r.height() - troubleHeight
		c.warning(spot{f.left + 7, below + 4})
		c.text("trouble", start, spot{f.left + 20, below + 9}, clipTo(r.Trouble, f.right-f.left-20, smallSize))
	}
}

// bar draws a bar from 0. A logarithm has no 0 to begin at: there the value is a
// marker.
func (p *Rows) bar(c *canvas, f frame, y float64, r Row) {
	const thick = 10
	x, centre := f.x(p.X, r.Bar), y+thick/2
	for _, t := range p.X.ticks { // beside the bar alone: a line through a name is in its way
		at := f.x(p.X, t.at)
		c.line("grid", spot{at, y - 3}, spot{at, y + thick + 3})
	}
	if p.X.log {
		c.line("grid", spot{f.left, centre}, spot{f.right, centre})
	} else {
		c.rect(r.Class+" bar", f.left, y, x-f.left, thick)
	}
	if r.Rest > 0 {
		c.rect("bar rest", x, y, f.x(p.X, r.Bar+r.Rest)-x, thick)
	}
	if r.To > 0 {
		from, to := f.x(p.X, r.From), f.x(p.X, r.To)
		for _, class := range []string{"whisker-halo", "whisker"} {
			c.line(class, spot{from, centre}, spot{to, centre})
			c.line(class, spot{to, y + 1}, spot{to, y + thick - 1})
			if math.Abs(r.From-r.Bar) > 1e-12 {
				c.line(class, spot{from, y + 1}, spot{from, y + thick - 1})
			}
		}
	}
	if p.X.log {
		c.marker(r.Shape, r.Class, spot{x, centre}, 5)
	}
}
