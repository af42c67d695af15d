package wan

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/ergoproxy/ergo/bench/peers"
)

const (
	journeyBody    = 1 << 10
	journeyTimeout = 10 * time.Second
	// askRate is how many times a second a client asks while a tier is restarted.
	askRate = 50
)

// patience is how long journeys are looked at.
type patience struct {
	cold       int           // tries of a cold client
	restarts   int           // of each tier
	lead, tail time.Duration // how long the client asks before and after a restart
}

func usualPatience() patience {
	return patience{cold: 50, restarts: 5, lead: time.Second, tail: 4 * time.Second}
}

// measureJourneys measures what a person waits for.
func (b *bench) measureJourneys(ctx context.Context) error {
	if !slices.Contains(b.config.Systems, Ergo) {
		b.note("journeys: left out: they are those of %s", Ergo)
		return nil
	}
	for _, journey := range []struct {
		name    string
		measure func(context.Context) error
	}{
		{"first requests", b.measureFirstRequests},
		{"restart of an edge", func(ctx context.Context) error { return b.measureRestart(ctx, "restart of the edge", "edge", 1) }},
		{"restart of a core", func(ctx context.Context) error {
			return b.measureRestart(ctx, "restart of one core of two", "core", 2)
		}},
	} {
		if err := b.settle(ctx, "journeys, "+journey.name, journey.measure(ctx)); err != nil {
			return err
		}
	}
	return nil
}

func (b *bench) addJourney(j Journey) {
	b.result.Journeys = append(b.result.Journeys, j)
	b.say("journey, %s, %s, %s: p50 %.0f ms, worst %.0f ms, %d failed", j.Name, j.System, j.Path.Name, 1000*j.Latency.P50, 1000*j.Latency.Max, j.Failures)
}

// measureFirstRequests compares a client that goes straight to a far backend with
// one that goes to a near edge. Both make a new TLS connection for each request.
func (b *bench) measureFirstRequests(ctx context.Context) error {
	for _, loss := range []float64{0, 0.01, 0.03} {
		if err := b.measureFirstRequest(ctx, newCourse(usualRTT, loss)); err != nil {
			return err
		}
	}
	return nil
}

func (b *bench) measureFirstRequest(ctx context.Context, path course) (err error) {
	s, err := b.set(ctx, play{system: Ergo, course: path, sizes: []int64{journeyBody}, secure: true})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.strike()) }()
	straight := way{system: "straight to the far backend", address: s.backend.SecureAddress()}
	near := way{system: Ergo, address: s.ergo.SiteAddress()}
	if straight.trust, err = s.backend.SecureTLS(); err != nil {
		return err
	}
	if near.trust, err = s.ergo.SiteTLS(); err != nil {
		return err
	}
	for range b.patience.cold {
		for _, w := range []*way{&straight, &near} {
			if err := w.try(ctx, s); err != nil {
				return err
			}
		}
	}
	for _, w := range []way{straight, near} {
		b.addJourney(Journey{
			Name: "first request of a cold client", System: w.system, Path: path.Path, Tries: b.patience.cold,
			Latency: exactQuantiles(w.taken), Failures: w.failed,
		})
	}
	return nil
}

// A way is how a cold client goes to a body.
type way struct {
	system  string
	address string // host:port, over TLS
	trust   *tls.Config
	taken   []time.Duration
	failed  int64
}

// try takes the way once. It returns an error only if ctx has ended.
func (w *way) try(ctx context.Context, s *stage) error {
	begun := time.Now()
	err := s.askOnce(ctx, "https://"+w.address+bodyPath(journeyBody), w.trust)
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case err != nil:
		w.failed++
	default:
		w.taken = append(w.taken, time.Since(begun))
	}
	return nil
}

// askOnce makes a connection for one request.
func (s *stage) askOnce(ctx context.Context, url string, trust *tls.Config) error {
	client := http.Client{Timeout: journeyTimeout, Transport: &http.Transport{
		DialContext: s.wan.Near.Dial, TLSClientConfig: trust, DisableKeepAlives: true,
	}}
	return ask(ctx, &client, url)
}

