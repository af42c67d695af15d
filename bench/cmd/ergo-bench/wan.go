package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ergoproxy/ergo/bench/wan"
	"github.com/ergoproxy/ergo/shared/config"
)

func runWAN(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	c := wan.Default()
	c.Progress, c.Command = stderr, strings.Join(append([]string{"ergo-bench", "wan"}, args...), " ")
	flags := flag.NewFlagSet("wan", flag.ContinueOnError)
	flags.Func("only", "comma-separated `sets` of measurements, soak among them (default "+strings.Join(c.Sets, ",")+")", list(&c.Sets, oneOf("set", wan.AllSets())))
	flags.Func("systems", "comma-separated `names` (default "+strings.Join(c.Systems, ",")+")", list(&c.Systems, oneOf("system", wan.Systems())))
	flags.Func("rtts", "comma-separated round-trip `times` of the matrix (default 80ms)", list(&c.RTTs, parseRTT))
	flags.Func("losses", "comma-separated losses each way of the matrix, in `percent` (default 0,0.1,1,3)", list(&c.Losses, parsePercent))
	flags.Func("workloads", "comma-separated `SIZE@RATE` of the matrix, bursts and reordering; rates are requests/s (default 1KiB@200,100KiB@20,2000000@2)", list(&c.Workloads, parseWorkload))
	flags.TextVar((*config.Duration)(&c.Duration), "duration", config.Duration(0), "`length` of each measurement; 0s: as long as its kind needs")
	flags.IntVar(&c.Repeats, "repeats", c.Repeats, "how often a cell is measured again at most if the machine stood still meanwhile")
	flags.IntVar(&c.Rounds, "rounds", c.Rounds, "how often each cell of a table is measured, the systems in turn")
	jsonFile := flags.String("json", "", "`file` to write the results to")
	flags.StringVar(&c.EdgeProgram, "ergo-edge", "", "ergo-edge `program` to measure (default: built from this module)")
	flags.StringVar(&c.CoreProgram, "ergo-core", "", "ergo-core `program` to measure (default: built from this module)")
	if err := parse(flags, args, stderr); err != nil {
		return err
	}
	if err := c.Validate(); err != nil {
		return fmt.Errorf("%w: %w", errUsage, err)
	}
	result, err := wan.Run(ctx, c)
	if result == nil {
		return err
	}
	return errors.Join(err, result.WriteTable(stdout), writeJSON(*jsonFile, result))
}

// oneOf takes a name of a list.
func oneOf(what string, names []string) func(string) (string, error) {
	return func(name string) (string, error) {
		if !slices.Contains(names, name) {
			return "", fmt.Errorf("no %s %q, want some of %s", what, name, strings.Join(names, ", "))
		}
		return name, nil
	}
}

func parseRTT(text string) (time.Duration, error) {
	var d config.Duration
	err := d.UnmarshalText([]byte(text))
	return d.Std(), err
}

func parsePercent(text string) (float64, error) {
	percent, err := strconv.ParseFloat(strings.TrimSuffix(text, "%"), 64)
	if err != nil {
		return 0, fmt.Errorf("%q is no loss, want percent such as 0.1", text)
	}
	return percent / 100, nil
}

func parseWorkload(text string) (wan.Workload, error) {
	bytes, rate, found := strings.Cut(text, "@")
	size, err := parseSize(bytes)
	if err != nil || !found {
		return wan.Workload{}, fmt.Errorf("%q is no workload, want a size and requests/s such as 1KiB@200", text)
	}
	perSecond, err := strconv.ParseFloat(rate, 64)
	if err != nil || !(perSecond > 0) {
		return wan.Workload{}, fmt.Errorf("%q is no workload: rate %q, want requests/s", text, rate)
	}
	return wan.NewWorkload(int64(size), perSecond), nil
}
