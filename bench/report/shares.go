package report

import (
	"fmt"

	"github.com/ergoproxy/ergo/bench/report/plot"
	"github.com/ergoproxy/ergo/bench/wan"
)

// fair is what a flow may take of a bottleneck that it has with one other: less
// starves it, more starves the other.
var fair = plot.Band{From: 0.25, To: 0.60, Label: "25 % to 60 %"}

// A bottleneck is a path that is shared.
type bottleneck struct {
	rate int64
	rtt  float64
}

func (n bottleneck) String() string { return fmt.Sprintf("%s, %s RTT", bits(n.rate), seconds(n.rtt)) }

// A duel is a system and the TCP flow beside it.
type duel struct{ system, against string }

// shares draws who got what, one panel for each bottleneck.
func (b *builder) shares(all []wan.Share) []*figureView {
	if len(all) == 0 {
		return nil
	}
	var places []bottleneck
	var systems, flows []string
	found := map[bottleneck]map[duel]wan.Share{}
	for _, s := range all {
		at := bottleneck{s.Rate, s.RTT}
		places, systems, flows = append(places, at), append(systems, s.System), append(flows, s.Against)
		if found[at] == nil {
			found[at] = map[duel]wan.Share{}
		}
		found[at][duel{s.System, s.Against}] = s
	}
	v := &figureView{
		ID: b.id(), Title: "A system and one TCP flow",
		Caption: "Each bar is one run on a path that both fill. The system's share should end in the marked part: less starves it, more starves the other.",
		Legend:  b.legend(b.looks.order(systems), restItem(), bandItem()),
		Table:   table{Head: []string{"Path", "System", "TCP flow", "System's share, %", "TCP flow's share, %"}, Text: 3},
	}
	for _, p := range unique(places) {
		var g plot.Group
		for _, system := range b.looks.order(systems) {
			for _, flow := range unique(flows) {
				s, there := found[p][duel{system, flow}]
				g.Rows = append(g.Rows, b.shareRow(v, p, duel{system, flow}, s, there))
			}
		}
		bars := &plot.Rows{X: plot.LinearAxis(1, 5, percent), XTitle: "share of the delivered bits: system, then TCP flow", Band: &fair, Groups: []plot.Group{g}}
		title := "Delivered bits, " + p.String()
		v.Panels = append(v.Panels, b.panel(title, describeRows(title+", share of a system and of the TCP flow beside it", bars.Groups), bars))
	}
	return []*figureView{v}
}

// shareRow returns the bar of one duel, and tells v of it.
func (b *builder) shareRow(v *figureView, p bottleneck, d duel, s wan.Share, there bool) plot.Row {
	l := b.looks[d.system]
	r := plot.Row{Look: l, Bar: s.Own, Rest: s.Other, Value: percent(s.Own) + " : " + percent(s.Other)}
	r.Name = l.Name + " beside " + d.against
	cells := tableRow{Own: l.Own, Cells: []string{p.String(), l.Name, d.against}}
	switch {
	case !there:
		r.Missing, cells.Note = "not measured", "not measured"
		v.Missing = append(v.Missing, fmt.Sprintf("%s at %s", r.Name, p))
	case s.Own+s.Other == 0:
		r.Missing = "nothing was delivered"
	}
	if there {
		cells.Cells = append(cells.Cells, figure(100*s.Own), figure(100*s.Other))
	}
	r.Tip = r.Name + ": " + r.Missing
	if r.Missing == "" {
		r.Tip = fmt.Sprintf("%s: %s; the TCP flow: %s", r.Name, percent(s.Own), percent(s.Other))
	}
	v.Table.Rows = append(v.Table.Rows, cells)
	return r
}

func restItem() legendItem { return legendItem{Swatch: plot.RestSwatch(), Name: "the TCP flow"} }

func bandItem() legendItem {
	return legendItem{Swatch: plot.BandSwatch(), Name: "aim for the system: " + fair.Label}
}
