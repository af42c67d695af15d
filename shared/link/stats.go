package link

import (
	"sync/atomic"
	"time"
)

// Counts are what was sent and received since the start.
type Counts struct {
	SentPackets, SentBytes     uint64 // of QUIC, without our headers
	ParityPackets, ParityBytes uint64 // sent for them, headers included
	ResentBytes                uint64 // sent once more, headers included

	ReceivedPackets  uint64 // of QUIC, that arrived by themselves
	ReceivedBytes    uint64 // of these
	MissingPackets   uint64 // that did not, as far as is known by now
	RepairedPackets  uint64 // of these: rebuilt from parity
	ResentPackets    uint64 // of these: sent once more, a round trip late
	CongestedPackets uint64 // of these: while the queue was long
	OutagePackets    uint64 // in runs too long for any repair
	ReceivedParity   uint64 // packets
}

// Status is how a link does now, as /status shows it.
type Status struct {
	RTT       string  `json:"rtt"`             // smoothed: RoundTrip as text
	Queueing  string  `json:"queueing"`        // how long our packets wait in the queues of the path, as the peer says
	Loss      float64 `json:"loss"`            // share of our packets that are lost at random now, as the peer's reports tell
	Parity    float64 `json:"parity"`          // parity packets for each packet of bulk that this loss asks for
	MaxPacket int     `json:"max_packet_size"` // bytes of the largest packet that is known to get through

	RoundTrip time.Duration `json:"-"` // 0: not known yet
}

// A Metric is one of the Counts, as /metrics shows it.
type Metric struct {
	Name  string // without the name of the tier: "link_sent_packets_total"
	Help  string
	Value func(Counts) uint64
}

// Metrics are those of the links of one tunnel.
var Metrics = []Metric{
	{"link_sent_packets_total", "QUIC packets sent to the far end.", func(c Counts) uint64 { return c.SentPackets }},
	{"link_sent_bytes_total", "Bytes of these packets.", func(c Counts) uint64 { return c.SentBytes }},
	{"link_parity_packets_total", "Parity packets sent beside them.", func(c Counts) uint64 { return c.ParityPackets }},
	{"link_parity_bytes_total", "Bytes of these parity packets.", func(c Counts) uint64 { return c.ParityBytes }},
	{"link_resent_bytes_total", "Bytes of packets sent once more because the far end asked for them.", func(c Counts) uint64 { return c.ResentBytes }},
	{"link_received_packets_total", "QUIC packets of the far end that arrived by themselves.", func(c Counts) uint64 { return c.ReceivedPackets }},
	{"link_received_bytes_total", "Bytes of these packets.", func(c Counts) uint64 { return c.ReceivedBytes }},
	{"link_missing_packets_total", "QUIC packets of the far end that did not: loss before repair.", func(c Counts) uint64 { return c.MissingPackets }},
	{"link_repaired_packets_total", "Missing packets that were rebuilt from parity, or came when asked for.", func(c Counts) uint64 { return c.RepairedPackets + c.ResentPackets }},
	{"link_congested_packets_total", "Missing packets that were lost to a full queue.", func(c Counts) uint64 { return c.CongestedPackets }},
	{"link_outage_packets_total", "Missing packets in runs too long to repair.", func(c Counts) uint64 { return c.OutagePackets }},
}

type counters struct {
	sentPackets, sentBytes, parityPackets, parityBytes                                               atomic.Uint64
	receivedBytes, receivedPackets, missingPackets, repairedPackets, resentPackets, congestedPackets atomic.Uint64
	outagePackets, receivedParity, resentBytes                                                       atomic.Uint64
}

// Counts returns what was counted so far.
func (t *Tally) Counts() Counts {
	c := &t.count
	return Counts{
		SentPackets: c.sentPackets.Load(), SentBytes: c.sentBytes.Load(),
		ParityPackets: c.parityPackets.Load(), ParityBytes: c.parityBytes.Load(), ResentBytes: c.resentBytes.Load(),
		ReceivedPackets: c.receivedPackets.Load(), ReceivedBytes: c.receivedBytes.Load(), MissingPackets: c.missingPackets.Load(),
		RepairedPackets: c.repairedPackets.Load(), ResentPackets: c.resentPackets.Load(),
		CongestedPackets: c.congestedPackets.Load(), OutagePackets: c.outagePackets.Load(),
		ReceivedParity: c.receivedParity.Load(),
	}
}

// Status returns how the link does now. It is nil if p is, and before Start.
func (p *Peer) Status() *Status {
	if p == nil {
		return nil
	}
	s := p.sender.Load()
	if s == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	queueing := time.Duration(s.control.last.queueing) * tick
	return &Status{
		RoundTrip: s.control.rtt,
		RTT:       s.control.rtt.Round(time.Microsecond).String(), Queueing: queueing.String(),
		Loss: s.control.losses.share(), Parity: float64(s.control.rows(maxGroup, true)) / maxGroup, MaxPacket: s.established,
	}
}
