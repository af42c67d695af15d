package l2_test

import (
	"context"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ergoproxy/ergo/core/l2"
	"github.com/ergoproxy/ergo/shared/config"
)

const (
	budget = 25 * time.Millisecond

	// late is what a busy machine may add to a budget. What is looked for are waits
	// for a timeout, of seconds.
	late = 500 * time.Millisecond
)

// tight is a config as it is in use, but with a timeout that stands out.
func tight(cfg *l2.Config, _ *l2.Deps) {
	cfg.Budget = config.Duration(budget)
	cfg.Timeout = config.Duration(5 * time.Second)
}

// getMany does Gets, 8 at a time, for half a second, and returns the longest.
func getMany(s *l2.Store) time.Duration {
	var mu sync.Mutex
	var longest time.Duration
	var wg sync.WaitGroup
	end := time.Now().Add(500 * time.Millisecond)
	for range 8 {
		wg.Go(func() {
			tick := time.NewTicker(time.Millisecond)
			defer tick.Stop()
			for time.Now().Before(end) {
				start := time.Now()
				s.Get(context.Background(), []byte("key"))
				took := time.Since(start)
				mu.Lock()
				longest = max(longest, took)
				mu.Unlock()
				<-tick.C
			}
		})
	}
	wg.Wait()
	return longest
}

// becomes waits until a Get has an outcome.
func becomes(t testing.TB, s *l2.Store, outcome l2.Outcome) {
	t.Helper()
	eventually(t, "a Get is a "+outcome.String(), func() bool {
		_, got := s.Get(context.Background(), []byte("key"))
		return got == outcome
	})
}

// checkDown checks that Gets cost next to nothing, and then nothing.
func checkDown(t *testing.T, s *l2.Store) {
	t.Helper()
	if longest := getMany(s); longest > budget+late {
		t.Errorf("a Get took %v, want at most the budget of %v", longest, budget)
	}
	eventually(t, "the breaker opens", func() bool {
		s.Get(context.Background(), []byte("key"))
		return !s.Status().Up
	})
	want(t, s, "key", l2.Down)
	if s.Stats().Opened.Load() == 0 {
		t.Error("the opening is not counted")
	}
	if s.Status().Cause == nil {
		t.Error("no cause")
	}
}

func TestHangingServerCostsTheBudgetAndThenNothing(t *testing.T) {
	srv, s := connect(t, tight)
	store(t, s, "key", value("body"))
	srv.pause()
	checkDown(t, s)
	slow, down := s.Stats().Gets(l2.Slow), s.Stats().Gets(l2.Down)
	if slow == 0 || down < slow {
		t.Errorf("%d Gets were slow and %d made no try, want a few and then the rest", slow, down)
	}
	srv.resume()
	becomes(t, s, l2.Hit)
}

func TestServerThatDiesAndComesBack(t *testing.T) {
	srv, s := connect(t, tight)
	store(t, s, "key", value("body"))
	srv.kill()
	checkDown(t, s)
	srv.start()
	becomes(t, s, l2.Miss) // it has forgotten
	store(t, s, "key", value("body"))
	becomes(t, s, l2.Hit)
}

func TestServerThatIsNotThereAtFirst(t *testing.T) {
	srv := startServer(t)
	srv.kill()
	s := newStore(t, "unix://"+srv.socket(), tight)
	eventually(t, "a probe fails", func() bool { return s.Status().Cause != nil })
	want(t, s, "key", l2.Down)
	srv.start()
	becomes(t, s, l2.Miss)
}

func TestChangedTellsEachChangeOnce(t *testing.T) {
	type event struct {
		up    bool
		cause error
	}
	events := make(chan event, 100)
	srv := startServer(t)
	s := newStore(t, "unix://"+srv.socket(), func(_ *l2.Config, deps *l2.Deps) {
		deps.Changed = func(up bool, cause error) { events <- event{up, cause} }
	})
	next := func(up bool) {
		t.Helper()
		select {
		case e := <-events:
			if e.up != up || (e.cause == nil) != up {
				t.Fatalf("told %+v, want up %v", e, up)
			}
		case <-time.After(wait):
			t.Fatalf("never told that up is %v", up)
		}
	}
	next(true)
	up(t, s)
	srv.kill()
	getMany(s)
	next(false)
	srv.start()
	next(true)
	up(t, s)
	if len(events) > 0 {
		t.Errorf("told %+v besides", <-events)
	}
}

