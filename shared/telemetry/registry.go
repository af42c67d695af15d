package telemetry

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// MaxSeries is how many label sets one metric holds. Label values come from
// configs and closed lists and stay far below; should they not, whatever is
// above shares one series whose labels are all OtherLabel.
const MaxSeries = 1000

// OtherLabel is the label value of what did not get a series of its own.
const OtherLabel = "other"

// Registry holds the metrics of one tier. Its methods panic on a bad name and on
// a name used for two things, which are mistakes of a programmer. A metric asked
// for again, as a reload of the config does, is the same metric.
type Registry struct {
	registry *prometheus.Registry

	mu      sync.Mutex // guards metrics
	metrics map[string]any
}

// NewRegistry returns a registry that holds metrics of the process, of the Go
// runtime, and ergo_build_info with the facts in build.
func NewRegistry(build Build) *Registry {
	r := &Registry{registry: prometheus.NewRegistry(), metrics: make(map[string]any)}
	r.registry.MustRegister(
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		collectors.NewGoCollector(),
	)
	r.GaugeFunc("ergo_build_info", "Constant 1 with the version of the binary.", []string{KeyVersion, "revision", "go"}, func(emit Emit) {
		emit(1, build.Version, build.Revision, build.Go)
	})
	return r
}

// scrapes is how many answers Handler prepares at a time.
const scrapes = 4

// Handler serves the metrics in the Prometheus and OpenMetrics text formats, and
// in the Prometheus protobuf format, the only one that has native histograms.
func (r *Registry) Handler() http.Handler {
	return promhttp.HandlerFor(r.registry, promhttp.HandlerOpts{
		MaxRequestsInFlight: scrapes,
		Timeout:             10 * time.Second,
		EnableOpenMetrics:   true,
	})
}

// metric is what is registered under one name: a kind with its label names.
type metric[T any] struct {
	kind   string
	labels []string
	value  T
}

// register returns what was made for name before, or makes it.
func register[T any](r *Registry, kind, name string, labels []string, build func() (T, prometheus.Collector)) T {
	if !validName(name) {
		panic(fmt.Sprintf("telemetry: metric %q, want lower-case words with _ that begin with edge_, core_ or ergo_", name))
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if old, ok := r.metrics[name]; ok {
		m, ok := old.(metric[T])
		if !ok || m.kind != kind || !slices.Equal(m.labels, labels) {
			panic(fmt.Sprintf("telemetry: metric %s registered as %T and as %s%v", name, old, kind, labels))
		}
		return m.value
	}
	value, collector := build()
	r.registry.MustRegister(collector)
	r.metrics[name] = metric[T]{kind, slices.Clone(labels), value}
	return value
}

func validName(name string) bool {
	prefixed := strings.HasPrefix(name, "edge_") || strings.HasPrefix(name, "core_") || strings.HasPrefix(name, "ergo_")
	return prefixed && !strings.ContainsFunc(name, func(c rune) bool {
		return (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '_'
	})
}

// children hands out the series of one metric and counts them.
type children[T any] struct {
	labels int
	child  func(values ...string) T
	remove func(values ...string) bool

	mu   sync.Mutex // guards seen
	seen map[string]T
}

func newChildren[T any](labels []string, child func(...string) T, remove func(...string) bool) *children[T] {
	return &children[T]{labels: len(labels), child: child, remove: remove, seen: make(map[string]T)}
}

func (c *children[T]) with(values []string) T {
	if len(values) != c.labels {
		panic(fmt.Sprintf("telemetry: %d label values, want %d", len(values), c.labels))
	}
	values = printable(values)
	key := strings.Join(values, "\xff")
	c.mu.Lock()
	defer c.mu.Unlock()
	if v, ok := c.seen[key]; ok {
		return v
	}
	if len(c.seen) >= MaxSeries {
		return c.child(slices.Repeat([]string{OtherLabel}, c.labels)...)
	}
	v := c.child(values...)
	c.seen[key] = v
	return v
}

func (c *children[T]) drop(values []string) {
	values = printable(values)
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.seen, strings.Join(values, "\xff"))
	c.remove(values...)
}

// printable replaces what is not UTF-8: one such label would make every scrape
// fail.
func printable(values []string) []string {
	out := make([]string, len(values))
	for i, v := range values {
		out[i] = strings.ToValidUTF8(v, "?")
	}
	return out
}
