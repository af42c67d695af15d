package plot

import (
	"fmt"
	"html/template"
	"math"
	"strconv"
	"strings"
)

// Font sizes of the texts in a plot, in the units of its viewBox. A panel is as
// wide as it is drawn on a phone and on a third of a desktop, so that they come
// out about as large as the text around it.
const (
	textSize  = 12.5
	smallSize = 11.5
)

// A canvas is a picture in SVG. Its methods write what cannot be mistaken for
// markup: numbers, and names and texts that are escaped.
type canvas struct {
	b             strings.Builder
	width, height float64
}

// A spot is a place on a canvas; y grows downwards.
type spot struct{ x, y float64 }

// n prints a coordinate.
func n(v float64) string {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		panic("plot: a coordinate is not finite")
	}
	return strconv.FormatFloat(math.Round(v*10)/10, 'f', -1, 64)
}

// attribute is what may stand between the quotes of an attribute.
func attribute(text string) string { return template.HTMLEscapeString(text) }

func (c *canvas) line(class string, from, to spot) {
	fmt.Fprintf(&c.b, `<line class="%s" x1="%s" y1="%s" x2="%s" y2="%s"/>`, attribute(class), n(from.x), n(from.y), n(to.x), n(to.y))
}

func (c *canvas) rect(class string, x, y, width, height float64) {
	fmt.Fprintf(&c.b, `<rect class="%s" x="%s" y="%s" width="%s" height="%s"/>`, attribute(class), n(x), n(y), n(max(0, width)), n(max(0, height)))
}

// polyline joins spots. It draws nothing with fewer than two.
func (c *canvas) polyline(class string, spots []spot) {
	if len(spots) < 2 {
		return
	}
	fmt.Fprintf(&c.b, `<path class="%s" d="`, attribute(class))
	for i, s := range spots {
		command := "L"
		if i == 0 {
			command = "M"
		}
		c.b.WriteString(command + n(s.x) + " " + n(s.y))
	}
	c.b.WriteString(`"/>`)
}

// Where a text stands, seen from its spot.
const (
	start  = "start"
	middle = "middle"
	end    = "end"
)

func (c *canvas) text(class, anchor string, at spot, text string) {
	fmt.Fprintf(&c.b, `<text class="%s" text-anchor="%s" x="%s" y="%s">%s</text>`, attribute(class), anchor, n(at.x), n(at.y), template.HTMLEscapeString(text))
}

// mark groups what draw draws, and says tip when it is pointed at.
func (c *canvas) mark(tip string, draw func()) {
	fmt.Fprintf(&c.b, `<g class="mark"><title>%s</title>`, template.HTMLEscapeString(tip))
	draw()
	c.b.WriteString(`</g>`)
}

// A Shape is a marker. No triangle points upwards: that is the mark of trouble.
type Shape int

const (
	Circle Shape = iota
	Ring
	Square
	OpenSquare
	Diamond
	OpenDiamond
	Down
	Plus
)

// marker draws a shape of about the radius r.
func (c *canvas) marker(s Shape, class string, at spot, r float64) {
	class += " marker"
	if s == Ring || s == OpenSquare || s == OpenDiamond {
		class += " open"
	}
	switch s {
	case Circle, Ring:
		fmt.Fprintf(&c.b, `<circle class="%s" cx="%s" cy="%s" r="%s"/>`, attribute(class), n(at.x), n(at.y), n(r))
	case Square, OpenSquare:
		c.rect(class, at.x-0.9*r, at.y-0.9*r, 1.8*r, 1.8*r)
	case Diamond, OpenDiamond:
		c.outline(class, at, spot{0, -1.25 * r}, spot{1.25 * r, 0}, spot{0, 1.25 * r}, spot{-1.25 * r, 0})
	case Down:
		c.outline(class, at, spot{-1.2 * r, -0.9 * r}, spot{1.2 * r, -0.9 * r}, spot{0, 1.2 * r})
	case Plus:
		a, b := 0.4*r, 1.15*r
		c.outline(class, at, spot{-a, -b}, spot{a, -b}, spot{a, -a}, spot{b, -a}, spot{b, a}, spot{a, a},
			spot{a, b}, spot{-a, b}, spot{-a, a}, spot{-b, a}, spot{-b, -a}, spot{-a, -a})
	}
}

// outline closes a path around corners that are relative to at.
func (c *canvas) outline(class string, at spot, corners ...spot) {
	fmt.Fprintf(&c.b, `<path class="%s" d="`, attribute(class))
	for i, corner := range corners {
		command := "L"
		if i == 0 {
			command = "M"
		}
		c.b.WriteString(command + n(at.x+corner.x) + " " + n(at.y+corner.y))
	}
	c.b.WriteString(`Z"/>`)
}

// warning marks what failed or was not sent: a triangle with an exclamation mark.
func (c *canvas) warning(at spot) {
	c.outline("warn", at, spot{0, -6.5}, spot{7, 5.5}, spot{-7, 5.5})
	c.line("warn-sign", spot{at.x, at.y - 2.2}, spot{at.x, at.y + 1.2})
	c.line("warn-sign", spot{at.x, at.y + 3.4}, spot{at.x, at.y + 3.6})
}

// cross marks a place where nothing was answered.
func (c *canvas) cross(class string, at spot) {
	c.line(class+" cross", spot{at.x - 4.5, at.y - 4.5}, spot{at.x + 4.5, at.y + 4.5})
	c.line(class+" cross", spot{at.x - 4.5, at.y + 4.5}, spot{at.x + 4.5, at.y - 4.5})
}

// textWidth estimates the width of a text in a font of a size, on the safe side:
// the reader's font is not known here.
func textWidth(text string, size float64) float64 {
	width := 0.0
	for _, r := range text {
		width += runeWidth(r)
	}
	return width * size
}

// runeWidth is that of a character in DejaVu Sans, which is a wide font, in bold.
func runeWidth(r rune) float64 {
	switch {
	case r == '%' || r == 'm' || r == 'w' || r == 'M' || r == 'W' || r == '@' || r == '→' || r == '…':
		return 1
	case r == ' ' || r == '.' || r == ',' || r == ':' || r == ';' || r == 'i' || r == 'l' || r == '·':
		return 0.4
	case r < 0x500:
		return 0.68
	default:
		return 1.1 // ideographs are as wide as they are high
	}
}

// clipTo shortens a text to a width. What is left out stands in the table below
// the plot.
func clipTo(text string, width, size float64) string {
	if textWidth(text, size) <= width {
		return text
	}
	room := width/size - runeWidth('…')
	for i, r := range text {
		if room -= runeWidth(r); room < 0 {
			return text[:i] + "…"
		}
	}
	return text
}
