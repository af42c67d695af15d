package listener

import (
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// admission counts the open connections of all listeners against the limits.
// The table of addresses holds no more entries than there are connections.
type admission struct {
	total  atomic.Int64
	denied atomic.Int64 // connections refused since the start
	warned atomic.Int64 // when that was last logged, in Unix nanoseconds

	// mu guards the field below it.
	mu        sync.Mutex
	byAddress map[netip.Addr]int
}

func newAdmission() *admission { return &admission{byAddress: map[netip.Addr]int{}} }

// enter counts one connection, unless that would exceed the limit.
func (a *admission) enter(limit int) bool {
	if a.total.Add(1) > int64(limit) {
		a.total.Add(-1)
		a.denied.Add(1)
		return false
	}
	return true
}

func (a *admission) leave() { a.total.Add(-1) }

// enterAddress counts a connection of addr, unless that would exceed the limit.
func (a *admission) enterAddress(addr netip.Addr, limit int) bool {
	key := addressKey(addr)
	a.mu.Lock()
	defer a.mu.Unlock()
	if limit > 0 && a.byAddress[key] >= limit {
		a.denied.Add(1)
		return false
	}
	a.byAddress[key]++
	return true
}

func (a *admission) leaveAddress(addr netip.Addr) {
	key := addressKey(addr)
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.byAddress[key]--; a.byAddress[key] <= 0 {
		delete(a.byAddress, key)
	}
}

// warnEvery bounds how often refused connections are logged.
const warnEvery = 10 * time.Second

// crowded logs, now and then, that connections are refused by a limit.
func (s *Server) crowded(e endpoint) {
	now, last := time.Now().UnixNano(), s.admission.warned.Load()
	if now-last < int64(warnEvery) || !s.admission.warned.CompareAndSwap(last, now) {
		return
	}
	s.deps.Logger.Warn().Stringer("listen", e.addr()).Int64("open", s.admission.total.Load()).
		Int64("refused", s.admission.denied.Load()).Msg("connections refused by a limit")
}

// addressKey is what counts as one client: an IPv4 address, or the /64 that an
// IPv6 client can pick its addresses from.
func addressKey(addr netip.Addr) netip.Addr {
	addr = addr.Unmap().WithZone("")
	if addr.Is6() {
		if p, err := addr.Prefix(64); err == nil {
			return p.Addr()
		}
	}
	return addr
}
