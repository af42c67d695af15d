// Package stack runs the whole of Ergo in one process: edges, cores and, unless
// told of others, demo backends, with certificates made for the occasion. `ergo
// up`, the tests and the benchmark use it. What it runs are the configuration
// files that it writes: they work the same under ergo-edge and ergo-core.
package stack

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"

	"github.com/rs/zerolog"
	"golang.org/x/sync/errgroup"

	"github.com/ergoproxy/ergo/core"
	"github.com/ergoproxy/ergo/deploy/demo"
	"github.com/ergoproxy/ergo/deploy/pki"
	"github.com/ergoproxy/ergo/edge"
	"github.com/ergoproxy/ergo/shared/config"
	"github.com/ergoproxy/ergo/shared/telemetry"
)

// Options say what to run. Zero values are replaced by the defaults named.
type Options struct {
	Dir      string   // where configurations and certificates are written; it must exist
	Edges    int      // 2
	Cores    int      // 2
	Listen   string   // clear address of the first edge, the others follow; 127.0.0.1:8080
	Admin    string   // admin address of the first edge; the other edges, then the cores follow; 127.0.0.1:9901
	Tunnel   string   // tunnel address of the first core, the others follow; 127.0.0.1:7443
	Backends []string // URLs; none: demo backends are started
	Demo     int      // demo backends; 3

	// TokenKey is the file of a key that verifies tokens, in the form that
	// edge.yaml takes it; "": a secret is drawn if TokenPath is set.
	TokenKey  string
	Algorithm string // of TokenKey; several with commas
	Issuer    string // of the tokens; ergo-up
	Audience  string // of the tokens; ergo
	TokenPath string // what needs a token: "/private/"; "": nothing

	Carrier   string // auto
	LogLevel  string // info
	AccessLog string // stdout
	Pprof     bool

	// Change, when set, edits a configuration before it is written.
	Change func(tier, yaml string) string
}

func (o Options) withDefaults() Options {
	for _, s := range []struct {
		value *string
		text  string
	}{
		{&o.Listen, "127.0.0.1:8080"}, {&o.Admin, "127.0.0.1:9901"}, {&o.Tunnel, "127.0.0.1:7443"},
		{&o.Issuer, "ergo-up"}, {&o.Audience, "ergo"}, {&o.Carrier, "auto"}, {&o.LogLevel, "info"}, {&o.AccessLog, "stdout"},
	} {
		if *s.value == "" {
			*s.value = s.text
		}
	}
	for _, n := range []struct {
		value *int
		count int
	}{{&o.Edges, 2}, {&o.Cores, 2}, {&o.Demo, 3}} {
		if *n.value == 0 {
			*n.value = n.count
		}
	}
	return o
}

// A Stack is a whole installation that listens. Run serves.
type Stack struct {
	Edges  []*edge.Server
	Cores  []*core.Server
	Demo   []*demo.Server
	Dir    string
	Secret []byte // that tokens are signed with; nil: none was drawn
	CA     []byte // PEM, signs the certificate that clients see
}

// New makes an installation in o.Dir and opens all its listeners: when it
// returns, connections are accepted and wait for Run. An error names the address
// that is taken, or what else is wrong; nothing stays open then.
func New(o Options, log zerolog.Logger) (*Stack, error) {
	o = o.withDefaults()
	p, err := layOut(o)
	if err != nil {
		return nil, err
	}
	s := &Stack{Dir: o.Dir}
	if err := s.open(p, log); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

// open writes the files and opens the listeners, from the backends to the edges,
// since each names the addresses of the one before.
func (s *Stack) open(p *plan, log zerolog.Logger) error {
	if err := s.writePKI(p); err != nil {
		return err
	}
	if err := s.writeToken(p); err != nil {
		return err
	}
	if err := s.openDemo(p); err != nil {
		return err
	}
	for i := range p.CorePlans {
		var c core.Config
		if err := s.configure(p, p.CorePlans[i].Name, func() (string, error) { return p.render(coreTemplate, p.CorePlans[i]) }, &c); err != nil {
			return err
		}
		srv, err := core.New(&c, tierLog(log, "core", c.Name))
		if err != nil {
			return fmt.Errorf("%s: %w", c.Name, err)
		}
		if err := srv.Listen(); err != nil {
			return fmt.Errorf("%s: %w", c.Name, err)
		}
		s.Cores = append(s.Cores, srv)
		p.CorePlans[i].Tunnel = srv.Addr().String()
	}
	for _, tier := range p.EdgePlans {
		var c edge.Config
		if err := s.configure(p, tier.Name, func() (string, error) { return p.render(edgeTemplate, tier) }, &c); err != nil {
			return err
		}
		srv, err := edge.New(&c, tierLog(log, "edge", c.Name))
		if err != nil {
			return fmt.Errorf("%s: %w", c.Name, err)
		}
		if err := srv.Listen(); err != nil {
			return fmt.Errorf("%s: %w", c.Name, err)
		}
		s.Edges = append(s.Edges, srv)
	}
	return nil
}

func tierLog(log zerolog.Logger, tier, name string) zerolog.Logger {
	return log.With().Str(telemetry.KeyTier, tier).Str(telemetry.KeyName, name).Logger()
}

// configure writes the file of one tier and reads it back, as a daemon would.
func (s *Stack) configure(p *plan, name string, render func() (string, error), into any) error {
	text, err := render()
	if err != nil {
		return err
	}
	if p.Change != nil {
		text = p.Change(name, text)
	}
	path := s.ConfigPath(name)
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		return err
	}
	_, err = config.Load(path, into)
	return err
}

