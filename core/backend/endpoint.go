package backend

import (
	"sync/atomic"

	"github.com/ergoproxy/ergo/shared/health"
)

// An endpoint is one backend of a pool: a balance.Member with its health, its
// connections and its counters.
type endpoint struct {
	config Endpoint
	target *target
	conns  *conns
	health *health.Member

	inFlight atomic.Int64
	requests atomic.Int64 // tries begun
	failures atomic.Int64 // tries that ended without a response head
}

// InFlight implements balance.Member.
func (e *endpoint) InFlight() int64 { return e.inFlight.Load() }

// scheme is what requests carry: h2c is http on the wire.
func (e *endpoint) scheme() string {
	if e.target.tls != nil {
		return "https"
	}
	return "http"
}

// drain takes e out of picking; its requests under way go on.
func (e *endpoint) drain() {
	e.health.Drain()
	e.health.Remove()
	e.conns.retire()
}
