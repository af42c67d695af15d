package core

import (
	"io"

	"github.com/rs/zerolog"

	"github.com/ergoproxy/ergo/shared/daemon"
	"github.com/ergoproxy/ergo/shared/telemetry"
)

// Main runs a core as a daemon with the command line args, and returns its exit
// code.
func Main(args []string, stdout, stderr io.Writer) int {
	return daemon.Program[Config]{
		Name:   "ergo-core",
		Log:    func(c *Config) telemetry.LogConfig { return c.Log },
		Memory: func(c *Config) daemon.Memory { return c.Memory },
		New: func(c *Config, log zerolog.Logger) (daemon.Tier[Config], error) {
			return New(c, log.With().Str(telemetry.KeyTier, "core").Str(telemetry.KeyName, c.Name).Logger())
		},
	}.Main(args, stdout, stderr)
}
