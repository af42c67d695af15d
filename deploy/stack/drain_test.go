package stack_test

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/ergoproxy/ergo/core"
	"github.com/ergoproxy/ergo/deploy/stack"
	"github.com/ergoproxy/ergo/shared/config"
)

// startCoreAt runs a core with the configuration of core-1 on address.
func (in *installation) startCoreAt(t testing.TB, addr string) (*core.Server, func()) {
	t.Helper()
	text, err := os.ReadFile(in.ConfigPath("core-1"))
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(in.Dir, "core-1-again.yaml")
	yaml := strings.Replace(string(text), `listen: "127.0.0.1:0"`, `listen: "`+addr+`"`, 1)
	if err := os.WriteFile(path, []byte(yaml), 0o644); err != nil {
		t.Fatal(err)
	}
	c := new(core.Config)
	if _, err := config.Load(path, c); err != nil {
		t.Fatal(err)
	}
	srv, err := core.New(c, zerolog.New(testLog{t}).Level(zerolog.WarnLevel))
	if err != nil {
		t.Fatal(err)
	}
	if err := srv.Listen(); err != nil {
		t.Fatal(err)
	}
	return srv, runTier(t, srv.Run)
}

// draining stops a tier and returns when it has begun to drain, and a channel that
// is closed at its end.
func draining(t testing.TB, stop func(), notReady func() bool) <-chan struct{} {
	t.Helper()
	ended := make(chan struct{})
	go func() { stop(); close(ended) }()
	eventually(t, "the tier drains", notReady)
	return ended
}

// TestDrainCore stops one of two cores while exchanges of every kind run on it:
// they go on to their end, and new ones find the other core.
func TestDrainCore(t *testing.T) {
	for _, carrier := range carriers {
		t.Run(carrier, func(t *testing.T) {
			in := install(t, carrier, twoCores)
			all := append(exchanges(t, in), exchanges(t, in)...) // enough that each core has some
			ended := draining(t, in.stopCore[0], func() bool { return !in.Cores[0].Status().Ready })
			each(all, func(x slowExchange) { x.step() })
			for _, client := range clientProtocols {
				testGet(t, newCell(t, in, client, "h1"))
			}
			each(all, func(x slowExchange) { x.step(); x.finish() })
			await(t, ended, "the end of the core")
		})
	}
}

// TestDrainEdge stops the edge while exchanges of every kind run.
func TestDrainEdge(t *testing.T) {
	for _, carrier := range carriers {
		t.Run(carrier, func(t *testing.T) {
			in := install(t, carrier)
			all := exchanges(t, in)
			ended := draining(t, in.stopEdge[0], func() bool { return !in.Edges[0].Status().Ready })
			each(all, func(x slowExchange) { x.step() })
			each(all, func(x slowExchange) { x.step(); x.finish() })
			await(t, ended, "the end of the edge")
		})
	}
}

// TestNoCore stops the only core: the edge answers 503 at once. When the core is
// back, there is service within a second.
func TestNoCore(t *testing.T) {
	for _, carrier := range carriers {
		t.Run(carrier, func(t *testing.T) {
			in := install(t, carrier)
			for _, client := range clientProtocols {
				testGet(t, newCell(t, in, client, "h1"))
			}
			addr := in.Cores[0].Addr().String()
			in.stopCore[0]()
			eventually(t, "the edge knows that its core has gone", func() bool { return !in.Edges[0].Status().Ready })
			for _, client := range clientProtocols {
				c := newCell(t, in, client, "h1")
				req := c.request(t, "GET", "/bytes/10", nil)
				c.expect(req, entry{Status: 503, ProxyStatus: "destination_unavailable", refused: true})
				began := time.Now()
				res, err := c.http.Do(req)
				if err != nil {
					t.Fatal(err)
				}
				io.Copy(io.Discard, res.Body)
				res.Body.Close()
				if took := time.Since(began); took > 500*time.Millisecond {
					t.Errorf("%s: the 503 took %s, as if something had been waited for", client, took)
				}
				h := res.Header
				if res.StatusCode != 503 || h.Get("Retry-After") == "" || h.Get("X-Request-Id") == "" ||
					!strings.Contains(h.Get("Proxy-Status"), "edge-1; error=destination_unavailable") {
					t.Errorf("%s: status %d, %v", client, res.StatusCode, h)
				}
			}
			_, stop := in.startCoreAt(t, addr)
			in.stopCore = append(in.stopCore, stop)
			within(t, time.Second, "there is service again", func() bool { return in.Edges[0].Status().Ready })
			for _, client := range clientProtocols {
				testGet(t, newCell(t, in, client, "h1"))
			}
		})
	}
}

// TestStoppedEdgeIsNoWarning stops an edge that has connections of both carriers:
// the core knows that they ended because nobody needs them any more.
func TestStoppedEdgeIsNoWarning(t *testing.T) {
	in := prepare(t, "auto")
	o := freePorts(in.Dir, "auto")
	o.LogLevel = "info"
	o.Change, o.Backends = in.configure, []string{"http://127.0.0.1:1"}
	var said journal
	s, err := stack.New(o, zerolog.New(&said).Level(zerolog.InfoLevel))
	if err != nil {
		t.Fatal(err)
	}
	in.Stack, in.book = s, newBook(o.AccessLog, in.coreLogs(o.Cores)...)
	in.run(t)
	eventually(t, "a TCP session stands by", func() bool { return strings.Contains(said.String(), `"carrier":"tcp"`) })
	in.end()
	for line := range strings.Lines(said.String()) {
		if strings.Contains(line, `"level":"warn"`) || strings.Contains(line, `"level":"error"`) {
			t.Errorf("logged at a clean end: %s", line)
		}
	}
	if n := strings.Count(said.String(), "tunnel connection closed"); n < 2 {
		t.Errorf("%d connections were logged as closed, want those of QUIC and of TCP:\n%s", n, said.String())
	}
}

// A journal keeps what loggers write.
type journal struct {
	mu   sync.Mutex
	text strings.Builder // guarded by mu
}

// Write implements io.Writer.
func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(p)
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.String()
}
