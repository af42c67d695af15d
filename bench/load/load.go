// Package load sends requests and measures how long their answers take.
//
// RunClosed is a closed loop: each of N connections sends its next request when
// it has the answer to the last. It finds the highest throughput; its latencies
// are those at that load, and are blind to a stall: while the system stands
// still nobody asks.
//
// RunOpen is an open loop: requests are due at a fixed rate whatever the system
// does, and a latency counts from the moment at which the request was due. A
// stall of 1 s at 1,000/s is then seen by 1,000 requests and not by one (no
// "coordinated omission"). A request takes the connection that was used last, so
// that no more are made than are needed at once. One that finds all of them busy
// waits in a bounded queue; if that is full too it is not sent, and counted as
// overflow.
//
// Protocols are HTTP/1.1 in clear and over TLS (by a client of its own: one
// write and one or two reads per exchange, and no allocation), HTTP/2 in clear
// and over TLS, and HTTP/3. Latencies stand in HDR histograms, in nanoseconds,
// with three significant digits from 100 ns to 1 h.
//
// An answer with another status or body length than the Target wants is a
// failure. Latency holds only answers that were as wanted; a run with failures
// has to be read with Failures beside it. HTTP/1.1 requests are given up between
// Timeout and Timeout + 1 s, others at Timeout.
//
// Both functions may be called concurrently.
package load

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Protocol says how a connection is made and spoken.
type Protocol string

// The protocols.
const (
	H1    Protocol = "h1"     // HTTP/1.1 in clear
	H1TLS Protocol = "h1+tls" // HTTP/1.1 over TLS
	H2C   Protocol = "h2c"    // HTTP/2 in clear, with prior knowledge
	H2    Protocol = "h2"     // HTTP/2 over TLS
	H3    Protocol = "h3"     // HTTP/3
)

// AnyLength as a Target's WantLength takes bodies of every length.
const AnyLength = -1

const (
	defaultTimeout = 10 * time.Second
	maxTimeout     = 10 * time.Minute
	maxWindow      = 24 * time.Hour
	maxWorkers     = 100_000
	maxQueue       = 1_000_000
)

// A Target is one request, to be sent again and again.
type Target struct {
	Protocol   Protocol
	Address    string        // host:port to connect to
	Authority  string        // Host, :authority and server name; empty: Address
	Method     string        // empty: GET
	Path       string        // with the query; empty: "/"
	Header     http.Header   // sent as it is, besides Host and Content-Length
	Body       []byte        // of the request
	TLS        *tls.Config   // for H1TLS, H2 and H3; ALPN is set by this package
	Timeout    time.Duration // of one exchange, dialling included; 0: 10 s, at most 10 min
	WantStatus int           // 0: 200
	WantLength int64         // body bytes of an answer, or AnyLength

	// Dial replaces the TCP dial; nil: net.Dialer. HTTP/3 does not use it.
	Dial func(ctx context.Context) (net.Conn, error)

	url *url.URL // set by prepare
}

// A Closed says how a closed loop runs.
type Closed struct {
	Connections int
	Streams     int           // concurrent requests per connection, HTTP/2 and 3 only; 0: 1
	Warmup      time.Duration // before the window, not counted
	Duration    time.Duration // of the window; requests that begin in it count

	// Begin and End, if set, are called once, at the start of the window and
	// when its last answer is there: the place to read CPU clocks.
	Begin, End func()

	// Each, if set, is called for each exchange that counts, when it has ended.
	// Calls are concurrent.
	Each func(Exchange)
}

// An Exchange is one request of a run.
type Exchange struct {
	Due, Done time.Time // in a closed loop it is due when it is sent
	Failure   Failure   // "": it went as wanted
}

// An Open says how an open loop runs.
type Open struct {
	Closed
	Rate  float64 // requests per second, evenly spaced
	Queue int     // due requests that may wait for a free connection
}

// A Failure is a reason why an exchange does not count as answered.
type Failure string

// The closed list of failures.
const (
	FailedDial     Failure = "dial"     // no connection
	FailedTimeout  Failure = "timeout"  // no complete answer in time
	FailedClosed   Failure = "closed"   // the connection broke before the end of the answer
	FailedProtocol Failure = "protocol" // the answer could not be understood
	FailedStatus   Failure = "status"   // another status than wanted
	FailedLength   Failure = "length"   // another body length than wanted
)

