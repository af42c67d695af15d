//go:build linux

package chaos

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ergoproxy/ergo/deploy/demo"
)

// traffic says what clients send.
type traffic struct {
	rate  int           // requests a second, due whatever became of those before
	posts bool          // every second request is a POST
	slow  time.Duration // how long every fifth request takes at the backend
	edges []int         // taken in turn; nil: all
}

const (
	// answerLimit is how long a client waits for an answer.
	answerLimit = 20 * time.Second
	// maxInFlight bounds the requests that wait for an answer.
	maxInFlight = 8192
)

// A load is clients that send requests.
type load struct {
	traffic
	fleet   *fleet
	clients []*http.Client // by edge
	book    *book
	stop    context.CancelFunc
	done    chan struct{}
}

// send starts clients. They go on until finish is called.
func (f *fleet) send(t *testing.T, tr traffic) *load {
	t.Helper()
	if tr.edges == nil {
		for i := range f.edge {
			tr.edges = append(tr.edges, i)
		}
	}
	ctx, stop := context.WithCancel(context.Background())
	l := &load{traffic: tr, fleet: f, book: &book{start: time.Now()}, stop: stop, done: make(chan struct{})}
	for range f.edge {
		l.clients = append(l.clients, &http.Client{Timeout: answerLimit, Transport: &http.Transport{
			DisableCompression: true, MaxIdleConnsPerHost: maxInFlight, DialContext: f.edgeSide.dial}})
	}
	go l.run(ctx)
	t.Cleanup(func() {
		stop()
		<-l.done
	})
	return l
}

// finish stops the clients, waits for the last answers and returns the book.
func (l *load) finish() *book {
	l.stop()
	<-l.done
	return l.book
}

func (l *load) run(ctx context.Context) {
	defer close(l.done)
	var inFlight sync.WaitGroup
	defer inFlight.Wait()
	slots := make(chan struct{}, maxInFlight)
	ticker := time.NewTicker(time.Millisecond)
	defer ticker.Stop()
	for sent := 0; ; {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		for due := int(time.Since(l.book.start).Seconds() * float64(l.rate)); sent < due; sent++ {
			select {
			case slots <- struct{}{}:
			default:
				l.book.overflow.Add(1)
				continue
			}
			e := l.next(sent)
			inFlight.Go(func() {
				l.exchange(e)
				<-slots
			})
		}
	}
}

// next opens the entry of the next request.
func (l *load) next(i int) *entry {
	e := &entry{method: http.MethodGet, edge: l.edges[i%len(l.edges)], began: time.Now()}
	if l.posts && (i/len(l.edges))%2 == 1 {
		e.method = http.MethodPost
	}
	if l.slow > 0 && i%5 == 0 {
		e.slow = l.slow
	}
	e.id = fmt.Sprintf("%s-%d-%d", e.method, l.book.start.UnixNano(), i)
	l.book.open(e)
	return e
}

// exchange sends one request and writes down what came of it.
func (l *load) exchange(e *entry) {
	status, why, err := l.ask(e)
	l.book.close(e, status, why, err)
}

var errOtherAnswer = errors.New("the answer is that to another request")

func (l *load) ask(e *entry) (status int, why string, err error) {
	// net/http sends a request again by itself when a connection that it had
	// kept breaks. That would hide what we look for, so connections are counted.
	ctx := httptrace.WithClientTrace(context.Background(), &httptrace.ClientTrace{
		GotConn: func(httptrace.GotConnInfo) { e.connections++ }})
	url := l.fleet.edgeURL(e.edge) + "/count?id=" + e.id
	if e.slow > 0 {
		url += "&delay=" + e.slow.String()
	}
	var body io.Reader
	if e.method == http.MethodPost {
		body = strings.NewReader("executed once, or not at all")
	}
	req, err := http.NewRequestWithContext(ctx, e.method, url, body)
	if err != nil {
		return 0, "", err
	}
	res, err := l.clients[e.edge].Do(req)
	if err != nil {
		return 0, "", err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		return res.StatusCode, "", fmt.Errorf("after the head: %w", err)
	}
	if res.StatusCode != http.StatusOK {
		return res.StatusCode, res.Header.Get("Proxy-Status"), nil
	}
	var answer demo.Execution
	if err := json.Unmarshal(text, &answer); err != nil {
		return res.StatusCode, "", err
	}
	if answer.ID != e.id {
		return res.StatusCode, "", errOtherAnswer
	}
	return res.StatusCode, "", nil
}
