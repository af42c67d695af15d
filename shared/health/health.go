// Package health decides which members of a pool may get requests: backends of
// a core, cores of an edge. There are two independent verdicts on a member, and
// both must be good:
//
//   - the passive one, from the requests themselves: failures in a row eject a
//     member for a time that doubles from ejection to ejection;
//   - the active one, from probes: so many bad ones in a row take it down, so
//     many good ones bring it back.
//
// The states of one member:
//
//	       Failures in a row,
//	       or probes bad                      back-off over,
//	┌────┐ ──────────────────▶ ┌──────┐       one request begins  ┌─────────┐
//	│ up │                     │ down │ ────────────────────────▶ │ probing │
//	└────┘ ◀── probes good ─── └──────┘ ◀── it fails: back-off ── └─────────┘
//	   ▲                                     twice as long             │
//	   └───────────────────────── it succeeds ─────────────────────────┘
//
//	any state ── Drain ──▶ draining (no way back)
//
// A member that probes took down never gets a trial request, its probes are the
// trial. At most a share of a Group is ejected at once (but always one), so that
// a bad request that fails everywhere cannot empty a pool.
//
// All methods are safe for concurrent use; on a member that is up they take no
// lock.
package health

import (
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"
)

// A State is what a member is, as logs and the status page say it.
type State uint8

// The states; the package comment draws the ways between them.
const (
	Up State = iota
	Down
	Probing
	Draining
)

// String returns the word for logs and metrics.
func (s State) String() string {
	switch s {
	case Up:
		return "up"
	case Down:
		return "down"
	case Probing:
		return "probing"
	}
	return "draining"
}

// The facts about a member that are not good, as bits. 0 is up.
const (
	ejected  uint32 = 1 << iota // by its failures; until Member.until
	onTrial                     // one request is under way to find out; with ejected
	probedDn                    // by its probes
	draining
)

func stateOf(bits uint32) State {
	switch {
	case bits == 0:
		return Up
	case bits&draining != 0:
		return Draining
	case bits&probedDn != 0:
		return Down
	case bits&onTrial != 0:
		return Probing
	}
	return Down
}

// A Group is the members of one pool, as far as they limit each other.
type Group struct {
	passive Passive
	now     func() time.Time
	jitter  func() float64 // in [0, 1)

	mu      sync.Mutex
	members int // guarded by mu, like the next
	ejected int
}

// NewGroup returns a Group without members. now is the clock, time.Now outside
// of tests.
func NewGroup(passive Passive, now func() time.Time) *Group {
	return &Group{passive: passive, now: now, jitter: rand.Float64}
}

// mayEject counts one more ejection, unless too many members are ejected.
func (g *Group) mayEject() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.ejected > 0 && (g.ejected+1)*100 > g.members*g.passive.MaxEjectedPercent {
		return false
	}
	g.ejected++
	return true
}

func (g *Group) add(members, ejected int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.members += members
	g.ejected += ejected
}

// A Member is the health of one member of a Group.
type Member struct {
	group    *Group
	needGood int // probes in a row
	needBad  int
	onChange func(from, to State)

	bits      atomic.Uint32
	until     atomic.Int64 // end of the back-off, Unix nanoseconds; valid while ejected
	failures  atomic.Int32 // in a row
	ejections atomic.Int64 // since the member was made

	mu      sync.Mutex // guards writes of bits and until, and the next
	level   int        // ejections without a success between
	good    int        // probes in a row
	bad     int
	removed bool
}

// Add makes a Member that is up. healthy and unhealthy are how many probes in a
// row change the active verdict. onChange, which may be nil, is called after
// each change of State, perhaps from several goroutines at once.
func (g *Group) Add(healthy, unhealthy int, onChange func(from, to State)) *Member {
	if onChange == nil {
		onChange = func(State, State) {}
	}
	g.add(1, 0)
	return &Member{group: g, needGood: healthy, needBad: unhealthy, onChange: onChange}
}

// Remove takes m out of its Group's count; m may still be used by requests that
// are under way.
func (m *Member) Remove() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.removed {
		return
	}
	m.removed = true
	m.group.add(-1, -btoi(m.bits.Load()&ejected != 0))
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

// State returns the state of m.
func (m *Member) State() State { return stateOf(m.bits.Load()) }

// Ejections returns how often m was ejected.
func (m *Member) Ejections() int64 { return m.ejections.Load() }

// Eligible reports whether m may be picked: it is up, or its back-off is over
// and nobody is on trial.
func (m *Member) Eligible() bool {
	bits := m.bits.Load()
	return bits == 0 || bits == ejected && m.group.now().UnixNano() >= m.until.Load()
}

