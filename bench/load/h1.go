package load

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"strconv"
	"time"
)

// readBuffer takes a small answer in one read and a large one in few.
const readBuffer = 64 << 10

// slack is how late an HTTP/1.1 timeout may fire. The connection's deadline is
// moved once in that time instead of for each request, which would cost as much
// as reading the clock five times.
const slack = time.Second

// A connection is a keep-alive HTTP/1.1 connection, and the session on it.
type connection struct {
	ctx     context.Context
	target  *Target
	request []byte
	answer  answer
	buffer  []byte

	conn     net.Conn  // nil: to be dialled
	deadline time.Time // as set on conn
	release  func() bool
}

func newConnection(ctx context.Context, t *Target) *connection {
	return &connection{
		ctx: ctx, target: t, request: t.wire(), buffer: make([]byte, readBuffer),
		answer: answer{toHead: t.Method == "HEAD"},
	}
}

// wire returns the request as it goes over an HTTP/1.1 connection.
func (t *Target) wire() []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\nHost: %s\r\n", t.Method, t.Path, t.Authority)
	// A bytes.Buffer takes all that is written; Write replaces line breaks in values.
	_ = t.Header.Write(&b)
	if len(t.Body) > 0 || t.Method == "POST" || t.Method == "PUT" || t.Method == "PATCH" {
		b.WriteString("Content-Length: " + strconv.Itoa(len(t.Body)) + "\r\n")
	}
	b.WriteString("\r\n")
	b.Write(t.Body)
	return b.Bytes()
}

func (c *connection) do() outcome {
	if err := c.exchange(); err != nil {
		c.close()
		return outcome{failure: classify(err)}
	}
	o := outcome{status: c.answer.status, length: c.answer.length}
	if !c.answer.keepAlive {
		c.close()
	}
	return o
}

func (c *connection) exchange() error {
	if c.conn == nil {
		if err := c.connect(); err != nil {
			return err
		}
	}
	if err := c.extend(); err != nil {
		return err
	}
	if _, err := c.conn.Write(c.request); err != nil {
		return err
	}
	c.answer.reset()
	for {
		n, err := c.conn.Read(c.buffer)
		if n > 0 {
			if done, err := c.answer.feed(c.buffer[:n]); done || err != nil {
				return err
			}
		}
		if err == io.EOF && c.answer.end() {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// extend keeps the deadline of the connection between Timeout and Timeout +
// slack away.
func (c *connection) extend() error {
	now := time.Now()
	if c.deadline.Sub(now) >= c.target.Timeout {
		return nil
	}
	c.deadline = now.Add(c.target.Timeout + slack)
	if err := c.conn.SetDeadline(c.deadline); err != nil {
		return err
	}
	// The end of the run may have set its own deadline just before.
	return c.ctx.Err()
}

func (c *connection) connect() error {
	ctx, cancel := context.WithTimeout(c.ctx, c.target.Timeout)
	defer cancel()
	conn, err := c.target.dial(ctx)
	if err != nil {
		return err
	}
	if c.target.Protocol == H1TLS {
		config := withServerName(c.target)
		config.NextProtos = []string{"http/1.1"}
		secure := tls.Client(conn, config)
		if err := secure.HandshakeContext(ctx); err != nil {
			conn.Close()
			return fmt.Errorf("%w: TLS: %w", errDial, err)
		}
		conn = secure
	}
	c.conn, c.deadline = conn, time.Time{}
	c.release = context.AfterFunc(c.ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })
	return nil
}

func (c *connection) close() {
	if c.conn == nil {
		return
	}
	c.release()
	c.conn.Close()
	c.conn = nil
}

// withServerName returns a copy of the target's TLS config that has a name.
func withServerName(t *Target) *tls.Config {
	config := t.TLS.Clone()
	if config.ServerName == "" {
		config.ServerName = t.Authority
		if host, _, err := net.SplitHostPort(t.Authority); err == nil {
			config.ServerName = host
		}
	}
	return config
}
