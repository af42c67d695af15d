package listener

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
)

// An h3Conn serves the streams of one HTTP/3 connection. It takes the place of
// http3's own accept loop, which has no time limit for a request's head and lets
// a client that resets its streams start handlers without bound.
type h3Conn struct {
	conn     *quic.Conn
	raw      *http3.RawServerConn
	link     *link
	endpoint *quicEndpoint
	slots    chan struct{} // one for each stream at work
	begun    atomic.Uint64 // streams of requests
	active   atomic.Int64  // of them at work
	work     sync.WaitGroup

	// mu guards the fields below it.
	mu      sync.Mutex
	ended   int64 // streams that http3 is done with
	refused int64 // of them, known to have had no handler
}

const (
	h3NoError         = quic.ApplicationErrorCode(http3.ErrCodeNoError)
	h3ExcessiveLoad   = quic.ApplicationErrorCode(http3.ErrCodeExcessiveLoad)
	h3RequestRejected = quic.StreamErrorCode(http3.ErrCodeRequestRejected)
)

func (c *h3Conn) abort()       { c.raw.CloseWithError(h3NoError, "") }
func (c *h3Conn) unused() bool { return false }

// serve returns when the connection is closed and its handlers have returned.
func (c *h3Conn) serve() {
	c.work.Go(c.acceptUniStreams)
	c.work.Go(c.acceptRequests)
	select {
	case <-c.endpoint.leaving.Done():
		c.windDown()
	case <-c.conn.Context().Done():
	}
	c.raw.CloseWithError(h3NoError, "") // stops http3's idle timer, too
	c.work.Wait()
}

// acceptRequests serves requests until the connection ends.
func (c *h3Conn) acceptRequests() {
	ctx := c.conn.Context()
	for {
		select {
		case c.slots <- struct{}{}:
		case <-ctx.Done():
			return
		}
		str, err := c.conn.AcceptStream(ctx)
		if err != nil {
			return
		}
		if c.endpoint.rejecting.Err() != nil {
			// The client may send the request elsewhere, whatever its method
			// (RFC 9114, section 4.1.1).
			str.CancelRead(h3RequestRejected)
			str.CancelWrite(h3RequestRejected)
			<-c.slots
			continue
		}
		c.active.Add(1)
		c.begun.Add(1)
		c.work.Go(func() {
			defer func() { c.active.Add(-1); <-c.slots }()
			c.handle(str)
		})
	}
}

// handle serves one request. http3 takes the end of the deadline for an
// incomplete request and resets the stream; Server.serve clears it.
func (c *h3Conn) handle(str *quic.Stream) {
	by := time.Now().Add(c.link.limits.HeaderTimeout.Std())
	str.SetReadDeadline(by)
	c.raw.HandleRequestStream(str)
	if n := c.withoutHandler(); n > 0 && c.conn.Context().Err() == nil {
		no := badH3Head
		if !time.Now().Before(by) {
			no = slowHead
		}
		for range n {
			c.endpoint.s.refused(c.link, no)
		}
	}
}

// withoutHandler returns how many more streams have ended without a handler since
// it was last called. http3 refuses them without a word; the difference of the
// two counts is never more than their number.
func (c *h3Conn) withoutHandler() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ended++
	n := c.ended - c.link.handled.Load() - c.refused
	if n <= 0 {
		return 0
	}
	c.refused += n
	return n
}

// windDown returns when no request is at work and all answers have arrived, or
// the connection is closed. quic-go does not tell that data is acknowledged: but
// as long as it is not, something is sent within a probe timeout (RFC 9002,
// section 6.2).
func (c *h3Conn) windDown() {
	var sent, begun uint64
	for {
		stats := c.conn.ConnectionStats()
		if c.active.Load() == 0 && stats.BytesSent == sent && c.begun.Load() == begun {
			return
		}
		sent, begun = stats.BytesSent, c.begun.Load()
		const peerAckDelay = 26 * time.Millisecond
		probe := stats.SmoothedRTT + max(4*stats.MeanDeviation, time.Millisecond) + peerAckDelay
		timer := time.NewTimer(3 * probe)
		select {
		case <-timer.C:
		case <-c.conn.Context().Done():
			timer.Stop()
			return
		}
	}
}

// acceptUniStreams serves the control and QPACK streams of the client.
func (c *h3Conn) acceptUniStreams() {
	for {
		str, err := c.conn.AcceptUniStream(c.conn.Context())
		if err != nil {
			return
		}
		c.work.Go(func() { c.raw.HandleUnidirectionalStream(str) })
	}
}