// Usable reports whether m may be picked when no member is eligible, and
// something has to be tried: anything but a draining member.
func (m *Member) Usable() bool { return m.bits.Load()&draining == 0 }

// A Permit is one request at a member. Exactly one of its methods should be
// called, when the response head has come or the try has failed; Failure may
// follow Success when the body fails later.
type Permit struct {
	member *Member
	trial  bool
}

// Begin notes that a request goes to m. When m's back-off is over that request
// becomes the trial, and Begin returns false to the others: they pick again.
func (m *Member) Begin() (Permit, bool) {
	if m.bits.Load()&ejected == 0 {
		return Permit{member: m}, true
	}
	m.mu.Lock()
	if m.bits.Load() != ejected || m.group.now().UnixNano() < m.until.Load() {
		m.mu.Unlock()
		return Permit{}, false
	}
	m.change(onTrial, 0)
	return Permit{member: m, trial: true}, true
}

// Force notes a request to m whatever its state: nothing better was there. Its
// outcome counts like that of a trial when m is ejected.
func (m *Member) Force() Permit {
	if m.bits.Load()&ejected == 0 {
		return Permit{member: m}
	}
	m.mu.Lock()
	if m.bits.Load()&onTrial != 0 || m.bits.Load()&ejected == 0 {
		m.mu.Unlock()
		return Permit{member: m}
	}
	m.change(onTrial, 0)
	return Permit{member: m, trial: true}
}

// Success marks that the member answered. A trial brings it up; an ordinary one
// ends the row of failures.
func (p Permit) Success() {
	m := p.member
	if !p.trial {
		if m.failures.Load() != 0 {
			m.failures.Store(0)
		}
		// A success on the way while m was ejected says nothing about now.
		return
	}
	m.mu.Lock()
	m.level = 0
	m.failures.Store(0)
	if m.bits.Load()&ejected != 0 && !m.removed {
		m.group.add(0, -1)
	}
	m.change(0, ejected|onTrial)
}

// Failure marks that the member failed. A trial sends it back for twice the
// time; ordinary ones in a row eject it.
func (p Permit) Failure() {
	m := p.member
	if p.trial {
		m.mu.Lock()
		m.backOff()
		m.change(0, onTrial)
		return
	}
	limit := m.group.passive.Failures
	if limit == 0 || int(m.failures.Add(1)) < limit {
		return
	}
	m.mu.Lock()
	// Requests that were under way when m was ejected fail too: they are the
	// same failure, not the next.
	if m.bits.Load()&ejected != 0 || m.removed || !m.group.mayEject() {
		m.mu.Unlock()
		return
	}
	m.failures.Store(0)
	m.backOff()
	m.change(ejected, 0)
}

// Cancel marks that the try ended without a verdict, because its client went
// away. After a trial the next request is one.
func (p Permit) Cancel() {
	if !p.trial {
		return
	}
	p.member.mu.Lock()
	p.member.change(0, onTrial)
}

// backOff sets how long m stays ejected: the base time, doubled for each
// ejection since the last success, up to the maximum, less up to a quarter so
// that many proxies do not come back at one moment. It needs m.mu.
func (m *Member) backOff() {
	passive := m.group.passive
	d := passive.Ejection.Std()
	for range m.level {
		if d = 2 * d; d >= passive.MaxEjection.Std() {
			break
		}
	}
	d = min(d, passive.MaxEjection.Std())
	d -= time.Duration(m.group.jitter() * float64(d) / 4)
	m.until.Store(m.group.now().Add(d).UnixNano())
	m.level++
	m.ejections.Add(1)
}

// Probed takes the outcome of one active probe.
func (m *Member) Probed(ok bool) {
	m.mu.Lock()
	if ok {
		m.good, m.bad = m.good+1, 0
		if m.good >= m.needGood {
			m.change(0, probedDn)
			return
		}
	} else {
		m.good, m.bad = 0, m.bad+1
		if m.bad >= m.needBad {
			m.change(probedDn, 0)
			return
		}
	}
	m.mu.Unlock()
}

// Drain takes m out of picking for good. Requests under way go on.
func (m *Member) Drain() {
	m.mu.Lock()
	m.change(draining, 0)
}

// change sets and clears bits, unlocks m.mu and tells of a new state.
func (m *Member) change(set, clear uint32) {
	old := m.bits.Load()
	bits := old&^clear | set
	m.bits.Store(bits)
	m.mu.Unlock()
	if from, to := stateOf(old), stateOf(bits); from != to {
		m.onChange(from, to)
	}
}
