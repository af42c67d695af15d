package tunnelclient

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/quic-go/quic-go"

	"github.com/ergoproxy/ergo/shared/link"
	"github.com/ergoproxy/ergo/shared/proxystatus"
	"github.com/ergoproxy/ergo/shared/tunnel"
)

// A conn is one connection to a core: a QUIC connection, or a TCP session.
type conn struct {
	client  *Client
	carrier Carrier
	hello   tunnel.Hello // the core's
	control *tunnel.Control
	since   time.Time
	local   string
	remote  string
	quic    *quic.Conn // nil for TCP
	link    *link.Peer // nil for TCP, and without a link
	tcp     *tcpLanes  // nil for QUIC

	state    atomic.Pointer[tunnel.State] // as the core told last
	suspect  atomic.Bool                  // a PING has been without an answer for a while
	inFlight atomic.Int64
	cost     atomic.Int64  // of an exchange that has the connection to itself, in ns; see weigh
	heard    atomic.Uint64 // messages read from the control lane
	rtt      atomic.Int64  // TCP: of the last PING

	mu    sync.Mutex              // guards what follows
	lanes map[uint64]*tunnel.Lane // all, by number: CREDIT names them
	idle  []idleLane              // the one used last is at the end
	dials int                     // lanes being opened, which count too
	pings map[uint64]time.Time    // without an answer yet, by nonce

	hurried    chan struct{} // buffered by one: see hurry
	questioned chan struct{} // buffered by one: see question
	waiting    waiting
}

type idleLane struct {
	*tunnel.Lane
	since time.Time
}

// errBusy says that a connection has as many lanes as it may have, all in use.
var errBusy = errors.New("lanes: all in use")

func (c *Client) newConn(carrier Carrier, control *tunnel.Control, hello tunnel.Hello) *conn {
	k := &conn{client: c, carrier: carrier, control: control, hello: hello, since: time.Now(),
		lanes: make(map[uint64]*tunnel.Lane), pings: make(map[uint64]time.Time),
		hurried: make(chan struct{}, 1), questioned: make(chan struct{}, 1), waiting: waiting{attempts: make(map[*attempt]struct{})}}
	k.state.Store(&hello.State)
	k.cost.Store(int64(nearRTT))
	return k
}

// usable reports whether new exchanges may go over k.
func (k *conn) usable() bool {
	s := k.state.Load()
	return s.Ready && !s.Draining
}

// rank orders connections: the lowest is used first.
func (k *conn) rank() int {
	rank := 0
	if k.carrier == TCP {
		rank++
	}
	if k.suspect.Load() {
		rank += 2
	}
	return rank
}

// nearRTT is the round trip below which connections differ by chance more than by
// their paths.
const nearRTT = 5 * time.Millisecond

// weigh works out what an exchange costs on k: a round trip, and once more for each
// packet that is lost in it.
func (k *conn) weigh() {
	cost := max(k.RTT(), nearRTT)
	if l := k.link.Status(); l != nil {
		// QUIC's own figure holds the pause before an acknowledgement where little is
		// sent.
		cost = max(l.RoundTrip, nearRTT)
		cost += time.Duration(lossRounds * l.Loss * float64(cost))
	}
	k.cost.Store(int64(cost))
}

// lossRounds is how many packets an exchange has whose loss would cost it a round
// trip.
const lossRounds = 10

// company is how many exchanges share a connection before another one is used.
// Together they keep its window open, which has to grow first on one that is idle,
// and their packets fill the groups in which the link repairs loss.
const company = 8

// finish is when a new exchange is expected to be done, compared with other
// connections of the same rank: those under way share the connection with it.
func (k *conn) finish() int64 { return (k.inFlight.Load()/company + 1) * k.cost.Load() }

// RTT is the smoothed round-trip time to the core.
func (k *conn) RTT() time.Duration {
	if k.quic != nil {
		return k.quic.ConnectionStats().SmoothedRTT
	}
	return time.Duration(k.rtt.Load())
}

// GrantCredit tells the core that it may send more of a body.
func (k *conn) GrantCredit(lane, exchange, limit uint64) {
	k.control.Grant(tunnel.Credit{Lane: lane, Exchange: exchange, Limit: limit})
}

