// Package soak finds out whether Ergo grows: with the connections that clients
// hold open, and with time.
//
//	idle   N connections to one edge, each after one request: what does one cost?
//	mixed  everything clients do, for a long time: is what is held at the end
//	       what was held at the start?
//
// Edge, core and demo backend are processes of their own. Each sample forces a
// garbage collection first, so that the heap shows what is held and not what
// lies about. Memory that the kernel keeps for sockets is in no figure.
//
// Idle runs once for each protocol, each time with a new edge. Clients come from
// several addresses of 127.0.0.0/8, since the edge limits connections per
// address, and the edge's idle timeout is raised so that it outlasts the
// measurement. HTTP/3 gets at most 2,000 connections. One connection costs the
// difference between the samples with all open and with none, divided by their
// number. Then they close, and as many come and go once more: what is held after
// that must be what was held after the first time.
//
// Mixed is a fixed mix of operations over HTTP/1.1 in clear and over TLS, HTTP/2
// and HTTP/3, at a fixed rate (see operations). After a warm-up the load stops,
// until lanes and connections to the backend have idled away: the tiers are at
// rest, and a first sample is taken. Then comes the load that counts, sampled 20
// times, and another rest. Something grows if it rises under load or is higher
// at rest than before; see judge for the rules.
//
// All functions are safe for concurrent use; only the machine is shared.
package soak

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/ergoproxy/ergo/bench/load"
	"github.com/ergoproxy/ergo/bench/peers"
)

const (
	maxIdle   = 60_000
	maxIdleH3 = 2000
	maxRate   = 2000
	// spareFiles is what a tier has open besides the connections of idle clients.
	spareFiles = 2048
	// samples is how often a mixed run looks at the tiers.
	samples = 20
)

// Config says what to do. Either part is left out if it is 0.
type Config struct {
	Idle          int             // connections to hold open, of each protocol
	IdleProtocols []load.Protocol // of h1, h1+tls, h2, h3

	Duration    time.Duration // of the mixed load that counts
	Warmup      time.Duration // of the mixed load before
	Rate        float64       // operations per second
	IdleTimeout time.Duration // after which lanes and backend connections close: a rest takes as long

	ProfileDir  string // heap and goroutine profiles of both rests go there; empty: none
	EdgeProgram string // ergo-edge; empty: both programs are built
	CoreProgram string // ergo-core
	Progress    io.Writer
}

// Protocols returns what idle connections can speak.
func Protocols() []load.Protocol {
	return []load.Protocol{load.H1, load.H1TLS, load.H2, load.H3}
}

// Validate reports all that is wrong with c.
func (c *Config) Validate() error {
	var errs []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	check(c.Idle != 0 || c.Duration != 0, "nothing to do: give idle connections, a duration, or both")
	check(c.Idle >= 0 && c.Idle <= maxIdle, "idle connections: %d, want 1 to %d", c.Idle, maxIdle)
	check(c.Idle == 0 || len(c.IdleProtocols) > 0, "idle protocols: none given")
	if c.Duration != 0 {
		check(c.Duration >= 4*time.Second && c.Duration <= 24*time.Hour, "duration: %s, want 4s to 24h", c.Duration)
		check(c.Warmup >= time.Second && c.Warmup <= time.Hour, "warm-up: %s, want 1s to 1h", c.Warmup)
		check(c.Rate >= 1 && c.Rate <= maxRate, "rate: %g/s, want 1 to %d", c.Rate, maxRate)
		check(c.IdleTimeout >= time.Second && c.IdleTimeout <= 10*time.Minute, "idle timeout: %s, want 1s to 10m", c.IdleTimeout)
	}
	check((c.EdgeProgram == "") == (c.CoreProgram == ""), "edge and core programs: give both or none")
	return errors.Join(errs...)
}

// ErrBusy is matched by the error of a Run that could not keep its times.
var ErrBusy = errors.New("the machine is too busy")

// Run does what c asks for. What grew is in the report and is no error. What Run
// starts has ended when it returns; after an error the configs and logs are
// kept, and the error names their directory.
//
// The program that calls it must serve the demo backend when it is run as
// `PROGRAM backend --listen ADDRESS`.
func Run(ctx context.Context, c Config) (report *Report, err error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	if err := peers.RaiseFileLimit(uint64(c.Idle) + spareFiles); err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "ergo-soak-")
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
	s := &soak{Config: c, dir: dir, report: newReport(c)}
	if s.EdgeProgram == "" {
		s.say("building ergo-edge and ergo-core")
		if s.EdgeProgram, s.CoreProgram, err = peers.BuildErgo(ctx, dir); err != nil {
			return nil, err
		}
	}
	if err := s.runIdle(ctx); err != nil {
		return nil, err
	}
	if err := s.runMixed(ctx); err != nil {
		return nil, err
	}
	s.report.judge()
	return s.report, nil
}

// A soak is one run.
type soak struct {
	Config
	dir    string
	report *Report
}

func (s *soak) say(format string, args ...any) {
	fmt.Fprintf(s.Progress, format+"\n", args...)
}

// with runs work on a chain of its own, in front of a demo backend of its own.
func (s *soak) with(ctx context.Context, c peers.ErgoConfig, work func(*peers.Ergo) error) (err error) {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	backend, err := peers.NewDemoBackend(s.dir, self)
	if err != nil {
		return err
	}
	if err := backend.Start(ctx); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, backend.Stop()) }()
	c.Edge, c.Core, c.Certs, c.Backend, c.Site = s.EdgeProgram, s.CoreProgram, peers.WriteCertificates, backend.Address(), true
	ergo, err := peers.NewErgo(s.dir, c)
	if err != nil {
		return err
	}
	if err := ergo.Start(ctx); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, ergo.Stop()) }()
	return work(ergo)
}
