package soak

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/coder/websocket"

	"github.com/ergoproxy/ergo/bench/load"
	"github.com/ergoproxy/ergo/deploy/demo"
)

const (
	small = 1 << 10
	large = 1 << 20
	huge  = 64 << 20 // never read to its end
	// taste is what is read or sent of a body before it is cut short.
	taste = 64 << 10
	// events of a stream, and the time between two.
	events   = 20
	interval = "50ms"
)

// An operation is one thing that a client does. It returns an error if the
// answer is not as it must be.
type operation struct {
	name   string
	weight int             // how many of 100
	only   []load.Protocol // empty: all
	do     func(context.Context, *client) error
}

// operations returns the mix.
func operations() []operation {
	h1 := []load.Protocol{load.H1, load.H1TLS}
	return []operation{
		{name: "get", weight: 38, do: getting("/bytes/1024", small)},
		{name: "post", weight: 15, do: posting(small)},
		{name: "download", weight: 5, do: getting("/bytes/1048576", large)},
		{name: "slow download", weight: 2, do: slowDownload},
		{name: "upload", weight: 5, do: posting(large)},
		{name: "stream", weight: 4, do: getting(fmt.Sprintf("/stream?chunks=%d&size=%d&delay=%s", events, small, interval), events*small)},
		{name: "server-sent events", weight: 3, do: serverSentEvents},
		{name: "websocket", weight: 4, only: h1, do: webSocket},
		{name: "cancelled download", weight: 5, do: cancelDownload},
		{name: "cancelled upload", weight: 4, do: cancelUpload},
		{name: "closed connection", weight: 3, do: closeConnection},
		{name: "half a head", weight: 1, only: h1, do: halfHead},
		{name: "no token", weight: 4, do: asking(question{path: "/private/", status: http.StatusUnauthorized})},
		{name: "token", weight: 3, do: withToken},
		{name: "not found", weight: 4, do: asking(question{path: "/status/404", status: http.StatusNotFound})},
	}
}

// A question is a request and the status of its answer.
type question struct {
	method string // empty: GET
	path   string
	body   io.Reader
	token  string
	status int // 0: 200
}

// ask returns the answer if it has the status that it should.
func (c *client) ask(ctx context.Context, q question) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, q.method, c.url()+q.path, q.body)
	if err != nil {
		return nil, err
	}
	if q.token != "" {
		request.Header.Set("Authorization", "Bearer "+q.token)
	}
	response, err := c.http.Do(request)
	if err != nil {
		return nil, err
	}
	if response.StatusCode != cmp.Or(q.status, http.StatusOK) {
		response.Body.Close()
		return nil, fmt.Errorf("%s (%s), want %d", response.Status, response.Header.Get("Proxy-Status"), cmp.Or(q.status, http.StatusOK))
	}
	return response, nil
}

// whole reads the body of an answer to its end.
func whole(response *http.Response, length int64) error {
	defer response.Body.Close()
	n, err := demo.CheckPattern(response.Body, 0)
	if err == nil && n != length {
		err = fmt.Errorf("body of %d bytes, want %d", n, length)
	}
	return err
}

func getting(path string, length int64) func(context.Context, *client) error {
	return func(ctx context.Context, c *client) error {
		response, err := c.ask(ctx, question{path: path})
		if err != nil {
			return err
		}
		return whole(response, length)
	}
}

// posting sends a body, of a length that is declared if it is small.
func posting(length int64) func(context.Context, *client) error {
	return func(ctx context.Context, c *client) error {
		var body io.Reader = demo.NewPattern(length)
		if length <= small {
			body = bytes.NewReader(make([]byte, length))
		}
		response, err := c.ask(ctx, question{method: http.MethodPost, path: "/upload", body: body})
		if err != nil {
			return err
		}
		defer response.Body.Close()
		var got demo.Upload
		if err := json.NewDecoder(response.Body).Decode(&got); err != nil {
			return err
		}
		if got.Length != length {
			return fmt.Errorf("the backend got %d bytes, want %d", got.Length, length)
		}
		return discard(response.Body)
	}
}

// asking wants a status and takes any body.
func asking(q question) func(context.Context, *client) error {
	return func(ctx context.Context, c *client) error {
		response, err := c.ask(ctx, q)
		if err != nil {
			return err
		}
		defer response.Body.Close()
		return discard(response.Body)
	}
}

func withToken(ctx context.Context, c *client) error {
	return asking(question{path: "/private/", token: c.token})(ctx, c)
}

