package core

import (
	"time"

	"github.com/ergoproxy/ergo/core/backend"
	"github.com/ergoproxy/ergo/core/tunnelserver"
	"github.com/ergoproxy/ergo/shared/link"
	"github.com/ergoproxy/ergo/shared/proxystatus"
	"github.com/ergoproxy/ergo/shared/telemetry"
)

// Status is what /status shows.
type Status struct {
	Tier             string                      `json:"tier"`
	Name             string                      `json:"name"`
	Build            telemetry.Build             `json:"build"`
	Generation       uint64                      `json:"config_generation"`
	Ready            bool                        `json:"ready"`
	NotReady         []string                    `json:"not_ready,omitempty"`
	Listen           string                      `json:"tunnel_listen"`
	Tunnels          []tunnelserver.TunnelStatus `json:"tunnels"`
	Pools            []backend.Status            `json:"pools"`
	Routes           []string                    `json:"routes"`
	InFlight         int64                       `json:"in_flight"`
	ReceiveMemory    int64                       `json:"receive_memory_bytes"`
	ReceiveReserved  int64                       `json:"receive_reserved_bytes"`
	CertificateUntil time.Time                   `json:"tunnel_certificate_until"`
}

// Status returns what the core knows about itself.
func (s *Server) Status() Status {
	why := s.notReady()
	now := s.snapshot.Load()
	st := Status{Tier: "core", Name: s.name, Build: telemetry.BuildInfo(), Generation: s.generation.Load(),
		Ready: len(why) == 0, NotReady: why, Listen: s.Addr().String(), Tunnels: s.tunnels.Status(), Pools: []backend.Status{},
		InFlight: s.tunnels.InFlight(), ReceiveMemory: s.tunnels.Budget().Total(), ReceiveReserved: s.tunnels.Budget().Used(),
		CertificateUntil: s.identity.NotAfter()}
	for _, p := range now.pools {
		st.Pools = append(st.Pools, p.Status())
	}
	for _, r := range now.table.Routes() {
		st.Routes = append(st.Routes, r.Name)
	}
	return st
}

// metrics are what the path of a request counts.
type metrics struct {
	requests [6]telemetry.Counter // by class of status; 0: none was sent
	seconds  telemetry.Histogram
	failures []telemetry.Counter // by proxystatus.Type
}

var classes = [6]string{"none", "1xx", "2xx", "3xx", "4xx", "5xx"}

func newMetrics(r *telemetry.Registry) metrics {
	m := metrics{seconds: r.Histogram("core_request_seconds", "Time from the head of an exchange to the end of its response.").With()}
	requests := r.Counter("core_requests_total", "Exchanges that have ended, by class of status.", telemetry.KeyStatusClass)
	for i, class := range classes {
		m.requests[i] = requests.With(class)
	}
	failures := r.Counter("core_failures_total", "Exchanges that the core failed or refused, by reason (RFC 9209).", telemetry.KeyProxyStatus)
	m.failures = make([]telemetry.Counter, 1) // None is no failure
	for t := proxystatus.None + 1; t.Valid(); t++ {
		m.failures = append(m.failures, failures.With(t.String()))
	}
	return m
}

func (m *metrics) count(status int, t proxystatus.Type) {
	class := status / 100
	if class >= len(m.requests) {
		class = 0
	}
	m.requests[class].Inc()
	if t != proxystatus.None {
		m.failures[t].Inc()
	}
}

