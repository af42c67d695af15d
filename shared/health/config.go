package health

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/ergoproxy/ergo/shared/config"
)

// Config says how the members of a pool are watched.
type Config struct {
	// What requests tell: who fails them is left out for a while.
	Passive Passive `yaml:"passive"`
	// What probes tell. Without a path there are no probes.
	Active Active `yaml:"active"`
	// What to do with a request when no member is up: "try" sends it to one
	// that is down, since it may have come back; "fail" answers 503 at once.
	// Default "try".
	WhenAllDown string `yaml:"when_all_down"`
}

// Words for Config.WhenAllDown.
const (
	TryWhenAllDown  = "try"
	FailWhenAllDown = "fail"
)

// SetDefaults implements config.Defaulter.
func (c *Config) SetDefaults() {
	c.Passive.SetDefaults()
	c.Active.SetDefaults()
	c.WhenAllDown = TryWhenAllDown
}

// Validate implements config.Validator.
func (c *Config) Validate(r *config.Report) {
	if c.WhenAllDown != TryWhenAllDown && c.WhenAllDown != FailWhenAllDown {
		r.Errorf("when_all_down", "%q is not known, want try or fail", c.WhenAllDown)
	}
}

// Passive says when failing requests eject a member.
type Passive struct {
	// Failures in a row (connections refused or lost, timeouts) that eject a
	// member. Default 3; 0: requests eject nobody.
	Failures int `yaml:"failures"`
	// How long the first ejection lasts. Each further one without a success
	// between lasts twice as long. Up to a quarter is taken off at random.
	// Default 1s.
	Ejection config.Duration `yaml:"ejection"`
	// The longest ejection. Default 1m.
	MaxEjection config.Duration `yaml:"max_ejection"`
	// The largest share of a pool, in percent, that is ejected at the same
	// time. One member can always be. Default 50.
	MaxEjectedPercent int `yaml:"max_ejected_percent"`
}

// SetDefaults implements config.Defaulter.
func (p *Passive) SetDefaults() {
	*p = Passive{
		Failures:          3,
		Ejection:          config.Duration(time.Second),
		MaxEjection:       config.Duration(time.Minute),
		MaxEjectedPercent: 50,
	}
}

// Validate implements config.Validator.
func (p *Passive) Validate(r *config.Report) {
	if p.Failures < 0 {
		r.Errorf("failures", "%d is negative, want 0 or more", p.Failures)
	}
	if p.Ejection == 0 {
		r.Errorf("ejection", "is 0, want a duration above 0; failures: 0 turns ejection off")
	}
	if p.MaxEjection < p.Ejection {
		r.Errorf("max_ejection", "%v is less than ejection, %v", p.MaxEjection, p.Ejection)
	}
	if p.MaxEjectedPercent < 0 || p.MaxEjectedPercent > 100 {
		r.Errorf("max_ejected_percent", "%d is no share, want 0 to 100", p.MaxEjectedPercent)
	}
}

// Active says how members are probed: by GET requests over HTTP.
type Active struct {
	// Path, with query if wanted, of the probe: "/healthz". Default empty: no
	// probes.
	Path string `yaml:"path"`
	// Host field of the probe. Default: that of the requests to the member.
	Host string `yaml:"host"`
	// Time between the starts of two probes of a member; up to a tenth is
	// taken off at random. Default 5s.
	Interval config.Duration `yaml:"interval"`
	// How long a probe may take, connecting included. Default 2s.
	Timeout config.Duration `yaml:"timeout"`
	// Good probes in a row that bring a member back. Default 2.
	Healthy int `yaml:"healthy"`
	// Bad probes in a row that take a member down. Default 3.
	Unhealthy int `yaml:"unhealthy"`
	// Statuses of a good answer, one or a range. Default 200-399.
	Expect StatusRange `yaml:"expect"`
}

// SetDefaults implements config.Defaulter.
func (a *Active) SetDefaults() {
	*a = Active{
		Interval:  config.Duration(5 * time.Second),
		Timeout:   config.Duration(2 * time.Second),
		Healthy:   2,
		Unhealthy: 3,
		Expect:    StatusRange{200, 399},
	}
}

// Validate implements config.Validator.
func (a *Active) Validate(r *config.Report) {
	if a.Path != "" && !strings.HasPrefix(a.Path, "/") {
		r.Errorf("path", "%q does not begin with a slash", a.Path)
	}
	if strings.ContainsAny(a.Path, " \t\r\n#") {
		r.Errorf("path", "%q holds white space or a fragment", a.Path)
	}
	if strings.ContainsAny(a.Host, " \t\r\n/@") {
		r.Errorf("host", "%q is no host, want a name with or without a port", a.Host)
	}
	if a.Interval < config.Duration(100*time.Millisecond) {
		r.Errorf("interval", "%v is too short, want 100ms or more", a.Interval)
	}
	if a.Timeout == 0 {
		r.Errorf("timeout", "is 0, want a duration above 0")
	}
	if a.Healthy < 1 {
		r.Errorf("healthy", "%d is too few, want 1 or more", a.Healthy)
	}
	if a.Unhealthy < 1 {
		r.Errorf("unhealthy", "%d is too few, want 1 or more", a.Unhealthy)
	}
}

// StatusRange is a set of HTTP statuses: "204", or "200-399".
type StatusRange struct{ First, Last int }

// UnmarshalText reads a status or a range of them.
func (s *StatusRange) UnmarshalText(text []byte) error {
	from, to, isRange := strings.Cut(string(text), "-")
	if !isRange {
		to = from
	}
	first, err := strconv.Atoi(from)
	last, err2 := strconv.Atoi(to)
	if err != nil || err2 != nil || first < http.StatusOK || last > 599 || first > last {
		return fmt.Errorf("%q is no range of statuses, want one from 200 to 599, or two such as 200-399", text)
	}
	*s = StatusRange{first, last}
	return nil
}

// MarshalText writes the form that UnmarshalText reads.
func (s StatusRange) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// String returns "204" or "200-399".
func (s StatusRange) String() string {
	if s.First == s.Last {
		return strconv.Itoa(s.First)
	}
	return strconv.Itoa(s.First) + "-" + strconv.Itoa(s.Last)
}

// Contains reports whether status is in the range.
func (s StatusRange) Contains(status int) bool { return s.First <= status && status <= s.Last }
