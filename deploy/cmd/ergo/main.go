// Command ergo is what an operator types: it makes certificates, asks the tiers
// how they are, and waits for them.
//
// Each subcommand is one file with one function of type runFunc; the table in
// this file lists them. Exit codes: 0 done, 1 it did not work, 2 wrong usage.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/ergoproxy/ergo/shared/telemetry"
)

// runFunc runs a subcommand with the arguments after its name. An error is
// printed by main, except for errUsage and flag.ErrHelp, which the subcommand
// has explained already.
type runFunc func(ctx context.Context, args []string, stdout, stderr io.Writer) error

type command struct {
	name    string
	summary string
	run     runFunc
}

func commands() []command {
	return []command{
		{"up", "run edges, cores and demo backends in one process", runUp},
		{"edge", "run one edge, as ergo-edge does", runEdge},
		{"core", "run one core, as ergo-core does", runCore},
		{"demo-backend", "run a demo backend", runDemoBackend},
		{"get", "fetch a URL over HTTP/1.1, 2 or 3", runGet},
		{"pki", "make a private CA and the certificates of edges and cores", runPKI},
		{"status", "print what a running tier says about itself", runStatus},
		{"wait", "wait until a tier is ready", runWait},
		{"version", "print the version", runVersion},
	}
}

// errUsage means that the command line was wrong and that it has been said how.
var errUsage = errors.New("wrong usage")

// exitCode ends the process with it; what is wrong has been said.
type exitCode int

func (c exitCode) Error() string { return fmt.Sprintf("exit code %d", int(c)) }

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, commandLine(os.Args), os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// commandLine returns the arguments after the command's name. Called through a
// link ergo-NAME, where NAME is a subcommand, the binary is ergo NAME: container
// images hold one binary under several names, in a third of the bytes.
func commandLine(args []string) []string {
	sub, ok := strings.CutPrefix(filepath.Base(args[0]), "ergo-")
	if ok && slices.ContainsFunc(commands(), func(c command) bool { return c.name == sub }) {
		return append([]string{sub}, args[1:]...)
	}
	return args[1:]
}

// run picks the subcommand and turns its error into an exit code.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	if len(args) == 0 {
		usage(stderr)
		return 2
	}
	switch args[0] {
	case "help", "-h", "-help", "--help":
		usage(stdout)
		return 0
	}
	for _, c := range commands() {
		if c.name != args[0] {
			continue
		}
		err := c.run(ctx, args[1:], stdout, stderr)
		switch {
		case err == nil, errors.Is(err, flag.ErrHelp):
			return 0
		case errors.Is(err, errUsage):
			return 2
		}
		if code, ok := errors.AsType[exitCode](err); ok {
			return int(code)
		}
		fmt.Fprintf(stderr, "ergo %s: %v\n", c.name, err)
		return 1
	}
	fmt.Fprintf(stderr, "ergo: unknown command %q\n\n", args[0])
	usage(stderr)
	return 2
}

func usage(w io.Writer) {
	fmt.Fprint(w, "usage: ergo COMMAND [flags]\n\n")
	for _, c := range commands() {
		fmt.Fprintf(w, "  %-12s  %s\n", c.name, c.summary)
	}
	fmt.Fprint(w, "\nergo COMMAND -h prints the flags of a command.\n")
}

// newFlags returns a flag set that prints synopsis and its flags to stderr when
// asked to, or when a flag is wrong.
func newFlags(name, synopsis string, stderr io.Writer) *flag.FlagSet {
	flags := flag.NewFlagSet(name, flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.Usage = func() {
		fmt.Fprintf(stderr, "usage: ergo %s %s\n\n", name, synopsis)
		flags.PrintDefaults()
	}
	return flags
}

// anyNumber lets parse take any number of arguments after the flags.
const anyNumber = -1

// parse reads args, which must hold as many arguments after the flags as
// positional says. The flag package has printed what is wrong with a flag.
func parse(flags *flag.FlagSet, args []string, positional int) error {
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return err
		}
		return errUsage
	}
	if n := flags.NArg(); positional != anyNumber && n != positional {
		return misuse(flags, "%d arguments, want %d", n, positional)
	}
	return nil
}

// misuse prints what is wrong with the command line and how it is meant.
func misuse(flags *flag.FlagSet, format string, args ...any) error {
	fmt.Fprintf(flags.Output(), "ergo %s: "+format+"\n\n", append([]any{flags.Name()}, args...)...)
	flags.Usage()
	return errUsage
}

func runVersion(_ context.Context, args []string, stdout, stderr io.Writer) error {
	if err := parse(newFlags("version", "", stderr), args, 0); err != nil {
		return err
	}
	fmt.Fprintf(stdout, "ergo %s\n", telemetry.BuildInfo())
	return nil
}
