package listener

import (
	"context"
	"errors"
	"maps"
	"slices"
)

// Reload replaces the configuration. Listeners whose address stays keep their
// socket and all their connections; certificates and limits count for
// connections accepted from now on. New listeners are opened, all or none;
// connections of removed ones may end their requests within Deps.RemovedGrace.
// After an error everything is as it was.
func (s *Server) Reload(configs []Config, limits Limits) error {
	plan, err := newSettings(configs, limits, s.deps.AllowConnect)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.phase != running {
		return errors.New("reload: the server is not running")
	}
	return s.apply(plan)
}

// ReloadCertificates reads the certificates and client authorities again. After
// an error the former ones stay in use.
func (s *Server) ReloadCertificates() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.phase != running {
		return errors.New("reload: the server is not running")
	}
	var configs []Config
	var limits Limits
	for _, st := range s.plan {
		configs = append(configs, st.Config)
		limits = *st.limits
	}
	plan, err := newSettings(configs, limits, s.deps.AllowConnect)
	if err != nil {
		return err
	}
	return s.apply(plan)
}

// apply makes plan the one that counts. The caller holds mu.
func (s *Server) apply(plan []*settings) error {
	all, err := s.open(plan)
	if err != nil {
		return err
	}
	for _, st := range plan {
		for _, key := range st.sockets() {
			if kept, ok := s.endpoints[key]; ok {
				kept.use(st)
			} else {
				s.start(all[key])
			}
		}
	}
	removed := maps.Clone(s.endpoints)
	maps.DeleteFunc(removed, func(key string, _ endpoint) bool { _, ok := all[key]; return ok })
	s.plan, s.endpoints = plan, all
	for _, key := range slices.Sorted(maps.Keys(removed)) {
		s.retire(removed[key])
	}
	return nil
}

// retire drains an endpoint that the config has no more.
func (s *Server) retire(e endpoint) {
	ctx := s.ctx
	s.retired[e] = struct{}{}
	s.tasks.Go(func() {
		ctx, cancel := context.WithTimeout(ctx, s.deps.RemovedGrace)
		defer cancel()
		if err := e.drain(ctx); err != nil {
			s.deps.Logger.Warn().Err(err).Stringer("listen", e.addr()).Msg("connections of a removed listener closed")
		}
		s.mu.Lock()
		delete(s.retired, e)
		s.mu.Unlock()
	})
}
