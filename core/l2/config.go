package l2

import (
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/ergoproxy/ergo/shared/config"
)

// Config describes the server and what may be spent on it.
type Config struct {
	// The server: host:port, redis://host:port, rediss://host:port for TLS, or
	// unix:///path. The number of a database may follow the first three:
	// redis://host:port/3. Required.
	Address string `yaml:"address"`
	// Name of the ACL user. Default: the server's default user.
	Username string `yaml:"username"`
	// Its password. Default: none.
	Password config.Secret `yaml:"password"`
	// How a rediss:// server is verified, and how we show who we are.
	TLS TLS `yaml:"tls"`
	// What the names of all keys begin with. Stacks that share a server need
	// different ones. Default "ergo:".
	Prefix string `yaml:"prefix"`

	// How long a request may wait for a value. Default 25ms.
	Budget config.Duration `yaml:"budget"`
	// How long an operation may take in all before its connection is given up, the
	// time to connect included. Default 500ms, at least the budget.
	Timeout config.Duration `yaml:"timeout"`
	// Largest value that is stored or taken, with head, tags and key, before
	// compression. Default 1MiB, at most 64MiB.
	MaxValue config.Bytes `yaml:"max_value"`
	// Smallest body that is compressed. Default 1KiB. 0: none is.
	CompressFrom config.Bytes `yaml:"compress_from"`

	// Connections for Gets; a few more are used for the rest. Default 4, at most 64.
	Connections int `yaml:"connections"`
	// Gets that may wait for a connection; those beyond are not made. Default 512.
	MaxWaiting int `yaml:"max_waiting"`
	// Operations sent in one round trip. Up to connections × batch answers, each at
	// most of max_value, are in memory at once. Default 32, at most 1024.
	Batch int `yaml:"batch"`
	// How long the first write of a batch waits for others. Default 2ms. 0: it does
	// not.
	BatchDelay config.Duration `yaml:"batch_delay"`
	// Writes that wait to be sent. What does not fit is not stored.
	Queue Queue `yaml:"queue"`
	// When the server is left alone.
	Breaker Breaker `yaml:"breaker"`
	// Purges that the log keeps. A core that was away for more of them distrusts all
	// values stored before. Default 10000, at most 1000000.
	PurgeLog int `yaml:"purge_log"`
}

// TLS says how we and a rediss:// server know each other.
type TLS struct {
	// CA certificates, PEM, that sign the server's. Default: those of the system.
	CA config.Path `yaml:"ca"`
	// Certificate chain, PEM, that we show. Default: none.
	Cert config.Path `yaml:"cert"`
	// Private key of cert, PEM.
	Key config.Path `yaml:"key"`
	// Name that the server's certificate must hold. Default: the host of the
	// address.
	ServerName string `yaml:"server_name"`
}

// Queue bounds the writes that wait.
type Queue struct {
	// Writes. Default 4096.
	Entries int `yaml:"entries"`
	// Memory they hold. Default 64MiB.
	Bytes config.Bytes `yaml:"bytes"`
}

// Breaker says when the server is left alone.
type Breaker struct {
	// So many failures among the last twice as many Gets: none are sent any more.
	// Default 5, at most 32.
	Failures int `yaml:"failures"`
	// Time until the server is probed, and between two probes. Default 1s.
	CoolDown config.Duration `yaml:"cool_down"`
}

// Limits of the config.
const (
	maxValueLimit  = 64 << 20
	maxConnections = 64
	maxBatch       = 1024
	maxEntries     = 1 << 20
	maxPurgeLog    = 1_000_000
	maxFailures    = 32 // a breaker's history has 64 places
)

// SetDefaults sets the defaults.
func (c *Config) SetDefaults() {
	c.Prefix = "ergo:"
	c.Budget = config.Duration(25 * time.Millisecond)
	c.Timeout = config.Duration(500 * time.Millisecond)
	c.MaxValue = 1 << 20
	c.CompressFrom = 1 << 10
	c.Connections = 4
	c.MaxWaiting = 512
	c.Batch = 32
	c.BatchDelay = config.Duration(2 * time.Millisecond)
	c.Queue.SetDefaults()
	c.Breaker.SetDefaults()
	c.PurgeLog = 10_000
}

// SetDefaults sets the defaults.
func (q *Queue) SetDefaults() { *q = Queue{Entries: 4096, Bytes: 64 << 20} }

// SetDefaults sets the defaults.
func (b *Breaker) SetDefaults() {
	*b = Breaker{Failures: 5, CoolDown: config.Duration(time.Second)}
}

