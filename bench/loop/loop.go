// Package loop measures what two tiers cost on loopback, Ergo beside its peers.
//
// All chains stand in front of one backend and run for the whole time; they are
// measured one after the other, in several rounds (A B C A B C ...), so that a
// machine that gets slower does so for all of them. What is reported is the
// median over the rounds, with the spread beside it: (largest − smallest) /
// median of the throughput. Load generator, tiers and backend share the
// machine's cores, so absolute figures are worth little: compare the ratios.
//
// The load is a closed loop of HTTP/1.1 GETs in clear. CPU per request is the
// user and system time of all processes of both tiers, divided by the answers;
// for the backend alone it is the backend's own. Only answers with status 200
// and the whole body count; failures are shown beside them.
package loop

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/ergoproxy/ergo/bench/load"
	"github.com/ergoproxy/ergo/bench/peers"
	"github.com/ergoproxy/ergo/shared/config"
)

// bulk is the size from which bodies are measured with BulkConnections only:
// there the bytes cost, not the requests.
const bulk = 256 << 10

// openFiles is what the tiers, the backend and 1,000 connections may need.
const openFiles = 8192

// Config says what to measure.
type Config struct {
	Duration        time.Duration  `json:"-"` // of one measurement
	Warmup          time.Duration  `json:"-"` // before each measurement
	Rounds          int            `json:"rounds"`
	Peers           []string       `json:"peers"`       // see peers.Peers
	Connections     []int          `json:"connections"` // one measurement for each
	BulkConnections int            `json:"bulk_connections"`
	Sizes           []config.Bytes `json:"sizes"` // of bodies
	Plain           bool           `json:"plain"` // measure an Ergo whose link is off, too
	ProfileDir      string         `json:"-"`     // CPU profiles of Ergo's tiers and of the bench go there; empty: none

	EdgeProgram string        `json:"-"` // ergo-edge; empty: both programs are built
	CoreProgram string        `json:"-"` // ergo-core
	Certs       peers.CertDir `json:"-"` // nil: Ergo is left out
	Progress    io.Writer     `json:"-"` // a line for each measurement
}

// Validate reports all that is wrong with c.
func (c *Config) Validate() error {
	var errs []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	check(c.Duration >= 100*time.Millisecond && c.Duration <= time.Hour, "duration: %s, want 100ms to 1h", c.Duration)
	check(c.Warmup >= 0 && c.Warmup <= time.Hour, "warm-up: %s, want 0s to 1h", c.Warmup)
	check(c.Rounds >= 1 && c.Rounds <= 1000, "rounds: %d, want 1 to 1000", c.Rounds)
	check(c.BulkConnections >= 1 && c.BulkConnections <= 1000, "bulk connections: %d, want 1 to 1000", c.BulkConnections)
	check(len(c.Connections) > 0, "connections: none given")
	for _, n := range c.Connections {
		check(n >= 1 && n <= 1000, "connections: %d, want 1 to 1000", n)
	}
	check(len(c.Sizes) > 0, "sizes: none given")
	for _, size := range c.Sizes {
		check(size >= 1 && size <= 1<<30, "sizes: %s, want 1 byte to 1GiB", size)
	}
	check((c.EdgeProgram == "") == (c.CoreProgram == ""), "edge and core programs: give both or none")
	return errors.Join(errs...)
}

// A Case is one kind of load.
type Case struct {
	Size        config.Bytes `json:"size"`
	Connections int          `json:"connections"`
}

func (c Case) String() string {
	return fmt.Sprintf("%s, %d connections", c.Size, c.Connections)
}

func (c *Config) cases() []Case {
	var all []Case
	for _, size := range c.Sizes {
		if size >= bulk {
			all = append(all, Case{size, c.BulkConnections})
			continue
		}
		for _, n := range c.Connections {
			all = append(all, Case{size, n})
		}
	}
	return all
}

// Run measures. What it starts has ended when it returns; after an error the
// files of the chains are kept, and the error names their directory.
func Run(ctx context.Context, c Config) (report *Report, err error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	if err := peers.RaiseFileLimit(openFiles); err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "ergo-bench-")
	if err != nil {
		return nil, err
	}
	defer func() {
		if err == nil {
			err = os.RemoveAll(dir)
		} else if ctx.Err() != nil {
			err = errors.Join(context.Cause(ctx), os.RemoveAll(dir))
		} else {
			err = fmt.Errorf("%w\nconfigs and logs are in %s", err, dir)
		}
	}()
	b := &bench{config: c, dir: dir, report: newReport(c)}
	defer func() { err = errors.Join(err, b.stop()) }()
	if err := b.start(ctx); err != nil {
		return nil, err
	}
	if err := b.measureAll(ctx); err != nil {
		return nil, err
	}
	b.report.sumUp()
	return b.report, nil
}

// A bench is one run.
type bench struct {
	config Config
	dir    string
	chains []peers.Chain
	ergo   *peers.Ergo // nil: left out
	report *Report
}

