package soak

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/ergoproxy/ergo/bench/load"
	"github.com/ergoproxy/ergo/bench/peers"
	"github.com/ergoproxy/ergo/deploy/demo"
)

// TestMain serves as the demo backend if Run starts this program for one.
func TestMain(m *testing.M) {
	if len(os.Args) != 4 || os.Args[1] != "backend" {
		os.Exit(m.Run())
	}
	server, err := demo.Listen(demo.Config{Address: os.Args[3]})
	if err == nil {
		err = server.Run(context.Background())
	}
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

// TestRun is a soak of seconds: it shows that the tool works, and that nothing
// is left of a few hundred requests of every kind.
func TestRun(t *testing.T) {
	if testing.Short() {
		t.Skip("builds two daemons and runs them for half a minute")
	}
	var progress bytes.Buffer
	var r *Report
	err := ErrBusy
	for tries := 0; tries < 3 && errors.Is(err, ErrBusy); tries++ { // other tests run beside this one
		r, err = Run(t.Context(), Config{
			Idle: 200, IdleProtocols: Protocols(),
			Duration: 8 * time.Second, Warmup: 2 * time.Second, Rate: 60, IdleTimeout: time.Second,
			ProfileDir: t.TempDir(), Progress: &progress,
		})
	}
	if err != nil {
		t.Fatal(err)
	}
	var table strings.Builder
	if err := r.WriteTable(&table); err != nil {
		t.Error(err)
	}
	if r.Verdict != Flat {
		t.Errorf("%s", table.String())
	}
	if len(r.Idle) != len(Protocols()) || r.Mixed == nil || len(r.Mixed.Tiers) != 2 || r.Mixed.CPU <= 0 {
		t.Fatalf("incomplete: %s", table.String())
	}
	for _, i := range r.Idle {
		if i.Open.Connections != 200 || i.RSS < 4<<10 || i.RSS > 256<<10 || i.Heap < 1<<10 || i.Goroutines < 0.9 || i.Goroutines > 10 {
			t.Errorf("%s: %+v", i.Protocol, i)
		}
	}
	for _, tier := range r.Mixed.Tiers {
		if len(tier.Samples) != samples || tier.Samples[samples-1].At < 7 || tier.Before.RSS == 0 || tier.After.Goroutines == 0 {
			t.Errorf("%s: %+v", tier.Tier, tier)
		}
	}
	for _, o := range r.Mixed.Outcomes {
		if o.Done == 0 || o.Failed > 0 {
			t.Errorf("%+v", o)
		}
	}
	var copied Report
	if content, err := json.Marshal(r); err != nil || json.Unmarshal(content, &copied) != nil || copied.Schema != Schema || len(copied.Mixed.Tiers) != 2 {
		t.Errorf("JSON: %v, %+v", err, copied)
	}
}

func TestRunEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	_, err := Run(ctx, Config{
		Duration: time.Hour, Warmup: time.Hour, Rate: 10, IdleTimeout: time.Second,
		Progress: cancelling{cancel},
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

// cancelling ends the run with the line that says that clients are at work.
type cancelling struct{ cancel func() }

func (c cancelling) Write(b []byte) (int, error) {
	if strings.HasPrefix(string(b), "warming up") {
		c.cancel()
	}
	return len(b), nil
}

func TestValidateNamesEveryProblem(t *testing.T) {
	c := Config{Idle: -1, Duration: time.Second, Warmup: 0, Rate: 3000, EdgeProgram: "x"}
	err := c.Validate()
	for _, want := range []string{"idle connections: -1", "idle protocols: none", "duration: 1s", "warm-up: 0s", "rate: 3000/s", "idle timeout: 0s", "edge and core programs"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in: %v", want, err)
		}
	}
	if err := (&Config{}).Validate(); err == nil || !strings.Contains(err.Error(), "nothing to do") {
		t.Errorf("%v", err)
	}
	for _, good := range []Config{
		{Idle: 1, IdleProtocols: Protocols()},
		{Duration: 4 * time.Second, Warmup: time.Second, Rate: 1, IdleTimeout: time.Second},
	} {
		if err := good.Validate(); err != nil {
			t.Error(err)
		}
	}
}

func TestMixIsOfHundred(t *testing.T) {
	sum := 0
	for _, op := range operations() {
		sum += op.weight
	}
	if sum != 100 {
		t.Errorf("weights are %d in all", sum)
	}
	a, b := newDice(), newDice()
	seen := map[load.Protocol]int{}
	for range 1000 {
		op, protocol := a.throw()
		again, sameProtocol := b.throw()
		if op.name != again.name || protocol != sameProtocol {
			t.Fatal("two runs differ")
		}
		seen[protocol]++
	}
	for _, protocol := range Protocols() {
		if seen[protocol] < 150 {
			t.Errorf("%s: %d of 1000", protocol, seen[protocol])
		}
	}
}

// TestOperationsNoticeWrongAnswers asks a server that gets everything wrong.
func TestOperationsNoticeWrongAnswers(t *testing.T) {
	for name, row := range map[string]struct {
		handler http.HandlerFunc
		blind   []string // operations that cannot tell
	}{
		"errors":      {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) }, []string{"half a head"}},
		"empty":       {func(http.ResponseWriter, *http.Request) {}, []string{"half a head", "token"}},
		"other bytes": {func(w http.ResponseWriter, _ *http.Request) { w.Write(make([]byte, 1024)) }, []string{"half a head", "token"}},
	} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Connection", "close") // or the server waits for the rest of the body
			row.handler(w, r)
		}))
		c := &client{entrance{protocol: load.H1, address: strings.TrimPrefix(server.URL, "http://")}, server.Client(), ""}
		for _, op := range operations() {
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			err := op.do(ctx, c)
			cancel()
			if blind := strings.Contains(strings.Join(row.blind, ","), op.name); (err == nil) != blind {
				t.Errorf("%s: %s: %v", name, op.name, err)
			}
		}
		server.Close()
	}
}

