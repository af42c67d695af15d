package edge

import (
	"net/http"
	"time"

	"github.com/ergoproxy/ergo/edge/tunnelclient"
	"github.com/ergoproxy/ergo/shared/exchange"
	"github.com/ergoproxy/ergo/shared/link"
	"github.com/ergoproxy/ergo/shared/proxystatus"
	"github.com/ergoproxy/ergo/shared/telemetry"
)

// Status is what /status shows.
type Status struct {
	Tier             string                `json:"tier"`
	Name             string                `json:"name"`
	Build            telemetry.Build       `json:"build"`
	Generation       uint64                `json:"config_generation"`
	Ready            bool                  `json:"ready"`
	NotReady         []string              `json:"not_ready,omitempty"`
	Listeners        []string              `json:"listeners"`
	Connections      int64                 `json:"client_connections"`
	Tunnels          []tunnelclient.Status `json:"tunnels"`
	ReceiveMemory    int64                 `json:"receive_memory_bytes"`
	ReceiveReserved  int64                 `json:"receive_reserved_bytes"`
	CertificateUntil time.Time             `json:"tunnel_certificate_until"`
	LogLinesDropped  uint64                `json:"log_lines_dropped"`
}

// Status returns what the edge knows about itself.
func (s *Server) Status() Status {
	why := s.notReady()
	open, _ := s.listener.Connections()
	st := Status{Tier: "edge", Name: s.config.Load().Name, Build: telemetry.BuildInfo(), Generation: s.generation.Load(),
		Ready: len(why) == 0, NotReady: why, Connections: open, Tunnels: s.tunnels(),
		ReceiveMemory: s.budget.Total(), ReceiveReserved: s.budget.Used(),
		CertificateUntil: s.identity.NotAfter(), LogLinesDropped: s.accessLog.Dropped()}
	for _, a := range s.Addrs() {
		st.Listeners = append(st.Listeners, a.Network()+" "+a.String())
	}
	return st
}

// metrics are what the path of a request counts.
type metrics struct {
	requests [6]telemetry.Counter // by class of status; 0: none was sent
	seconds  telemetry.Histogram
	inFlight telemetry.Gauge
	failures []telemetry.Counter // by proxystatus.Type
}

var classes = [6]string{"none", "1xx", "2xx", "3xx", "4xx", "5xx"}

func newMetrics(r *telemetry.Registry) metrics {
	m := metrics{
		seconds:  r.Histogram("edge_request_seconds", "Time from the head of a request to the end of its response.").With(),
		inFlight: r.Gauge("edge_requests_in_flight", "Requests being served.").With(),
	}
	requests := r.Counter("edge_requests_total", "Requests that have ended, by class of status.", telemetry.KeyStatusClass)
	for i, class := range classes {
		m.requests[i] = requests.With(class)
	}
	failures := r.Counter("edge_failures_total", "Requests that a tier failed or refused, by reason (RFC 9209).", telemetry.KeyProxyStatus)
	m.failures = make([]telemetry.Counter, 1) // None is no failure
	for t := proxystatus.None + 1; t.Valid(); t++ {
		m.failures = append(m.failures, failures.With(t.String()))
	}
	return m
}

// meter counts what has passed through it.
func (s *Server) meter(next http.Handler) http.Handler {
	m := &s.metrics
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		m.inFlight.Add(1)
		x := exchange.From(r.Context())
		defer func() {
			m.inFlight.Add(-1)
			m.seconds.Observe(time.Since(x.Start))
			class := x.Report.Status / 100
			if class >= len(m.requests) {
				class = 0
			}
			m.requests[class].Inc()
			for _, t := range [...]proxystatus.Type{x.Report.Error, x.CoreReport.Error} {
				if t != proxystatus.None {
					m.failures[t].Inc()
				}
			}
		}()
		next.ServeHTTP(w, r)
	})
}