// acquire counts an exchange on k, unless k takes none any more. Counting comes
// first: done reads in the opposite order, so one of the two sees the other.
func (k *conn) acquire() bool {
	k.inFlight.Add(1)
	if k.usable() {
		return true
	}
	k.inFlight.Add(-1)
	return false
}

// lane returns an idle lane, or a new one, or errBusy. ctx bounds the opening.
func (k *conn) lane(ctx context.Context) (*tunnel.Lane, error) {
	l, err := k.idleLane()
	if l != nil || err != nil {
		return l, err
	}
	l, err = k.open(ctx)
	k.mu.Lock()
	defer k.mu.Unlock()
	k.dials--
	if err != nil {
		return nil, err
	}
	if k.lanes[l.Number()] == nil {
		k.client.counters.LanesOpened.Add(1)
		k.lanes[l.Number()] = l
	}
	return l, nil
}

// idleLane returns an idle lane, errBusy if there may be no more, or neither if
// the caller is to open one, which is counted.
func (k *conn) idleLane() (*tunnel.Lane, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if l := k.takeIdle(); l != nil {
		return l, nil
	}
	if len(k.lanes)+k.dials >= min(k.client.settings.Lanes, int(min(k.hello.MaxLanes, 1<<16))) {
		return nil, errBusy
	}
	k.dials++
	return nil, nil
}

// takeIdle returns an idle lane or nil. It is called with mu held.
func (k *conn) takeIdle() *tunnel.Lane {
	for n := len(k.idle); n > 0; n = len(k.idle) {
		l := k.idle[n-1].Lane
		k.idle[n-1] = idleLane{}
		k.idle = k.idle[:n-1]
		if l.Context().Err() == nil {
			return l
		}
		k.drop(l)
	}
	return nil
}

// drop forgets a lane. It is called with mu held.
func (k *conn) drop(l *tunnel.Lane) {
	l.Abort(tunnel.NewCode(proxystatus.None))
	delete(k.lanes, l.Number())
}

func (k *conn) open(ctx context.Context) (*tunnel.Lane, error) {
	if k.tcp != nil {
		return k.openTCP(ctx)
	}
	s, err := k.quic.OpenStream()
	if err != nil {
		return nil, err
	}
	return tunnel.NewLane(tunnel.QUICStream(s), k), nil
}

