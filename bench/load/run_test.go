package load

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// memory is a listener whose connections are pipes, so that a server and the
// generator can run on a test's own clock.
type memory struct {
	conns  chan net.Conn
	closed chan struct{}
}

func (m *memory) dial(ctx context.Context) (net.Conn, error) {
	near, far := net.Pipe()
	select {
	case m.conns <- far:
		return near, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-m.closed:
		return nil, net.ErrClosed
	}
}

func (m *memory) Accept() (net.Conn, error) {
	select {
	case c := <-m.conns:
		return c, nil
	case <-m.closed:
		return nil, net.ErrClosed
	}
}

func (m *memory) Close() error   { close(m.closed); return nil }
func (m *memory) Addr() net.Addr { return &net.UnixAddr{Name: "memory"} }

// serve runs a server in the test's bubble and returns a target for it.
func serve(t *testing.T, handler http.HandlerFunc) Target {
	m := &memory{conns: make(chan net.Conn), closed: make(chan struct{})}
	server := &http.Server{Handler: handler}
	go server.Serve(m)
	t.Cleanup(func() { server.Close() })
	return Target{Protocol: H1, Address: "memory:80", Dial: m.dial, WantLength: 2}
}

// timerSleep stands in for the kernel's sleep, which the bubble's clock does
// not wait for.
func timerSleep(_ context.Context, due time.Time) { <-time.After(time.Until(due)) }

const (
	service = time.Millisecond
	stall   = 2 * time.Second
)

// stalling answers after the service time, and not at all between 4 s and 6 s
// after its start.
func stalling() http.HandlerFunc {
	from := time.Now().Add(4 * time.Second)
	until := from.Add(stall)
	return func(w http.ResponseWriter, _ *http.Request) {
		<-time.After(service) // the bubble's clock
		if now := time.Now(); now.After(from) && now.Before(until) {
			<-time.After(until.Sub(now))
		}
		io.WriteString(w, "ok")
	}
}

// TestOnlyTheOpenLoopSeesAStall is the test for coordinated omission: one
// fifth of all users were hit by the stall, and half of those waited more than
// half of it.
func TestOnlyTheOpenLoopSeesAStall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		closed, err := RunClosed(t.Context(), serve(t, stalling()), Closed{Connections: 1, Duration: 10 * time.Second})
		if err != nil {
			t.Fatal(err)
		}
		if closed.Failed() != 0 || closed.Quantile(0.99) > 2*service || closed.Quantile(1) < stall-2*service {
			t.Errorf("closed loop: p99 %s, max %s, failures %v", closed.Quantile(0.99), closed.Quantile(1), closed.Failures)
		}
		target := serve(t, stalling())
		target.prepare()
		open, err := runOpen(t.Context(), &target, &Open{Closed: Closed{Connections: 10, Streams: 1, Duration: 10 * time.Second}, Rate: 100, Queue: 1000}, timerSleep)
		if err != nil {
			t.Fatal(err)
		}
		if open.Answered != 1000 || open.Overflow != 0 || open.Failed() != 0 {
			t.Errorf("open loop: answered %d, overflow %d, failures %v", open.Answered, open.Overflow, open.Failures)
		}
		for _, row := range []struct{ q, low, high float64 }{{0.79, 0, 0.01}, {0.9, 0.45, 0.55}, {0.99, 0.93, 0.97}, {1, 0.99, 1.01}} {
			if share := float64(open.Quantile(row.q)) / float64(stall); share < row.low || share > row.high {
				t.Errorf("open loop: quantile %g is %.3f of the stall, want %g to %g", row.q, share, row.low, row.high)
			}
		}
		// The ten connections were busy: requests left late, and Late says so.
		if late := time.Duration(open.Late.Max()); late < stall*9/10 {
			t.Errorf("latest departure %s after it was due", late)
		}
	})
}

