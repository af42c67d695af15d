package edge

import (
	"context"
	"net"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/ergoproxy/ergo/edge/corepool"
	"github.com/ergoproxy/ergo/edge/tunnelclient"
	"github.com/ergoproxy/ergo/shared/link"
	"github.com/ergoproxy/ergo/shared/tlsidentity"
)

// A coreSet is the tunnels of an edge, in the order of its configuration.
type coreSet struct {
	ctx      context.Context // of Run; nil before
	group    *errgroup.Group
	settings tunnelclient.Settings
	link     *link.Shared
	list     []*runningCore
}

type runningCore struct {
	config tunnelclient.CoreConfig
	client *tunnelclient.Client
	stop   context.CancelFunc
}

// startCores starts the tunnels of the configuration, as part of g.
func (s *Server) startCores(ctx context.Context, g *errgroup.Group) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cores.ctx, s.cores.group = ctx, g
	s.replaceCores(s.config.Load())
}

// setCores starts the tunnels that are new in c and ends those that are gone from
// it, once they are idle.
func (s *Server) setCores(c *Config) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cores.ctx == nil {
		return nil // not running yet: startCores reads the configuration
	}
	s.replaceCores(c)
	return nil
}

func (s *Server) replaceCores(c *Config) {
	old := s.cores.list
	keep := s.cores.settings == c.Tunnel.Settings
	if !keep {
		s.cores.link = link.New(c.Tunnel.Link)
	}
	var next []*runningCore
	for _, core := range c.Tunnel.Cores {
		if i := indexCore(old, core); i >= 0 && keep {
			next = append(next, old[i])
			old = append(old[:i:i], old[i+1:]...)
			continue
		}
		next = append(next, s.startCore(core, c))
	}
	s.cores.list, s.cores.settings = next, c.Tunnel.Settings
	var named []corepool.Named
	for _, core := range next {
		named = append(named, corepool.Named{Name: core.config.Label(), Core: core.client})
	}
	s.pool.SetCores(named)
	for _, core := range old {
		s.retireCore(core, c.Shutdown.Grace.Std())
	}
}

func indexCore(list []*runningCore, c tunnelclient.CoreConfig) int {
	for i, core := range list {
		if core.config == c {
			return i
		}
	}
	return -1
}

func (s *Server) startCore(core tunnelclient.CoreConfig, c *Config) *runningCore {
	host, _, _ := net.SplitHostPort(core.Address)
	var client *tunnelclient.Client
	client = tunnelclient.New(core, c.Tunnel.Settings, tunnelclient.Options{
		Edge: c.Name, TLS: s.identity.ClientConfig(tlsidentity.Want{Name: core.Name, Host: host}),
		Budget: s.budget, Link: s.cores.link, Generation: s.generation.Load, Logger: s.log, Changed: func() {},
		Elsewhere: func() bool {
			return slices.ContainsFunc(s.clients(), func(other *runningCore) bool { return other.client != client && other.client.Steady() })
		},
	})
	ctx, stop := context.WithCancel(s.cores.ctx)
	s.cores.group.Go(func() error { return client.Run(ctx) })
	return &runningCore{config: core, client: client, stop: stop}
}

// retireCore ends a tunnel that gets no new exchanges any more, when its last one
// is over or the grace is.
func (s *Server) retireCore(core *runningCore, grace time.Duration) {
	s.log.Info().Str("core", core.config.Label()).Msg("core removed")
	ctx := s.cores.ctx
	s.cores.group.Go(func() error {
		defer core.stop()
		limit := time.NewTimer(grace)
		defer limit.Stop()
		ticker := time.NewTicker(50 * time.Millisecond)
		defer ticker.Stop()
		for core.client.InFlight() > 0 {
			select {
			case <-ticker.C:
			case <-limit.C:
				return nil
			case <-ctx.Done():
				return nil
			}
		}
		return nil
	})
}

// tunnels returns the status of every tunnel.
func (s *Server) tunnels() []tunnelclient.Status {
	all := []tunnelclient.Status{}
	for _, core := range s.clients() {
		all = append(all, core.client.Status())
	}
	return all
}

func (s *Server) clients() []*runningCore {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.cores.list
}
