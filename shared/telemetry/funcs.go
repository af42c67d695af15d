package telemetry

import (
	"fmt"
	"strings"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
)

// Emit reports one series of a metric that is read when it is asked for. There
// are as many label values as the metric has label names; another number fails
// the scrape.
type Emit func(value float64, labelValues ...string)

// GaugeFunc makes a metric whose series are reported by collect at each scrape:
// what a tier knows anyway, such as connections and states, needs no second
// book. collect must be safe for concurrent use and must not block. When the
// name is registered again the new collect takes the place of the old one.
func (r *Registry) GaugeFunc(name, help string, labels []string, collect func(Emit)) {
	r.registerFunc("gauge func", prometheus.GaugeValue, name, help, labels, collect)
}

// CounterFunc is GaugeFunc for a value that only grows.
func (r *Registry) CounterFunc(name, help string, labels []string, collect func(Emit)) {
	r.registerFunc("counter func", prometheus.CounterValue, name, help, labels, collect)
}

func (r *Registry) registerFunc(kind string, value prometheus.ValueType, name, help string, labels []string, collect func(Emit)) {
	c := register(r, kind, name, labels, func() (*funcCollector, prometheus.Collector) {
		c := &funcCollector{desc: prometheus.NewDesc(name, help, labels, nil), value: value, labels: len(labels)}
		return c, c
	})
	c.collect.Store(&collect)
}

// funcCollector turns what a func emits into series.
type funcCollector struct {
	desc    *prometheus.Desc
	value   prometheus.ValueType
	labels  int
	collect atomic.Pointer[func(Emit)]
}

// Describe implements prometheus.Collector.
func (c *funcCollector) Describe(ch chan<- *prometheus.Desc) { ch <- c.desc }

// Collect implements prometheus.Collector. A label set that comes twice and what
// is above MaxSeries is left out: either would make the whole scrape fail, or
// grow without end.
func (c *funcCollector) Collect(ch chan<- prometheus.Metric) {
	collect := c.collect.Load()
	if collect == nil {
		return // registered, and scraped before its func was stored
	}
	seen := make(map[string]bool)
	(*collect)(func(value float64, values ...string) {
		if len(values) != c.labels {
			ch <- prometheus.NewInvalidMetric(c.desc, fmt.Errorf("%d label values emitted, want %d", len(values), c.labels))
			return
		}
		values = printable(values)
		key := strings.Join(values, "\xff")
		if seen[key] || len(seen) >= MaxSeries {
			return
		}
		seen[key] = true
		ch <- prometheus.MustNewConstMetric(c.desc, c.value, value, values...)
	})
}
