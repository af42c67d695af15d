package link

import (
	"slices"

	"github.com/ergoproxy/ergo/shared/config"
)

// Repair says when a link sends parity.
type Repair string

const (
	Auto   Repair = "auto"   // as the loss asks for, none on a clean path
	Always Repair = "always" // for 1 % of loss at least
	Off    Repair = "off"    // never: packets are those of QUIC
)

var repairs = []Repair{Auto, Always, Off}

// Settings say how the links of a tier repair loss.
type Settings struct {
	// When lost packets are repaired without waiting for a round trip: auto sends as much
	// parity as the measured loss asks for, and none on a clean path; always sends parity for
	// 1 % of loss even where none was seen; off leaves all to QUIC. Each tier's value holds
	// for what it sends; off at one end switches the link off for both. Default auto.
	Repair Repair `yaml:"repair"`
	// Memory that all links of this process may take to rebuild lost packets and to send
	// them once more, besides 64KiB for each connection; at least 1MiB. A link that gets none
	// repairs less. A path of 200 Mbit/s and 100 ms takes about 5MiB while it loses packets.
	// Default 64MiB.
	Memory config.Bytes `yaml:"memory"`
}

// SetDefaults sets the defaults.
func (s *Settings) SetDefaults() { *s = Settings{Repair: Auto, Memory: 64 << 20} }

// Validate reports what is wrong with s.
func (s *Settings) Validate(r *config.Report) {
	if !slices.Contains(repairs, s.Repair) {
		r.Errorf("repair", "%q is not one of auto, always, off", s.Repair)
	}
	if s.Memory < 1<<20 {
		r.Errorf("memory", "%s is too little, want at least 1MiB", s.Memory)
	}
}