// ask wants a whole body.
func ask(ctx context.Context, client *http.Client, url string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	n, err := io.Copy(io.Discard, response.Body)
	if err == nil && (n != journeyBody || response.StatusCode != http.StatusOK) {
		err = fmt.Errorf("get %s: %s, %d bytes", url, response.Status, n)
	}
	return err
}

// measureRestart restarts a tier while a client asks. A try takes the longest time
// between two answers.
func (b *bench) measureRestart(ctx context.Context, name, tier string, cores int) (err error) {
	path := newCourse(usualRTT, 0)
	s, err := b.set(ctx, play{system: Ergo, course: path, sizes: []int64{journeyBody}, cores: cores})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.strike()) }()
	var gaps []time.Duration
	var asked, failed int64
	for range b.patience.restarts {
		r, err := s.askThroughRestart(ctx, tier)
		if err != nil {
			return err
		}
		gaps = append(gaps, r.longestGap())
		asked += int64(len(r.answers)) + r.failed
		failed += r.failed
	}
	b.addJourney(Journey{
		Name: name, System: Ergo, Path: path.Path, Tries: b.patience.restarts, Latency: exactQuantiles(gaps), Failures: failed,
		Note: fmt.Sprintf("longest time without an answer at %d requests/s; %d of %d requests failed", askRate, failed, asked),
	})
	return nil
}

// A record is what a client sees while a tier is restarted.
type record struct {
	mu      sync.Mutex // guards what follows
	answers []time.Time
	failed  int64
}

func (r *record) book(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err != nil {
		r.failed++
		return
	}
	r.answers = append(r.answers, time.Now())
}

// longestGap is the longest time between two answers.
func (r *record) longestGap() time.Duration {
	var longest time.Duration
	slices.SortFunc(r.answers, time.Time.Compare)
	for i := 1; i < len(r.answers); i++ {
		longest = max(longest, r.answers[i].Sub(r.answers[i-1]))
	}
	return longest
}

// askThroughRestart asks at a fixed rate, and restarts the tier after a while. The
// client is that of net/http: it makes a new connection when one was closed, and
// repeats a request that met a connection which was just being closed.
func (s *stage) askThroughRestart(ctx context.Context, tier string) (*record, error) {
	client := http.Client{Timeout: journeyTimeout, Transport: &http.Transport{
		DialContext:         s.wan.Near.Dial,
		MaxIdleConnsPerHost: maxConnections,
	}}
	defer client.CloseIdleConnections()
	r := &record{}
	var running sync.WaitGroup
	defer running.Wait()
	url := "http://" + s.chain.Address() + bodyPath(journeyBody)
	tick := time.NewTicker(time.Second / askRate)
	defer tick.Stop()
	restarted := make(chan error, 1)
	lead, tail := s.bench.patience.lead, s.bench.patience.tail
	for i := range int((lead + tail).Seconds() * askRate) {
		if i == int(lead.Seconds()*askRate) {
			running.Go(func() { restarted <- s.ergo.Restart(tier) })
		}
		running.Go(func() { r.book(ask(ctx, &client, url)) })
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
	running.Wait()
	return r, errors.Join(<-restarted, s.ready(ctx, tier))
}

// ready waits until a tier that was restarted is.
func (s *stage) ready(ctx context.Context, name string) error {
	i := slices.IndexFunc(s.ergo.Tiers(), func(t peers.Tier) bool { return t.Name == name })
	ctx, stop := context.WithTimeout(ctx, journeyTimeout)
	defer stop()
	for {
		_, err := s.ergo.Admin(ctx, s.ergo.Tiers()[i], "/readyz")
		if err == nil || ctx.Err() != nil {
			return err
		}
		if err := wait(ctx, 20*time.Millisecond); err != nil {
			return fmt.Errorf("%s after its restart: %w", name, err)
		}
	}
}
