//go:build linux

package chaos

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/ergoproxy/ergo/edge/tunnelclient"
)

// apart is a fleet whose edge and cores are in two networks.
func apart(t *testing.T, edges int) plan {
	edgeSide, coreSide := twoNamespaces(t)
	return plan{edges: edges, cores: 2, backends: 2, edgeSide: edgeSide, coreSide: coreSide}
}

// tunnelUDP and tunnelTCP match what edges and cores send each other.
func (f *fleet) tunnelUDP(side string) string {
	return fmt.Sprintf("udp %sport %d-%d", side, f.base+tunnelPort, f.base+tunnelPort+1)
}

func (f *fleet) tunnelTCP(side string) string {
	return fmt.Sprintf("tcp %sport %d-%d", side, f.base+tunnelPort, f.base+tunnelPort+1)
}

// dark drops what matches on its way, in both directions.
func (f *fleet) dark(t *testing.T, match func(side string) string) {
	t.Helper()
	f.coreSide.block(t, "in", match("d"))
	f.edgeSide.block(t, "in", match("s"))
}

func (f *fleet) light(t *testing.T) {
	t.Helper()
	f.coreSide.unblock(t)
	f.edgeSide.unblock(t)
}

// awaitCarrier waits until the edge sends new exchanges to every core over carrier.
func (f *fleet) awaitCarrier(t *testing.T, carrier tunnelclient.Carrier, limit time.Duration) time.Duration {
	t.Helper()
	return eventually(t, limit, "exchanges go over "+string(carrier), func() error {
		s, err := f.edgeStatus(0)
		if err != nil {
			return err
		}
		for _, tunnel := range s.Tunnels {
			if tunnel.Carrier != carrier {
				return fmt.Errorf("those to %s go over %q", tunnel.Core, tunnel.Carrier)
			}
		}
		return nil
	})
}

// loggedCarriers counts the lines of the edge's access log by carrier.
func (f *fleet) loggedCarriers(t *testing.T) map[string]int {
	t.Helper()
	b, err := os.ReadFile(f.edge[0].output())
	if err != nil {
		t.Fatal(err)
	}
	count := make(map[string]int)
	for line := range strings.Lines(string(b)) {
		var l struct {
			Carrier string `json:"carrier"`
			Status  int    `json:"status"`
		}
		if err := json.Unmarshal([]byte(line), &l); err != nil {
			t.Fatalf("%v in line %s", err, line)
		}
		if l.Status == http.StatusOK {
			count[l.Carrier]++
		}
	}
	return count
}

// TestUDPBlockedFromTheStart starts an edge where a firewall drops UDP: on the
// way, or at the edge's own machine, whose kernel then says so.
func TestUDPBlockedFromTheStart(t *testing.T) {
	for _, where := range []string{"on the way", "at the edge"} {
		t.Run(where, func(t *testing.T) {
			f := prepare(t, apart(t, 1))
			if where == "at the edge" {
				f.edgeSide.block(t, "out", f.tunnelUDP("d"))
			} else {
				f.dark(t, f.tunnelUDP)
			}
			for _, p := range append(f.backend, f.core...) {
				p.start(t)
			}
			for i := range f.core {
				f.awaitCore(t, i)
			}
			f.edge[0].start(t)
			served := eventually(t, 5*time.Second, "service", func() error { return f.get(f.nearEdge, f.edgeURL(0)+"/bytes/10", nil) })
			t.Logf("served %s after the start of the process", served.Round(time.Millisecond))
			if served > 2*time.Second {
				t.Errorf("served only %s after the start, want about a second", served)
			}
			f.awaitCarrier(t, tunnelclient.TCP, time.Second)
			f.light(t)
			back := f.awaitCarrier(t, tunnelclient.QUIC, 30*time.Second)
			t.Logf("back on QUIC %s after UDP was", back.Round(time.Millisecond))
		})
	}
}

