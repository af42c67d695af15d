// Package wan measures what lies between two tiers that are far apart: Ergo beside
// its peers across an emulated WAN.
//
//	load ─▶ edge tier ═══ emulator: delay, loss, rate, queue ═══ core tier ─▶ backend
//	└────── near ─────┘                                          └────── far ──────┘
//
// Both sides are network namespaces of this machine with real TCP and UDP; package
// emulator lies between them. Each measurement has a WAN, a backend and a system of
// its own, started while nothing is lost, so that no connection, route or window
// remembers the one before. The systems take turns, in every round, so that a machine
// that gets slower does so for all of them; they see the same seeds.
//
// The load is an open loop of HTTP/1.1 GETs in clear: requests are due at a fixed
// rate whatever the system does, and a latency counts from the moment at which the
// request was due until its answer is whole. A system that cannot keep up collects
// connections, then timeouts (10 s for bodies up to 64 KiB, 30 s for larger ones), and
// then requests that are not sent at all (overflow); quantiles are of the answers
// alone, so read them with those beside them. A virtual machine may stand still for
// tens of milliseconds; a measurement during which it did is taken again, see still.
//
// What is measured comes in sets:
//
//	matrix      round-trip times × losses × workloads
//	bottleneck  1 MB every 2 s through 20 Mbit/s with a queue of 50 ms
//	share       large downloads beside one TCP flow in such a bottleneck
//	burst       runs of lost packets on top of random loss
//	reorder     packets held back, and jitter that changes their order
//	changing    a path that gets bad and good again while requests go on
//	soak        10 minutes of downloads over a path that keeps changing, each byte
//	            compared; only where it is asked for
//	journeys    what a person waits for: the first request, a restart of a tier
//
// The bench needs what package emulator needs, and leaves nothing behind.
package wan

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/ergoproxy/ergo/bench/peers"
	"github.com/ergoproxy/ergo/bench/wan/emulator"
)

// The systems. Plain is Ergo whose link does not repair.
const (
	Ergo  = "ergo"
	Plain = "ergo-plain"
)

// Systems returns the names of all systems, in the order in which they take turns.
func Systems() []string { return append([]string{Ergo, Plain}, peers.Peers()...) }

// Sets returns the names of the sets that run by themselves, in their order.
func Sets() []string {
	return []string{"matrix", "bottleneck", "burst", "reorder", "share", "changing", "journeys"}
}

// AllSets returns the names of all sets: those of Sets, and those that are too long
// to run unasked.
func AllSets() []string { return append(Sets(), soakSet) }

const (
	// openFiles is what the tiers, the backend and maxConnections may need.
	openFiles = 8192
	// seed of all that happens at random; each round adds its number.
	seed = 1
)

// Config says what to measure.
type Config struct {
	Sets      []string        // see Sets
	Systems   []string        // see Systems
	RTTs      []time.Duration // of the matrix
	Losses    []float64       // of the matrix: share of packets lost each way, 0 to 0.5
	Workloads []Workload      // of matrix, burst and reorder; Connections is filled in
	Duration  time.Duration   // of each measurement; 0: that of the workload or set
	Rounds    int             // of matrix, bottleneck, burst and reorder
	Repeats   int             // how often a measurement is taken again at most if the machine stood still

	EdgeProgram string    // ergo-edge; empty: both programs are built
	CoreProgram string    // ergo-core
	Command     string    // for the Result: how the bench was called
	Progress    io.Writer // a line for each measurement
}

// Default returns the config of a run to be quoted.
func Default() Config {
	return Config{
		Sets: Sets(), Systems: Systems(),
		RTTs: []time.Duration{80 * time.Millisecond}, Losses: []float64{0, 0.001, 0.01, 0.03},
		Workloads: []Workload{NewWorkload(1<<10, 200), NewWorkload(100<<10, 20), NewWorkload(2_000_000, 2)},
		Rounds:    1, Repeats: 2, Progress: io.Discard,
	}
}

// Validate reports all that is wrong with c.
func (c *Config) Validate() error {
	var errs []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	known := func(what string, names, all []string) {
		check(len(names) > 0, "%s: none given", what)
		for i, name := range names {
			check(slices.Contains(all, name), "%s: no %q, want some of %s", what, name, strings.Join(all, ", "))
			check(!slices.Contains(names[:i], name), "%s: %s twice", what, name)
		}
	}
	known("sets", c.Sets, AllSets())
	known("systems", c.Systems, Systems())
	check(len(c.RTTs) > 0, "round-trip times: none given")
	for _, rtt := range c.RTTs {
		check(rtt >= 0 && rtt <= 2*time.Second, "round-trip time: %s, want 0s to 2s", rtt)
	}
	check(len(c.Losses) > 0, "losses: none given")
	for _, loss := range c.Losses {
		check(loss >= 0 && loss <= 0.5, "loss: %g %%, want 0 to 50", 100*loss)
	}
	check(len(c.Workloads) > 0, "workloads: none given")
	for _, w := range c.Workloads {
		check(w.Bytes >= 1 && w.Bytes <= 1<<30, "workload: bodies of %d bytes, want 1 to 1GiB", w.Bytes)
		check(w.Rate >= 0.1 && w.Rate <= 10_000, "workload: %g requests/s, want 0.1 to 10000", w.Rate)
	}
	check(c.Duration == 0 || c.Duration >= 100*time.Millisecond && c.Duration <= time.Hour, "duration: %s, want 100ms to 1h", c.Duration)
	check(c.Repeats >= 0 && c.Repeats <= 100, "repeats: %d, want 0 to 100", c.Repeats)
	check(c.Rounds >= 1 && c.Rounds <= 1000, "rounds: %d, want 1 to 1000", c.Rounds)
	check((c.EdgeProgram == "") == (c.CoreProgram == ""), "edge and core programs: give both or none")
	return errors.Join(errs...)
}

