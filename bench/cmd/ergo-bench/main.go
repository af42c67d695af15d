// Command ergo-bench measures Ergo beside its peers.
//
//	ergo-bench loop      what both tiers cost on loopback; see package bench/loop
//	ergo-bench wan       what lies between tiers that are far apart; see package bench/wan
//	ergo-bench soak      whether Ergo grows with connections and time; see package bench/soak
//	ergo-bench report    one page of plots from the files that the others wrote with --json
//	ergo-bench backend   serves the demo backend until it is stopped
//
// A first look, and a run to be quoted:
//
//	go run ./bench/cmd/ergo-bench loop --duration 1s --rounds 2
//	go run ./bench/cmd/ergo-bench loop --rounds 7 --json loop.json
//	go run ./bench/cmd/ergo-bench wan --only matrix --losses 0,1 --rounds 3 --json wan.json
//	go run ./bench/cmd/ergo-bench soak --idle 10000 --duration 15m --json soak.json
//	go run ./bench/cmd/ergo-bench report --out report.html loop.json wan.json soak.json
//
// Peers are taken from Debian's packages nginx and haproxy; one that is not
// installed is left out, and the table says so. Close everything else that uses
// the CPU, look at the spread (above 10 % the run is not worth quoting), and
// compare ratios: figures of two runs, let alone two machines, say little.
//
// It exits with 0, with 1 if something failed or soak saw something grow, and with 2 if it was called
// wrongly. Ctrl-C ends it and all that it started.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/ergoproxy/ergo/deploy/demo"
)

const usage = `usage: ergo-bench COMMAND [flags]

  loop      measure what both tiers cost on loopback, beside the peers
  wan       measure requests and downloads over an emulated WAN, beside the peers (as root)
  soak      hold idle connections, run a mixed load for long, see what grows
  report    make one HTML page with plots from result files
  backend   serve the demo backend until stopped

ergo-bench COMMAND --help lists the flags.
`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// errUsage is matched by errors of the one who called.
var errUsage = errors.New("wrong call")

// run does what args ask for and returns the exit code.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	commands := map[string]func(context.Context, []string, io.Writer, io.Writer) error{
		"loop": runLoop, "wan": runWAN, "soak": runSoak, "report": runReport, "backend": runBackend,
	}
	if len(args) == 0 || commands[args[0]] == nil {
		fmt.Fprint(stderr, usage)
		return 2
	}
	err := commands[args[0]](ctx, args[1:], stdout, stderr)
	switch {
	case err == nil, errors.Is(err, flag.ErrHelp):
		return 0
	case errors.Is(err, errUsage):
		fmt.Fprintf(stderr, "ergo-bench %s: %v\n", args[0], err)
		return 2
	default:
		fmt.Fprintf(stderr, "ergo-bench %s: %v\n", args[0], err)
		return 1
	}
}

// parse reads flags, prints help to stderr, and takes no further arguments.
func parse(flags *flag.FlagSet, args []string, stderr io.Writer) error {
	err := parseFlags(flags, "", args, stderr)
	if err == nil && flags.NArg() > 0 {
		err = fmt.Errorf("%w: unexpected argument %q", errUsage, flags.Arg(0))
	}
	return err
}

// parseFlags is parse for a command that takes further arguments, called
// operands in its help.
func parseFlags(flags *flag.FlagSet, operands string, args []string, stderr io.Writer) error {
	flags.SetOutput(io.Discard) // the error is printed once, by run
	flags.Usage = func() {}
	err := flags.Parse(args)
	if errors.Is(err, flag.ErrHelp) {
		flags.SetOutput(stderr)
		fmt.Fprintf(stderr, "usage: ergo-bench %s [flags]%s\n", flags.Name(), operands)
		flags.PrintDefaults()
		return err
	}
	if err != nil {
		return fmt.Errorf("%w: %w", errUsage, err)
	}
	return nil
}

func runBackend(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	c := demo.Config{Grace: 5 * time.Second}
	flags := flag.NewFlagSet("backend", flag.ContinueOnError)
	flags.StringVar(&c.Address, "listen", "127.0.0.1:0", "host:port to listen on; port 0: a free one")
	flags.StringVar(&c.Name, "name", "demo", "what the backend calls itself")
	if err := parse(flags, args, stderr); err != nil {
		return err
	}
	server, err := demo.Listen(c)
	if err != nil {
		return err
	}
	fmt.Fprintln(stdout, server.URL())
	return server.Run(ctx)
}