// observe registers what is read when /metrics is asked for.
func (s *Server) observe() {
	core := []string{telemetry.KeyCore}
	perCore := func(f func(*tunnelclient.Client) float64) func(telemetry.Emit) {
		return func(emit telemetry.Emit) {
			for _, c := range s.clients() {
				emit(f(c.client), c.config.Label())
			}
		}
	}
	r := s.registry
	r.GaugeFunc("edge_core_usable", "1 while exchanges can be sent to the core.", core,
		perCore(func(c *tunnelclient.Client) float64 { return truth(c.Usable()) }))
	r.GaugeFunc("edge_core_in_flight", "Exchanges under way at the core.", core,
		perCore(func(c *tunnelclient.Client) float64 { return float64(c.InFlight()) }))
	r.CounterFunc("edge_core_exchanges_total", "Exchanges sent to the core.", core,
		perCore(func(c *tunnelclient.Client) float64 { return float64(c.Counters().Exchanges.Load()) }))
	r.CounterFunc("edge_core_dial_errors_total", "Connections to the core that could not be made.", core,
		perCore(func(c *tunnelclient.Client) float64 { return float64(c.Counters().DialErrors.Load()) }))
	r.CounterFunc("edge_core_deaths_total", "Connections to the core that stopped answering.", core,
		perCore(func(c *tunnelclient.Client) float64 { return float64(c.Counters().Deaths.Load()) }))
	r.CounterFunc("edge_core_lanes_opened_total", "Lanes opened to the core.", core,
		perCore(func(c *tunnelclient.Client) float64 { return float64(c.Counters().LanesOpened.Load()) }))
	r.CounterFunc("edge_core_lanes_reset_total", "Lanes thrown away because their exchange was cut short.", core,
		perCore(func(c *tunnelclient.Client) float64 { return float64(c.Counters().LanesReset.Load()) }))
	for _, m := range link.Metrics {
		r.CounterFunc("edge_"+m.Name, m.Help, core, perCore(func(c *tunnelclient.Client) float64 { return float64(m.Value(c.Links())) }))
	}
	s.observeConnections()
	s.observeTotals()
}

// observeConnections registers what is told for each connection of a tunnel, as its
// worst one.
func (s *Server) observeConnections() {
	perCore := func(f func([]tunnelclient.ConnectionStatus) float64) func(telemetry.Emit) {
		return func(emit telemetry.Emit) {
			for _, c := range s.clients() {
				emit(f(c.client.Status().Connections), c.config.Label())
			}
		}
	}
	worst := func(f func(*link.Status) float64) func(telemetry.Emit) {
		return perCore(func(all []tunnelclient.ConnectionStatus) (most float64) {
			for _, c := range all {
				if c.Link != nil {
					most = max(most, f(c.Link))
				}
			}
			return most
		})
	}
	r, core := s.registry, []string{telemetry.KeyCore}
	r.GaugeFunc("edge_core_connections", "Connections to the core, by carrier.", []string{telemetry.KeyCore, telemetry.KeyCarrier}, func(emit telemetry.Emit) {
		for _, c := range s.clients() {
			count := map[tunnelclient.Carrier]float64{tunnelclient.QUIC: 0, tunnelclient.TCP: 0}
			for _, k := range c.client.Status().Connections {
				count[k.Carrier]++
			}
			for carrier, n := range count {
				emit(n, c.config.Label(), string(carrier))
			}
		}
	})
	r.GaugeFunc("edge_core_rtt_seconds", "Smoothed round-trip time to the core.", core, perCore(func(all []tunnelclient.ConnectionStatus) (most float64) {
		for _, c := range all {
			most = max(most, c.RoundTrip.Seconds())
		}
		return most
	}))
	r.GaugeFunc("edge_link_loss_ratio", "Share of the packets to the core that are lost at random now, before repair.", core, worst(func(l *link.Status) float64 { return l.Loss }))
	r.GaugeFunc("edge_link_parity_ratio", "Parity packets for each packet of bulk that this loss asks for.", core, worst(func(l *link.Status) float64 { return l.Parity }))
}

func (s *Server) observeTotals() {
	r := s.registry
	one := func(f func() float64) func(telemetry.Emit) { return func(emit telemetry.Emit) { emit(f()) } }
	r.CounterFunc("edge_retries_total", "Exchanges sent to a core again.", nil,
		one(func() float64 { return float64(s.pool.Counters().Retries.Load()) }))
	r.CounterFunc("edge_unavailable_total", "Exchanges for which no core was usable.", nil,
		one(func() float64 { return float64(s.pool.Counters().Unavailable.Load()) }))
	r.CounterFunc("edge_log_lines_dropped_total", "Access-log lines lost because the output was too slow.", nil,
		one(func() float64 { return float64(s.accessLog.Dropped()) }))
	r.GaugeFunc("edge_client_connections", "Open connections of clients.", nil,
		one(func() float64 { open, _ := s.listener.Connections(); return float64(open) }))
	r.CounterFunc("edge_client_connections_refused_total", "Connections of clients refused by a limit.", nil,
		one(func() float64 { _, refused := s.listener.Connections(); return float64(refused) }))
	r.GaugeFunc("edge_receive_reserved_bytes", "Response bytes that cores may have sent and clients not yet taken.", nil,
		one(func() float64 { return float64(s.budget.Used()) }))
	r.GaugeFunc("edge_tunnel_certificate_expiry_seconds", "Seconds until the tunnel certificate expires.", nil,
		one(func() float64 { return time.Until(s.identity.NotAfter()).Seconds() }))
	r.GaugeFunc("edge_config_generation", "Configurations that were put into force.", nil,
		one(func() float64 { return float64(s.generation.Load()) }))
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
