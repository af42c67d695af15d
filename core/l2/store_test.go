package l2_test

import (
	"bytes"
	"context"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/ergoproxy/ergo/core/l2"
	"github.com/ergoproxy/ergo/shared/config"
)

func TestOneCoreReadsWhatAnotherStored(t *testing.T) {
	srv, a := connect(t)
	b := newStore(t, "unix://"+srv.socket())
	up(t, b)

	want(t, b, "https://example.com/", l2.Miss)
	v := value(strings.Repeat("text that can be compressed. ", 200))
	store(t, a, "https://example.com/", v)
	got := want(t, b, "https://example.com/", l2.Hit)
	v.Expires = time.UnixMilli(v.Expires.UnixMilli())
	if !reflect.DeepEqual(got, v) {
		t.Errorf("got %+v, want %+v", got, v)
	}
	want(t, b, "https://example.com/other", l2.Miss)
	if n := a.Stats().WrittenBytes.Load(); n >= uint64(len(v.Body)) {
		t.Errorf("%d bytes were written for a body of %d that can be compressed", n, len(v.Body))
	}
	if hits, misses := b.Stats().Gets(l2.Hit), b.Stats().Gets(l2.Miss); hits != 1 || misses != 2 {
		t.Errorf("%d hits and %d misses counted, want 1 and 2", hits, misses)
	}
}

func TestRedisReadsNothing(t *testing.T) {
	srv, s := connect(t)
	v := value("secret body")
	store(t, s, "https://example.com/secret", v)
	keys := srv.keys()
	if len(keys) != 1 || len(keys[0]) != len("test:v1:")+43 {
		t.Fatalf("keys are %q", keys)
	}
	sealed, err := srv.client.Get(context.Background(), keys[0]).Bytes()
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{"secret", "example.com", "200 OK", "tag"} {
		if bytes.Contains(sealed, []byte(secret)) || strings.Contains(keys[0], secret) {
			t.Errorf("%q can be read in %s", secret, keys[0])
		}
	}
}

func TestValuesExpire(t *testing.T) {
	srv, s := connect(t)
	v := value("body")
	store(t, s, "key", v)
	ttl, err := srv.client.PTTL(context.Background(), srv.keys()[0]).Result()
	if err != nil || ttl > time.Hour || ttl < 50*time.Minute {
		t.Errorf("expires in %v, %v, want about an hour", ttl, err)
	}

	// Whoever makes Redis keep it for longer does not make us use it for longer.
	late := newStore(t, "unix://"+srv.socket(), func(_ *l2.Config, deps *l2.Deps) {
		deps.Now = func() time.Time { return time.Now().Add(61 * time.Minute) }
	})
	up(t, late)
	srv.do("PERSIST", srv.keys()[0])
	want(t, late, "key", l2.Miss)
	want(t, s, "key", l2.Hit)

	v.Expires = time.Now()
	if s.Put([]byte("expired"), v) || s.Stats().Expired.Load() != 1 {
		t.Error("a value that has expired is taken")
	}
}

func TestDeleteComesAfterPut(t *testing.T) {
	srv, s := connect(t, func(cfg *l2.Config, _ *l2.Deps) { cfg.BatchDelay = config.Duration(50 * time.Millisecond) })
	for i := range 20 {
		key := []byte(fmt.Sprint("key", i))
		if !s.Put(key, value("body")) || s.Delete(key) != 1 {
			t.Fatal("not taken")
		}
	}
	eventually(t, "all is written", func() bool { return s.Stats().Written.Load() == 40 })
	if keys := srv.keys(); len(keys) != 0 {
		t.Errorf("%d of 20 values are left", len(keys))
	}
}

func TestWritesAreSentTogether(t *testing.T) {
	srv, s := connect(t, func(cfg *l2.Config, _ *l2.Deps) {
		cfg.Batch = 10
		cfg.BatchDelay = config.Duration(time.Second)
	})
	before := totalReads(t, srv)
	for i := range 100 {
		if !s.Put([]byte(fmt.Sprint("key", i)), value("body")) {
			t.Fatal("not taken")
		}
	}
	eventually(t, "all is written", func() bool { return s.Stats().Written.Load() == 100 })
	if n := totalReads(t, srv) - before; n > 60 {
		t.Errorf("100 writes took %d reads of the server, want about 10", n)
	}
	if n := s.Stats().QueueEntries.Load() + s.Stats().QueueBytes.Load(); n != 0 {
		t.Errorf("the queue counts %d though it is empty", n)
	}
}

// totalReads returns how often the server read from a socket.
func totalReads(t testing.TB, srv *server) int {
	t.Helper()
	info, err := srv.client.Info(context.Background(), "stats").Result()
	if err != nil {
		t.Fatal(err)
	}
	_, rest, ok := strings.Cut(info, "total_reads_processed:")
	var n int
	if _, err := fmt.Sscan(rest, &n); !ok || err != nil {
		t.Fatalf("no total_reads_processed: %v", err)
	}
	return n
}

