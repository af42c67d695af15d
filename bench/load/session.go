package load

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"time"
)

// A session performs exchanges of one Target, one after the other. It is used
// by one goroutine. It connects when it has to.
type session interface {
	// do performs one exchange. It ends soon after the run's context.
	do() outcome
}

// open returns the sessions of a run, streams of each connection, and what
// closes all of them when none is in use any more.
func open(ctx context.Context, t *Target, connections, streams int) ([]session, func()) {
	sessions := make([]session, 0, connections*streams)
	closers := make([]func(), 0, connections)
	for range connections {
		switch t.Protocol {
		case H1, H1TLS:
			c := newConnection(ctx, t)
			sessions, closers = append(sessions, c), append(closers, c.close)
		default:
			over := newTransport(t)
			closers = append(closers, over.close)
			for range streams {
				sessions = append(sessions, newStream(ctx, t, over))
			}
		}
	}
	return sessions, func() {
		for _, c := range closers {
			c()
		}
	}
}

// classify names the reason behind an error of a connection.
func classify(err error) Failure {
	var timeout net.Error
	switch {
	case errors.Is(err, errProtocol):
		return FailedProtocol
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return FailedTimeout
	case errors.Is(err, errDial):
		return FailedDial
	default:
		return FailedClosed
	}
}

var errDial = errors.New("dial")

// dial makes the connection below HTTP.
func (t *Target) dial(ctx context.Context) (net.Conn, error) {
	var conn net.Conn
	var err error
	if t.Dial != nil {
		conn, err = t.Dial(ctx)
	} else {
		var d net.Dialer
		conn, err = d.DialContext(ctx, "tcp", t.Address)
	}
	if err != nil {
		return nil, errors.Join(errDial, err)
	}
	return conn, nil
}

// drain counts the bytes of a body.
func drain(r io.Reader, buffer []byte) (int64, error) {
	var length int64
	for {
		n, err := r.Read(buffer)
		length += int64(n)
		if err == io.EOF {
			return length, nil
		}
		if err != nil {
			return length, err
		}
	}
}

// pause keeps a worker whose exchange failed from trying thousands of times a
// second. It returns false when ctx is done.
func pause(ctx context.Context) bool {
	timer := time.NewTimer(10 * time.Millisecond)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
