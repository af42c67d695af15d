package plot

import (
	"fmt"
	"html/template"
)

// Sizes of pictures in units of their viewBox, which are pixels at the size that
// a third of a desktop or a whole phone gives them.
const (
	panelWidth  = 400
	panelHeight = 290
	bandHeight  = 175 // of one of several plots above each other
	bandGap     = 42  // for its title, and marks above it
)

// Picture draws p, with room for the names at the ends of the lines. Readers who
// do not see it get title and desc; id-t and id-d must be no
// other ids of the page.
func (p *Lines) Picture(id, title, desc string) template.HTML {
	c := &canvas{width: panelWidth, height: panelHeight}
	p.draw(c, frame{left: tickRoom(p.Y), top: 20, right: panelWidth - nameRoom(p.Series), bottom: panelHeight - 46})
	return c.close(id, "plot", title, desc)
}

// Picture draws p; see Lines.Picture.
func (p *Columns) Picture(id, title, desc string) template.HTML {
	c := &canvas{width: panelWidth, height: panelHeight}
	p.draw(c, frame{left: tickRoom(p.Y), top: 20, right: panelWidth - 4, bottom: panelHeight - 46})
	return c.close(id, "plot", title, desc)
}

// Picture draws p; see Lines.Picture.
func (p *Rows) Picture(id, title, desc string) template.HTML {
	c := &canvas{width: panelWidth, height: p.height()}
	p.draw(c)
	return c.close(id, "plot", title, desc)
}

// forms are those of a picture that takes a whole row: for a phone, for half a
// desktop, for a whole one. The style sheet shows one of them.
var forms = []struct {
	class string
	width float64
}{{"plot narrow", panelWidth}, {"plot medium", 760}, {"plot wide", 1240}}

// Aligned draws plots over the same time above each other, in three widths with
// the classes narrow, medium and wide, of which a page shows one at a time. id is
// called for each; see Lines.Picture.
func Aligned(plots []*Lines, id func() string, title, desc string) []template.HTML {
	left, names := 0.0, 0.0
	for _, p := range plots {
		left, names = max(left, tickRoom(p.Y)), max(names, nameRoom(p.Series))
	}
	var pictures []template.HTML
	for _, form := range forms {
		c := &canvas{width: form.width, height: float64(len(plots))*(bandHeight+bandGap) + 30}
		for i, p := range plots {
			bottom := float64(i+1) * (bandHeight + bandGap)
			p.draw(c, frame{left, bottom - bandHeight, form.width - names, bottom - 12})
		}
		pictures = append(pictures, c.close(id(), form.class, title, desc))
	}
	return pictures
}

func tickRoom(a Axis) float64 {
	room := 0.0
	for _, t := range a.ticks {
		room = max(room, textWidth(t.label, smallSize))
	}
	return room + 10
}

// nameRoom is what the names at the ends of lines take, as far as the lines can
// spare it.
func nameRoom(all []Series) float64 {
	room := 0.0
	for _, s := range all {
		room = max(room, textWidth(s.Name, textSize))
	}
	return min(room, 96) + 14
}

// Swatch is the picture of l in a legend.
func (l Look) Swatch() template.HTML {
	c := &canvas{width: 28, height: 14}
	c.line(l.lineClass(), spot{1, 7}, spot{27, 7})
	c.marker(l.Shape, l.Class, spot{14, 7}, 4)
	return c.decoration()
}

// lineClass is how a line of l is styled.
func (l Look) lineClass() string {
	class := l.Class + " line"
	if l.Own {
		class += " own"
	}
	if l.Dash {
		class += " dash"
	}
	return class
}

// AbsentSwatch is the mark of a column that was not measured.
func AbsentSwatch() template.HTML {
	c := &canvas{width: 12, height: 14}
	c.line("ink absent", spot{1, 7}, spot{11, 7})
	return c.decoration()
}

// WarningSwatch is the mark of what failed in part.
func WarningSwatch() template.HTML {
	c := &canvas{width: 16, height: 14}
	c.warning(spot{8, 7})
	return c.decoration()
}

// EmptySwatch is the mark of what came to nothing.
func EmptySwatch() template.HTML {
	c := &canvas{width: 14, height: 14}
	c.cross("ink", spot{7, 7})
	return c.decoration()
}

// RestSwatch is the second part of a stacked bar.
func RestSwatch() template.HTML {
	c := &canvas{width: 28, height: 14}
	c.rect("bar rest", 0, 2, 28, 10)
	return c.decoration()
}

// BandSwatch is the picture of a Band.
func BandSwatch() template.HTML {
	c := &canvas{width: 28, height: 14}
	c.rect("band", 1, 0, 26, 14)
	c.line("band-edge", spot{1, 0}, spot{1, 14})
	c.line("band-edge", spot{27, 0}, spot{27, 14})
	return c.decoration()
}

// close ends a picture that stands for itself.
func (c *canvas) close(id, class, title, desc string) template.HTML {
	id = template.HTMLEscapeString(id)
	return template.HTML(fmt.Sprintf(
		`<svg class="%s" role="img" aria-labelledby="%s-t %s-d" viewBox="0 0 %s %s" width="%s" height="%s"><title id="%s-t">%s</title><desc id="%s-d">%s</desc>`,
		class, id, id, n(c.width), n(c.height), n(c.width), n(c.height), id, template.HTMLEscapeString(title), id, template.HTMLEscapeString(desc),
	) + c.b.String() + `</svg>`)
}

// decoration ends a picture that adds nothing to the words beside it.
func (c *canvas) decoration() template.HTML {
	return template.HTML(fmt.Sprintf(`<svg class="swatch" aria-hidden="true" viewBox="0 0 %s %s" width="%s" height="%s">`, n(c.width), n(c.height), n(c.width), n(c.height)) +
		c.b.String() + `</svg>`)
}