// A Result is what came of a run, within its window.
type Result struct {
	Answered int64             // exchanges that went as wanted
	Failures map[Failure]int64 // the others, by reason
	Statuses map[int]int64     // all complete answers, by status
	Bytes    int64             // body bytes of all complete answers
	Overflow int64             // open loop: due requests that were not sent
	Elapsed  time.Duration     // from the start of the window to its last answer
	Latency  *hdrhistogram.Histogram
	Late     *hdrhistogram.Histogram // open loop: from due to sent
}

// Rate returns answered exchanges per second.
func (r *Result) Rate() float64 {
	if r.Elapsed <= 0 {
		return 0
	}
	return float64(r.Answered) / r.Elapsed.Seconds()
}

// Failed returns the number of failures of all kinds.
func (r *Result) Failed() int64 {
	var n int64
	for _, count := range r.Failures {
		n += count
	}
	return n
}

// Quantile returns the latency below which the share q, 0 to 1, of answers lie.
func (r *Result) Quantile(q float64) time.Duration {
	return time.Duration(r.Latency.ValueAtQuantile(100 * q))
}

// prepare fills in defaults and checks.
func (t *Target) prepare() error {
	if t.Method == "" {
		t.Method = http.MethodGet
	}
	if t.Path == "" {
		t.Path = "/"
	}
	if t.Authority == "" {
		t.Authority = t.Address
	}
	if t.WantStatus == 0 {
		t.WantStatus = http.StatusOK
	}
	if t.Timeout == 0 {
		t.Timeout = defaultTimeout
	}
	switch {
	case t.Address == "":
		return errors.New("load: target without an address")
	case !strings.HasPrefix(t.Path, "/") || strings.ContainsAny(t.Path+t.Method+t.Authority, " \r\n"):
		return fmt.Errorf("load: target %q %q %q cannot stand in a request line", t.Method, t.Path, t.Authority)
	case t.Timeout < 0 || t.Timeout > maxTimeout:
		return fmt.Errorf("load: timeout %s, want up to %s", t.Timeout, maxTimeout)
	}
	scheme := "https"
	switch t.Protocol {
	case H1, H2C:
		scheme = "http"
	case H1TLS, H2, H3:
		if t.TLS == nil {
			return fmt.Errorf("load: %s without a TLS config", t.Protocol)
		}
	default:
		return fmt.Errorf("load: protocol %q, want h1, h1+tls, h2c, h2 or h3", t.Protocol)
	}
	var err error
	if t.url, err = url.Parse(scheme + "://" + t.Authority + t.Path); err != nil {
		return fmt.Errorf("load: target: %w", err)
	}
	return nil
}

func (c *Closed) prepare(p Protocol) error {
	if c.Streams == 0 {
		c.Streams = 1
	}
	switch {
	case c.Connections < 1 || c.Streams < 1 || c.Connections > maxWorkers/c.Streams:
		return fmt.Errorf("load: %d connections with %d streams, want at least 1 of each and %d in all", c.Connections, c.Streams, maxWorkers)
	case c.Streams > 1 && (p == H1 || p == H1TLS):
		return fmt.Errorf("load: %d streams on a connection of %s, which has one", c.Streams, p)
	case c.Duration <= 0 || c.Duration > maxWindow || c.Warmup < 0 || c.Warmup > maxWindow:
		return fmt.Errorf("load: warm-up %s and duration %s, want up to %s and more than 0 of the latter", c.Warmup, c.Duration, maxWindow)
	}
	return nil
}

func (o *Open) prepare(p Protocol) error {
	if o.Rate < 0.001 || o.Rate > 10e6 {
		return fmt.Errorf("load: rate %g/s, want 0.001 to 10,000,000", o.Rate)
	}
	if o.Queue < 0 || o.Queue > maxQueue {
		return fmt.Errorf("load: queue of %d, want 0 to %d", o.Queue, maxQueue)
	}
	return o.Closed.prepare(p)
}
