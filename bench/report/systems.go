package report

import (
	"cmp"
	"slices"

	"github.com/ergoproxy/ergo/bench/report/plot"
)

// known are the systems of ergo-bench.
var known = map[string]plot.Look{
	"ergo":       {Name: "Ergo", Class: "s0", Shape: plot.Circle, Own: true},
	"ergo-plain": {Name: "Ergo plain", Class: "s1", Shape: plot.Ring, Dash: true},
	"nginx":      {Name: "nginx", Class: "s2", Shape: plot.Square},
	"haproxy-h1": {Name: "HAProxy H1", Class: "s3", Shape: plot.Diamond},
	"haproxy-h2": {Name: "HAProxy H2", Class: "s4", Shape: plot.Down},
	"backend":    {Name: "backend alone", Class: "s5", Shape: plot.Plus},
	// Tiers, which soak plots in the place of systems.
	"edge": {Name: "edge", Class: "s0", Shape: plot.Circle},
	"core": {Name: "core", Class: "s6", Shape: plot.Diamond},
}

// slots are what the others take, in the order of their names. Those at the end
// are the first again with a dash.
var slots = []plot.Look{
	{Class: "s7", Shape: plot.OpenSquare}, {Class: "s5", Shape: plot.OpenDiamond}, {Class: "s6", Shape: plot.Plus},
	{Class: "s2", Shape: plot.Ring, Dash: true}, {Class: "s4", Shape: plot.OpenSquare, Dash: true}, {Class: "s3", Shape: plot.Plus, Dash: true},
}

// looks are those of all systems on a page.
type looks map[string]plot.Look

// newLooks gives each system a look that does not depend on the order of names.
func newLooks(systems []string) looks {
	all := looks{}
	next := 0
	for _, system := range slices.Sorted(slices.Values(unique(systems))) {
		if l, ok := known[system]; ok {
			all[system] = l
			continue
		}
		l := slots[next%len(slots)]
		l.Name = system
		all[system] = l
		next++
	}
	return all
}

// systemsOf returns every name that a plot of f shows as a system.
func (f *File) systemsOf() []string {
	var names []string
	switch {
	case f.wan != nil:
		for _, c := range f.wan.Cells {
			names = append(names, c.System)
		}
		for _, t := range f.wan.Timelines {
			names = append(names, t.System)
		}
		for _, s := range f.wan.Shares {
			names = append(names, s.System)
		}
		for _, j := range f.wan.Journeys {
			names = append(names, j.System)
		}
	case f.loop != nil:
		for _, chain := range f.loop.Chains {
			names = append(names, chain.Name)
		}
		for _, r := range f.loop.Results {
			names = append(names, r.Chain)
		}
	case f.soak != nil && f.soak.Mixed != nil:
		for _, t := range f.soak.Mixed.Tiers {
			names = append(names, t.Tier)
		}
	}
	return unique(names)
}

// order puts systems as legends and bars show them: those of ergo-bench first,
// the others behind them by name.
func (l looks) order(systems []string) []string {
	rank := func(system string) string {
		look := l[system]
		if _, ok := known[system]; ok {
			return "0" + look.Class
		}
		return "1" + system
	}
	systems = unique(systems)
	slices.SortFunc(systems, func(a, b string) int {
		return cmp.Compare(rank(a), rank(b))
	})
	return systems
}