func TestBookKeepsTheFirstFailure(t *testing.T) {
	b := newBook()
	b.add("get", "")
	b.add("get", "h1: first")
	b.add("get", "h2: second")
	if got := b.outcomes[0]; got != (Outcome{"get", 1, 2, "h1: first"}) {
		t.Errorf("%+v", got)
	}
}

func TestLostConnectionsAreNoticed(t *testing.T) {
	server := httptest.NewServer(demo.NewHandler("demo"))
	defer server.Close()
	to := entrance{protocol: load.H1, address: strings.TrimPrefix(server.URL, "http://")}
	d, err := newDialer(to, 3)
	if err != nil {
		t.Fatal(err)
	}
	defer d.close()
	for i := range 3 {
		if err := d.open(t.Context(), i); err != nil {
			t.Fatal(err)
		}
	}
	if err := d.check(); err != nil {
		t.Errorf("before they were closed: %v", err)
	}
	server.CloseClientConnections()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if _, err := until(ctx, func() (bool, error) {
		err := d.check()
		return err != nil && strings.Contains(err.Error(), "3 of 3 connections did not last"), nil
	}); err != nil {
		t.Errorf("%v: %v", err, d.check())
	}
	if err := hold(t.Context(), to, 3, func() error { return nil }); err != nil {
		t.Error(err)
	}
}

func TestClientsComeFromSeveralAddresses(t *testing.T) {
	d, err := newDialer(entrance{protocol: load.H1, address: "127.0.0.1:1"}, 2*perAddress+1)
	if err != nil || len(d.sources) != 3 {
		t.Errorf("%d sources, %v", len(d.sources), err)
	}
	if _, err := peers.NewDemoBackend("/nowhere", "x"); err == nil {
		t.Error("a backend without a directory")
	}
}