// start starts the backend and all chains that can be had.
func (b *bench) start(ctx context.Context) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	sizes := make([]int64, len(b.config.Sizes))
	for i, size := range b.config.Sizes {
		sizes[i] = int64(size)
	}
	backend, err := peers.NewBackend(b.dir, self, sizes)
	if err != nil {
		return err
	}
	if err := b.add(ctx, backend); err != nil {
		return err
	}
	if err := b.startErgo(ctx, backend.Address()); err != nil {
		return err
	}
	for _, name := range b.config.Peers {
		chain, err := peers.New(name, b.dir, backend.Address())
		if errors.Is(err, peers.ErrMissing) {
			b.report.skip(name, err)
			continue
		}
		if err != nil {
			return err
		}
		if err := b.add(ctx, chain); err != nil {
			return err
		}
	}
	return nil
}

func (b *bench) startErgo(ctx context.Context, backend string) error {
	if b.config.Certs == nil {
		b.report.skip("ergo", errors.New("this bench has nothing to issue certificates with"))
		return nil
	}
	edge, core := b.config.EdgeProgram, b.config.CoreProgram
	var err error
	if edge == "" {
		if edge, core, err = peers.BuildErgo(ctx, b.dir); err != nil {
			return err
		}
	}
	chain := peers.ErgoConfig{Edge: edge, Core: core, Certs: b.config.Certs, Backend: backend}
	if b.ergo, err = peers.NewErgo(b.dir, chain); err != nil {
		return err
	}
	if err := b.add(ctx, b.ergo); err != nil || !b.config.Plain {
		return err
	}
	chain.Repair = "off"
	plain, err := peers.NewErgo(b.dir, chain)
	if err != nil {
		return err
	}
	return b.add(ctx, plain)
}

func (b *bench) add(ctx context.Context, chain peers.Chain) error {
	if err := chain.Start(ctx); err != nil {
		return err
	}
	b.chains = append(b.chains, chain)
	b.report.Chains = append(b.report.Chains, ChainInfo{Name: chain.Name(), Version: chain.Version()})
	return nil
}

func (b *bench) stop() error {
	var errs []error
	for i := len(b.chains) - 1; i >= 0; i-- {
		errs = append(errs, b.chains[i].Stop())
	}
	return errors.Join(errs...)
}

func (b *bench) measureAll(ctx context.Context) error {
	cases := b.config.cases()
	total := b.config.Rounds * len(cases) * len(b.chains)
	done := 0
	for round := range b.config.Rounds {
		for _, c := range cases {
			for _, chain := range b.chains {
				done++
				fmt.Fprintf(b.config.Progress, "%d/%d  round %d, %s, %s\n", done, total, round+1, c, chain.Name())
				m, err := b.measure(ctx, chain, c, round)
				if err != nil {
					return fmt.Errorf("%s, %s: %w", chain.Name(), c, err)
				}
				b.report.add(chain.Name(), c, m)
			}
		}
	}
	return nil
}

// measure runs one case against one chain.
func (b *bench) measure(ctx context.Context, chain peers.Chain, c Case, round int) (Measurement, error) {
	var before, after time.Duration
	var beforeErr, afterErr error
	profiled := b.profile(ctx, chain, c, round)
	result, err := load.RunClosed(ctx, load.Target{
		Protocol: load.H1, Address: chain.Address(), Path: "/bytes/" + strconv.FormatInt(int64(c.Size), 10), WantLength: int64(c.Size),
	}, load.Closed{
		Connections: c.Connections, Warmup: b.config.Warmup, Duration: b.config.Duration,
		Begin: func() { before, beforeErr = chain.CPU() },
		End:   func() { after, afterErr = chain.CPU() },
	})
	if err := errors.Join(err, beforeErr, afterErr, profiled()); err != nil {
		return Measurement{}, err
	}
	if result.Answered == 0 {
		return Measurement{}, fmt.Errorf("nothing was answered: %v", result.Failures)
	}
	rss, err := chain.RSS()
	if err != nil {
		return Measurement{}, err
	}
	return Measurement{
		Rate: result.Rate(), CPU: micros(after-before) / float64(result.Answered),
		P50: micros(result.Quantile(0.5)), P99: micros(result.Quantile(0.99)), Max: micros(result.Quantile(1)),
		Answered: result.Answered, Failed: result.Failed(), RSS: rss,
	}, nil
}

// profile begins the CPU profiles of Ergo's tiers in the first round and
// returns what waits for them.
func (b *bench) profile(ctx context.Context, chain peers.Chain, c Case, round int) func() error {
	if b.config.ProfileDir == "" || b.ergo == nil || chain != peers.Chain(b.ergo) || round > 0 {
		return func() error { return nil }
	}
	prefix := filepath.Join(b.config.ProfileDir, fmt.Sprintf("ergo-%s-%d", c.Size, c.Connections))
	ended := make(chan error, 1)
	go func() { ended <- b.ergo.Profile(ctx, prefix, b.config.Warmup+b.config.Duration) }()
	return func() error { return <-ended }
}

func micros(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }
