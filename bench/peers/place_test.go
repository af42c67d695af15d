package peers_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ergoproxy/ergo/bench/load"
	"github.com/ergoproxy/ergo/bench/peers"
	"github.com/ergoproxy/ergo/bench/wan/emulator"
	"github.com/ergoproxy/ergo/deploy/require"
	"github.com/ergoproxy/ergo/shared/link/linktest"
)

// apart returns the two sides of a network with a short delay.
func apart(t *testing.T) (*emulator.WAN, peers.Places) {
	t.Helper()
	require.Have(t, "netns", emulator.Available())
	c := linktest.Conditions{Delay: 2 * time.Millisecond}
	w, err := emulator.Open(emulator.Config{Out: c, Back: c})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.Close() })
	return w, peers.Places{
		Edge: peers.Place{Address: w.Near.Address.String(), Inside: w.Near.Inside},
		Core: peers.Place{Address: w.Far.Address.String(), Inside: w.Far.Inside},
	}
}

func TestTiersRunInTheirPlaces(t *testing.T) {
	w, places := apart(t)
	backend, err := peers.NewBackend(t.TempDir(), os.Args[0], []int64{100_000})
	if err != nil {
		t.Fatal(err)
	}
	require.Have(t, "nginx", peers.Installed("nginx"))
	backend.Place, backend.Secure = places.Core, true
	if err := backend.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer backend.Stop()
	askFarBackend(t, backend, places)
	for _, name := range peers.Peers() {
		chain, err := places.New(name, t.TempDir(), backend.Address())
		if errors.Is(err, peers.ErrMissing) {
			t.Logf("left out: %v", err)
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if err := chain.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		_, before := w.Counters()
		r, err := load.RunClosed(t.Context(), load.Target{
			Protocol: load.H1, Address: chain.Address(), Path: "/bytes/100000", WantLength: 100_000,
			Dial: func(ctx context.Context) (net.Conn, error) { return places.Edge.Dial(ctx, "tcp", chain.Address()) },
		}, load.Closed{Connections: 2, Duration: 100 * time.Millisecond})
		if err != nil {
			t.Fatal(err)
		}
		if _, after := w.Counters(); r.Answered == 0 || r.Failed() > 0 || after.Bytes-before.Bytes < r.Bytes {
			t.Errorf("%s: answered %d, failures %v, %d bytes over the WAN for %d", name, r.Answered, r.Failures, after.Bytes-before.Bytes, r.Bytes)
		}
		if err := chain.Stop(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// askFarBackend asks the backend from the place of the edge, over TLS.
func askFarBackend(t *testing.T, backend *peers.Backend, places peers.Places) {
	t.Helper()
	trust, err := backend.SecureTLS()
	if err != nil {
		t.Fatal(err)
	}
	client := http.Client{Transport: &http.Transport{DialContext: places.Edge.Dial, TLSClientConfig: trust, DisableKeepAlives: true}}
	response, err := client.Get("https://" + backend.SecureAddress() + "/bytes/100000")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if n, err := io.Copy(io.Discard, response.Body); n != 100_000 || err != nil {
		t.Errorf("%d bytes, %v", n, err)
	}
	if conn, err := places.Edge.Dial(t.Context(), "tcp", backend.Address()); err == nil {
		conn.Close()
		t.Error("the backend's loopback is the edge's too")
	}
}

func TestDemoBackendHasNoTLS(t *testing.T) {
	backend, err := peers.NewDemoBackend(t.TempDir(), os.Args[0])
	if err != nil {
		t.Fatal(err)
	}
	backend.Secure = true
	if err := backend.Start(t.Context()); !errors.Is(err, peers.ErrMissing) {
		t.Errorf("%v", err)
	}
}

func TestTwoCoresAndARestart(t *testing.T) {
	edge, core := daemons(t, "good")
	var dir string
	ergo, err := peers.NewErgo(t.TempDir(), peers.ErgoConfig{
		Edge: edge, Core: core, Backend: "127.0.0.1:9", Cores: 2, Repair: "off", Certs: func(d string) error { dir = d; return nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := ergo.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	for file, want := range map[string]string{"core.yaml": "cert: core-1.crt", "core-2.yaml": "name: core-2", "edge.yaml": "link: {repair: off}"} {
		if content, err := os.ReadFile(filepath.Join(dir, file)); err != nil || !strings.Contains(string(content), want) {
			t.Errorf("%s lacks %q: %s, %v", file, want, content, err)
		}
	}
	if content, err := os.ReadFile(filepath.Join(dir, "edge.yaml")); strings.Count(string(content), "{address: ") != 4 || err != nil {
		t.Errorf("want a listener, the admin server and two cores: %s, %v", content, err)
	}
	before := processesIn(t, dir)
	if err := ergo.Restart("core-2"); err != nil {
		t.Error(err)
	}
	if after := processesIn(t, dir); len(after) != 3 || len(before) != 3 {
		t.Errorf("running before: %v, after: %v", before, after)
	}
	if err := ergo.Restart("core-3"); err == nil {
		t.Error("restarted a core that is not there")
	}
	if err := ergo.Stop(); err != nil {
		t.Errorf("a restart counts as an unexpected end: %v", err)
	}
	if _, err := peers.NewErgo(t.TempDir(), peers.ErgoConfig{Edge: edge, Core: core, Cores: 3, Certs: func(string) error { return nil }}); err == nil {
		t.Error("3 cores were taken")
	}
}
