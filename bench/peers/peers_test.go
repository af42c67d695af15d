package peers_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ergoproxy/ergo/bench/load"
	"github.com/ergoproxy/ergo/bench/peers"
	"github.com/ergoproxy/ergo/deploy/demo"
	"github.com/ergoproxy/ergo/deploy/require"
)

// backend runs the demo backend until the test ends.
func backend(t *testing.T) string {
	t.Helper()
	server, err := demo.Listen(demo.Config{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- server.Run(ctx) }()
	t.Cleanup(func() { stop(); <-ended })
	return server.Addr()
}

// need skips the test where the program of that peer is not installed.
func need(t *testing.T, peer string) {
	t.Helper()
	program, _, _ := strings.Cut(peer, "-")
	require.Have(t, program, peers.Installed(program))
}

func TestPeersCarryRequests(t *testing.T) {
	for _, name := range peers.Peers() {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			need(t, name)
			chain, err := peers.New(name, dir, backend(t))
			if err != nil {
				t.Fatal(err)
			}
			if err := chain.Start(t.Context()); err != nil {
				t.Fatal(err)
			}
			before, err := chain.CPU()
			if err != nil {
				t.Fatal(err)
			}
			r, err := load.RunClosed(t.Context(), load.Target{Protocol: load.H1, Address: chain.Address(), Path: "/bytes/1000", WantLength: 1000},
				load.Closed{Connections: 4, Duration: 200 * time.Millisecond})
			if err != nil {
				t.Fatal(err)
			}
			if r.Answered < 10 || r.Failed() != 0 {
				t.Errorf("answered %d, failures %v", r.Answered, r.Failures)
			}
			if after, err := chain.CPU(); after <= before || err != nil {
				t.Errorf("CPU %s before and %s after %d requests, %v", before, after, r.Answered, err)
			}
			// Two tiers, each with a program and its libraries in memory.
			if rss, err := chain.RSS(); rss < 4<<20 || err != nil {
				t.Errorf("RSS %d, %v", rss, err)
			}
			if name == "nginx" {
				checkAccessLog(t, dir, r.Answered)
			}
			if err := chain.Stop(); err != nil {
				t.Errorf("Stop: %v", err)
			}
			if conn, err := net.Dial("tcp", chain.Address()); err == nil {
				conn.Close()
				t.Error("the edge still listens")
			}
			if left := processesIn(t, dir); len(left) > 0 {
				t.Errorf("left running: %v", left)
			}
		})
	}
}

// checkAccessLog wants a line for each answer, as the comparison says.
func checkAccessLog(t *testing.T, dir string, answered int64) {
	t.Helper()
	logs, err := filepath.Glob(filepath.Join(dir, "nginx-*", "access.log"))
	if err != nil || len(logs) != 1 {
		t.Fatalf("access logs %v, %v", logs, err)
	}
	content, err := os.ReadFile(logs[0])
	if err != nil {
		t.Fatal(err)
	}
	if lines := int64(strings.Count(string(content), "GET /bytes/1000 ")); lines < answered {
		t.Errorf("%d lines for %d answers", lines, answered)
	}
}

// processesIn returns the command lines of processes that work in dir.
func processesIn(t *testing.T, dir string) []string {
	t.Helper()
	links, err := filepath.Glob("/proc/[0-9]*/cwd")
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, link := range links {
		if where, err := os.Readlink(link); err == nil && strings.HasPrefix(where, dir) {
			command, _ := os.ReadFile(filepath.Join(filepath.Dir(link), "cmdline"))
			found = append(found, strings.ReplaceAll(string(command), "\x00", " "))
		}
	}
	return found
}

func TestTLSStandsBetweenTheTiers(t *testing.T) {
	for name, protocol := range map[string]string{"nginx": "", "haproxy-h1": "http/1.1", "haproxy-h2": "h2"} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			need(t, name)
			chain, err := peers.New(name, dir, backend(t))
			if err != nil {
				t.Fatal(err)
			}
			if err := chain.Start(t.Context()); err != nil {
				t.Fatal(err)
			}
			defer chain.Stop()
			conn, err := tls.Dial("tcp", peers.CoreAddress(chain), &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2", "http/1.1"}})
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			if got := conn.ConnectionState(); got.Version != tls.VersionTLS13 || protocol != "" && got.NegotiatedProtocol != protocol {
				t.Errorf("TLS %x, ALPN %q", got.Version, got.NegotiatedProtocol)
			}
		})
	}
}

func TestBackendServesEverySize(t *testing.T) {
	b, err := peers.NewBackend(t.TempDir(), os.Args[0], []int64{1024, 300_000})
	if err != nil {
		t.Fatal(err)
	}
	require.Have(t, "nginx", peers.Installed("nginx"))
	if err := b.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer b.Stop()
	for _, size := range []int64{1, 1024, 300_000} {
		response, err := http.Get(fmt.Sprintf("http://%s/bytes/%d", b.Address(), size))
		if err != nil {
			t.Fatal(err)
		}
		n, err := demo.CheckPattern(response.Body, 0)
		response.Body.Close()
		if n != size || err != nil {
			t.Errorf("%d bytes of %d, %v", n, size, err)
		}
	}
}

