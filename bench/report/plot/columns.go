package plot

// Columns show a column for each series in each place of an ordinal axis.
type Columns struct {
	X, Y   Axis                 // Y begins at 0
	XTitle string               // see Lines
	Label  func(float64) string // writes a value on its column, where there is room
	Series []Series             // a Gap is a dash on the axis, what is Empty a cross
}

const (
	columnShare = 0.8 // of its place that a column fills
	maxColumn   = 28
)

func (p *Columns) draw(c *canvas, f frame) {
	(&Lines{X: p.X, Y: p.Y, XTitle: p.XTitle}).grid(c, f)
	room := (f.right - f.left) / (p.X.Max - p.X.Min) * 0.8 / float64(len(p.Series))
	for i, s := range p.Series {
		for _, q := range s.Points {
			x := f.x(p.X, q.X) + room*(float64(i)-float64(len(p.Series)-1)/2)
			half := min(columnShare*room, maxColumn) / 2
			switch {
			case q.Empty:
				c.mark(q.Tip, func() { c.cross(s.Class, spot{x, f.bottom - 9}) })
			case q.Gap:
				c.line(s.Class+" absent", spot{x - half, f.bottom - 4}, spot{x + half, f.bottom - 4})
			default:
				at := frame{x - room/2, f.y(p.Y, q.Y), x + room/2, f.bottom}
				c.mark(q.Tip, func() { p.column(c, at, s.Look, q) })
			}
		}
	}
}

// column draws one below the top of a frame, which is as wide as its place. The
// marker on its head tells it without its colour.
func (p *Columns) column(c *canvas, f frame, l Look, q Point) {
	room, x := f.right-f.left, (f.left+f.right)/2
	width := min(columnShare*room, maxColumn)
	c.rect("target", f.left, f.top-20, room, f.bottom-f.top+20)
	c.rect(l.Class+" bar", x-width/2, f.top, width, f.bottom-f.top)
	c.marker(l.Shape, l.Class, spot{x, f.top}, min(4, 0.45*room))
	above := f.top - 10
	if text := p.Label(q.Y); textWidth(text, smallSize) < room {
		c.text("value", middle, spot{x, above}, text)
		above -= 16
	}
	if q.Warn {
		c.warning(spot{x, max(9, above-2)})
	}
}