func TestOpenLoopCountsWhatItCouldNotSend(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		target := serve(t, stalling())
		target.prepare()
		o := &Open{Closed: Closed{Connections: 2, Streams: 1, Warmup: time.Second, Duration: 8 * time.Second}, Rate: 100, Queue: 30}
		r, err := runOpen(t.Context(), &target, o, timerSleep)
		if err != nil {
			t.Fatal(err)
		}
		if r.Answered+r.Overflow != 800 {
			t.Errorf("answered %d, overflow %d, want 800 in all", r.Answered, r.Overflow)
		}
		if want := int64(200 - 2 - 30); r.Overflow < want-2 || r.Overflow > want+2 {
			t.Errorf("overflow %d, want about %d: those due in the stall without the 2 sent and the 30 queued", r.Overflow, want)
		}
	})
}

func TestWindowLeavesWarmupOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		var begin, end time.Duration
		r, err := RunClosed(t.Context(), serve(t, stalling()), Closed{
			Connections: 3, Warmup: time.Second, Duration: time.Second,
			Begin: func() { begin = time.Since(start) }, End: func() { end = time.Since(start) },
		})
		if err != nil {
			t.Fatal(err)
		}
		if r.Answered != 3000 || r.Elapsed != time.Second {
			t.Errorf("answered %d in %s, want 3000 in 1s", r.Answered, r.Elapsed)
		}
		if begin != time.Second || end != 2*time.Second {
			t.Errorf("begin at %s, end at %s", begin, end)
		}
	})
}

func TestFailuresAreNamed(t *testing.T) {
	for _, row := range []struct {
		want    Failure
		handler http.HandlerFunc
	}{
		{FailedStatus, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(503); io.WriteString(w, "ok") }},
		{FailedLength, func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "no!") }},
		{FailedClosed, func(w http.ResponseWriter, _ *http.Request) { panic(http.ErrAbortHandler) }},
		{FailedTimeout, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }},
		{FailedProtocol, func(w http.ResponseWriter, _ *http.Request) {
			conn, _, _ := http.NewResponseController(w).Hijack()
			io.WriteString(conn, "SSH-2.0-OpenSSH\r\n")
			conn.Close()
		}},
		{FailedDial, nil},
	} {
		t.Run(string(row.want), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				target := serve(t, func(w http.ResponseWriter, r *http.Request) {
					<-time.After(10 * time.Millisecond) // the bubble's clock, which only waiting moves
					row.handler(w, r)
				})
				target.Timeout = 3 * time.Second
				if row.handler == nil {
					target.Dial = func(context.Context) (net.Conn, error) { return nil, errors.New("refused") }
				}
				started := time.Now()
				r, err := RunClosed(t.Context(), target, Closed{Connections: 2, Duration: time.Second})
				if err != nil {
					t.Fatal(err)
				}
				if r.Answered != 0 || r.Failures[row.want] == 0 || r.Failed() != r.Failures[row.want] {
					t.Errorf("answered %d, failures %v", r.Answered, r.Failures)
				}
				// 10 ms between failures of a worker
				if r.Failed() > 200 {
					t.Errorf("%d failures in a second", r.Failed())
				}
				if took := time.Since(started); took > target.Timeout+slack+100*time.Millisecond {
					t.Errorf("took %s", took)
				}
			})
		})
	}
}

func TestCancelEndsBothLoopsAtOnce(t *testing.T) {
	hang := func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		target := serve(t, hang)
		started := time.Now()
		time.AfterFunc(time.Second, cancel)
		if _, err := RunClosed(ctx, target, Closed{Connections: 4, Duration: time.Minute}); !errors.Is(err, context.Canceled) {
			t.Errorf("closed loop: %v", err)
		}
		ctx, cancel = context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		target.prepare()
		o := &Open{Closed: Closed{Connections: 4, Streams: 1, Duration: time.Minute}, Rate: 10, Queue: 10}
		if _, err := runOpen(ctx, &target, o, timerSleep); !errors.Is(err, context.Canceled) {
			t.Errorf("open loop: %v", err)
		}
		if took := time.Since(started); took > 2200*time.Millisecond {
			t.Errorf("took %s", took)
		}
	})
}

func TestConnectionsAreKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		target := serve(t, stalling())
		dials, dial := 0, target.Dial
		target.Dial = func(ctx context.Context) (net.Conn, error) { dials++; return dial(ctx) }
		if _, err := RunClosed(t.Context(), target, Closed{Connections: 1, Duration: time.Second}); err != nil {
			t.Fatal(err)
		}
		if dials != 1 {
			t.Errorf("%d connections", dials)
		}
	})
}

