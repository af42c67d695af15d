package link_test

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ergoproxy/ergo/shared/link/linktest"
)

var writeTraces = flag.Bool("write-traces", false, "write testdata/traces anew from their models")

// tracePackets is how many packets a trace has.
const tracePackets = 20_000

// A phase is a state of a path that lasts for Min to Max packets.
type phase struct {
	min, max int
	loss     linktest.GilbertElliott
}

func chance(p float64) linktest.GilbertElliott { return linktest.GilbertElliott{LossGood: p} }

// The traces of testdata/traces are no captures of anybody's traffic. Each is drawn
// from a model of a path in phases that follow each other in turn, and kept in a
// file so that all versions of the link are tried on the same losses.
var traces = []struct {
	name, what string
	phases     []phase
}{
	{"wifi", "Wi-Fi at the edge of its reach: 0.2 % are lost, and 15 % in fades of 50 to 300 packets.", []phase{
		{1000, 4000, chance(0.002)},
		{50, 300, linktest.GilbertElliott{ToBad: 0.08, ToGood: 0.5, LossGood: 0.02, LossBad: 0.95}},
	}},
	{"mobile", "A radio network while moving: 0.1 % are lost, 10 to 28 packets at each change of the cell, and 4 % for a while after it.", []phase{
		{2000, 5000, chance(0.001)},
		{10, 28, chance(1)},
		{100, 300, chance(0.04)},
	}},
	{"linecard", "A line card before it is replaced: 1 to 6 packets in a row, each few hundred.", []phase{
		{20_000, 20_000, linktest.GilbertElliott{ToBad: 0.004, ToGood: 0.35, LossBad: 1}},
	}},
	{"rain", "A satellite in the rain: from 0.2 % to 6 % and back, in runs of 1 to 5.", []phase{
		{2000, 2000, chance(0.002)},
		{2000, 2000, linktest.GilbertElliott{ToBad: 0.01, ToGood: 0.6, LossBad: 1}},
		{2000, 2000, linktest.GilbertElliott{ToBad: 0.035, ToGood: 0.6, LossBad: 1}},
		{2000, 2000, linktest.GilbertElliott{ToBad: 0.01, ToGood: 0.6, LossBad: 1}},
	}},
}

// draw returns the text of a trace.
func draw(what string, phases []phase) string {
	var b strings.Builder
	fmt.Fprintf(&b, "# %s\n# Not a capture: drawn from the model of this name in traces_test.go. Numbers are\n# packets in a row: received, lost, received, lost, ...\n", what)
	rng := rand.New(rand.NewPCG(20, 26))
	lost, run, written := false, 0, 0
	flush := func() {
		separator := " "
		if written++; written%16 == 0 {
			separator = "\n"
		}
		fmt.Fprintf(&b, "%d%s", run, separator)
		run = 0
	}
	for packet, at := 0, 0; packet < tracePackets; at++ {
		p := phases[at%len(phases)]
		model := p.loss
		for n := p.min + rng.IntN(p.max-p.min+1); n > 0 && packet < tracePackets; n-- {
			packet++
			if model.Lost(time.Time{}, rng) != lost {
				flush()
				lost = !lost
			}
			run++
		}
	}
	flush()
	return strings.TrimRight(b.String(), " \n") + "\n"
}

func traceFile(name string) string { return filepath.Join("testdata", "traces", name+".txt") }

func TestTracesAreWhatTheirModelsDraw(t *testing.T) {
	for _, c := range traces {
		want := draw(c.what, c.phases)
		if *writeTraces {
			if err := os.WriteFile(traceFile(c.name), []byte(want), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		got, err := os.ReadFile(traceFile(c.name))
		if err != nil {
			t.Fatal(err)
		}
		if string(got) != want {
			t.Errorf("%s is not what its model draws", traceFile(c.name))
		}
		p := readTrace(t, c.name)
		lost := 0
		for _, l := range p.Losses {
			if l {
				lost++
			}
		}
		if share := float64(lost) / tracePackets; len(p.Losses) != tracePackets || share < 0.005 || share > 0.05 {
			t.Errorf("%s: %.4f of %d packets are lost", c.name, share, len(p.Losses))
		}
	}
}

func readTrace(t *testing.T, name string) *linktest.Pattern {
	t.Helper()
	file, err := os.Open(traceFile(name))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	p, err := linktest.ReadPattern(file)
	if err != nil {
		t.Fatal(err)
	}
	return p
}
