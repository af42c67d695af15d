package accesslog

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/ergoproxy/ergo/shared/config"
)

// Values of Config.Query.
const (
	queryOff      = "off"
	queryRedacted = "redacted"
)

// What Config.Only may be.
const (
	OnlyAll      = "all"
	OnlyFailures = "failures"
)

// Config says where the access log goes and what it holds.
type Config struct {
	// Output is "stdout", "stderr", "off", or the path of a file that is
	// appended to and opened anew on SIGHUP. A path holds at least one "/", and is
	// relative to the working directory of the daemon, not to the config file.
	// Default: stdout.
	Output string `yaml:"output"`

	// Only is "all", or "failures" for the exchanges alone that a tier failed,
	// refused or cut short. Default: all; at a core failures, since the edge's
	// line tells the core's part.
	Only string `yaml:"only"`

	// Queue is the number of lines that wait for a slow output before further
	// ones are dropped and counted; 1 to 1048576. Default: 8192.
	Queue int `yaml:"queue"`

	// QueueBytes is the size of the lines that wait for a slow output before
	// further ones are dropped and counted; at least 64KiB. Default: 8MiB.
	QueueBytes config.Bytes `yaml:"queue_bytes"`

	// Query says what happens to the query of a URL: "off" leaves it out,
	// "redacted" logs it with the values of parameters replaced whose names
	// look like a secret (token, key, secret, password, signature, code, ...).
	// Default: off.
	Query string `yaml:"query"`

	// Redact names further parameters whose values are replaced when query is
	// "redacted", without regard to case. Default: none.
	Redact []string `yaml:"redact"`
}

// SetDefaults implements config.Defaulter.
func (c *Config) SetDefaults() {
	c.Output, c.Only = "stdout", OnlyAll
	c.Queue = 8192
	c.QueueBytes = 8 << 20
	c.Query = queryOff
}

// Validate implements config.Validator.
func (c *Config) Validate(r *config.Report) {
	if !c.toFile() && c.Output != "stdout" && c.Output != "stderr" && c.Output != "off" {
		r.Errorf("output", "is %q, want stdout, stderr, off, or a file path with a slash such as ./access.log", c.Output)
	}
	if c.toFile() {
		r.Check("output", checkFile(c.Output))
	}
	if c.Only != OnlyAll && c.Only != OnlyFailures {
		r.Errorf("only", "is %q, want all or failures", c.Only)
	}
	if c.Queue < 1 || c.Queue > 1<<20 {
		r.Errorf("queue", "is %d, want 1 to 1048576 lines", c.Queue)
	}
	if c.QueueBytes < 64<<10 {
		r.Errorf("queue_bytes", "is %s, want at least 64KiB", c.QueueBytes)
	}
	if c.Query != queryOff && c.Query != queryRedacted {
		r.Errorf("query", "is %q, want off or redacted", c.Query)
	}
	if len(c.Redact) > 0 && c.Query == queryOff {
		r.Errorf("redact", "has no effect while query is off")
	}
}

// checkFile returns what keeps a file from being appended to at path, as far as
// can be seen without opening it.
func checkFile(path string) error {
	dir := filepath.Dir(path)
	if info, err := os.Stat(dir); err != nil || !info.IsDir() {
		return fmt.Errorf("%q: there is no directory %s", path, dir)
	}
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		return fmt.Errorf("%q is a directory, want a file", path)
	}
	return nil
}

// Same reports whether c and other ask for the same.
func (c *Config) Same(other Config) bool {
	return c.Output == other.Output && c.Only == other.Only && c.Queue == other.Queue && c.QueueBytes == other.QueueBytes &&
		c.Query == other.Query && slices.Equal(c.Redact, other.Redact)
}

func (c *Config) toFile() bool { return strings.Contains(c.Output, "/") }
