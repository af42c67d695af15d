package tunnelserver

import (
	"github.com/ergoproxy/ergo/shared/config"
	"github.com/ergoproxy/ergo/shared/link"
	"github.com/ergoproxy/ergo/shared/tunnel"
)

// Settings are how a core serves tunnels.
type Settings struct {
	// Address that edges connect to: host:port with an IP address of this machine, or
	// :port for all of them. UDP and TCP use the same port. Required.
	Listen string `yaml:"listen"`
	// Connections of all edges together, 1 to 1048576; further ones are refused. Each edge
	// makes a few (its tunnel.connections). Default 1024.
	Connections int `yaml:"max_connections"`
	// Lanes that one connection may have, 1 to 65535: how many exchanges it carries at
	// once. Default 1024.
	Lanes int `yaml:"lanes"`
	// Memory for request body bytes that all edges together may have sent and backends not
	// yet taken; at least 16 times body_credit. When it is used up, exchanges are refused
	// and the edge tries another core. Default 256MiB.
	ReceiveMemory config.Bytes `yaml:"receive_memory"`
	// Request body bytes of one exchange that an edge may send before the backend takes
	// any. More is faster for large uploads over long distances, and takes more of
	// receive_memory. Default 256KiB.
	BodyCredit config.Bytes `yaml:"body_credit"`
	// The layer under QUIC that repairs loss.
	Link link.Settings `yaml:"link"`
}

// SetDefaults sets the defaults.
func (s *Settings) SetDefaults() {
	*s = Settings{Connections: 1024, Lanes: 1024, ReceiveMemory: 256 << 20, BodyCredit: 256 << 10}
	s.Link.SetDefaults()
}

// Validate reports what is wrong with s.
func (s *Settings) Validate(r *config.Report) {
	if err := config.CheckListenAddress(s.Listen); err != nil {
		r.Errorf("listen", "%v", err)
	}
	if s.Connections < 1 || s.Connections > 1<<20 {
		r.Errorf("max_connections", "%d is out of range, want 1 to %d", s.Connections, 1<<20)
	}
	if s.Lanes < 1 || s.Lanes > 65535 {
		r.Errorf("lanes", "%d is out of range, want 1 to 65535", s.Lanes)
	}
	if s.BodyCredit < tunnel.MinWindow || s.BodyCredit > tunnel.MaxWindow {
		r.Errorf("body_credit", "%s is out of range, want %s to %s", s.BodyCredit, config.Bytes(tunnel.MinWindow), config.Bytes(tunnel.MaxWindow))
	}
	if s.ReceiveMemory < 16*s.BodyCredit {
		r.Errorf("receive_memory", "%s is too little, want at least 16 times body_credit, which is %s", s.ReceiveMemory, 16*s.BodyCredit)
	}
}
