package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ergoproxy/ergo/bench/loop"
	"github.com/ergoproxy/ergo/bench/peers"
	"github.com/ergoproxy/ergo/shared/config"
)

func runLoop(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	c := loop.Config{Connections: []int{1, 64}, Sizes: []config.Bytes{1 << 10, 1 << 20}, Peers: peers.Peers(), Certs: peers.WriteCertificates, Progress: stderr}
	flags := flag.NewFlagSet("loop", flag.ContinueOnError)
	flags.TextVar((*config.Duration)(&c.Duration), "duration", config.Duration(4*time.Second), "`length` of one measurement")
	flags.TextVar((*config.Duration)(&c.Warmup), "warmup", config.Duration(500*time.Millisecond), "`length` of the load before each measurement that does not count")
	flags.IntVar(&c.Rounds, "rounds", 3, "how often each chain is measured, in turn with the others")
	flags.IntVar(&c.BulkConnections, "bulk-connections", 8, "connections for bodies of 256KiB and more")
	flags.Func("peers", "comma-separated `names` of peers, or none (default "+strings.Join(c.Peers, ",")+")", list(&c.Peers, parsePeer))
	flags.Func("connections", "comma-separated `numbers` of connections (default 1,64)", list(&c.Connections, strconv.Atoi))
	flags.Func("sizes", "comma-separated `sizes` of bodies (default 1KiB,1MiB)", list(&c.Sizes, parseSize))
	flags.BoolVar(&c.Plain, "plain", false, "measure an Ergo whose link is off too, as ergo-plain")
	jsonFile := flags.String("json", "", "`file` to write the results to")
	flags.StringVar(&c.ProfileDir, "pprof", "", "`directory` for CPU profiles of Ergo's tiers, taken in the first round")
	flags.StringVar(&c.EdgeProgram, "ergo-edge", "", "ergo-edge `program` to measure (default: built from this module)")
	flags.StringVar(&c.CoreProgram, "ergo-core", "", "ergo-core `program` to measure (default: built from this module)")
	if err := parse(flags, args, stderr); err != nil {
		return err
	}
	if err := c.Validate(); err != nil {
		return fmt.Errorf("%w: %w", errUsage, err)
	}
	if c.ProfileDir != "" {
		if err := os.MkdirAll(c.ProfileDir, 0o755); err != nil {
			return err
		}
	}
	report, err := loop.Run(ctx, c)
	if err != nil {
		return err
	}
	if err := report.WriteTable(stdout); err != nil {
		return err
	}
	return writeJSON(*jsonFile, report)
}

// writeJSON writes a report; no path: nowhere.
func writeJSON(path string, report any) error {
	if path == "" {
		return nil
	}
	content, err := json.MarshalIndent(report, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(content, '\n'), 0o644)
}

// list reads comma-separated values into to. It refuses an empty item.
func list[T any](to *[]T, item func(string) (T, error)) func(string) error {
	return func(text string) error {
		*to = nil
		if text == "none" {
			return nil
		}
		for word := range strings.SplitSeq(text, ",") {
			value, err := item(strings.TrimSpace(word))
			if err != nil {
				return err
			}
			*to = append(*to, value)
		}
		return nil
	}
}

func parsePeer(name string) (string, error) {
	if !slices.Contains(peers.Peers(), name) {
		return "", fmt.Errorf("no peer %q, want %s or none", name, strings.Join(peers.Peers(), ", "))
	}
	return name, nil
}

func parseSize(text string) (size config.Bytes, err error) {
	err = size.UnmarshalText([]byte(text))
	return size, err
}