// slowDownload stops reading for a while, so that the windows fill.
func slowDownload(ctx context.Context, c *client) error {
	response, err := c.ask(ctx, question{path: fmt.Sprintf("/bytes/%d", large)})
	if err != nil {
		return err
	}
	defer response.Body.Close()
	var start bytes.Buffer
	if _, err := io.CopyN(&start, response.Body, taste); err != nil {
		return err
	}
	if !pause(ctx, time.Second) {
		return context.Cause(ctx)
	}
	response.Body = io.NopCloser(io.MultiReader(&start, response.Body))
	return whole(response, large)
}

func serverSentEvents(ctx context.Context, c *client) error {
	response, err := c.ask(ctx, question{path: fmt.Sprintf("/sse?events=%d&interval=%s", events, interval)})
	if err != nil {
		return err
	}
	defer response.Body.Close()
	content, err := io.ReadAll(io.LimitReader(response.Body, large))
	if n := strings.Count(string(content), "event: tick\n"); err == nil && n != events {
		err = fmt.Errorf("%d events, want %d", n, events)
	}
	return err
}

// webSocket echoes a few messages, and closes as RFC 6455 wants it.
func webSocket(ctx context.Context, c *client) error {
	conn, response, err := websocket.Dial(ctx, c.url()+"/ws", &websocket.DialOptions{HTTPClient: c.http})
	if err != nil {
		if response != nil {
			err = fmt.Errorf("%s: %w", response.Status, err)
		}
		return err
	}
	defer conn.CloseNow()
	message := bytes.Repeat([]byte("soak"), small/4)
	for range 5 {
		if err := conn.Write(ctx, websocket.MessageBinary, message); err != nil {
			return err
		}
		_, got, err := conn.Read(ctx)
		if err != nil {
			return err
		}
		if !bytes.Equal(got, message) {
			return errors.New("the echo differs")
		}
		if !pause(ctx, 50*time.Millisecond) {
			return context.Cause(ctx)
		}
	}
	return conn.Close(websocket.StatusNormalClosure, "")
}

// cancelDownload gives up in the middle of a body; its connection lives on in
// HTTP/2 and 3.
func cancelDownload(ctx context.Context, c *client) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	response, err := c.ask(ctx, question{path: fmt.Sprintf("/bytes/%d", huge)})
	if err != nil {
		return err
	}
	defer response.Body.Close()
	_, err = io.CopyN(io.Discard, response.Body, taste)
	return err
}

// cancelUpload gives up in the middle of a request body, when the backend has
// all that was sent so far.
func cancelUpload(ctx context.Context, c *client) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	body, sender := io.Pipe()
	sent := make(chan error, 1)
	go func() { // ends with the body, which the client closes
		_, err := demo.NewPattern(taste).WriteTo(sender)
		sent <- err
	}()
	response, err := c.ask(ctx, question{method: http.MethodPost, path: "/echo", body: body})
	if err != nil {
		body.Close()
		return errors.Join(err, <-sent)
	}
	defer response.Body.Close()
	err = whole(&http.Response{Body: io.NopCloser(io.LimitReader(response.Body, taste))}, taste)
	cancel()
	body.Close()
	return errors.Join(err, <-sent)
}

// closeConnection cuts a connection of its own in the middle of an answer.
func closeConnection(ctx context.Context, c *client) error {
	from, err := c.source(net.IPv4(127, 0, 0, 1))
	if err != nil {
		return err
	}
	defer from.close()
	conn, err := from.dial(ctx)
	if err != nil {
		return err
	}
	own := client{entrance: c.entrance, http: &http.Client{Transport: conn}}
	response, err := own.ask(ctx, question{path: fmt.Sprintf("/bytes/%d", huge)})
	if err != nil {
		return errors.Join(err, conn.end())
	}
	_, err = io.CopyN(io.Discard, response.Body, taste)
	_ = conn.end() // an error says that it was in use, which is the point
	response.Body.Close()
	return err
}

// halfHead leaves in the middle of a request's head.
func halfHead(ctx context.Context, c *client) error {
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "tcp", c.address)
	if err != nil {
		return err
	}
	defer conn.Close()
	if c.trust != nil {
		trust := c.trust.Clone()
		trust.ServerName, _, _ = net.SplitHostPort(c.address)
		conn = tls.Client(conn, trust)
	}
	_, err = io.WriteString(conn, "GET /bytes/1024 HTTP/1.1\r\nHost: soak\r\nAccept: ")
	return err
}

// pause returns false if ctx ends first.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