func TestOpenLoopMakesNoMoreConnectionsThanItNeeds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		target := serve(t, func(w http.ResponseWriter, _ *http.Request) {
			<-time.After(25 * time.Millisecond) // the bubble's clock: at 100/s up to three are under way
			io.WriteString(w, "ok")
		})
		target.prepare()
		dials, dial := 0, target.Dial
		target.Dial = func(ctx context.Context) (net.Conn, error) { dials++; return dial(ctx) }
		r, err := runOpen(t.Context(), &target, &Open{Closed: Closed{Connections: 50, Streams: 1, Duration: 2 * time.Second}, Rate: 100}, timerSleep)
		if err != nil {
			t.Fatal(err)
		}
		if dials != 3 || r.Answered != 200 || r.Overflow != 0 {
			t.Errorf("%d connections, answered %d, overflow %d", dials, r.Answered, r.Overflow)
		}
	})
}

func TestEachExchangeOfTheWindowIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		target := serve(t, func(w http.ResponseWriter, _ *http.Request) {
			<-time.After(30 * time.Millisecond) // the bubble's clock
			io.WriteString(w, "ok")
		})
		target.WantLength = 3 // every answer is too short
		target.prepare()
		var mu sync.Mutex
		var told []Exchange
		run := Closed{Connections: 9, Streams: 1, Warmup: time.Second, Duration: time.Second}
		run.Each = func(x Exchange) { mu.Lock(); defer mu.Unlock(); told = append(told, x) }
		start := time.Now()
		if _, err := runOpen(t.Context(), &target, &Open{Closed: run, Rate: 10}, timerSleep); err != nil {
			t.Fatal(err)
		}
		if len(told) != 10 {
			t.Fatalf("told of %d exchanges, want 10", len(told))
		}
		for i, x := range told {
			if due := time.Second + time.Duration(i)*100*time.Millisecond; x.Due.Sub(start) != due || x.Done.Sub(x.Due) < 30*time.Millisecond || x.Failure != FailedLength {
				t.Errorf("exchange %d: due %s, took %s, %q", i, x.Due.Sub(start), x.Done.Sub(x.Due), x.Failure)
			}
		}
	})
}

func TestSenselessArgumentsAreRefused(t *testing.T) {
	target := Target{Protocol: H1, Address: "127.0.0.1:1"}
	run := Closed{Connections: 1, Duration: time.Second}
	for name, change := range map[string]func(*Target, *Open){
		"address":   func(t *Target, _ *Open) { t.Address = "" },
		"protocol":  func(t *Target, _ *Open) { t.Protocol = "spdy" },
		"path":      func(t *Target, _ *Open) { t.Path = "/a b" },
		"injection": func(t *Target, _ *Open) { t.Authority = "a\r\nb" },
		"escape":    func(t *Target, _ *Open) { t.Path = "/%zz" },
		"no TLS":    func(t *Target, _ *Open) { t.Protocol = H2 },
		"timeout":   func(t *Target, _ *Open) { t.Timeout = time.Hour },
		"none":      func(_ *Target, o *Open) { o.Connections = 0 },
		"streams":   func(_ *Target, o *Open) { o.Streams = 2 },
		"too many":  func(_ *Target, o *Open) { o.Connections = maxWorkers + 1 },
		"duration":  func(_ *Target, o *Open) { o.Duration = 0 },
		"warm-up":   func(_ *Target, o *Open) { o.Warmup = -1 },
		"rate":      func(_ *Target, o *Open) { o.Rate = 0 },
		"queue":     func(_ *Target, o *Open) { o.Queue = -1 },
	} {
		tt, o := target, Open{Closed: run, Rate: 1}
		change(&tt, &o)
		if _, err := RunOpen(t.Context(), tt, o); err == nil || !strings.HasPrefix(err.Error(), "load: ") {
			t.Errorf("%s: open loop: %v", name, err)
		}
		if name == "rate" || name == "queue" {
			continue
		}
		if _, err := RunClosed(t.Context(), tt, o.Closed); err == nil {
			t.Errorf("%s: closed loop: no error", name)
		}
	}
}
