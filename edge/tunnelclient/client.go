// Package tunnelclient keeps the connections from this edge to one core and
// sends exchanges over them. A Client is an http.RoundTripper:
//
//	request ─▶ pick a connection ─▶ idle lane, or a new one ─▶ HEAD BODY… END
//	response ◀─ RESPONSE BODY… END ◀──────────────────────────────┘
//
// Several QUIC connections, each on a socket of its own, carry the lanes. Beside
// them stands a TLS/TCP session: it takes over where UDP does not get through, or
// stops getting through, until QUIC is back, and its end is the first sign of the
// end of the core. Whoever calls Run owns every goroutine.
//
// A failed RoundTrip returns a *retry.Failure that says whether the core can have
// begun the exchange, around a *proxystatus.Error that says why it failed.
package tunnelclient

import (
	"context"
	"crypto/tls"
	"errors"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/rs/zerolog"
	"golang.org/x/sync/errgroup"

	"github.com/ergoproxy/ergo/shared/link"
	"github.com/ergoproxy/ergo/shared/proxystatus"
	"github.com/ergoproxy/ergo/shared/retry"
	"github.com/ergoproxy/ergo/shared/tunnel"
)

// Carrier is what lanes run over.
type Carrier string

// The carriers.
const (
	QUIC Carrier = "quic"
	TCP  Carrier = "tcp"
)

// Options are what a Client needs besides the address of its core.
type Options struct {
	Edge       string      // name of this edge
	TLS        *tls.Config // client certificate, CA and the check of the core's identity
	Budget     *tunnel.Budget
	Link       *link.Shared
	Generation func() uint64 // of the configuration, told to the core
	Logger     zerolog.Logger
	Changed    func() // called when the core became usable or stopped being so

	// Elsewhere reports whether exchanges could be sent to another core. Nil: there
	// is none.
	Elsewhere func() bool
}

// A Client sends exchanges to one core. It is safe for concurrent use.
type Client struct {
	core     CoreConfig
	settings Settings
	options  Options
	log      zerolog.Logger

	inFlight  atomic.Int64
	tryQUIC   sync.Once
	quicTried chan struct{}                 // closed once QUIC was dialled, with success or not
	reached   atomic.Pointer[chan struct{}] // closed and replaced when a connection gets up

	mu    sync.Mutex // guards conns for writers
	conns atomic.Pointer[[]*conn]

	counters Counters
	links    link.Tally
}

// Counters are totals since the start.
type Counters struct {
	Exchanges   atomic.Uint64
	Dials       atomic.Uint64
	DialErrors  atomic.Uint64
	Deaths      atomic.Uint64 // connections that stopped answering
	LanesOpened atomic.Uint64
	LanesReset  atomic.Uint64
}

// New returns a Client for core. Nothing is dialled before Run.
func New(core CoreConfig, settings Settings, options Options) *Client {
	c := &Client{core: core, settings: settings, options: options, quicTried: make(chan struct{})}
	c.log = options.Logger.With().Str("core", core.Label()).Logger()
	c.conns.Store(new([]*conn))
	c.reached.Store(new(make(chan struct{})))
	return c
}

// Core returns the configuration of the core that c sends to.
func (c *Client) Core() CoreConfig { return c.core }

// Counters returns the totals; they may be read at any time.
func (c *Client) Counters() *Counters { return &c.counters }

// Links returns what the links below the QUIC connections have counted.
func (c *Client) Links() link.Counts { return c.links.Counts() }

// InFlight returns the exchanges under way.
func (c *Client) InFlight() int64 { return c.inFlight.Load() }

// Run keeps the connections until ctx ends, then closes them. It returns nil. To
// drain, stop sending first and wait until InFlight is 0.
func (c *Client) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	if c.settings.Carrier != string(TCP) {
		for i := range c.settings.Connections {
			g.Go(func() error { c.keepQUIC(ctx, i); return nil })
		}
	}
	if c.settings.Carrier != string(QUIC) {
		g.Go(func() error { c.keepTCP(ctx); return nil })
	}
	return g.Wait()
}

// Usable reports whether a connection is up and its core takes exchanges.
func (c *Client) Usable() bool {
	return slices.ContainsFunc(*c.conns.Load(), (*conn).usable)
}

// Steady reports whether a connection is up whose core takes exchanges, and is not
// late to answer.
func (c *Client) Steady() bool {
	return slices.ContainsFunc(*c.conns.Load(), func(k *conn) bool { return k.usable() && !k.suspect.Load() })
}

// Draining reports whether the core has said that it is going away.
func (c *Client) Draining() bool {
	return slices.ContainsFunc(*c.conns.Load(), func(k *conn) bool { return k.state.Load().Draining })
}