// openTCP waits for its turn to dial a lane, and takes one that has become idle
// meanwhile instead.
func (k *conn) openTCP(ctx context.Context) (*tunnel.Lane, error) {
	select {
	case k.tcp.turns <- struct{}{}:
		defer func() { <-k.tcp.turns }()
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	k.mu.Lock()
	l := k.takeIdle()
	k.mu.Unlock()
	if l != nil {
		return l, nil
	}
	s, err := k.tcp.open(ctx)
	if err != nil {
		return nil, err
	}
	return tunnel.NewLane(s, nil), nil
}

// release takes back a lane after an exchange: to be used again if clean.
func (k *conn) release(l *tunnel.Lane, clean bool) {
	clean = clean && l.Context().Err() == nil
	if clean {
		l.End()
	} else {
		l.Release()
	}
	k.mu.Lock()
	if clean {
		k.idle = append(k.idle, idleLane{l, time.Now()})
	} else {
		delete(k.lanes, l.Number())
		k.client.counters.LanesReset.Add(1)
	}
	k.mu.Unlock()
	k.inFlight.Add(-1)
	k.client.inFlight.Add(-1)
}

// prune closes lanes that have been idle for too long.
func (k *conn) prune(now time.Time) {
	k.mu.Lock()
	defer k.mu.Unlock()
	n := 0
	for n < len(k.idle) && now.Sub(k.idle[n].since) > k.client.settings.LaneIdle.Std() {
		k.drop(k.idle[n].Lane)
		n++
	}
	k.idle = slices.Delete(k.idle, 0, n)
}

// handle takes a message of the control lane.
func (k *conn) handle(m any) error {
	k.heard.Add(1)
	switch m := m.(type) {
	case tunnel.Ping:
		k.control.Send(tunnel.AppendPong(nil, tunnel.Pong{Nonce: m.Nonce}))
	case tunnel.Pong:
		k.pong(m.Nonce)
		k.setState(m.State)
	case tunnel.State:
		k.setState(m)
	case tunnel.Credit:
		k.mu.Lock()
		l := k.lanes[m.Lane]
		k.mu.Unlock()
		if l != nil {
			l.Grant(m.Exchange, m.Limit)
		}
	default:
		return fmt.Errorf("%w: %T in mid-connection", tunnel.ErrProtocol, m)
	}
	return nil
}

func (k *conn) setState(s tunnel.State) {
	before := k.state.Swap(&s)
	if before.Ready != s.Ready || before.Draining != s.Draining {
		k.client.log.Info().Bool("ready", s.Ready).Bool("draining", s.Draining).Msg("core changed state")
		k.client.options.Changed()
	}
}

func (k *conn) pong(nonce uint64) {
	k.mu.Lock()
	sent, ok := k.pings[nonce]
	delete(k.pings, nonce)
	k.mu.Unlock()
	if !ok {
		return
	}
	sample := time.Since(sent)
	if old := time.Duration(k.rtt.Load()); old != 0 {
		sample = (7*old + sample) / 8
	}
	k.rtt.Store(int64(sample))
}

func (k *conn) status() ConnectionStatus {
	s := ConnectionStatus{Carrier: k.carrier, Local: k.local, Remote: k.remote, Since: k.since,
		RTT: k.RTT().Round(time.Microsecond).String(), RoundTrip: k.RTT(), InFlight: k.inFlight.Load(), Suspect: k.suspect.Load()}
	k.mu.Lock()
	s.Lanes, s.Idle = len(k.lanes), len(k.idle)
	k.mu.Unlock()
	if k.quic != nil {
		q := k.quic.ConnectionStats()
		s.BytesSent, s.BytesRecv, s.Lost, s.Sent, s.Window = q.BytesSent, q.BytesReceived, q.PacketsLost, q.PacketsSent, q.CongestionWindow
		s.Link = k.link.Status()
	}
	return s
}

// errDead ends a connection whose core does not answer.
var errDead = errors.New("core does not answer")

const (
	watchTick = 50 * time.Millisecond
	pingIdle  = time.Second // between PINGs while nothing is under way
)

// watch sends PINGs and returns errDead when the core has been silent for
// DeadAfter although it was asked, or for less if it is in question; or nil when
// the core goes away and the last exchange is over.
func (k *conn) watch(ctx context.Context) error {
	w := newWatcher(k.carrier, k.client.settings.DeadAfter.Std(), k.since)
	ticker := time.NewTicker(watchTick)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case now := <-ticker.C:
			if k.done() {
				return nil
			}
			k.prune(now)
			k.weigh()
			w.rtt = k.RTT()
			switch w.step(now, k.progress(), k.inFlight.Load() > 0) {
			case sendPing:
				k.ping(now)
			case dead:
				return errDead
			}
			if w.unanswered(now) {
				k.client.hurry(k)
			}
		case <-k.hurried:
			if now := time.Now(); w.hurry(now, k.progress()) {
				k.ping(now)
			}
		case <-k.questioned:
			now := time.Now()
			w.question(now, k.progress())
			k.ping(now)
		}
		if w.suspect != k.suspect.Swap(w.suspect) && w.suspect {
			k.handOver()
		}
	}
}

// done reports whether the connection has nothing left to do, since the core is
// going away.
func (k *conn) done() bool {
	return k.state.Load().Draining && k.inFlight.Load() == 0 // in this order, see acquire
}

// progress is a number that grows with everything the core sends.
func (k *conn) progress() uint64 {
	if k.quic != nil {
		return k.quic.ConnectionStats().PacketsReceived
	}
	return k.heard.Load()
}

func (k *conn) ping(now time.Time) {
	nonce := uint64(now.UnixNano())
	k.mu.Lock()
	if len(k.pings) > 64 {
		clear(k.pings) // the core answers none; watch decides
	}
	k.pings[nonce] = now
	k.mu.Unlock()
	k.control.Send(tunnel.AppendPing(nil, tunnel.Ping{Nonce: nonce}))
}
