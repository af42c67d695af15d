// Package telemetry builds what the tiers are watched by: the logger, the
// registry of metrics, and the facts about the binary. Nothing in it is global:
// each tier makes its own and passes them on.
//
// Metrics are made during construction and cost one atomic operation or a few
// on the path of a request:
//
//	requests := registry.Counter("edge_requests_total", "Requests answered.", telemetry.KeyProto)
//	h1 := requests.With("HTTP/1.1") // once
//	h1.Inc()                        // per request
//
// A metric never holds more than MaxSeries label sets, whatever is put in.
// Everything here is safe for concurrent use.
package telemetry

import (
	"io"
	"os"
	"time"

	"github.com/mattn/go-isatty"
	"github.com/rs/zerolog"

	"github.com/ergoproxy/ergo/shared/config"
)

// Forms of a log line.
const (
	FormatJSON    = "json"    // one JSON object a line
	FormatConsole = "console" // for people, coloured unless NO_COLOR is set
)

// LogConfig says what a tier logs about itself. Access logs are configured by
// their own package.
type LogConfig struct {
	// Level is the least severe level written: debug, info, warn or error.
	// Default info.
	Level string `yaml:"level"`
	// Format is json (one object a line, times in UTC) or console (for people).
	// Default json.
	Format string `yaml:"format"`
}

// SetDefaults sets level info and format json.
func (c *LogConfig) SetDefaults() { c.Level, c.Format = zerolog.LevelInfoValue, FormatJSON }

// Validate reports unknown words.
func (c *LogConfig) Validate(r *config.Report) {
	if _, ok := level(c.Level); !ok {
		r.Errorf("level", "unknown level %q, want debug, info, warn or error", c.Level)
	}
	if c.Format != FormatJSON && c.Format != FormatConsole {
		r.Errorf("format", "unknown format %q, want %s or %s", c.Format, FormatJSON, FormatConsole)
	}
}

func level(name string) (zerolog.Level, bool) {
	switch name {
	case zerolog.LevelDebugValue, zerolog.LevelInfoValue, zerolog.LevelWarnValue, zerolog.LevelErrorValue:
		l, err := zerolog.ParseLevel(name)
		return l, err == nil
	}
	return zerolog.NoLevel, false
}

// NewLogger returns a logger that writes to w what c, which must be valid, asks
// for. Times have nanoseconds and are in UTC (RFC 3339). Each line is one Write;
// w must stand concurrent ones, as an *os.File does.
func NewLogger(w io.Writer, c LogConfig) zerolog.Logger {
	l, ok := level(c.Level)
	if !ok {
		panic("telemetry: log level " + c.Level + " was not validated")
	}
	if c.Format == FormatConsole {
		w = zerolog.SyncWriter(zerolog.ConsoleWriter{Out: w, TimeFormat: "15:04:05.000", NoColor: os.Getenv("NO_COLOR") != ""})
	}
	return zerolog.New(w).Level(l).Hook(zerolog.HookFunc(stamp))
}

// timeFormat has a fixed width, unlike time.RFC3339Nano, so that lines sort.
const timeFormat = "2006-01-02T15:04:05.000000000Z"

// stamp stands for zerolog's Timestamp, whose format and zone are package
// variables shared with everybody in the process.
func stamp(e *zerolog.Event, _ zerolog.Level, _ string) {
	e.Str(KeyTime, time.Now().UTC().Format(timeFormat))
}

// IsTerminal reports whether f is one, so that the console format fits.
func IsTerminal(f *os.File) bool { return isatty.IsTerminal(f.Fd()) }

// Milliseconds returns d as log lines print it: with microseconds as fraction.
func Milliseconds(d time.Duration) float64 {
	return float64(d.Microseconds()) / 1000
}
