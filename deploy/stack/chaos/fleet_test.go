//go:build linux

package chaos

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/ergoproxy/ergo/core"
	"github.com/ergoproxy/ergo/core/tunnelserver"
	"github.com/ergoproxy/ergo/deploy/stack"
	"github.com/ergoproxy/ergo/edge"
	"github.com/ergoproxy/ergo/edge/tunnelclient"
)

// Ports of a fleet, above its base. A TLS port of an edge stands 363 above its
// clear one.
const (
	edgePort    = 0
	adminPort   = 10 // edges, then cores
	tunnelPort  = 20
	backendPort = 30
	portSpan    = 400
)

// A plan says what a fleet consists of.
type plan struct {
	edges, cores, backends int
	change                 func(tier, yaml string) string // edits a configuration
	edgeSide, coreSide     *namespace                     // nil: that of the test
}

// A fleet is an installation whose parts are processes.
type fleet struct {
	plan
	dir      string
	base     int
	edge     []*process
	core     []*process
	backend  []*process
	nearEdge *http.Client // for admin addresses of edges
	nearCore *http.Client
}

// launch writes a fleet's files and starts all of it. When it returns, every edge
// can use every core.
func launch(t *testing.T, p plan) *fleet {
	t.Helper()
	f := prepare(t, p)
	f.start(t)
	return f
}

// prepare writes a fleet's files and starts nothing.
func prepare(t *testing.T, p plan) *fleet {
	t.Helper()
	bin, err := daemons()
	if err != nil {
		t.Fatal(err)
	}
	f := &fleet{plan: p, dir: t.TempDir(), base: freePorts(t), nearEdge: adminClient(p.edgeSide), nearCore: adminClient(p.coreSide)}
	coreHost := "127.0.0.1"
	if p.coreSide != nil {
		coreHost = p.coreSide.address
	}
	o := stack.Options{Dir: f.dir, Edges: p.edges, Cores: p.cores, Listen: f.address(edgePort), Admin: f.address(adminPort),
		Tunnel: net.JoinHostPort(coreHost, strconv.Itoa(f.base+tunnelPort)), Change: func(tier, yaml string) string {
			if strings.HasPrefix(tier, "edge") {
				yaml += "limits: {connections_per_address: 0}\n" // all clients have the same
			}
			if p.change != nil {
				yaml = p.change(tier, yaml)
			}
			return yaml
		}}
	for i := range p.backends {
		name := fmt.Sprintf("backend-%d", i+1)
		address := f.address(backendPort + i)
		o.Backends = append(o.Backends, "http://"+address)
		f.backend = append(f.backend, &process{name: name, dir: f.dir, argv: p.coreSide.enter(os.Args[0]),
			env: []string{journalVariable + "=" + f.journal(i), addressVariable + "=" + address, nameVariable + "=" + name}})
	}
	if err := stack.Write(o); err != nil {
		t.Fatal(err)
	}
	daemon := func(side *namespace, program, name string) *process {
		return &process{name: name, dir: f.dir, argv: side.enter(filepath.Join(bin, program), "--config", f.config(name))}
	}
	for i := range p.cores {
		f.core = append(f.core, daemon(p.coreSide, "ergo-core", fmt.Sprintf("core-%d", i+1)))
	}
	for i := range p.edges {
		f.edge = append(f.edge, daemon(p.edgeSide, "ergo-edge", fmt.Sprintf("edge-%d", i+1)))
	}
	t.Cleanup(func() { f.end(t) })
	return f
}

// start starts everything and waits until it is ready.
func (f *fleet) start(t *testing.T) {
	t.Helper()
	for _, group := range [][]*process{f.backend, f.core, f.edge} {
		for _, p := range group {
			p.start(t)
		}
	}
	for i := range f.backend {
		f.awaitBackend(t, i)
	}
	for i := range f.core {
		f.awaitCore(t, i)
	}
	for i := range f.edge {
		f.awaitEdge(t, i)
	}
}

func (f *fleet) end(t *testing.T) {
	for _, group := range [][]*process{f.edge, f.core, f.backend} {
		for _, p := range group {
			p.end()
			if t.Failed() && p.ended != nil {
				t.Logf("end of the log of %s:\n%s", p.name, tail(p.log()))
			}
		}
	}
}

func (f *fleet) address(port int) string   { return "127.0.0.1:" + strconv.Itoa(f.base+port) }
func (f *fleet) config(name string) string { return filepath.Join(f.dir, name+".yaml") }
func (f *fleet) journal(i int) string {
	return filepath.Join(f.dir, fmt.Sprintf("backend-%d.journal", i+1))
}
func (f *fleet) edgeURL(i int) string    { return "http://" + f.address(edgePort+i) }
func (f *fleet) edgeAdmin(i int) string  { return "http://" + f.address(adminPort+i) }
func (f *fleet) coreAdmin(i int) string  { return "http://" + f.address(adminPort+f.edges+i) }
func (f *fleet) backendURL(i int) string { return "http://" + f.address(backendPort+i) }
func adminClient(side *namespace) *http.Client {
	return &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true, DialContext: side.dial}}
}

