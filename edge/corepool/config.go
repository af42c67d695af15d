package corepool

import (
	"slices"
	"strings"

	"github.com/ergoproxy/ergo/shared/balance"
	"github.com/ergoproxy/ergo/shared/config"
	"github.com/ergoproxy/ergo/shared/health"
)

// Config says how a core is chosen and when an exchange is sent again.
type Config struct {
	// How a core is chosen for an exchange: round_robin, random, least_requests, or p2c,
	// the less busy of two drawn at random. Default p2c.
	Balance string `yaml:"balance"`
	// When an exchange is sent to a second core.
	Retry Retry `yaml:"retry"`
	// When a core that fails exchanges is left out for a while. Apart from that, a core
	// is left out while no connection to it answers, or while it drains.
	Health health.Passive `yaml:"health"`
}

// Retry limits the tries of one exchange and of all together. Sent to a second core is
// what never reached the first, what the first says it has not begun, and what is
// idempotent: never a POST that a backend may have seen.
type Retry struct {
	// Tries of one exchange in all, the first one included; 1 to 10. Default 3. 1: none
	// is repeated.
	Attempts int `yaml:"attempts"`
	// Retries allowed for each exchange of the last ten seconds, 0 to 1: 0.5 is one for
	// two. A try that reached no core needs none. Default 0.5.
	Ratio float64 `yaml:"ratio"`
	// Retries allowed each second on top of that, for edges with little traffic; 0 to
	// 1000000. Default 50.
	PerSecond float64 `yaml:"per_second"`
	// Bytes of a request's body that are kept in memory so that it can be sent again; at
	// most 16MiB. A longer body is sent once. Default 64KiB. 0: only requests of whose body
	// nothing was sent are sent again.
	BodyBuffer config.Bytes `yaml:"body_buffer"`
}

// SetDefaults sets the defaults.
func (c *Config) SetDefaults() { c.Balance = balance.PowerOfTwo }

// Validate reports what is wrong with c.
func (c *Config) Validate(r *config.Report) {
	if !slices.Contains(balance.Names(), c.Balance) {
		r.Errorf("balance", "%q is not one of %s", c.Balance, strings.Join(balance.Names(), ", "))
	}
}

// SetDefaults sets the defaults.
func (c *Retry) SetDefaults() {
	*c = Retry{Attempts: 3, Ratio: 0.5, PerSecond: 50, BodyBuffer: 64 << 10}
}

// Validate reports what is wrong with c.
func (c *Retry) Validate(r *config.Report) {
	if c.Attempts < 1 || c.Attempts > 10 {
		r.Errorf("attempts", "%d is out of range, want 1 to 10", c.Attempts)
	}
	if c.Ratio < 0 || c.Ratio > 1 {
		r.Errorf("ratio", "%g is out of range, want 0 to 1", c.Ratio)
	}
	if c.PerSecond < 0 || c.PerSecond > 1e6 {
		r.Errorf("per_second", "%g is out of range, want 0 to 1000000", c.PerSecond)
	}
	if c.BodyBuffer > 16<<20 {
		r.Errorf("body_buffer", "%s is too much, want at most 16MiB", c.BodyBuffer)
	}
}
