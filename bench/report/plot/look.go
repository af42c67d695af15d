// Package plot draws lines, columns and bars as SVG that stands in a page.
//
//	Lines    values of some series over places or time, named at their ends
//	Columns  one column for each series in each place
//	Rows     horizontal bars below their names, for names that are long
//	Aligned  Lines over the same time above each other
//
// Colours and fonts are the page's: every element has a class, and the style
// sheet gives each Look.Class a property --c and styles line, bar, marker, grid,
// axis, tick, label, name, value and the like with it. A system is told by its
// marker's shape as well as by its colour.
//
// A value that is missing, came to nothing or failed in part has a mark of its
// own, and is never just left out. Each mark says more when it is pointed at, in
// a title element inside a group of class mark.
//
// Texts are escaped and cut to the room they have. Numbers must be finite;
// others are a mistake of the caller's, and panic. Everything is safe for
// concurrent use that does not change what is drawn.
package plot

// A Look is how a system is drawn, on every plot of a page.
type Look struct {
	Name  string // as people say it
	Class string // of its colour
	Shape Shape
	Dash  bool // so that two lines of one family can be told apart
	Own   bool // what the page is about: drawn last, and thicker
}
