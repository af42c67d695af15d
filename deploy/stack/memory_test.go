package stack_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/ergoproxy/ergo/deploy/demo"
)

var built atomic.Bool

// forMemory skips where the kernel does not say what a process uses.
func forMemory(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("needs /proc")
	}
}

// warmUp lets the tiers allocate what they need once, and marks their memory.
func (p *pair) warmUp(t *testing.T) {
	for _, client := range clientProtocols {
		for _, backend := range backendProtocols {
			testGet(t, p.cell(t, client, backend))
		}
	}
	p.edge.mark(t)
	p.core.mark(t)
}

// TestBigBodies sends 1 GiB through real processes, for every client protocol and
// every backend protocol over both carriers, and looks at their memory.
func TestBigBodies(t *testing.T) {
	forMemory(t)
	runs := map[string][][2]string{
		"quic": {{"h1", "h2"}, {"h1tls", "h1"}, {"h2", "h2c"}, {"h3", "h1"}},
		"tcp":  {{"h1", "h2c"}, {"h1tls", "h2"}, {"h2", "h1"}, {"h3", "h2"}},
	}
	for _, carrier := range carriers {
		t.Run(carrier, func(t *testing.T) {
			p := startPair(t, carrier, func(_, yaml string) string { return yaml })
			p.warmUp(t)
			for _, r := range runs[carrier] {
				t.Run(r[0]+"/"+r[1], func(t *testing.T) {
					c := p.cell(t, r[0], r[1])
					res := c.do(t, c.request(t, "GET", fmt.Sprintf("/bytes/%d", downloadSize), nil))
					if n, err := demo.CheckPattern(res.Body, 0); n != downloadSize || err != nil {
						t.Errorf("%d bytes, %v", n, err)
					}
					p.edge.check(t, "download", maxGrowth)
					p.core.check(t, "download", maxGrowth)
				})
			}
		})
	}
}

// slowReaders is how many clients read nothing at once, and crowdGrowth how much a
// tier may grow for all of them: less than 1 MiB each, however long the bodies are.
// At the edge that is receive_memory, at the core the windows of HTTP/2 backends,
// and garbage of the same size besides.
const (
	slowReaders = 200
	crowdGrowth = 180 << 20
)

// TestManySlowReaders has 200 clients ask for a big body and read only its first
// byte. The backends have to stop, other exchanges go on, and the memory of the
// tiers stays within what receive_memory says.
func TestManySlowReaders(t *testing.T) {
	forMemory(t)
	for _, carrier := range carriers {
		t.Run(carrier, func(t *testing.T) {
			p := startPair(t, carrier, func(_, yaml string) string {
				return strings.Replace(yaml, "  carrier: ", "  receive_memory: 32MiB\n  carrier: ", 1)
			})
			p.warmUp(t)
			var written atomic.Int64
			other := p.cell(t, "h1tls", "h1")
			p.slowReader(t, "h2", &written)
			settled(t, &written, func() { testGet(t, other) })
			p.edge.check(t, "one slow reader", maxGrowth)
			p.core.check(t, "one slow reader", maxGrowth)
			for i := range slowReaders {
				p.slowReader(t, backendProtocols[i%3], &written)
			}
			settled(t, &written, func() { testGet(t, other) })
			t.Logf("%d readers: backends wrote %d MiB", slowReaders, written.Load()>>20)
			p.edge.check(t, "slow readers", crowdGrowth)
			p.core.check(t, "slow readers", crowdGrowth)
		})
	}
}

// slowReader asks for a body and reads its first byte. It leaves with the test.
func (p *pair) slowReader(t *testing.T, backend string, written *atomic.Int64) {
	c := p.cell(t, "h1", backend)
	c.http.Transport.(*http.Transport).DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := new(net.Dialer).DialContext(ctx, network, addr)
		if err == nil {
			conn.(*net.TCPConn).SetReadBuffer(64 << 10) // as much as the kernel takes would only cost time
		}
		return conn, err
	}
	path := c.b.handle(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", fmt.Sprint(slowBody))
		demo.NewPattern(slowBody).WriteTo(countingWriter{w, written})
	})
	res := c.do(t, c.request(t, "GET", path, nil))
	if _, err := io.ReadFull(res.Body, make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
}
