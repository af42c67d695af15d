package tunnelserver

import "time"

// SetHeadTimeout replaces tunnel.HeadTimeout, before Run.
func (s *Server) SetHeadTimeout(d time.Duration) { s.headTimeout = d }
