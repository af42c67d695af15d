package wan

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/ergoproxy/ergo/deploy/demo"
)

const (
	// soakSet is long, and not part of a run unless it is asked for.
	soakSet    = "soak"
	soakLength = 10 * time.Minute
	// soakStep is how long the path stays as it is.
	soakStep = 10 * time.Second
	soakBody = 16 << 20
	// soakReaders download at once.
	soakReaders = 2
)

// A Soak is a long download over a path that keeps changing, each byte compared.
type Soak struct {
	System   string  `json:"system"`
	Name     string  `json:"name"` // what the path does
	RTT      float64 `json:"rtt"`
	Duration float64 `json:"duration"`
	Bodies   int64   `json:"bodies"` // whole ones, of BodySize bytes
	BodySize int64   `json:"body_size"`
	Wrong    int64   `json:"wrong"`    // bodies whose SHA-256 was another than the backend's
	Failures int64   `json:"failures"` // downloads that ended early
	Bytes    int64   `json:"bytes"`
	Link     *Link   `json:"link,omitempty"`
}

// soakCourses are the paths of a soak, in turn.
func soakCourses() []course {
	held := newCourse(usualRTT, 0.01)
	held.Reorder, held.Name = 0.1, "80 ms, 1 % loss, 10 % reordered"
	return []course{newCourse(usualRTT, 0), newCourse(usualRTT, 0.01), newCourse(usualRTT, 0.05), bursts(), newCourse(usualRTT, 0.001), held, newCourse(usualRTT, 0.03)}
}

// measureSoak downloads through Ergo for long, and compares all that comes.
func (b *bench) measureSoak(ctx context.Context) (err error) {
	s, err := b.set(ctx, play{system: Ergo, course: newCourse(usualRTT, 0), sizes: []int64{soakBody}})
	if err != nil {
		return b.settle(ctx, soakSet, err)
	}
	defer func() { err = errors.Join(err, s.strike()) }()
	length := b.length(soakLength)
	found := Soak{System: Ergo, RTT: usualRTT.Seconds(), BodySize: soakBody, Name: "loss 0, 0.1, 1, 3, 5 %, bursts and reordering, for 10 s each"}
	sum := sha256.New()
	if _, err := demo.NewPattern(soakBody).WriteTo(sum); err != nil {
		return err
	}
	var mu sync.Mutex // guards found while the readers run
	begin := time.Now()
	until, stop := context.WithDeadline(ctx, begin.Add(length))
	defer stop()
	var readers sync.WaitGroup
	for range soakReaders {
		readers.Go(func() { s.soak(until, string(sum.Sum(nil)), &mu, &found) })
	}
	courses := soakCourses()
	for i := 0; until.Err() == nil; i++ {
		c := courses[i%len(courses)]
		s.wan.Set(c.conditions(), c.conditions())
		_ = wait(until, soakStep)
		mu.Lock()
		b.say("soak, %s: %d bodies, %d wrong, %d failed", c.Name, found.Bodies, found.Wrong, found.Failures)
		mu.Unlock()
	}
	readers.Wait()
	counted, err := s.readLink(ctx)
	if err != nil {
		return err
	}
	found.Duration, found.Link, found.Bytes = time.Since(begin).Seconds(), counted.sumUp(), found.Bodies*soakBody
	b.result.Soaks = append(b.result.Soaks, found)
	return nil
}

// soak downloads one body after the other until ctx ends.
func (s *stage) soak(ctx context.Context, want string, mu *sync.Mutex, found *Soak) {
	client := http.Client{Transport: &http.Transport{DialContext: s.wan.Near.Dial}}
	defer client.CloseIdleConnections()
	sum := sha256.New()
	for ctx.Err() == nil {
		err := s.fetch(ctx, &client, sum)
		mu.Lock()
		switch {
		case ctx.Err() != nil: // cut off by the end
		case err != nil:
			found.Failures++
			s.bench.note("soak: %v", err)
		case string(sum.Sum(nil)) != want:
			found.Wrong++
		default:
			found.Bodies++
		}
		mu.Unlock()
		if err != nil {
			_ = wait(ctx, time.Second)
		}
	}
}

// fetch downloads a body into sum.
func (s *stage) fetch(ctx context.Context, client *http.Client, sum hash.Hash) error {
	sum.Reset()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.chain.Address()+bodyPath(soakBody), nil)
	if err != nil {
		return err
	}
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("download: %s", response.Status)
	}
	_, err = io.Copy(sum, response.Body)
	return err
}

func writeSoaks(b io.Writer, soaks []Soak) {
	for _, s := range soaks {
		fmt.Fprintf(b, "\n%s for %s s, %s: %d bodies of %s, %d wrong, %d failed; %.2f GB, %.0f Mbit/s\n", s.System, number(s.Duration), s.Name,
			s.Bodies, size(s.BodySize), s.Wrong, s.Failures, float64(s.Bytes)/1e9, float64(s.Bytes)*8/1e6/s.Duration)
	}
}
