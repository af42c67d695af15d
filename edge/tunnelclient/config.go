package tunnelclient

import (
	"slices"
	"time"

	"github.com/ergoproxy/ergo/shared/config"
	"github.com/ergoproxy/ergo/shared/link"
	"github.com/ergoproxy/ergo/shared/tunnel"
)

// CoreConfig names one core.
type CoreConfig struct {
	// Host and port of the core's tunnel listener: "core-1:7443". UDP and TCP use the same
	// port. Required.
	Address string `yaml:"address"`
	// Name of the core that the certificate must be for. Default: the certificate must
	// be for the host of the address, or, if that is an IP address, for any core of this
	// CA.
	Name string `yaml:"name"`
}

// Label is what logs and metrics call the core.
func (c CoreConfig) Label() string {
	if c.Name != "" {
		return c.Name
	}
	return c.Address
}

// UnmarshalScalar reads the short form, an address.
func (c *CoreConfig) UnmarshalScalar(text string) error {
	c.Address = text
	return nil
}

// Validate reports what is wrong with c.
func (c *CoreConfig) Validate(r *config.Report) {
	if err := config.CheckDialAddress(c.Address); err != nil {
		r.Errorf("address", "%v", err)
	}
}

// Settings are how an edge keeps its tunnels; the same for all cores.
type Settings struct {
	// What lanes run over: auto uses QUIC, falls back to TCP where UDP does not get
	// through and returns to QUIC when it does; quic and tcp use only that. Default auto.
	Carrier string `yaml:"carrier"`
	// QUIC connections to each core, 1 to 64, each on a UDP socket of its own and each
	// worth about one CPU. Default 2.
	Connections int `yaml:"connections"`
	// Lanes on each connection, 1 to 65535, which is how many exchanges it carries at
	// once. The core may allow fewer. Default 1024.
	Lanes int `yaml:"lanes"`
	// Memory for response bytes that all cores together may have sent and clients not yet
	// taken; at least 2MiB. The less of it is free, the less a new exchange gets; when none
	// is, new ones are answered with 503. Default 256MiB.
	ReceiveMemory config.Bytes `yaml:"receive_memory"`
	// How long dialling and the TLS handshake with a core may take; 100ms to 1m. Default
	// 5s.
	ConnectTimeout config.Duration `yaml:"connect_timeout"`
	// How long a core may stay silent, while asked, until its connection counts as dead;
	// 200ms to 1m. After a quarter of that new exchanges go elsewhere. Default 1s.
	DeadAfter config.Duration `yaml:"dead_after"`
	// With carrier auto, how long the first QUIC connection may take until TCP is used; at
	// most 1m. Later a TCP session stands by all the time. Default 300ms. 0: both are tried
	// at once.
	FallbackAfter config.Duration `yaml:"fallback_after"`
	// Longest pause between two attempts to reach a core; 50ms to 5m. The first pause is
	// 50ms, each further one twice as long. Default 500ms.
	ReconnectMax config.Duration `yaml:"reconnect_max"`
	// How long a lane may stay unused until it is closed; 1s to 1h. Default 1m.
	LaneIdle config.Duration `yaml:"lane_idle"`
	// The layer under QUIC that repairs loss.
	Link link.Settings `yaml:"link"`
}

var carriers = []string{"auto", string(QUIC), string(TCP)}

// SetDefaults sets the defaults.
func (s *Settings) SetDefaults() {
	*s = Settings{
		Carrier: "auto", Connections: 2, Lanes: 1024,
		ReceiveMemory:  256 << 20,
		ConnectTimeout: config.Duration(5 * time.Second),
		DeadAfter:      config.Duration(time.Second),
		FallbackAfter:  config.Duration(300 * time.Millisecond),
		ReconnectMax:   config.Duration(500 * time.Millisecond), // back within a second of the core
		LaneIdle:       config.Duration(time.Minute),
	}
	s.Link.SetDefaults()
}

// Validate reports what is wrong with s.
func (s *Settings) Validate(r *config.Report) {
	if !slices.Contains(carriers, s.Carrier) {
		r.Errorf("carrier", "%q is not one of auto, quic, tcp", s.Carrier)
	}
	if s.Connections < 1 || s.Connections > 64 {
		r.Errorf("connections", "%d is out of range, want 1 to 64", s.Connections)
	}
	if s.Lanes < 1 || s.Lanes > 65535 {
		r.Errorf("lanes", "%d is out of range, want 1 to 65535", s.Lanes)
	}
	if s.ReceiveMemory < 64*tunnel.MinWindow {
		r.Errorf("receive_memory", "%s is too little, want at least %s", s.ReceiveMemory, config.Bytes(64*tunnel.MinWindow))
	}
	for _, d := range []struct {
		key      string
		value    config.Duration
		min, max time.Duration
	}{
		{"connect_timeout", s.ConnectTimeout, 100 * time.Millisecond, time.Minute},
		{"dead_after", s.DeadAfter, 200 * time.Millisecond, time.Minute},
		{"fallback_after", s.FallbackAfter, 0, time.Minute},
		{"reconnect_max", s.ReconnectMax, 50 * time.Millisecond, 5 * time.Minute},
		{"lane_idle", s.LaneIdle, time.Second, time.Hour},
	} {
		if d.value.Std() < d.min || d.value.Std() > d.max {
			r.Errorf(d.key, "%s is out of range, want %s to %s", d.value, d.min, d.max)
		}
	}
}