// TestUDPBlockedUnderTraffic blocks UDP while requests run, and lets it through
// again: they go on over TCP, and then over QUIC, and none fails.
func TestUDPBlockedUnderTraffic(t *testing.T) {
	f := launch(t, apart(t, 1))
	f.awaitCarrier(t, tunnelclient.QUIC, 5*time.Second)
	l := f.send(t, traffic{rate: 200})
	letPass(time.Second)
	f.dark(t, f.tunnelUDP)
	over := f.awaitCarrier(t, tunnelclient.TCP, 5*time.Second)
	letPass(2 * time.Second)
	f.light(t)
	back := f.awaitCarrier(t, tunnelclient.QUIC, 30*time.Second)
	letPass(500 * time.Millisecond)
	b := l.finish()
	b.check(t, f.executed(t))
	none(t, "a GET failed", b.failed(http.MethodGet))
	t.Logf("on TCP %s after UDP was blocked, on QUIC %s after it was not", over.Round(time.Millisecond), back.Round(time.Millisecond))
	if n := f.loggedCarriers(t); n["quic"] == 0 || n["tcp"] == 0 || n[""] > 0 {
		t.Errorf("answers by carrier in the access log: %v", n)
	}
}

// TestTCPBlockedWhileOnTCP takes the TCP session away from an edge that lives on
// it, just when UDP comes back.
func TestTCPBlockedWhileOnTCP(t *testing.T) {
	f := launch(t, apart(t, 1))
	f.dark(t, f.tunnelUDP)
	f.awaitCarrier(t, tunnelclient.TCP, 5*time.Second)
	l := f.send(t, traffic{rate: 200})
	letPass(time.Second)
	f.light(t)
	f.dark(t, f.tunnelTCP)
	back := f.awaitCarrier(t, tunnelclient.QUIC, 30*time.Second)
	letPass(500 * time.Millisecond)
	b := l.finish()
	b.check(t, f.executed(t))
	none(t, "failed without an honest answer", b.of(func(e *entry) bool { return !e.answered() && !honest(e) }))
	t.Logf("on QUIC %s after UDP was back; %d GETs failed meanwhile", back.Round(time.Millisecond), len(b.failed(http.MethodGet)))
}

// TestPathGoesDark drops everything between the tiers for three seconds: requests
// are answered honestly meanwhile, and soon afterwards all is well.
func TestPathGoesDark(t *testing.T) {
	f := launch(t, apart(t, 1))
	l := f.send(t, traffic{rate: 200, posts: true})
	letPass(time.Second)
	f.coreSide.block(t, "in", "ip saddr "+f.edgeSide.address)
	f.edgeSide.block(t, "in", "ip saddr "+f.coreSide.address)
	letPass(3 * time.Second)
	f.light(t)
	lit := time.Now()
	well := eventually(t, 10*time.Second, "service", func() error { return f.get(f.nearEdge, f.edgeURL(0)+"/bytes/10", nil) })
	f.awaitSteady(t, 0, 0, 10*time.Second)
	f.awaitSteady(t, 0, 1, 10*time.Second)
	settled := time.Now()
	letPass(time.Second)
	b := l.finish()
	b.check(t, f.executed(t))
	none(t, "failed although the path was well", b.of(func(e *entry) bool { return !e.answered() && e.began.After(settled) }))
	t.Logf("served %s after the path was back, settled after %s", well.Round(time.Millisecond), settled.Sub(lit).Round(time.Millisecond))
	if well > 3*time.Second {
		t.Errorf("served only %s after the path was back", well)
	}
}

// TestEdgeChangesItsAddress gives the edge's end of the link another address, as
// a network that hands over to another does: the old connections are dead, and
// requests go on over new ones.
func TestEdgeChangesItsAddress(t *testing.T) {
	f := launch(t, apart(t, 1))
	l := f.send(t, traffic{rate: 100})
	letPass(500 * time.Millisecond)
	f.edgeSide.run(t, "ip", "address", "del", f.edgeSide.address+"/24", "dev", "far")
	f.edgeSide.run(t, "ip", "address", "add", "10.99.0.9/24", "dev", "far")
	took := eventually(t, 10*time.Second, "service", func() error {
		s, err := f.edgeStatus(0)
		if err != nil {
			return err
		}
		if !s.Ready {
			return errors.New("not ready")
		}
		return f.get(f.nearEdge, f.edgeURL(0)+"/bytes/10", nil)
	})
	letPass(2 * time.Second)
	b := l.finish()
	b.check(t, f.executed(t))
	late := b.of(func(e *entry) bool { return !e.answered() && e.began.After(b.start.Add(5*time.Second)) })
	none(t, "failed long after the change", late)
	t.Logf("served %s after the change, %d GETs failed", took.Round(time.Millisecond), len(b.failed(http.MethodGet)))
}
