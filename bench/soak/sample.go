package soak

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/ergoproxy/ergo/bench/peers"
)

// A Sample is what a tier holds at one moment, right after a garbage collection.
// Sizes are in bytes.
type Sample struct {
	At          float64 `json:"at_s"` // since the load began
	RSS         int64   `json:"rss"`
	Heap        int64   `json:"heap_in_use"`
	Live        int64   `json:"heap_live"` // objects alone, without the gaps between them
	Stack       int64   `json:"stack_in_use"`
	Goroutines  int64   `json:"goroutines"`
	Files       int64   `json:"open_files"`
	Connections int64   `json:"connections"` // of clients at the edge, of edges at the core
	Lanes       int64   `json:"lanes"`
	Reserved    int64   `json:"receive_reserved"`
	InFlight    int64   `json:"in_flight"`
}

// scrapeTimeout bounds one sample. A tier with 60,000 connections takes a while
// for a garbage collection.
const scrapeTimeout = 30 * time.Second

// maxPage bounds what is read of an admin page.
const maxPage = 64 << 20

// A tier is a process that is watched through its admin server. No connection to
// it is kept: it would be counted among its files and goroutines by chance.
type tier struct {
	peers.Tier
	client *http.Client
}

func newTiers(e *peers.Ergo) []*tier {
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: scrapeTimeout}
	var all []*tier
	for _, t := range e.Tiers() {
		all = append(all, &tier{t, client})
	}
	return all
}

// sample collects garbage and looks.
func (t *tier) sample(ctx context.Context) (Sample, error) {
	// Twice, because what a sync.Pool holds survives the first.
	for range 2 {
		if err := t.get(ctx, "/debug/pprof/heap?gc=1&debug=1", discard); err != nil {
			return Sample{}, err
		}
	}
	return t.look(ctx)
}

// look is sample without the collections.
func (t *tier) look(ctx context.Context) (s Sample, err error) {
	err = t.get(ctx, "/metrics", func(r io.Reader) (err error) { s, err = readMetrics(t.Name, r); return err })
	if err != nil {
		return s, err
	}
	err = t.get(ctx, "/status", func(r io.Reader) (err error) { s.Lanes, err = readLanes(r); return err })
	return s, err
}

// keepProfiles writes PREFIX-TIER-heap.pprof and PREFIX-TIER-goroutines.txt.
func (t *tier) keepProfiles(ctx context.Context, prefix string) error {
	for page, name := range map[string]string{"heap": "heap.pprof", "goroutine?debug=1": "goroutines.txt"} {
		err := t.get(ctx, "/debug/pprof/"+page, func(r io.Reader) error {
			content, err := io.ReadAll(r)
			if err != nil {
				return err
			}
			return os.WriteFile(filepath.Clean(prefix+"-"+t.Name+"-"+name), content, 0o644)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func (t *tier) get(ctx context.Context, page string, read func(io.Reader) error) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+t.Admin+page, nil)
	if err != nil {
		return err
	}
	response, err := t.client.Do(request)
	if err != nil {
		return fmt.Errorf("watch %s: %w", t.Name, err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("watch %s: get %s: %s", t.Name, page, response.Status)
	}
	if err := read(io.LimitReader(response.Body, maxPage)); err != nil {
		return fmt.Errorf("watch %s: read %s: %w", t.Name, page, err)
	}
	return nil
}

func discard(r io.Reader) error {
	_, err := io.Copy(io.Discard, r)
	return err
}

// readMetrics takes a Sample of the tier's from the Prometheus text format. A
// metric that is not there is an error: its column would read 0 for ever.
func readMetrics(tier string, r io.Reader) (Sample, error) {
	var s Sample
	wanted := map[string]*int64{
		"process_resident_memory_bytes":  &s.RSS,
		"go_memstats_heap_inuse_bytes":   &s.Heap,
		"go_memstats_heap_alloc_bytes":   &s.Live,
		"go_memstats_stack_inuse_bytes":  &s.Stack,
		"go_goroutines":                  &s.Goroutines,
		"process_open_fds":               &s.Files,
		tier + "_receive_reserved_bytes": &s.Reserved,
		tier + "_requests_in_flight":     &s.InFlight,
		map[string]string{"edge": "edge_client_connections", "core": "core_tunnel_connections"}[tier]: &s.Connections,
	}
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		name, value, _ := strings.Cut(lines.Text(), " ")
		to := wanted[name]
		if to == nil {
			continue
		}
		number, err := strconv.ParseFloat(value, 64)
		if err != nil {
			return s, fmt.Errorf("metric %s: %w", name, err)
		}
		*to = int64(number)
		delete(wanted, name)
	}
	if err := lines.Err(); err != nil {
		return s, err
	}
	for name := range wanted {
		return s, fmt.Errorf("there is no metric %s", name)
	}
	return s, nil
}

// readLanes sums up the lanes in a status page. Those of an edge stand one level
// deeper, by connection.
func readLanes(r io.Reader) (int64, error) {
	var status struct {
		Tunnels []struct {
			Lanes       int64 `json:"lanes"`
			Connections []struct {
				Lanes int64 `json:"lanes"`
			} `json:"connections"`
		} `json:"tunnels"`
	}
	if err := json.NewDecoder(r).Decode(&status); err != nil {
		return 0, err
	}
	var lanes int64
	for _, t := range status.Tunnels {
		lanes += t.Lanes
		for _, c := range t.Connections {
			lanes += c.Lanes
		}
	}
	return lanes, nil
}
