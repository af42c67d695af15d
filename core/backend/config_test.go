package backend_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rs/zerolog"

	"github.com/ergoproxy/ergo/core/backend"
	"github.com/ergoproxy/ergo/shared/config"
)

// problems validates everything in c, as shared/config does for a file.
func problems(c *backend.Config) []config.Problem {
	var r config.Report
	for i := range c.Endpoints {
		c.Endpoints[i].Validate(&r)
	}
	if c.DNS != nil {
		c.DNS.Validate(&r)
	}
	c.TLS.Validate(&r)
	c.Timeouts.Validate(&r)
	c.Limits.Validate(&r)
	c.Retries.Validate(&r)
	c.Health.Validate(&r)
	c.Validate(&r)
	return r.Problems()
}

func TestSmallestConfigIsValid(t *testing.T) {
	var c backend.Config
	c.SetDefaults()
	for _, text := range []string{"http://10.0.0.5:3000", "https://app.internal", "h2c://[::1]:50051", "http://app/"} {
		var e backend.Endpoint
		if err := e.UnmarshalScalar(text); err != nil {
			t.Errorf("%s: %v", text, err)
		}
		c.Endpoints = append(c.Endpoints, e)
	}
	if p := problems(&c); p != nil {
		t.Errorf("problems %v", p)
	}
	c.Endpoints = nil
	c.DNS = new(backend.DNS)
	c.DNS.SetDefaults()
	c.DNS.Name = "app.internal"
	if p := problems(&c); p != nil {
		t.Errorf("problems %v", p)
	}
}

func TestWrongConfigs(t *testing.T) {
	tests := []struct {
		want   string // in a problem
		change func(c *backend.Config)
	}{
		{"endpoints: is empty", func(c *backend.Config) { c.Endpoints = nil }},
		{"is there already", func(c *backend.Config) { c.Endpoints = append(c.Endpoints, c.Endpoints[0]) }},
		{"is no endpoint", func(c *backend.Config) { c.Endpoints[0].URL = "10.0.0.5:3000" }},
		{"is no endpoint", func(c *backend.Config) { c.Endpoints[0].URL = "http://" }},
		{"unknown scheme", func(c *backend.Config) { c.Endpoints[0].URL = "ftp://a" }},
		{"1 to 65535", func(c *backend.Config) { c.Endpoints[0].URL = "http://a:65536" }},
		{"1 to 65535", func(c *backend.Config) { c.Endpoints[0].URL = "http://a:0" }},
		{"paths are for", func(c *backend.Config) { c.Endpoints[0].URL = "http://a/api" }},
		{"paths are for", func(c *backend.Config) { c.Endpoints[0].URL = "http://user:pw@a" }},
		{"is no host", func(c *backend.Config) { c.Endpoints[0].Host = "a/b" }},
		{"least_requests", func(c *backend.Config) { c.Balance = "fastest" }},
		{"auto, h1 or h2", func(c *backend.Config) { c.Protocol = "h3" }},
		{"but protocol is h1", func(c *backend.Config) { c.Protocol = "h1"; c.Endpoints[0].URL = "h2c://a" }},
		{"go together", func(c *backend.Config) { c.TLS.Cert = "a" }},
		{"min_version", func(c *backend.Config) { c.TLS.MinVersion = "1.1" }},
		{"connect: is 0", func(c *backend.Config) { c.Timeouts.Connect = 0 }},
		{"idle_connection: is 0", func(c *backend.Config) { c.Timeouts.IdleConnection = 0 }},
		{"connections: 0", func(c *backend.Config) { c.Limits.Connections = 0 }},
		{"idle_connections: -1", func(c *backend.Config) { c.Limits.IdleConnections = -1 }},
		{"queue: -1", func(c *backend.Config) { c.Limits.Queue = -1 }},
		{"queue_timeout: is 0", func(c *backend.Config) { c.Limits.QueueTimeout = 0 }},
		{"response_header: 100 ", func(c *backend.Config) { c.Limits.ResponseHeader = 100 }},
		{"tries: 0", func(c *backend.Config) { c.Retries.Tries = 0 }},
		{"budget: 2", func(c *backend.Config) { c.Retries.Budget = 2 }},
		{"min_per_second: -1", func(c *backend.Config) { c.Retries.MinPerSecond = -1 }},
		{"body_limit: 1GiB", func(c *backend.Config) { c.Retries.BodyLimit = 1 << 30 }},
		{"when_all_down", func(c *backend.Config) { c.Health.WhenAllDown = "x" }},
		{"name to look up", func(c *backend.Config) { c.DNS.Name = "http://a" }},
		{"a or srv", func(c *backend.Config) { c.DNS.Type = "aaaa" }},
		{"http, https or h2c", func(c *backend.Config) { c.DNS.Scheme = "tcp" }},
		{"is no port", func(c *backend.Config) { c.DNS.Port = 70000 }},
		{"whose records say", func(c *backend.Config) { c.DNS.Type, c.DNS.Port = "srv", 80 }},
		{"refresh: 1ms", func(c *backend.Config) { c.DNS.Refresh = 1e6 }},
		{"timeout: is 0", func(c *backend.Config) { c.DNS.Timeout = 0 }},
		{"max_endpoints: 0", func(c *backend.Config) { c.DNS.MaxEndpoints = 0 }},
	}
	for _, tt := range tests {
		var c backend.Config
		c.SetDefaults()
		c.Endpoints = []backend.Endpoint{{URL: "http://10.0.0.5:3000"}}
		c.DNS = new(backend.DNS)
		c.DNS.SetDefaults()
		c.DNS.Name = "app.internal"
		tt.change(&c)
		if tt.want == "endpoints: is empty" {
			c.DNS = nil
		}
		found := false
		for _, p := range problems(&c) {
			found = found || strings.Contains(fmt.Sprint(p.Key, ": ", p.Text), tt.want)
		}
		if !found {
			t.Errorf("problems %v, want one with %q", problems(&c), tt.want)
		}
	}
}

func TestUnusableFilesStopTheStart(t *testing.T) {
	empty := filepath.Join(t.TempDir(), "empty.pem")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for want, tls := range map[string]backend.TLS{
		"read CA certificates: open":         {CA: "/does/not/exist"},
		"holds none in PEM":                  {CA: config.Path(empty)},
		"read client certificate: open /doe": {Cert: "/does/not/exist", Key: "/does/not/exist"},
	} {
		var c backend.Config
		c.SetDefaults()
		c.TLS = tls
		if _, err := backend.New("web", c, backend.Deps{Log: zerolog.Nop()}); err == nil || !strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), "backends.web.tls: ") {
			t.Errorf("%v, want %q", err, want)
		}
	}
}