// Run measures. What it starts has ended when it returns. If ctx ends first it
// returns what was found until then, with a note, and the cause as an error. A system
// that cannot be started is left out, with a note. After another error the files of
// the systems are kept, and the error names their directory.
func Run(ctx context.Context, c Config) (result *Result, err error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	if err := emulator.Available(); err != nil {
		return nil, err
	}
	if err := peers.RaiseFileLimit(openFiles); err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "ergo-bench-")
	if err != nil {
		return nil, err
	}
	b := newBench(c, dir)
	err = b.run(ctx)
	b.finish()
	switch {
	case ctx.Err() != nil:
		b.note("interrupted: what is missing was not measured")
		return b.result, errors.Join(context.Cause(ctx), os.RemoveAll(dir))
	case err != nil:
		return nil, fmt.Errorf("%w\nconfigs and logs are in %s", err, dir)
	default:
		return b.result, os.RemoveAll(dir)
	}
}

// A bench is one run.
type bench struct {
	config     Config
	patience   patience
	dir        string
	edge, core string // programs
	cells      []*cell
	result     *Result
	out        map[string]bool   // systems that could not be started
	delivery   emulator.Counters // how well the emulators did, all together
}

func newBench(c Config, dir string) *bench {
	return &bench{config: c, patience: usualPatience(), dir: dir, result: newResult(c.Command), out: make(map[string]bool)}
}

func (b *bench) run(ctx context.Context) error {
	if err := b.findErgo(ctx); err != nil {
		return err
	}
	if err := b.measureCells(ctx); err != nil {
		return err
	}
	for _, set := range []struct {
		name    string
		measure func(context.Context) error
	}{{"share", b.measureShares}, {"changing", b.measureChanging}, {"journeys", b.measureJourneys}, {soakSet, b.measureSoak}} {
		if !slices.Contains(b.config.Sets, set.name) {
			continue
		}
		if err := set.measure(ctx); err != nil {
			return fmt.Errorf("%s: %w", set.name, err)
		}
	}
	return nil
}

// findErgo builds Ergo if one of the systems needs it and nobody has.
func (b *bench) findErgo(ctx context.Context) (err error) {
	b.edge, b.core = b.config.EdgeProgram, b.config.CoreProgram
	needed := slices.Contains(b.config.Systems, Ergo) || slices.Contains(b.config.Systems, Plain)
	if b.edge == "" && needed {
		b.edge, b.core, err = peers.BuildErgo(ctx, b.dir)
	}
	return err
}

// finish fills in what is known at the end.
func (b *bench) finish() {
	for _, c := range b.cells {
		if c.rounds > 0 {
			b.result.Cells = append(b.result.Cells, c.sumUp())
		}
	}
	d := b.delivery
	if d.Arrived > 0 {
		b.note("the emulator delivered %.2f %% of %d packets more than %s late, the latest by %s, all by %s on average",
			100*float64(d.Late)/float64(d.Arrived), d.Arrived, emulator.LateBy, d.Latest.Round(10*time.Microsecond), (d.Lateness / time.Duration(d.Arrived)).Round(time.Microsecond))
	}
	if d.Refused > 0 {
		b.note("the emulator had no room for %d packets: these runs are not worth quoting", d.Refused)
	}
}

// settle decides what an error of a measurement means: nil to go on, after a note,
// or what ends the run.
func (b *bench) settle(ctx context.Context, what string, err error) error {
	switch {
	case err == nil, errors.Is(err, errLeftOut): // which was noted
		return nil
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case errors.Is(err, emulator.ErrUnavailable):
		return err
	}
	b.note("%s: %v", what, err)
	return nil
}

// longestNote is enough for an error and the end of a log.
const longestNote = 600

// note keeps what a reader has to know, once and on one line, without the directory
// that the run has for itself.
func (b *bench) note(format string, args ...any) {
	text := strings.ReplaceAll(fmt.Sprintf(format, args...), b.dir+string(os.PathSeparator), "")
	text = strings.Join(strings.FieldsFunc(text, func(r rune) bool { return r == '\n' }), " / ")
	if len(text) > longestNote {
		text = strings.ToValidUTF8(text[:longestNote], "") + " ..."
	}
	if !slices.Contains(b.result.Notes, text) {
		b.result.Notes = append(b.result.Notes, text)
		b.say("%s", text)
	}
}

func (b *bench) say(format string, args ...any) {
	fmt.Fprintf(b.config.Progress, format+"\n", args...)
}

// length of a measurement.
func (b *bench) length(otherwise time.Duration) time.Duration {
	if b.config.Duration > 0 {
		return b.config.Duration
	}
	return otherwise
}
