package backend

// Status is a pool at one moment, for the status page and for metrics.
type Status struct {
	Name     string           `json:"name"`
	Requests int64            `json:"requests"` // since the start
	Failures int64            `json:"failures"` // of them, answered by us with an error
	Retries  int64            `json:"retries"`
	InFlight int64            `json:"in_flight"`
	Backends []EndpointStatus `json:"backends"`
}

// EndpointStatus is one backend at one moment.
type EndpointStatus struct {
	Address     string `json:"address"`
	State       string `json:"state"` // up, down, probing, draining
	InFlight    int64  `json:"in_flight"`
	Connections int    `json:"connections"` // open, those being opened included
	Idle        int    `json:"idle"`        // HTTP/1.1 connections without a request
	Requests    int64  `json:"requests"`    // tries
	Failures    int64  `json:"failures"`    // tries that got no response head
	Ejections   int64  `json:"ejections"`
}

// Status returns what p is doing. It is cheap enough to be called for each
// scrape of the metrics.
func (p *Pool) Status() Status {
	s := Status{
		Name:     p.name,
		Requests: p.requests.Load(),
		Failures: p.failures.Load(),
		Retries:  p.retries.Load(),
		InFlight: p.active.Load(),
		Backends: []EndpointStatus{},
	}
	for _, e := range *p.endpoints.Load() {
		open, idle := e.conns.counts()
		s.Backends = append(s.Backends, EndpointStatus{
			Address:     e.target.addr,
			State:       e.health.State().String(),
			InFlight:    e.inFlight.Load(),
			Connections: open,
			Idle:        idle,
			Requests:    e.requests.Load(),
			Failures:    e.failures.Load(),
			Ejections:   e.health.Ejections(),
		})
	}
	return s
}

// Up returns how many backends may be picked now, and how many there are: the
// core is ready when no pool is without one.
func (p *Pool) Up() (up, all int) {
	list := *p.endpoints.Load()
	for _, e := range list {
		if e.health.Eligible() {
			up++
		}
	}
	return up, len(list)
}