// observe registers what is read when /metrics is asked for.
func (s *Server) observe() {
	r := s.registry
	one := func(f func() float64) func(telemetry.Emit) { return func(emit telemetry.Emit) { emit(f()) } }
	r.GaugeFunc("core_requests_in_flight", "Exchanges being served.", nil,
		one(func() float64 { return float64(s.tunnels.InFlight()) }))
	r.GaugeFunc("core_tunnel_connections", "Connections of edges.", nil,
		one(func() float64 { return float64(len(s.tunnels.Status())) }))
	r.CounterFunc("core_tunnel_refused_total", "Exchanges refused before they began: draining, or out of receive memory.", nil,
		one(func() float64 { return float64(s.tunnels.Counters().Refused.Load()) }))
	r.CounterFunc("core_tunnel_violations_total", "Connections closed because the edge broke the protocol.", nil,
		one(func() float64 { return float64(s.tunnels.Counters().Violations.Load()) }))
	r.GaugeFunc("core_receive_reserved_bytes", "Request bytes that edges may have sent and backends not yet taken.", nil,
		one(func() float64 { return float64(s.tunnels.Budget().Used()) }))
	r.GaugeFunc("core_tunnel_certificate_expiry_seconds", "Seconds until the tunnel certificate expires.", nil,
		one(func() float64 { return time.Until(s.identity.NotAfter()).Seconds() }))
	r.CounterFunc("core_log_lines_dropped_total", "Access-log lines lost because the output was too slow.", nil,
		one(func() float64 { return float64(s.accessLog.Dropped()) }))
	r.GaugeFunc("core_config_generation", "Configurations that were put into force.", nil,
		one(func() float64 { return float64(s.generation.Load()) }))
	s.observeLinks()
	s.observePools()
}

func (s *Server) observeLinks() {
	r, edge := s.registry, []string{telemetry.KeyEdge}
	for _, m := range link.Metrics {
		r.CounterFunc("core_"+m.Name, m.Help, edge, func(emit telemetry.Emit) {
			for name, counts := range s.tunnels.Links() {
				emit(float64(m.Value(counts)), name)
			}
		})
	}
	worst := func(f func(*link.Status) float64) func(telemetry.Emit) {
		return func(emit telemetry.Emit) {
			most := make(map[string]float64)
			for _, t := range s.tunnels.Status() {
				if t.Link != nil {
					most[t.Edge] = max(most[t.Edge], f(t.Link))
				}
			}
			for name, value := range most {
				emit(value, name)
			}
		}
	}
	r.GaugeFunc("core_link_loss_ratio", "Share of the packets to the edge that are lost at random now, before repair; of its worst connection.", edge, worst(func(l *link.Status) float64 { return l.Loss }))
	r.GaugeFunc("core_link_parity_ratio", "Parity packets for each packet of bulk that this loss asks for.", edge, worst(func(l *link.Status) float64 { return l.Parity }))
}

func (s *Server) observePools() {
	pool := []string{telemetry.KeyPool}
	perPool := func(f func(backend.Status) float64) func(telemetry.Emit) {
		return func(emit telemetry.Emit) {
			for name, p := range s.snapshot.Load().pools {
				emit(f(p.Status()), name)
			}
		}
	}
	r := s.registry
	r.CounterFunc("core_backend_requests_total", "Requests to a pool of backends.", pool,
		perPool(func(b backend.Status) float64 { return float64(b.Requests) }))
	r.CounterFunc("core_backend_failures_total", "Requests to a pool that the core answered with an error.", pool,
		perPool(func(b backend.Status) float64 { return float64(b.Failures) }))
	r.CounterFunc("core_backend_retries_total", "Tries after the first of a request.", pool,
		perPool(func(b backend.Status) float64 { return float64(b.Retries) }))
	r.GaugeFunc("core_backend_in_flight", "Requests under way at a pool.", pool,
		perPool(func(b backend.Status) float64 { return float64(b.InFlight) }))
	r.GaugeFunc("core_backend_up", "1 while the backend may be picked.", []string{telemetry.KeyPool, telemetry.KeyBackend},
		func(emit telemetry.Emit) {
			for name, p := range s.snapshot.Load().pools {
				for _, b := range p.Status().Backends {
					up := 0.0
					if b.State == "up" {
						up = 1
					}
					emit(up, name, b.Address)
				}
			}
		})
}
