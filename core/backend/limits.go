package backend

import (
	"time"

	"github.com/ergoproxy/ergo/shared/config"
	"github.com/ergoproxy/ergo/shared/retry"
)

// Timeouts says how long each step of a request to a backend may take. 0 means no
// limit where it says so.
type Timeouts struct {
	// Resolving the name and opening a TCP connection. Default 2s.
	Connect config.Duration `yaml:"connect"`
	// The TLS handshake. Default 3s.
	TLSHandshake config.Duration `yaml:"tls_handshake"`
	// From the end of the request to the head of the response. Default 30s; 0:
	// no limit.
	ResponseHeader config.Duration `yaml:"response_header"`
	// How long to wait for a 100 (Continue) before the body is sent without
	// it. Default 1s; 0: the body is sent at once.
	Continue config.Duration `yaml:"continue"`
	// How long a connection may stay unused. Should be less than what the
	// backend allows. Default 90s.
	IdleConnection config.Duration `yaml:"idle_connection"`
	// The whole request, all tries and the body of the response included.
	// Default 0: no limit but that of the route and of the client.
	Request config.Duration `yaml:"request"`
}

// SetDefaults implements config.Defaulter.
func (t *Timeouts) SetDefaults() {
	*t = Timeouts{
		Connect:        config.Duration(2 * time.Second),
		TLSHandshake:   config.Duration(3 * time.Second),
		ResponseHeader: config.Duration(30 * time.Second),
		Continue:       config.Duration(time.Second),
		IdleConnection: config.Duration(90 * time.Second),
	}
}

// Validate implements config.Validator.
func (t *Timeouts) Validate(r *config.Report) {
	for _, f := range []struct {
		key   string
		value config.Duration
	}{{"connect", t.Connect}, {"tls_handshake", t.TLSHandshake}, {"idle_connection", t.IdleConnection}} {
		if f.value == 0 {
			r.Errorf(f.key, "is 0, want a duration above 0")
		}
	}
}

// Limits bounds the connections to one backend, and who waits for one.
type Limits struct {
	// Open connections to one backend, those being opened included. Default
	// 1024.
	Connections int `yaml:"connections"`
	// Of these, how many may be unused. Default 256.
	IdleConnections int `yaml:"idle_connections"`
	// Requests that may wait for a connection to one backend; more are
	// answered with 503. Default 1024; 0: none waits.
	Queue int `yaml:"queue"`
	// Longest wait in the queue, then 503. Default 5s.
	QueueTimeout config.Duration `yaml:"queue_timeout"`
	// Largest head of a response, in bytes. Default 64KiB.
	ResponseHeader config.Bytes `yaml:"response_header"`
}

// SetDefaults implements config.Defaulter.
func (l *Limits) SetDefaults() {
	*l = Limits{
		Connections:     1024,
		IdleConnections: 256,
		Queue:           1024,
		QueueTimeout:    config.Duration(5 * time.Second),
		ResponseHeader:  64 << 10,
	}
}

// Validate implements config.Validator.
func (l *Limits) Validate(r *config.Report) {
	if l.Connections < 1 {
		r.Errorf("connections", "%d is too few, want 1 or more", l.Connections)
	}
	if l.IdleConnections < 0 {
		r.Errorf("idle_connections", "%d is negative, want 0 or more", l.IdleConnections)
	}
	if l.Queue < 0 {
		r.Errorf("queue", "%d is negative, want 0 or more", l.Queue)
	}
	if l.Queue > 0 && l.QueueTimeout == 0 {
		r.Errorf("queue_timeout", "is 0, want a duration above 0; queue: 0 turns waiting off")
	}
	if l.ResponseHeader < 1<<10 || l.ResponseHeader > 16<<20 {
		r.Errorf("response_header", "%v is out of range, want 1KiB to 16MiB", l.ResponseHeader)
	}
}

// Retries says when a failed request is sent again: only if the backend
// provably did not begin it, or if its method is idempotent.
type Retries struct {
	// Tries in all, the first included. Default 3; 1: none is repeated.
	Tries int `yaml:"tries"`
	// Retries allowed as a share of the requests of the last ten seconds. A try that
	// reached no backend needs none.
	// Default 0.2.
	Budget float64 `yaml:"budget"`
	// Retries per second allowed besides, for pools with little traffic.
	// Default 3.
	MinPerSecond float64 `yaml:"min_per_second"`
	// Largest part of a request body, in bytes, that is kept in memory for a
	// retry. Default 64KiB; 0: only a body of which nothing was sent.
	BodyLimit config.Bytes `yaml:"body_limit"`
}

// SetDefaults implements config.Defaulter.
func (c *Retries) SetDefaults() {
	*c = Retries{Tries: 3, Budget: 0.2, MinPerSecond: 3, BodyLimit: retry.DefaultBodyLimit}
}

// Validate implements config.Validator.
func (c *Retries) Validate(r *config.Report) {
	if c.Tries < 1 || c.Tries > 10 {
		r.Errorf("tries", "%d is out of range, want 1 to 10", c.Tries)
	}
	if !(c.Budget >= 0 && c.Budget <= 1) {
		r.Errorf("budget", "%v is no share, want 0 to 1", c.Budget)
	}
	if !(c.MinPerSecond >= 0 && c.MinPerSecond <= 1000) {
		r.Errorf("min_per_second", "%v is out of range, want 0 to 1000", c.MinPerSecond)
	}
	if c.BodyLimit > 16<<20 {
		r.Errorf("body_limit", "%v is too much, want at most 16MiB", c.BodyLimit)
	}
}