// Validate reports what is wrong with c.
func (c *Config) Validate(r *config.Report) {
	e, err := parseAddress(c.Address)
	r.Check("address", err)
	if err == nil && !e.tls && c.TLS != (TLS{}) {
		r.Errorf("tls", "is set, but %s is not spoken to over TLS, want rediss://host:port", c.Address)
	}
	if c.Username != "" && c.Password.IsZero() {
		r.Errorf("password", "is missing, username has one")
	}
	if c.Prefix == "" || len(c.Prefix) > 64 || strings.ContainsFunc(c.Prefix, func(c rune) bool { return c <= ' ' || c >= 0x7f }) {
		r.Errorf("prefix", "%q can't begin the name of a key, want 1 to 64 ASCII characters without spaces such as ergo:", c.Prefix)
	}
	if c.Budget == 0 || c.Budget.Std() > time.Second {
		r.Errorf("budget", "%v is out of range, want more than 0 and at most 1s", c.Budget)
	}
	if c.Timeout < c.Budget || c.Timeout.Std() > time.Minute {
		r.Errorf("timeout", "%v is out of range, want at least the budget of %v and at most 1m", c.Timeout, c.Budget)
	}
	if c.MaxValue < 1<<10 || c.MaxValue > maxValueLimit {
		r.Errorf("max_value", "%v is out of range, want 1KiB to %v", c.MaxValue, config.Bytes(maxValueLimit))
	}
	if c.BatchDelay.Std() > time.Second {
		r.Errorf("batch_delay", "%v is too long, want at most 1s", c.BatchDelay)
	}
	checkRange(r, "connections", c.Connections, maxConnections)
	checkRange(r, "max_waiting", c.MaxWaiting, maxEntries)
	checkRange(r, "batch", c.Batch, maxBatch)
	checkRange(r, "queue.entries", c.Queue.Entries, maxEntries)
	if c.Queue.Bytes < c.MaxValue {
		r.Errorf("queue.bytes", "%v does not hold one value, want at least max_value, %v", c.Queue.Bytes, c.MaxValue)
	}
	checkRange(r, "purge_log", c.PurgeLog, maxPurgeLog)
}

// Validate reports what is wrong with t.
func (t *TLS) Validate(r *config.Report) {
	if (t.Cert == "") != (t.Key == "") {
		r.Errorf("cert", "cert and key go together, only one of them is set")
	}
	r.CheckKeyPair(t.Cert, t.Key)
	r.CheckAuthorities("ca", t.CA)
}

// Validate reports what is wrong with b.
func (b *Breaker) Validate(r *config.Report) {
	checkRange(r, "failures", b.Failures, maxFailures)
	if b.CoolDown == 0 {
		r.Errorf("cool_down", "is 0, want a duration above 0")
	}
}

func checkRange(r *config.Report, key string, n, most int) {
	if n < 1 || n > most {
		r.Errorf(key, "%d is out of range, want 1 to %d", n, most)
	}
}

// endpoint is what an address says.
type endpoint struct {
	network string // "tcp" or "unix"
	addr    string // host:port or path
	host    string // of TCP
	db      int
	tls     bool
}

// parseAddress reads Config.Address.
func parseAddress(s string) (endpoint, error) {
	const want = "want host:port, redis://host:port, rediss://host:port or unix:///path"
	if !strings.Contains(s, "://") {
		if err := config.CheckDialAddress(s); err != nil {
			return endpoint{}, fmt.Errorf("%w; or a URL with redis://, rediss:// or unix://", err)
		}
		host, _, err := net.SplitHostPort(s)
		return endpoint{network: "tcp", addr: s, host: host}, err
	}
	u, err := url.Parse(s)
	if err != nil {
		return endpoint{}, fmt.Errorf("is no address, %s", want) // the cause repeats the URL, and a password in it
	}
	if u.User != nil {
		return endpoint{}, fmt.Errorf("has a user or password in it, want them as username and password, which is read from a file")
	}
	if u.RawQuery != "" || u.Fragment != "" {
		return endpoint{}, fmt.Errorf("%q has a query, %s", s, want)
	}
	e := endpoint{network: "tcp", addr: u.Host, host: u.Hostname(), tls: u.Scheme == "rediss"}
	switch u.Scheme {
	case "unix":
		if u.Host != "" || u.Path == "" || u.Path == "/" {
			return endpoint{}, fmt.Errorf("%q has no path, want one such as unix:///run/redis/redis.sock", s)
		}
		return endpoint{network: "unix", addr: u.Path}, nil
	case "redis", "rediss":
	default:
		return endpoint{}, fmt.Errorf("%q has an unknown scheme, %s", s, want)
	}
	if u.Port() == "" {
		e.addr = net.JoinHostPort(e.host, "6379")
	}
	if err := config.CheckDialAddress(e.addr); err != nil {
		return endpoint{}, err
	}
	if db := strings.TrimPrefix(u.Path, "/"); db != "" {
		n, err := strconv.ParseUint(db, 10, 16)
		if err != nil {
			return endpoint{}, fmt.Errorf("%q: %q is no number of a database, want one such as redis://%s/3", s, db, u.Host)
		}
		e.db = int(n)
	}
	return e, nil
}
