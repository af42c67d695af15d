// Package demo is the backend that `ergo up`, the tests, the compose file and
// the bench put behind a core. It shows what arrived, and misbehaves on request
// in every way in which a backend can.
//
//	/                             HTML page: who answered, request id, all header fields; also /private/...
//	/headers                      JSON: all of the request, its trailers, body length and sha256
//	/bytes/N?max-age=S            N bytes of a pattern (see Pattern); ETag, ranges, 304, HEAD; max-age makes it cacheable
//	/stream?chunks=&size=&delay=  chunks pieces of size bytes, flushed one by one, delay between them
//	/trailers                     a declared trailer (Demo-Sha256) and an undeclared one (Demo-Late)
//	/sse?events=&interval=        server-sent events; goes on after Last-Event-ID
//	/early-hints                  103 with two Link fields, then 200
//	/status/CODE                  an answer with that status, 200 to 599
//	/delay/DURATION               the page, after that time
//	/upload?refuse=CODE           POST or PUT: reads the body, answers length and sha256; refuse answers before reading
//	/echo                         the request body back as it arrives, both ways at once
//	/die?after=N&length=L         N bytes of a body declared as L, then the connection breaks; N = -1: before the head
//	/ws                           WebSocket echo, messages up to 1 MiB
//	/count?id=I&delay=            executes I, that is: counts it; see Counter
//	/count/report?ids=all         what was executed how often
//
// gRPC requests go to package grpcecho. Every answer carries Demo-Backend with
// the configured name. A parameter that cannot be understood, or is over its
// limit, is answered with 400 and the limit.
//
// Nothing here holds a whole body: memory per request is one copy buffer, and
// the count table is bounded. Handler and Counter are safe for concurrent use.
package demo

import (
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/ergoproxy/ergo/deploy/demo/grpcecho"
)

// Limits of what a request may ask for.
const (
	maxBytes    = 1 << 40
	maxChunks   = 1_000_000
	maxChunk    = 1 << 20
	maxDelay    = 10 * time.Minute
	maxMessage  = 1 << 20
	maxEcho     = 64 << 10
	maxMaxAge   = 365 * 24 * 3600
	copyBuffer  = 32 << 10
	defaultSize = 1024
)

// Handler answers all endpoints.
type Handler struct {
	name    string
	counter *Counter
	grpc    http.Handler
	mux     *http.ServeMux
}

// NewHandler returns a Handler that calls itself name.
func NewHandler(name string) *Handler {
	h := &Handler{name: name, counter: NewCounter(DefaultCounterIDs), grpc: grpcecho.NewHandler(name), mux: http.NewServeMux()}
	h.mux.HandleFunc("/{$}", h.page)
	h.mux.HandleFunc("/private/", h.page)
	h.mux.HandleFunc("/delay/{duration}", h.delay)
	h.mux.HandleFunc("/headers", h.headers)
	h.mux.HandleFunc("/bytes/{n}", bytesOfPattern)
	h.mux.HandleFunc("/stream", stream)
	h.mux.HandleFunc("/trailers", h.trailers)
	h.mux.HandleFunc("/sse", h.events)
	h.mux.HandleFunc("/early-hints", h.earlyHints)
	h.mux.HandleFunc("/status/{code}", status)
	h.mux.HandleFunc("POST /upload", upload)
	h.mux.HandleFunc("PUT /upload", upload)
	h.mux.HandleFunc("/echo", echo)
	h.mux.HandleFunc("/die", die)
	h.mux.HandleFunc("/ws", webSocket)
	h.mux.HandleFunc("/count", h.count)
	h.mux.HandleFunc("/count/report", h.countReport)
	return h
}

// Counter returns the table behind /count.
func (h *Handler) Counter() *Counter { return h.counter }

// ServeHTTP answers gRPC requests by grpcecho and all others by path.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.ProtoMajor == 2 && strings.HasPrefix(r.Header.Get("Content-Type"), "application/grpc") {
		h.grpc.ServeHTTP(w, r) // names the backend in its own metadata
		return
	}
	w.Header().Set("Demo-Backend", h.name)
	h.mux.ServeHTTP(w, r)
}

// parameters reads the query of a request and remembers the first problem.
type parameters struct {
	values url.Values
	err    error
}

func query(r *http.Request) *parameters { return &parameters{values: r.URL.Query()} }

// number returns the parameter name, or unset if the request has none.
func (p *parameters) number(name string, unset, low, high int64) int64 {
	text := p.values.Get(name)
	if text == "" {
		return unset
	}
	n, err := number(name, text, low, high)
	if err != nil && p.err == nil {
		p.err = err
	}
	return n
}

// duration returns the parameter name, or 0 if the request has none.
func (p *parameters) duration(name string) time.Duration {
	text := p.values.Get(name)
	if text == "" {
		return 0
	}
	d, err := duration(name, text)
	if err != nil && p.err == nil {
		p.err = err
	}
	return d
}

// refuse answers 400 if a parameter was bad, and reports whether it did.
func (p *parameters) refuse(w http.ResponseWriter) bool {
	if p.err == nil {
		return false
	}
	http.Error(w, p.err.Error(), http.StatusBadRequest)
	return true
}

func number(name, text string, low, high int64) (int64, error) {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < low || n > high {
		return 0, fmt.Errorf("%s: %q, want a whole number from %d to %d", name, text, low, high)
	}
	return n, nil
}

func duration(name, text string) (time.Duration, error) {
	d, err := time.ParseDuration(text)
	if err != nil || d < 0 || d > maxDelay {
		return 0, fmt.Errorf("%s: %q, want a duration from 0s to %s", name, text, maxDelay)
	}
	return d, nil
}

// wait returns false if the request ended before d was over.
func wait(r *http.Request, d time.Duration) bool {
	if d == 0 {
		return true
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-r.Context().Done():
		return false
	}
}
