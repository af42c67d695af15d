package stack_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/ergoproxy/ergo/core"
	"github.com/ergoproxy/ergo/deploy/pki"
	"github.com/ergoproxy/ergo/deploy/stack"
	"github.com/ergoproxy/ergo/edge"
	"github.com/ergoproxy/ergo/shared/config"
)

// patience is how long anything may take that has no limit of its own.
const patience = 20 * time.Second

var (
	carriers         = []string{"quic", "tcp"}
	clientProtocols  = []string{"h1", "h1tls", "h2", "h3"}
	backendProtocols = []string{"h1", "h2", "h2c"}
)

// An installation is a stack in front of one backend of each protocol. The host
// of a request, such as h2c.test, says which backend it is for.
type installation struct {
	*stack.Stack
	carrier  string
	backends map[string]*backend
	book     *book
	stopEdge []func()
	stopCore []func()
	end      func() // drains all tiers and checks their logs; once
}

// options of a stack that takes free ports only and logs to files.
func freePorts(dir, carrier string) stack.Options {
	return stack.Options{Dir: dir, Edges: 1, Cores: 1, Listen: "127.0.0.1:0", Admin: "127.0.0.1:0", Tunnel: "127.0.0.1:0",
		Carrier: carrier, LogLevel: "warn", AccessLog: filepath.Join(dir, "edge.log")}
}

// install starts an installation. It ends with the test, and then its access logs
// must hold one line for each exchange, and the right one. The options may be
// changed before.
func install(t testing.TB, carrier string, change ...func(*stack.Options)) *installation {
	t.Helper()
	in := prepare(t, carrier)
	o := freePorts(in.Dir, carrier)
	o.Change = in.configure
	o.Backends = []string{"http://127.0.0.1:1"} // replaced by configure
	for _, f := range change {
		f(&o)
	}
	s, err := stack.New(o, zerolog.New(testLog{t}).Level(zerolog.WarnLevel))
	if err != nil {
		t.Fatal(err)
	}
	in.Stack = s
	in.book = newBook(o.AccessLog, in.coreLogs(o.Cores)...)
	in.run(t)
	return in
}

// prepare starts the backends and writes their certificates.
func prepare(t testing.TB, carrier string) *installation {
	t.Helper()
	in := &installation{Stack: &stack.Stack{Dir: t.TempDir()}, carrier: carrier, backends: make(map[string]*backend)}
	site, err := pki.NewThrowaway(nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(in.Dir, "backends.crt"), site.CA, 0o644); err != nil {
		t.Fatal(err)
	}
	for _, p := range backendProtocols {
		in.backends[p] = startBackend(t, p, "", site.Site)
	}
	return in
}

// run serves until end is called, at the latest when the test is over. The tiers
// run apart, so that a test can stop one of them.
func (in *installation) run(t testing.TB) {
	for _, e := range in.Edges {
		in.stopEdge = append(in.stopEdge, runTier(t, e.Run))
	}
	for _, c := range in.Cores {
		in.stopCore = append(in.stopCore, runTier(t, c.Run))
	}
	in.end = sync.OnceFunc(func() {
		for _, stop := range slices.Concat(in.stopEdge, in.stopCore) {
			stop()
		}
		in.book.check(t)
	})
	t.Cleanup(in.end)
	eventually(t, "the edge is ready", func() bool { return in.Edges[0].Status().Ready })
}

// runTier returns a func that drains the tier and waits for its end. It may be
// called several times.
func runTier(t testing.TB, run func(context.Context) error) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- run(ctx) }()
	return sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error("tier ended: ", err)
		}
	})
}

// configure makes the configurations that the matrix needs out of what stack writes.
func (in *installation) configure(tier, yaml string) string {
	if strings.HasPrefix(tier, "edge") {
		yaml = strings.Replace(yaml, `- {address: "127.0.0.1:0"}`, `- {address: "127.0.0.1:0", protocols: [h1, h2c]}`, 1)
		return yaml + "shutdown: {grace: 20s}\n"
	}
	head, _, _ := strings.Cut(yaml, "backends:")
	return head + in.coreRest(tier)
}

// coreLogs are the access logs of the first n cores.
func (in *installation) coreLogs(n int) (paths []string) {
	for i := range n {
		paths = append(paths, filepath.Join(in.Dir, fmt.Sprintf("core-%d.log", i+1)))
	}
	return paths
}

// coreRest is the part of core.yaml from the access log on.
func (in *installation) coreRest(tier string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "access_log: {output: %s, only: all}\n", filepath.Join(in.Dir, tier+".log"))
	b.WriteString("shutdown: {grace: 20s}\nbackends:\n")
	for _, p := range backendProtocols {
		protocol := map[string]string{"h1": "h1", "h2": "h2", "h2c": "h2"}[p]
		fmt.Fprintf(&b, "  %s: {endpoints: [%q], protocol: %s, tls: {ca: backends.crt}, timeouts: {continue: 30s}, health: {passive: {failures: 1000000}}}\n",
			p, in.backends[p].url(), protocol)
	}
	b.WriteString("routes:\n")
	for _, p := range backendProtocols {
		fmt.Fprintf(&b, "  - {name: %s, match: {host: %s.test}, backend: %s}\n", p, p, p)
	}
	return b.String()
}

// reloadEdge rewrites the edge's file and reloads it, as SIGHUP would.
func (in *installation) reloadEdge(t testing.TB, change func(string) string) error {
	t.Helper()
	return reload(t, in.ConfigPath("edge-1"), change, new(edge.Config), in.Edges[0].Reload)
}

// reloadCore does the same to the core of that index.
func (in *installation) reloadCore(t testing.TB, index int, change func(string) string) error {
	t.Helper()
	return reload(t, in.ConfigPath(fmt.Sprintf("core-%d", index+1)), change, new(core.Config), in.Cores[index].Reload)
}

func reload[C any](t testing.TB, path string, change func(string) string, into *C, put func(*C) error) error {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(change(string(text))), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := config.Load(path, into); err != nil {
		return err
	}
	return put(into)
}

// eventually polls until ok, and fails the test when that takes too long.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	within(t, patience, what, ok)
}

func within(t testing.TB, limit time.Duration, what string, ok func() bool) {
	t.Helper()
	deadline := time.NewTimer(limit)
	defer deadline.Stop()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-deadline.C:
			t.Fatalf("after %s still not true: %s", limit, what)
		case <-tick.C:
		}
	}
}

// testLog shows what the tiers say beside a failed test.
type testLog struct{ t testing.TB }

func (l testLog) Write(p []byte) (int, error) {
	l.t.Log(strings.TrimSpace(string(p)))
	return len(p), nil
}