// TestChainsEndWithAKilledParent kills a process that has started a chain, and
// leaves it no time to stop it.
func TestChainsEndWithAKilledParent(t *testing.T) {
	dir := t.TempDir()
	need(t, "nginx")
	parent := exec.Command(os.Args[0])
	parent.Env = append(os.Environ(), "BENCH_DAEMON=parent", "BENCH_DIR="+dir, "BENCH_BACKEND="+backend(t))
	out, err := parent.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if line != "started: <nil>\n" {
		t.Errorf("%q, %v", line, err)
	}
	if len(processesIn(t, dir)) < 4 { // two tiers, each a master and its workers
		t.Errorf("running: %v", processesIn(t, dir))
	}
	parent.Process.Kill()
	parent.Wait()
	deadline := time.NewTimer(10 * time.Second)
	defer deadline.Stop()
	for len(processesIn(t, dir)) > 0 {
		select {
		case <-deadline.C:
			t.Fatalf("left running: %v", processesIn(t, dir))
		case <-time.After(10 * time.Millisecond):
		}
	}
}

func TestUnknownPeerIsNamed(t *testing.T) {
	if _, err := peers.New("apache", t.TempDir(), "127.0.0.1:1"); err == nil || !strings.Contains(err.Error(), `"apache"`) {
		t.Errorf("%v", err)
	}
}

// daemons writes two shell scripts that stand in for ergo-core and ergo-edge:
// both run this test program, which TestMain turns into a daemon.
func daemons(t *testing.T, mode string) (edge, core string) {
	t.Helper()
	dir := t.TempDir()
	for _, tier := range []string{"edge", "core"} {
		script := fmt.Sprintf("#!/bin/sh\nBENCH_DAEMON=%s-%s exec %q \"$@\"\n", mode, tier, os.Args[0])
		if err := os.WriteFile(filepath.Join(dir, tier), []byte(script), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return filepath.Join(dir, "edge"), filepath.Join(dir, "core")
}

func TestMain(m *testing.M) {
	mode := os.Getenv("BENCH_DAEMON")
	if mode == "" {
		os.Exit(m.Run())
	}
	if mode == "parent" {
		chain, err := peers.New("nginx", os.Getenv("BENCH_DIR"), os.Getenv("BENCH_BACKEND"))
		if err == nil {
			err = chain.Start(context.Background())
		}
		fmt.Println("started:", err)
		select {}
	}
	if strings.HasPrefix(mode, "broken") {
		fmt.Println("edge.yaml:4:9: tunnel: nothing here works")
		os.Exit(1)
	}
	// "--config FILE": the addresses stand in the file in a known order.
	content, err := os.ReadFile(os.Args[2])
	if err != nil {
		panic(err)
	}
	var admin, listen string
	for line := range strings.Lines(string(content)) {
		if rest, found := strings.CutPrefix(line, `admin: {address: "`); found {
			admin, _, _ = strings.Cut(rest, `"`)
		}
		if rest, found := strings.CutPrefix(line, `  - {address: "`); found {
			listen, _, _ = strings.Cut(rest, `"`)
		}
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/readyz", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("/debug/pprof/profile", func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, mode+" for "+r.FormValue("seconds"))
	})
	go func() { panic(http.ListenAndServe(admin, mux)) }()
	if listen == "" {
		select {}
	}
	panic(http.ListenAndServe(listen, demo.NewHandler("fake")))
}

func TestErgoIsStartedWithItsConfig(t *testing.T) {
	edge, core := daemons(t, "good")
	var certDir string
	ergo, err := peers.NewErgo(t.TempDir(), peers.ErgoConfig{
		Edge: edge, Core: core, Backend: "127.0.0.1:9", Certs: func(dir string) error { certDir = dir; return nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := ergo.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	config, err := os.ReadFile(filepath.Join(certDir, "core.yaml"))
	if err != nil || !strings.Contains(string(config), `web: {endpoints: ["http://127.0.0.1:9"]}`) {
		t.Errorf("core.yaml, beside the certificates: %s, %v", config, err)
	}
	prefix := filepath.Join(t.TempDir(), "p")
	if err := ergo.Profile(t.Context(), prefix, 2*time.Second); err != nil {
		t.Error(err)
	}
	for _, tier := range []string{"edge", "core"} {
		if got, err := os.ReadFile(prefix + "-" + tier + ".pprof"); string(got) != "good-"+tier+" for 2" {
			t.Errorf("profile %q, %v", got, err)
		}
	}
	if err := ergo.Stop(); err != nil {
		t.Error(err)
	}
}

func TestAChainThatDiesShowsItsLog(t *testing.T) {
	edge, core := daemons(t, "broken")
	ergo, err := peers.NewErgo(t.TempDir(), peers.ErgoConfig{Edge: edge, Core: core, Certs: func(string) error { return nil }})
	if err != nil {
		t.Fatal(err)
	}
	err = ergo.Start(t.Context())
	if err == nil || !strings.Contains(err.Error(), "tunnel: nothing here works") || !strings.Contains(err.Error(), "exit status 1") {
		t.Errorf("%v", err)
	}
}

func TestErgoNeedsProgramsAndCertificates(t *testing.T) {
	_, err := peers.NewErgo(t.TempDir(), peers.ErgoConfig{Edge: "/nowhere", Core: "/nowhere"})
	if !errors.Is(err, peers.ErrMissing) {
		t.Errorf("no programs: %v", err)
	}
	edge, core := daemons(t, "good")
	if _, err := peers.NewErgo(t.TempDir(), peers.ErgoConfig{Edge: edge, Core: core}); err == nil {
		t.Error("no certificates: no error")
	}
}
