package pki

import (
	"fmt"
	"net"
	"time"

	"github.com/ergoproxy/ergo/shared/tlsidentity"
)

// throwawayLifetime is longer than a stack on loopback is left running.
const throwawayLifetime = 30 * 24 * time.Hour

// Throwaway is the PKI of a whole stack on loopback, in memory alone.
type Throwaway struct {
	Authority *Authority
	CA        []byte          // certificate of the authority, PEM
	Site      Pair            // for clients: localhost, 127.0.0.1 and ::1
	Edges     map[string]Pair // by name
	Cores     map[string]Pair // by name
}

// NewThrowaway makes a CA, a site certificate and one certificate for each
// edge and core, all for localhost, 127.0.0.1 and ::1 and for 30 days.
func NewThrowaway(edges, cores []string) (*Throwaway, error) {
	authority, err := NewAuthority("Ergo throw-away CA", throwawayLifetime)
	if err != nil {
		return nil, err
	}
	t := &Throwaway{Authority: authority, CA: authority.CertPEM(), Edges: make(map[string]Pair), Cores: make(map[string]Pair)}
	if t.Site, err = authority.IssueSite(loopback()); err != nil {
		return nil, err
	}
	if err := t.issue(t.Edges, tlsidentity.Edge, edges); err != nil {
		return nil, err
	}
	return t, t.issue(t.Cores, tlsidentity.Core, cores)
}

func (t *Throwaway) issue(pairs map[string]Pair, role tlsidentity.Role, names []string) error {
	for _, name := range names {
		pair, err := t.Authority.IssueTier(tlsidentity.Identity{Role: role, Name: name}, loopback())
		if err != nil {
			return fmt.Errorf("certificate of %s %s: %w", role, name, err)
		}
		pairs[name] = pair
	}
	return nil
}

func loopback() Request {
	return Request{
		DNS:      []string{"localhost"},
		IPs:      []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
		Lifetime: throwawayLifetime,
	}
}