// ConfigPath returns the configuration file of the tier called name.
func (s *Stack) ConfigPath(name string) string { return filepath.Join(s.Dir, name+".yaml") }

func (s *Stack) writePKI(p *plan) error {
	var edges, cores []string
	for _, t := range p.EdgePlans {
		edges = append(edges, t.Name)
	}
	for _, t := range p.CorePlans {
		cores = append(cores, t.Name)
	}
	made, err := pki.NewThrowaway(edges, cores)
	if err != nil {
		return err
	}
	s.CA = made.CA
	if err := os.WriteFile(filepath.Join(s.Dir, "ca.crt"), made.CA, 0o644); err != nil {
		return err
	}
	pairs := map[string]pki.Pair{"site": made.Site}
	for name, pair := range made.Edges {
		pairs[name] = pair
	}
	for name, pair := range made.Cores {
		pairs[name] = pair
	}
	dir := pki.Dir{Path: s.Dir, Force: true}
	for name, pair := range pairs {
		if _, _, err := dir.Write(name, pair); err != nil {
			return err
		}
	}
	return nil
}

func (s *Stack) openDemo(p *plan) error {
	if len(p.BackendURLs) > 0 {
		return nil
	}
	for i := range p.Demo {
		d, err := demo.Listen(demo.Config{Name: fmt.Sprintf("backend-%d", i+1)})
		if err != nil {
			return err
		}
		s.Demo = append(s.Demo, d)
		p.BackendURLs = append(p.BackendURLs, d.URL())
	}
	return nil
}

// close closes what open had opened when it failed.
func (s *Stack) close() {
	done, cancel := context.WithCancel(context.Background())
	cancel()
	s.Run(done)
}

// Run serves until ctx ends, then drains the edges, the cores and the backends in
// this order. It returns nil after a clean drain.
func (s *Stack) Run(ctx context.Context) error {
	backends, stopBackends := context.WithCancel(context.WithoutCancel(ctx))
	cores, stopCores := context.WithCancel(context.WithoutCancel(ctx))
	defer stopBackends()
	defer stopCores()
	var edgeGroup, coreGroup, demoGroup errgroup.Group
	for _, d := range s.Demo {
		demoGroup.Go(func() error { return d.Run(backends) })
	}
	for _, c := range s.Cores {
		coreGroup.Go(func() error { return c.Run(cores) })
	}
	for _, e := range s.Edges {
		edgeGroup.Go(func() error { return e.Run(ctx) })
	}
	<-ctx.Done()
	err := edgeGroup.Wait()
	stopCores()
	err = errors.Join(err, coreGroup.Wait())
	stopBackends()
	return errors.Join(err, demoGroup.Wait())
}

// URL returns the address of edge i in clear, and TLSURL the one with TLS.
func (s *Stack) URL(i int) string { return "http://" + s.Edges[i].Addrs()[0].String() }

// TLSURL returns the TLS address of edge i, for h1, h2 and h3.
func (s *Stack) TLSURL(i int) string { return "https://" + s.tlsAddr(i).String() }

func (s *Stack) tlsAddr(i int) net.Addr {
	addrs := s.Edges[i].Addrs()
	j := slices.IndexFunc(addrs[1:], func(a net.Addr) bool { return a.Network() == "tcp" })
	return addrs[1+j]
}