func TestWrongPassword(t *testing.T) {
	srv := startServer(t, "--requirepass", "right")
	password := func(p string) change {
		return func(cfg *l2.Config, _ *l2.Deps) { cfg.Password = config.NewSecret([]byte(p)) }
	}
	wrong := newStore(t, "unix://"+srv.socket(), tight, password("wrong"))
	eventually(t, "a probe fails", func() bool { return wrong.Status().Cause != nil })
	want(t, wrong, "key", l2.Down)
	if err := wrong.Status().Cause; !strings.Contains(err.Error(), "WRONGPASS") || strings.Contains(err.Error(), "right") {
		t.Errorf("cause is %v, want WRONGPASS", err)
	}
	right := newStore(t, "unix://"+srv.socket(), password("right"))
	up(t, right)
	want(t, right, "key", l2.Miss)
}

func TestServerFullOfErrors(t *testing.T) {
	addr := listen(t, func(c net.Conn) {
		buf := make([]byte, 4096)
		for {
			if _, err := c.Read(buf); err != nil {
				return
			}
			if _, err := io.WriteString(c, strings.Repeat("-LOADING Redis is loading the dataset in memory\r\n", 8)); err != nil {
				return
			}
		}
	})
	s := newStore(t, addr, tight)
	eventually(t, "a probe fails", func() bool { return s.Status().Cause != nil })
	want(t, s, "key", l2.Down)
}

func TestServerThatTakesConnectionsAndSaysNothing(t *testing.T) {
	addr := listen(t, func(c net.Conn) { _, _ = io.Copy(io.Discard, c) })
	s := newStore(t, addr, tight, func(cfg *l2.Config, _ *l2.Deps) { cfg.Timeout = config.Duration(100 * time.Millisecond) })
	eventually(t, "a probe fails", func() bool { return s.Status().Cause != nil })
	want(t, s, "key", l2.Down)
}

// listen starts a TCP server that gives each connection to f.
func listen(t testing.TB, f func(net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	ctx, cancel := context.WithCancel(context.Background())
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			stop := context.AfterFunc(ctx, func() { _ = c.Close() })
			wg.Go(func() {
				defer stop()
				defer c.Close()
				f(c)
			})
		}
	})
	t.Cleanup(func() { cancel(); _ = l.Close(); wg.Wait() })
	return l.Addr().String()
}

// slowProxy passes bytes on to a socket, each answer late by what delay says.
func slowProxy(t testing.TB, socket string, delay func() time.Duration) string {
	return listen(t, func(c net.Conn) {
		up, err := net.Dial("unix", socket)
		if err != nil {
			return
		}
		defer up.Close()
		var wg sync.WaitGroup
		wg.Go(func() {
			_, _ = io.Copy(up, c)
			_ = up.Close()
		})
		buf := make([]byte, 64<<10)
		for {
			n, err := up.Read(buf)
			if err != nil {
				break
			}
			timer := time.NewTimer(delay())
			<-timer.C
			if _, err := c.Write(buf[:n]); err != nil {
				break
			}
		}
		_ = c.Close()
		wg.Wait()
	})
}

func TestSlowServerIsNotUsed(t *testing.T) {
	srv := startServer(t)
	addr := slowProxy(t, srv.socket(), func() time.Duration { return 4 * budget })
	s := newStore(t, addr, tight)
	eventually(t, "a probe is slow", func() bool { return s.Status().Cause != nil })
	if err := s.Status().Cause; !strings.Contains(err.Error(), "no answer within the budget of 25ms") {
		t.Errorf("cause is %v", err)
	}
	want(t, s, "key", l2.Down)
}

// Setting a connection up takes several round trips, which on a long path are more
// than the budget, while a Get is not.
func TestDistantServerIsUsed(t *testing.T) {
	srv := startServer(t)
	addr := slowProxy(t, srv.socket(), func() time.Duration { return 60 * time.Millisecond })
	s := newStore(t, addr, func(cfg *l2.Config, _ *l2.Deps) { cfg.Budget = config.Duration(100 * time.Millisecond) })
	for range 5 {
		becomes(t, s, l2.Miss)
	}
}

func TestHiccupDoesNotCostConnections(t *testing.T) {
	srv, s := connect(t, tight, func(cfg *l2.Config, _ *l2.Deps) { cfg.Connections, cfg.Breaker.Failures = 1, 32 })
	connections := func() string {
		info, err := srv.client.Info(context.Background(), "stats").Result()
		if err != nil {
			t.Fatal(err)
		}
		_, rest, _ := strings.Cut(info, "total_connections_received:")
		n, _, _ := strings.Cut(rest, "\r\n")
		return n
	}
	becomes(t, s, l2.Miss)
	before := connections()
	srv.pause()
	want(t, s, "key", l2.Slow)
	want(t, s, "key", l2.Slow)
	srv.resume()
	becomes(t, s, l2.Miss)
	if after := connections(); before == "" || after != before {
		t.Errorf("%s connections before, %s after", before, after)
	}
}
