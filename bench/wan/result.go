package wan

import "time"

// newResult returns a Result that has measured nothing.
func newResult(command string) *Result {
	return &Result{Kind: "wan", Date: time.Now().UTC().Truncate(time.Second), Command: command, Machine: thisMachine(), Systems: make(map[string]string)}
}

// A Result is what one call of `ergo-bench wan` found, as its JSON file holds it.
// Durations are seconds.
type Result struct {
	Kind    string            `json:"kind"` // "wan"
	Date    time.Time         `json:"date"`
	Command string            `json:"command"`
	Machine Machine           `json:"machine"`
	Systems map[string]string `json:"systems"` // name: version

	Cells     []Cell     `json:"cells,omitempty"`
	Timelines []Timeline `json:"timelines,omitempty"`
	Shares    []Share    `json:"shares,omitempty"`
	Journeys  []Journey  `json:"journeys,omitempty"`
	Soaks     []Soak     `json:"soaks,omitempty"`
	Notes     []string   `json:"notes,omitempty"` // what was skipped, and why
}

// A Machine is where it ran.
type Machine struct {
	CPU    string `json:"cpu"`
	Cores  int    `json:"cores"`
	Memory int64  `json:"memory_bytes"`
	Kernel string `json:"kernel"`
	Go     string `json:"go"`
	TCP    string `json:"tcp_congestion_control"`
}

// A Cell is one system under one workload on one path.
type Cell struct {
	System   string   `json:"system"` // "ergo", "ergo-plain" (repair off), "nginx", "haproxy-h1", "haproxy-h2"
	Path     Path     `json:"path"`
	Workload Workload `json:"workload"`
	Measured
}

// A Path is what the emulated WAN does, the same in both directions.
type Path struct {
	Name      string  `json:"name"` // "80 ms, 1 % loss"
	RTT       float64 `json:"rtt"`
	Jitter    float64 `json:"jitter,omitempty"` // one way: each packet's delay is changed by up to this, up or down
	Loss      float64 `json:"loss"`             // share of packets lost at random, 0 to 1; what was lost in all is in Measured
	Burst     string  `json:"burst,omitempty"`  // "5 to 20 packets about every 1 s", on top of Loss
	Reorder   float64 `json:"reorder,omitempty"`
	Duplicate float64 `json:"duplicate,omitempty"`
	Rate      int64   `json:"rate_bits"`
	Queue     float64 `json:"queue"` // how long a packet may wait for the rate
	MTU       int     `json:"mtu"`   // of the path, IP header included
}

// A Workload is requests at a fixed rate.
type Workload struct {
	Name        string  `json:"name"` // "1 KiB at 200/s"
	Bytes       int64   `json:"bytes"`
	Rate        float64 `json:"rate"`
	Duration    float64 `json:"duration"`
	Connections int     `json:"connections"`
}

// Measured is what came of it.
type Measured struct {
	Answered  int64            `json:"answered"`
	Failures  map[string]int64 `json:"failures,omitempty"`
	Overflow  int64            `json:"overflow,omitempty"` // due requests that were not sent: the system was too slow
	Latency   Quantiles        `json:"latency"`
	CPU       float64          `json:"cpu"`        // seconds of both tiers' processes per answer
	WireBytes int64            `json:"wire_bytes"` // that entered the WAN, both directions
	BodyBytes int64            `json:"body_bytes"` // of the answers
	Link      *Link            `json:"link,omitempty"`

	// Shares of the packets that entered the WAN, both directions: lost at random,
	// dropped by the full queue, and delivered over 1 ms later than the Path says because
	// the machine stood still.
	Lost    float64 `json:"wan_lost"`
	Dropped float64 `json:"wan_dropped"`
	Late    float64 `json:"wan_late"`
	// Repeated is how many measurements were taken again because of that.
	Repeated int `json:"repeated,omitempty"`
}

// Quantiles of the time from when a request was due until its answer was whole.
type Quantiles struct {
	P50  float64 `json:"p50"`
	P90  float64 `json:"p90"`
	P99  float64 `json:"p99"`
	P999 float64 `json:"p999"`
	Max  float64 `json:"max"`
}

// A Link is what Ergo's link says of itself over the run, in the direction from
// core to edge.
type Link struct {
	LossBefore  float64 `json:"loss_before"`  // share of packets lost before repair
	LossAfter   float64 `json:"loss_after"`   // and after it
	ParityShare float64 `json:"parity_share"` // repair bytes for each data byte
	Repaired    int64   `json:"repaired"`     // packets
}

// A Timeline is one system on a path that changes.
type Timeline struct {
	System   string   `json:"system"`
	Name     string   `json:"name"` // "loss 0 → 5 → 0 %"
	Workload Workload `json:"workload"`
	RTT      float64  `json:"rtt"`
	Points   []Point  `json:"points"`
}

// A Point is an interval of a Timeline.
type Point struct {
	At          float64   `json:"at"` // end of the interval, from the start of the run
	Loss        float64   `json:"loss"`
	Latency     Quantiles `json:"latency"`
	ParityShare float64   `json:"parity_share"` // in this interval
	Failures    int64     `json:"failures"`
}

// A Share is how a system and one TCP flow divide a bottleneck.
type Share struct {
	System  string  `json:"system"`
	Against string  `json:"against"` // "cubic", "bbr"
	Rate    int64   `json:"rate_bits"`
	Own     float64 `json:"own"`   // share of the delivered bits, 0 to 1
	Other   float64 `json:"other"` // of the TCP flow
	RTT     float64 `json:"rtt"`
}

// A Journey is something that a person waits for.
type Journey struct {
	Name     string    `json:"name"`   // "first request of a cold client"
	System   string    `json:"system"` // "straight to the far backend", "ergo", ...
	Path     Path      `json:"path"`
	Tries    int       `json:"tries"`
	Latency  Quantiles `json:"latency"`
	Failures int64     `json:"failures"`
	Note     string    `json:"note,omitempty"`
}
