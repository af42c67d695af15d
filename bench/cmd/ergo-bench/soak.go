package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/ergoproxy/ergo/bench/load"
	"github.com/ergoproxy/ergo/bench/soak"
	"github.com/ergoproxy/ergo/shared/config"
)

// errGrows makes the command fail after its report was printed.
var errGrows = errors.New("something grew or failed, see the findings")

func runSoak(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	c := soak.Config{IdleProtocols: []load.Protocol{load.H1}, Progress: stderr}
	flags := flag.NewFlagSet("soak", flag.ContinueOnError)
	flags.IntVar(&c.Idle, "idle", 0, "idle connections to hold open at one edge; 0: leave this out")
	flags.Func("idle-protocols", "comma-separated `protocols` of idle connections: "+join(soak.Protocols())+" (default h1)", list(&c.IdleProtocols, parseProtocol))
	flags.TextVar((*config.Duration)(&c.Duration), "duration", config.Duration(0), "`length` of the mixed load; 0s: leave this out")
	flags.TextVar((*config.Duration)(&c.Warmup), "warmup", config.Duration(30*time.Second), "`length` of the mixed load before, which is not judged")
	flags.Float64Var(&c.Rate, "rate", 100, "operations per second of the mixed load")
	flags.TextVar((*config.Duration)(&c.IdleTimeout), "idle-timeout", config.Duration(10*time.Second), "`time` after which Ergo closes unused lanes and backend connections")
	jsonFile := flags.String("json", "", "`file` to write the results to")
	flags.StringVar(&c.ProfileDir, "pprof", "", "`directory` for heap and goroutine profiles of both tiers, before and after the mixed load")
	flags.StringVar(&c.EdgeProgram, "ergo-edge", "", "ergo-edge `program` to watch (default: built from this module)")
	flags.StringVar(&c.CoreProgram, "ergo-core", "", "ergo-core `program` to watch (default: built from this module)")
	if err := parse(flags, args, stderr); err != nil {
		return err
	}
	if err := c.Validate(); err != nil {
		return fmt.Errorf("%w: %w", errUsage, err)
	}
	report, err := soak.Run(ctx, c)
	if err != nil {
		return err
	}
	if err := errors.Join(report.WriteTable(stdout), writeJSON(*jsonFile, report)); err != nil {
		return err
	}
	if report.Verdict != soak.Flat {
		return errGrows
	}
	return nil
}

func parseProtocol(name string) (load.Protocol, error) {
	protocol := load.Protocol(name)
	if !slices.Contains(soak.Protocols(), protocol) {
		return "", fmt.Errorf("no protocol %q, want %s", name, join(soak.Protocols()))
	}
	return protocol, nil
}

func join(protocols []load.Protocol) string {
	var names []string
	for _, p := range protocols {
		names = append(names, string(p))
	}
	return strings.Join(names, ", ")
}