// freePorts returns the first of portSpan ports that look free. They lie below
// those that the system gives out by itself, so that none is taken while a tier is
// down.
func freePorts(t *testing.T) int {
	t.Helper()
	for range 50 {
		base := 10_000 + rand.IntN(20_000)
		if portsFree(base) {
			return base
		}
	}
	t.Fatal("found no free ports between 10000 and 30000")
	return 0
}

func portsFree(base int) bool {
	for _, port := range []int{edgePort, edgePort + 1, edgePort + 363, edgePort + 364, adminPort, adminPort + 1, adminPort + 2,
		adminPort + 3, tunnelPort, tunnelPort + 1, backendPort, backendPort + 1, backendPort + 2} {
		address := "127.0.0.1:" + strconv.Itoa(base+port)
		tcp, err := net.Listen("tcp", address)
		if err != nil {
			return false
		}
		tcp.Close()
		udp, err := net.ListenPacket("udp", address)
		if err != nil {
			return false
		}
		udp.Close()
	}
	return true
}

// startLimit bounds how long a tier may take to be ready.
const startLimit = 20 * time.Second

func (f *fleet) awaitBackend(t *testing.T, i int) {
	t.Helper()
	eventually(t, startLimit, f.backend[i].name+" ready", func() error { return f.get(f.nearCore, f.backendURL(i)+"/bytes/1", nil) })
}

// awaitCore waits until a core listens, and returns how long that took.
func (f *fleet) awaitCore(t *testing.T, i int) time.Duration {
	t.Helper()
	return eventually(t, startLimit, f.core[i].name+" ready", func() error { return f.get(f.nearCore, f.coreAdmin(i)+"/readyz", nil) })
}

// awaitEdge waits until an edge is ready and can use every core.
func (f *fleet) awaitEdge(t *testing.T, i int) {
	t.Helper()
	eventually(t, startLimit, f.edge[i].name+" ready", func() error { return f.get(f.nearEdge, f.edgeAdmin(i)+"/readyz", nil) })
	for j := range f.core {
		f.awaitTunnel(t, i, j, startLimit)
	}
}

// awaitTunnel waits until edge i can use core j, and returns how long that took.
func (f *fleet) awaitTunnel(t *testing.T, i, j int, limit time.Duration) time.Duration {
	t.Helper()
	return eventually(t, limit, fmt.Sprintf("%s uses %s", f.edge[i].name, f.core[j].name), func() error {
		s, err := f.edgeStatus(i)
		if err == nil && !s.Tunnels[j].Usable {
			err = errors.New("not usable")
		}
		return err
	})
}

// awaitSteady waits until edge i has a connection to core j that is not in doubt.
func (f *fleet) awaitSteady(t *testing.T, i, j int, limit time.Duration) time.Duration {
	t.Helper()
	return eventually(t, limit, fmt.Sprintf("%s gets answers from %s", f.edge[i].name, f.core[j].name), func() error {
		s, err := f.edgeStatus(i)
		if err != nil {
			return err
		}
		if !slices.ContainsFunc(s.Tunnels[j].Connections, func(c tunnelclient.ConnectionStatus) bool { return !c.Suspect }) {
			return errors.New("no answer")
		}
		return nil
	})
}

// awaitBack waits until every edge has come back to core i after its restart. Only
// the core can tell: an edge may not have noticed yet that its old tunnel is dead.
func (f *fleet) awaitBack(t *testing.T, i int) time.Duration {
	t.Helper()
	return eventually(t, startLimit, "every edge back at "+f.core[i].name, func() error {
		s, err := f.coreStatus(i)
		if err != nil {
			return err
		}
		for _, e := range f.edge {
			if !slices.ContainsFunc(s.Tunnels, func(t tunnelserver.TunnelStatus) bool { return t.Edge == e.name }) {
				return fmt.Errorf("%s is not", e.name)
			}
		}
		return nil
	})
}

// edgeStatus and coreStatus read /status.
func (f *fleet) edgeStatus(i int) (s edge.Status, err error) {
	return s, f.get(f.nearEdge, f.edgeAdmin(i)+"/status", &s)
}

func (f *fleet) coreStatus(i int) (s core.Status, err error) {
	return s, f.get(f.nearCore, f.coreAdmin(i)+"/status", &s)
}

func (f *fleet) get(client *http.Client, url string, into any) error {
	req, err := http.NewRequestWithContext(context.Background(), http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	res, err := client.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", url, res.Status)
	}
	if into == nil {
		return nil
	}
	return json.NewDecoder(res.Body).Decode(into)
}

// executed returns how often each id was executed, over all backends.
func (f *fleet) executed(t *testing.T) map[string]int {
	t.Helper()
	all := make(map[string]int)
	for i := range f.backend {
		if err := readJournal(f.journal(i), all); err != nil {
			t.Fatal(err)
		}
	}
	return all
}

// said returns the lines with message that a daemon has logged since start.
func (p *process) said(t *testing.T, message string, start time.Time) []time.Time {
	t.Helper()
	b, err := os.ReadFile(p.log())
	if err != nil {
		t.Fatal(err)
	}
	var times []time.Time
	for line := range bytes.Lines(b) {
		var l struct {
			Time    time.Time `json:"time"`
			Message string    `json:"message"`
		}
		if json.Unmarshal(line, &l) == nil && l.Message == message && l.Time.After(start) {
			times = append(times, l.Time)
		}
	}
	return times
}
