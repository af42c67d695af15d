package telemetry

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Counters is a metric that only grows, one Counter a label set.
type Counters struct{ c *children[Counter] }

// Counter is one series of Counters.
type Counter struct{ c prometheus.Counter }

// Counter returns the metric with the given name and label names. With no label
// names there is one series, With().
func (r *Registry) Counter(name, help string, labels ...string) *Counters {
	return register(r, "counter", name, labels, func() (*Counters, prometheus.Collector) {
		vec := prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
		child := func(values ...string) Counter { return Counter{vec.WithLabelValues(values...)} }
		return &Counters{newChildren(labels, child, vec.DeleteLabelValues)}, vec
	})
}

// With returns the series with these label values. It takes a lock: call it once
// and keep what it returns.
func (c *Counters) With(values ...string) Counter { return c.c.with(values) }

// Delete forgets the series of something that is gone from the config.
func (c *Counters) Delete(values ...string) { c.c.drop(values) }

// Inc adds 1.
func (c Counter) Inc() { c.c.Inc() }

// Add adds n.
func (c Counter) Add(n uint64) { c.c.Add(float64(n)) }

// Gauges is a metric that goes up and down, one Gauge a label set.
type Gauges struct{ c *children[Gauge] }

// Gauge is one series of Gauges.
type Gauge struct{ g prometheus.Gauge }

// Gauge returns the metric with the given name and label names.
func (r *Registry) Gauge(name, help string, labels ...string) *Gauges {
	return register(r, "gauge", name, labels, func() (*Gauges, prometheus.Collector) {
		vec := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: name, Help: help}, labels)
		child := func(values ...string) Gauge { return Gauge{vec.WithLabelValues(values...)} }
		return &Gauges{newChildren(labels, child, vec.DeleteLabelValues)}, vec
	})
}

// With returns the series with these label values. It takes a lock: call it once
// and keep what it returns.
func (g *Gauges) With(values ...string) Gauge { return g.c.with(values) }

// Delete forgets the series of something that is gone from the config.
func (g *Gauges) Delete(values ...string) { g.c.drop(values) }

// Set replaces the value.
func (g Gauge) Set(v float64) { g.g.Set(v) }

// Add adds v, which may be negative.
func (g Gauge) Add(v float64) { g.g.Add(v) }

// Histograms is a metric of durations in seconds, one Histogram a label set.
type Histograms struct{ c *children[Histogram] }

// Histogram is one series of Histograms.
type Histogram struct{ o prometheus.Observer }

// buckets reach from what a request costs on loopback to a long poll, in
// seconds.
var buckets = []float64{
	50e-6, 100e-6, 250e-6, 500e-6,
	1e-3, 2.5e-3, 5e-3, 10e-3, 25e-3, 50e-3, 100e-3, 250e-3, 500e-3,
	1, 2.5, 5, 10, 30, 60,
}

// Histogram returns the metric with the given name, which should end in
// _seconds, and label names. It is a classic histogram with buckets from 50 µs
// to 60 s and a native one with an error of at most 5 % at once; a series takes
// some 3 KiB.
func (r *Registry) Histogram(name, help string, labels ...string) *Histograms {
	return register(r, "histogram", name, labels, func() (*Histograms, prometheus.Collector) {
		vec := prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: name, Help: help, Buckets: buckets,
			NativeHistogramBucketFactor:     1.1,
			NativeHistogramMaxBucketNumber:  160,
			NativeHistogramMinResetDuration: time.Hour,
		}, labels)
		child := func(values ...string) Histogram { return Histogram{vec.WithLabelValues(values...)} }
		return &Histograms{newChildren(labels, child, vec.DeleteLabelValues)}, vec
	})
}

// With returns the series with these label values. It takes a lock: call it once
// and keep what it returns.
func (h *Histograms) With(values ...string) Histogram { return h.c.with(values) }

// Delete forgets the series of something that is gone from the config.
func (h *Histograms) Delete(values ...string) { h.c.drop(values) }

// Observe counts d.
func (h Histogram) Observe(d time.Duration) { h.o.Observe(d.Seconds()) }