// pick returns the connection that takes new exchanges and is expected to be done
// with one first: QUIC before TCP, and one that answers before one that is in doubt.
func (c *Client) pick(skip []*conn) *conn {
	var best *conn
	for _, k := range *c.conns.Load() {
		if !k.usable() || slices.Contains(skip, k) {
			continue
		}
		if best == nil || k.rank() < best.rank() || k.rank() == best.rank() && k.finish() < best.finish() {
			best = k
		}
	}
	return best
}

// RoundTrip sends req over one of the connections. The context of req must carry
// an exchange.Exchange, whose typed fields travel in the head. The errors are
// *retry.Failure.
func (c *Client) RoundTrip(req *http.Request) (*http.Response, error) {
	c.inFlight.Add(1)
	c.counters.Exchanges.Add(1)
	var room [8]*conn
	tried := room[:0]
	cause := errNoConnection
	for {
		k := c.pick(tried)
		if k == nil {
			c.inFlight.Add(-1)
			closeBody(req)
			return nil, c.unavailable(cause)
		}
		tried = append(tried, k)
		if !k.acquire() {
			continue
		}
		lane, err := k.lane(req.Context())
		if err == nil {
			return k.roundTrip(req, lane)
		}
		k.inFlight.Add(-1)
		cause = err
	}
}

var errNoConnection = errors.New("no connection to the core is up")

func (c *Client) unavailable(cause error) error {
	t := proxystatus.DestinationUnavailable
	if errors.Is(cause, errBusy) || errors.As(cause, new(*quic.StreamLimitReachedError)) {
		t = proxystatus.ConnectionLimitReached
	}
	return &retry.Failure{Stage: retry.Unsent, Err: c.errorf(t, "reach", cause)}
}

func (c *Client) errorf(t proxystatus.Type, op string, cause error) *proxystatus.Error {
	return proxystatus.New(t, "edge", op+" "+c.core.Label(), cause)
}

func (c *Client) add(k *conn) {
	c.change(func(conns []*conn) []*conn { return append(slices.Clone(conns), k) })
	close(*c.reached.Swap(new(make(chan struct{}))))
}

func (c *Client) remove(k *conn) {
	c.change(func(conns []*conn) []*conn {
		return slices.DeleteFunc(slices.Clone(conns), func(other *conn) bool { return other == k })
	})
}

func (c *Client) change(f func([]*conn) []*conn) {
	c.mu.Lock()
	conns := f(*c.conns.Load())
	c.conns.Store(&conns)
	c.mu.Unlock()
	c.options.Changed()
}

// Status describes the tunnel for /status.
type Status struct {
	Core        string             `json:"core"`
	Address     string             `json:"address"`
	Name        string             `json:"name,omitempty"` // as the core's HELLO says
	Usable      bool               `json:"usable"`
	Draining    bool               `json:"draining"`
	Carrier     Carrier            `json:"carrier,omitempty"` // of new exchanges
	InFlight    int64              `json:"in_flight"`
	Exchanges   uint64             `json:"exchanges"`
	Connections []ConnectionStatus `json:"connections"`
}

// ConnectionStatus describes one connection.
type ConnectionStatus struct {
	Carrier   Carrier   `json:"carrier"`
	Local     string    `json:"local"`
	Remote    string    `json:"remote"`
	Since     time.Time `json:"since"`
	RTT       string    `json:"rtt"`
	Lanes     int       `json:"lanes"`
	Idle      int       `json:"idle_lanes"`
	InFlight  int64     `json:"in_flight"`
	Suspect   bool      `json:"suspect"`
	BytesSent uint64    `json:"bytes_sent,omitempty"`
	BytesRecv uint64    `json:"bytes_received,omitempty"`
	Lost      uint64    `json:"packets_lost,omitempty"`
	Sent      uint64    `json:"packets_sent,omitempty"`

	RoundTrip time.Duration `json:"-"` // RTT as a number

	// Window is QUIC's congestion window in bytes, Link how the link below it does.
	Window uint64       `json:"congestion_window,omitempty"`
	Link   *link.Status `json:"link,omitempty"`
}

// Status returns what the tunnel looks like now.
func (c *Client) Status() Status {
	s := Status{Core: c.core.Label(), Address: c.core.Address, Usable: c.Usable(), Draining: c.Draining(),
		InFlight: c.InFlight(), Exchanges: c.counters.Exchanges.Load(), Connections: []ConnectionStatus{}}
	for _, k := range *c.conns.Load() {
		s.Name = k.hello.Name
		s.Connections = append(s.Connections, k.status())
	}
	if k := c.pick(nil); k != nil {
		s.Carrier = k.carrier
	}
	return s
}
