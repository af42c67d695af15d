package l2

import (
	"strings"
	"testing"
	"time"

	"github.com/ergoproxy/ergo/shared/config"
)

func TestParseAddress(t *testing.T) {
	for _, tt := range []struct {
		address string
		want    endpoint
	}{
		{"redis:6379", endpoint{network: "tcp", addr: "redis:6379", host: "redis"}},
		{"[::1]:6379", endpoint{network: "tcp", addr: "[::1]:6379", host: "::1"}},
		{"redis://cache", endpoint{network: "tcp", addr: "cache:6379", host: "cache"}},
		{"redis://cache:7000/3", endpoint{network: "tcp", addr: "cache:7000", host: "cache", db: 3}},
		{"redis://[::1]/", endpoint{network: "tcp", addr: "[::1]:6379", host: "::1"}},
		{"rediss://cache:7000", endpoint{network: "tcp", addr: "cache:7000", host: "cache", tls: true}},
		{"unix:///run/redis/redis.sock", endpoint{network: "unix", addr: "/run/redis/redis.sock"}},
	} {
		got, err := parseAddress(tt.address)
		if err != nil || got != tt.want {
			t.Errorf("%s: got %+v, %v, want %+v", tt.address, got, err, tt.want)
		}
	}
}

func TestParseAddressRefuses(t *testing.T) {
	for _, tt := range []struct{ address, want string }{
		{"", "is required"},
		{"redis", "has no port"},
		{"http://redis:6379", "unknown scheme"},
		{"redis://user:hunter2@redis:6379", "has a user or password in it"},
		{"redis://redis:6379/x", `"x" is no number of a database`},
		{"redis://redis:6379/3/4", "is no number of a database"},
		{"redis://redis:6379?db=3", "has a query"},
		{"redis://redis:99999", "out of range"},
		{"redis://:6379", "has no host"},
		{"redis://user:hunter2@%zz", "is no address"},
		{"unix://redis.sock", "has no path"},
		{"unix:///", "has no path"},
	} {
		_, err := parseAddress(tt.address)
		if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%q: got %v, want it to say %q", tt.address, err, tt.want)
		}
	}
}

func TestConfigRefuses(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(*Config)
		want   string
	}{
		{"TLS without rediss", func(c *Config) { c.TLS.ServerName = "x" }, "tls: is set"},
		{"user without password", func(c *Config) { c.Username = "ergo" }, "password: is missing"},
		{"no prefix", func(c *Config) { c.Prefix = "" }, "prefix:"},
		{"prefix with a space", func(c *Config) { c.Prefix = "a b" }, "prefix:"},
		{"no budget", func(c *Config) { c.Budget = 0 }, "budget:"},
		{"long budget", func(c *Config) { c.Budget = config.Duration(time.Minute) }, "budget:"},
		{"timeout below the budget", func(c *Config) { c.Timeout = config.Duration(time.Millisecond) }, "timeout:"},
		{"small max_value", func(c *Config) { c.MaxValue = 10 }, "max_value:"},
		{"large max_value", func(c *Config) { c.MaxValue = 1 << 30 }, "max_value:"},
		{"no connections", func(c *Config) { c.Connections = 0 }, "connections:"},
		{"nothing may wait", func(c *Config) { c.MaxWaiting = 0 }, "max_waiting:"},
		{"large batch", func(c *Config) { c.Batch = 5000 }, "batch:"},
		{"long delay", func(c *Config) { c.BatchDelay = config.Duration(time.Hour) }, "batch_delay:"},
		{"no queue", func(c *Config) { c.Queue.Entries = 0 }, "queue.entries:"},
		{"queue below one value", func(c *Config) { c.Queue.Bytes = 1000 }, "queue.bytes:"},
		{"no log", func(c *Config) { c.PurgeLog = 0 }, "purge_log:"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var c Config
			c.SetDefaults()
			c.Address = "redis:6379"
			var before, after config.Report
			if c.Validate(&before); len(before.Problems()) != 0 {
				t.Fatalf("the defaults are refused: %v", before.Problems())
			}
			tt.change(&c)
			c.Validate(&after)
			if len(after.Problems()) == 0 || !strings.Contains(after.Problems()[0].String(), tt.want) {
				t.Errorf("got %v, want %q", after.Problems(), tt.want)
			}
		})
	}
}

func TestBreakerConfigRefuses(t *testing.T) {
	for _, b := range []Breaker{{}, {Failures: 33, CoolDown: 1}, {Failures: 5}} {
		var r config.Report
		if b.Validate(&r); len(r.Problems()) == 0 {
			t.Errorf("%+v is taken", b)
		}
	}
}

func TestOutcomesHaveNames(t *testing.T) {
	seen := map[string]bool{}
	for _, o := range Outcomes() {
		if o.String() == "" || seen[o.String()] {
			t.Errorf("outcome %d is %q", o, o)
		}
		seen[o.String()] = true
	}
	if Outcome(len(seen)).String() != "invalid" {
		t.Error("an outcome that is none has a name")
	}
}