func TestGetsAreSentTogether(t *testing.T) {
	_, s := connect(t, func(cfg *l2.Config, _ *l2.Deps) { cfg.Connections = 1 })
	store(t, s, "key", value("body"))
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 100 {
				if _, outcome := s.Get(context.Background(), []byte("key")); outcome != l2.Hit {
					t.Errorf("got %v", outcome)
					return
				}
			}
		})
	}
	wg.Wait()
	if n := s.Stats().Batches.Load(); n >= 800 {
		t.Errorf("800 Gets, 8 at a time, took %d round trips", n)
	}
}

func TestTooLargeValues(t *testing.T) {
	srv, s := connect(t, func(cfg *l2.Config, _ *l2.Deps) { cfg.MaxValue = 8 << 10 })
	if s.Put([]byte("key"), value(strings.Repeat("x", 8<<10))) || s.Stats().Oversized.Load() != 1 {
		t.Error("a value above max_value is taken")
	}
	large := newStore(t, "unix://"+srv.socket(), func(cfg *l2.Config, _ *l2.Deps) { cfg.CompressFrom = 0 })
	up(t, large)
	store(t, large, "key", value(strings.Repeat("x", 32<<10)))
	want(t, s, "key", l2.TooLarge)
	want(t, large, "key", l2.Hit)
}

func TestAnotherCoresKey(t *testing.T) {
	srv, s := connect(t)
	other := newStore(t, "unix://"+srv.socket(), sealWith(2))
	up(t, other)
	store(t, s, "key", value("body"))
	want(t, other, "key", l2.Miss) // under another key it has another name

	// Moved to where the other core looks, it is of no use either.
	mine := srv.keys()[0]
	store(t, other, "key", value("other body"))
	for _, k := range srv.keys() {
		if k != mine {
			srv.do("COPY", mine, k, "REPLACE")
		}
	}
	want(t, other, "key", l2.UnknownKey)
	want(t, s, "key", l2.Hit)
}

func TestKeysAreRotatedWithoutAFlush(t *testing.T) {
	srv, old := connect(t, sealWith(1))
	store(t, old, "key", value("old"))

	both := newStore(t, "unix://"+srv.socket(), sealWith(2, 1))
	up(t, both)
	if v := want(t, both, "key", l2.Hit); string(v.Body) != "old" {
		t.Errorf("got %q", v.Body)
	}
	store(t, both, "key", value("new"))
	if v := want(t, both, "key", l2.Hit); string(v.Body) != "new" {
		t.Errorf("got %q, want what the active key has sealed", v.Body)
	}
	after := newStore(t, "unix://"+srv.socket(), sealWith(2))
	up(t, after)
	if v := want(t, after, "key", l2.Hit); string(v.Body) != "new" {
		t.Errorf("got %q", v.Body)
	}
	if both.Delete([]byte("key")) != 1 {
		t.Fatal("not taken")
	}
	eventually(t, "the values under all names are gone", func() bool { return len(srv.keys()) == 0 })
}

func TestMovedAndDamagedValues(t *testing.T) {
	ctx := context.Background()
	srv, s := connect(t)
	store(t, s, "a", value("body of a"))
	a := srv.keys()[0]
	store(t, s, "b", value("body of b"))
	want(t, s, "b", l2.Hit)
	var b string
	for _, k := range srv.keys() {
		if k != a {
			b = k
		}
	}
	sealed := srv.client.Get(ctx, a).Val()

	srv.do("COPY", a, b, "REPLACE")
	want(t, s, "b", l2.Damaged)
	srv.do("SET", b, sealed[:len(sealed)-1])
	want(t, s, "b", l2.Damaged)
	srv.do("SET", b, "x")
	want(t, s, "b", l2.Damaged)
	srv.do("DEL", b)
	srv.do("RPUSH", b, "x")
	want(t, s, "b", l2.Damaged)
	want(t, s, "a", l2.Hit)
	if !s.Status().Up {
		t.Error("bad values have opened the breaker")
	}
	// A Put writes over whatever is there.
	store(t, s, "b", value("body of b"))
	want(t, s, "b", l2.Hit)
}

func TestFlushedServerMisses(t *testing.T) {
	srv, s := connect(t)
	store(t, s, "key", value("body"))
	srv.do("FLUSHALL")
	want(t, s, "key", l2.Miss)
	store(t, s, "key", value("body"))
	want(t, s, "key", l2.Hit)
}

