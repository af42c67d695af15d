package demo

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"sync"
)

// DefaultCounterIDs is how many ids the Counter of a Handler remembers.
const DefaultCounterIDs = 1 << 20

const (
	maxIDLength    = 128
	maxListedTwice = 1000
)

// A Counter knows how often each id was executed: the proof that a retry ran
// nothing twice. It is safe for concurrent use.
type Counter struct {
	limit int

	// mu guards what follows.
	mu       sync.Mutex
	ids      map[string]int
	executed int64
	overflow int64
}

// NewCounter returns a Counter that remembers up to limit ids.
func NewCounter(limit int) *Counter {
	return &Counter{limit: limit, ids: make(map[string]int)}
}

// Execute counts id and returns how often it was executed by now. It returns 0
// if the table is full and id is not in it: that execution is only counted as
// overflow.
func (c *Counter) Execute(id string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, known := c.ids[id]; !known && len(c.ids) >= c.limit {
		c.overflow++
		return 0
	}
	c.executed++
	c.ids[id]++
	return c.ids[id]
}

// Count returns how often id was executed.
func (c *Counter) Count(id string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.ids[id]
}

// Reset forgets everything.
func (c *Counter) Reset() {
	c.mu.Lock()
	defer c.mu.Unlock()
	clear(c.ids)
	c.executed, c.overflow = 0, 0
}

// A CountReport is the JSON of /count/report.
type CountReport struct {
	Backend  string         `json:"backend"`
	Executed int64          `json:"executed"` // executions that were counted by id
	Distinct int            `json:"distinct"` // ids
	Overflow int64          `json:"overflow"` // executions refused because the table was full; a proof needs 0
	Doubled  int            `json:"doubled"`  // ids executed more than once
	Twice    map[string]int `json:"twice"`    // up to 1,000 of the doubled ids
}

// Report sums up. The Backend field is left empty.
func (c *Counter) Report() CountReport {
	c.mu.Lock()
	defer c.mu.Unlock()
	report := CountReport{Executed: c.executed, Distinct: len(c.ids), Overflow: c.overflow, Twice: map[string]int{}}
	for id, n := range c.ids {
		if n < 2 {
			continue
		}
		report.Doubled++
		if len(report.Twice) < maxListedTwice {
			report.Twice[id] = n
		}
	}
	return report
}

// IDs returns every id that was executed, sorted.
func (c *Counter) IDs() []string {
	c.mu.Lock()
	ids := make([]string, 0, len(c.ids))
	for id := range c.ids {
		ids = append(ids, id)
	}
	c.mu.Unlock()
	slices.Sort(ids)
	return ids
}

// An Execution is the JSON that /count answers with, and a line of
// /count/report?ids=all.
type Execution struct {
	Backend string `json:"backend,omitempty"`
	ID      string `json:"id"`
	Count   int    `json:"count"`
}

// count executes first and waits then, so that an exchange which is cut during
// the delay has happened.
func (h *Handler) count(w http.ResponseWriter, r *http.Request) {
	p := query(r)
	delay := p.duration("delay")
	id := p.values.Get("id")
	if p.err == nil && (id == "" || len(id) > maxIDLength) {
		p.err = fmt.Errorf("id: want 1 to %d bytes", maxIDLength)
	}
	if p.refuse(w) {
		return
	}
	n := h.counter.Execute(id)
	if n == 0 {
		http.Error(w, "the count table is full", http.StatusInsufficientStorage)
		return
	}
	if wait(r, delay) {
		writeJSON(w, Execution{Backend: h.name, ID: id, Count: n})
	}
}

func (h *Handler) countReport(w http.ResponseWriter, r *http.Request) {
	switch {
	case r.Method == http.MethodDelete:
		h.counter.Reset()
		w.WriteHeader(http.StatusNoContent)
	case r.URL.Query().Get("ids") == "all":
		w.Header().Set("Content-Type", "application/x-ndjson")
		encoder := json.NewEncoder(w)
		for _, id := range h.counter.IDs() {
			if encoder.Encode(Execution{ID: id, Count: h.counter.Count(id)}) != nil {
				return
			}
		}
	default:
		report := h.counter.Report()
		report.Backend = h.name
		writeJSON(w, report)
	}
}
