package wan

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"strconv"
	"strings"
)

// linkCounters are what Ergo's link counts in the direction from core to edge, over
// all connections.
type linkCounters struct {
	found bool // the link counts

	sentBytes, parityBytes      int64 // by the cores
	received, missing, repaired int64 // data packets, by the edge; repaired ones were missing
}

func (c *linkCounters) add(o linkCounters, sign int64) {
	c.found = c.found || o.found
	c.sentBytes += sign * o.sentBytes
	c.parityBytes += sign * o.parityBytes
	c.received += sign * o.received
	c.missing += sign * o.missing
	c.repaired += sign * o.repaired
}

// sumUp returns what a Result says, or nil if the link did not count.
func (c *linkCounters) sumUp() *Link {
	if !c.found {
		return nil
	}
	return &Link{
		LossBefore: share(c.missing, c.received+c.missing),
		// What was rebuilt before it came late was never missing.
		LossAfter:   share(max(0, c.missing-c.repaired), c.received+c.missing),
		ParityShare: share(c.parityBytes, c.sentBytes),
		Repaired:    c.repaired,
	}
}

// readLink asks all tiers of Ergo for their metrics. Other systems, and an Ergo
// without a link, have none.
func (s *stage) readLink(ctx context.Context) (c linkCounters, err error) {
	if s.ergo == nil {
		return c, nil
	}
	for _, tier := range s.ergo.Tiers() {
		page, err := s.ergo.Admin(ctx, tier, "/metrics")
		if err != nil {
			return c, err
		}
		if err := c.take(page); err != nil {
			return c, fmt.Errorf("metrics of the %s: %w", tier.Name, err)
		}
	}
	return c, nil
}

// take adds the counters on a page of metrics in the text format of Prometheus.
// Those with several labels are added up.
func (c *linkCounters) take(page []byte) error {
	wanted := map[string]*int64{
		"core_link_sent_bytes_total":       &c.sentBytes,
		"core_link_parity_bytes_total":     &c.parityBytes,
		"edge_link_received_packets_total": &c.received,
		"edge_link_missing_packets_total":  &c.missing,
		"edge_link_repaired_packets_total": &c.repaired,
	}
	lines := bufio.NewScanner(bytes.NewReader(page))
	for lines.Scan() {
		line := lines.Text()
		end := strings.IndexAny(line, "{ ")
		if end < 0 || wanted[line[:end]] == nil {
			continue
		}
		value, err := strconv.ParseFloat(line[strings.LastIndexByte(line, ' ')+1:], 64)
		if err != nil {
			return fmt.Errorf("value in %q: %w", line, err)
		}
		*wanted[line[:end]] += int64(value)
		c.found = true
	}
	return lines.Err()
}