func TestFullServerStillAnswers(t *testing.T) {
	srv, s := connect(t)
	store(t, s, "key", value("body"))
	appendPurge(t, s, "record")
	srv.do("CONFIG", "SET", "maxmemory-policy", "noeviction")
	srv.do("CONFIG", "SET", "maxmemory", "1")
	if !s.Put([]byte("other"), value("body")) {
		t.Fatal("not taken")
	}
	eventually(t, "the write is refused", func() bool { return s.Stats().Refused.Load() == 1 })
	want(t, s, "key", l2.Hit)
	if err := s.Status().Refusal; !redis.HasErrorPrefix(err, "OOM") {
		t.Errorf("refusal is %v, want OOM", err)
	}
	if _, err := s.AppendPurge(context.Background(), []byte("record")); err == nil {
		t.Error("a purge that Redis refused is reported as done")
	}
	srv.do("CONFIG", "SET", "maxmemory", "0")
	store(t, s, "other", value("body"))
}

func TestQueueIsBounded(t *testing.T) {
	t.Run("entries", func(t *testing.T) {
		srv, s := connect(t, func(cfg *l2.Config, _ *l2.Deps) { cfg.Queue.Entries, cfg.Batch = 8, 4 })
		overflow(t, srv, s, "body", 8)
	})
	t.Run("bytes", func(t *testing.T) {
		srv, s := connect(t, func(cfg *l2.Config, _ *l2.Deps) {
			cfg.MaxValue, cfg.Queue.Bytes, cfg.Batch = 64<<10, 256<<10, 4
		})
		overflow(t, srv, s, strings.Repeat("x", 60<<10), 4)
	})
}

// overflow stops the server and puts values until the queue, with room for some,
// is full. One batch of 4 may be on its way.
func overflow(t *testing.T, srv *server, s *l2.Store, body string, room int) {
	srv.pause()
	defer srv.resume()
	taken := 0
	for i := range 100 {
		if s.Put([]byte(fmt.Sprint("key", i)), value(body)) {
			taken++
		}
	}
	// The writer may take a batch between any two of them, but only one.
	if taken < room || taken > room+4 {
		t.Errorf("%d of 100 taken, want %d to %d", taken, room, room+4)
	}
	if dropped := s.Stats().Dropped.Load(); dropped != uint64(100-taken) {
		t.Errorf("%d dropped, want %d", dropped, 100-taken)
	}
	// One that the writer has just been handed still counts.
	eventually(t, "the queue counts what is in it", func() bool { return s.Stats().QueueEntries.Load() <= int64(room) })
}

func TestGetsThatWaitAreBounded(t *testing.T) {
	srv, s := connect(t, func(cfg *l2.Config, _ *l2.Deps) {
		cfg.Connections, cfg.MaxWaiting, cfg.Batch = 1, 4, 2
		cfg.Breaker.Failures = 32
	})
	srv.pause()
	defer srv.resume()
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() { s.Get(context.Background(), []byte("key")) })
	}
	wg.Wait()
	if busy, slow := s.Stats().Gets(l2.Busy), s.Stats().Gets(l2.Slow); busy < 14 || busy+slow != 20 {
		t.Errorf("%d busy and %d slow, want at least 14 of 20 busy and the rest slow", busy, slow)
	}
}

func TestCanceledGetLeaves(t *testing.T) {
	srv, s := connect(t)
	srv.pause()
	defer srv.resume()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, outcome := s.Get(ctx, []byte("key")); outcome != l2.Canceled {
		t.Errorf("got %v, want canceled", outcome)
	}
}

func TestIdleStoreIsDown(t *testing.T) {
	s := newIdleStore(t, "127.0.0.1:1")
	want(t, s, "key", l2.Down)
	if s.Put([]byte("key"), value("body")) || s.Delete([]byte("key")) != 0 {
		t.Error("a write is taken by a Store that does not run")
	}
	if st := s.Status(); st.Up || st.Cause != nil {
		t.Errorf("status is %+v", st)
	}
}

func TestStoppedStoreIsDown(t *testing.T) {
	srv := startServer(t)
	s := newIdleStore(t, "unix://"+srv.socket())
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- s.Run(ctx) }()
	up(t, s)
	cancel()
	if err := <-done; err != nil {
		t.Errorf("Run: %v", err)
	}
	want(t, s, "key", l2.Down)
}

func TestNewRefuses(t *testing.T) {
	good := l2.Deps{Sealer: newSealer(1), UnknownKey: errUnknownKey}
	for _, tt := range []struct {
		name string
		cfg  func(*l2.Config)
		deps l2.Deps
	}{
		{"no Sealer", func(*l2.Config) {}, l2.Deps{UnknownKey: errUnknownKey}},
		{"no error of an unknown key", func(*l2.Config) {}, l2.Deps{Sealer: newSealer(1)}},
		{"no address", func(c *l2.Config) { c.Address = "" }, good},
		{"missing CA", func(c *l2.Config) { c.Address = "rediss://h:1"; c.TLS.CA = "/nonexistent" }, good},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cfg := newConfig("127.0.0.1:1")
			tt.cfg(&cfg)
			if _, err := l2.New(cfg, tt.deps); err == nil {
				t.Error("no error")
			}
		})
	}
}
