// Package daemon is what the two daemons have in common around their tier: flags,
// signals, reloads, exit codes.
//
//	--check    0, or 1 with every problem of the file on a line of its own
//	SIGHUP     reopens the access log and reloads the file
//	a changed  file, or a file it names (certificates, keys, secrets), reloads
//	SIGTERM    drains; a second one, or SIGINT, ends at once
//
// A file that cannot be put into force changes nothing: the daemon logs why and
// goes on as it was.
package daemon

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/sync/errgroup"

	"github.com/ergoproxy/ergo/shared/config"
	"github.com/ergoproxy/ergo/shared/telemetry"
)

// A Tier is what a daemon runs.
type Tier[C any] interface {
	// Listen opens every socket or none.
	Listen() error
	// Run serves until ctx ends, then drains.
	Run(ctx context.Context) error
	// Reload puts a new configuration into force, or changes nothing.
	Reload(c *C) error
	// Reopen opens log files anew.
	Reopen() error
}

// A Program is a daemon whose configuration is a C.
type Program[C any] struct {
	Name string // "ergo-edge"
	// Log returns the settings of the daemon's own log.
	Log func(c *C) telemetry.LogConfig
	// Memory returns what the Go runtime may use.
	Memory func(c *C) Memory
	// New makes the tier. It opens no socket.
	New func(c *C, log zerolog.Logger) (Tier[C], error)
}

// watchInterval is the time between two looks at the files.
const watchInterval = time.Second

// Main runs p with the command line args and returns the exit code: 0 after a
// drain or a good check, 1 for a bad configuration or a failure, 2 for wrong usage.
func (p Program[C]) Main(args []string, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet(p.Name, flag.ContinueOnError)
	flags.SetOutput(stderr)
	path := flags.String("config", "", "the configuration `file`")
	check := flags.Bool("check", false, "say whether the configuration is valid, and exit")
	version := flags.Bool("version", false, "print the version, and exit")
	if flags.Parse(args) != nil {
		return 2
	}
	switch {
	case *version:
		fmt.Fprintln(stdout, p.Name, telemetry.BuildInfo())
		return 0
	case flags.NArg() > 0:
		fmt.Fprintf(stderr, "%s: unexpected argument %q\n", p.Name, flags.Arg(0))
		return 2
	case *path == "":
		fmt.Fprintf(stderr, "%s: --config is missing, want the path of a YAML file\n", p.Name)
		return 2
	}
	c := new(C)
	loaded, err := config.Load(*path, c)
	if err != nil {
		fmt.Fprintln(stderr, err)
		return 1
	}
	if *check {
		for _, w := range loaded.Warnings {
			fmt.Fprintln(stderr, "warning:", w)
		}
		fmt.Fprintf(stdout, "%s: ok\n", *path)
		return 0
	}
	return p.run(*path, c, loaded, stdout, stderr)
}

func (p Program[C]) run(path string, c *C, loaded *config.Loaded, stdout, stderr io.Writer) int {
	log := telemetry.NewLogger(stderr, p.Log(c))
	telemetry.WarnOldToolchain(log)
	warn(log, loaded)
	headroom := p.Memory(c).apply()
	defer runtime.KeepAlive(headroom)
	tier, err := p.New(c, log)
	if err == nil {
		err = tier.Listen()
	}
	if err != nil {
		fmt.Fprintf(stderr, "%s: %v\n", p.Name, err)
		return 1
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal ends the process the default way
	log.Info().Str(telemetry.KeyVersion, telemetry.BuildInfo().String()).Str(telemetry.KeyConfig, path).Msg("started")
	if err := p.serve(ctx, path, tier, loaded, log); err != nil {
		log.Error().Err(err).Msg("stopped")
		return 1
	}
	log.Info().Msg("stopped")
	return 0
}

func warn(log zerolog.Logger, loaded *config.Loaded) {
	for _, w := range loaded.Warnings {
		log.Warn().Str(telemetry.KeyDetail, w.String()).Msg("configuration can be better")
	}
}

// serve runs the tier, and the reloads beside it.
func (p Program[C]) serve(ctx context.Context, path string, tier Tier[C], loaded *config.Loaded, log zerolog.Logger) error {
	var latest atomic.Pointer[config.Loaded]
	latest.Store(loaded)
	reload := func() {
		c := new(C)
		next, err := config.Load(path, c)
		latest.Store(next)
		warn(log, next)
		if err == nil {
			err = tier.Reload(c)
		}
		if err != nil {
			log.Error().Err(err).Str(telemetry.KeyConfig, path).Msg("configuration not put into force, the one before stays")
			return
		}
		log.Info().Str(telemetry.KeyConfig, path).Msg("configuration put into force")
	}
	side, stopSide := context.WithCancel(ctx)
	g, side := errgroup.WithContext(side)
	changed := make(chan struct{}, 1)
	g.Go(func() error {
		config.Watch(side, watchInterval, latest.Load, func() { changed <- struct{}{} })
		return nil
	})
	g.Go(func() error {
		hup := make(chan os.Signal, 1)
		signal.Notify(hup, syscall.SIGHUP)
		defer signal.Stop(hup)
		for {
			select {
			case <-side.Done():
				return nil
			case <-hup:
				if err := tier.Reopen(); err != nil {
					log.Error().Err(err).Msg("log file not opened anew")
				}
				reload()
			case <-changed:
				reload()
			}
		}
	})
	err := tier.Run(ctx)
	stopSide()
	g.Wait()
	return err
}
