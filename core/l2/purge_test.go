package l2_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/ergoproxy/ergo/core/l2"
)

// purges reads the log after an epoch.
func purges(t testing.TB, s *l2.Store, after uint64) l2.Log {
	t.Helper()
	log, err := s.Purges(context.Background(), after)
	if err != nil {
		t.Fatal(err)
	}
	return log
}

// appendPurge appends a record and returns its epoch.
func appendPurge(t testing.TB, s *l2.Store, record string) uint64 {
	t.Helper()
	epoch, err := s.AppendPurge(context.Background(), []byte(record))
	if err != nil {
		t.Fatal(err)
	}
	return epoch
}

func texts(log l2.Log) []string {
	var all []string
	for _, r := range log.Records {
		all = append(all, string(r.Data))
	}
	return all
}

func TestPurgesAreReadByOtherCores(t *testing.T) {
	srv, a := connect(t)
	b := newStore(t, "unix://"+srv.socket())

	begun := purges(t, b, 0)
	if begun.Epoch == 0 || begun.Floor != begun.Epoch || len(begun.Records) != 0 {
		t.Fatalf("a new log is %+v, want one that knows nothing of values before it", begun)
	}
	first, second := appendPurge(t, a, "one"), appendPurge(t, a, "two")
	if first <= begun.Epoch || second <= first {
		t.Errorf("epochs are %d, %d, %d, want them to rise", begun.Epoch, first, second)
	}
	log := purges(t, b, begun.Epoch)
	if !slices.Equal(texts(log), []string{"one", "two"}) || log.Epoch != second || !log.Complete(begun.Epoch) {
		t.Errorf("got %+v", log)
	}
	if log.Records[0].Epoch != first || log.Records[1].Epoch != second {
		t.Errorf("got %+v, want epochs %d and %d", log.Records, first, second)
	}
	if log := purges(t, b, first); !slices.Equal(texts(log), []string{"two"}) || !log.Complete(first) {
		t.Errorf("after the first: %+v", log)
	}
	if log := purges(t, b, second); len(log.Records) != 0 || log.Epoch != second || !log.Complete(second) {
		t.Errorf("after the last: %+v", log)
	}

	// A core that begins now knows all purges of values that are not below the Floor.
	if log := purges(t, b, 0); !slices.Equal(texts(log), []string{"one", "two"}) || log.Floor != begun.Epoch {
		t.Errorf("from the start: %+v, want a floor of %d", log, begun.Epoch)
	}
}

func TestGetReturnsTheEpochOfTheLog(t *testing.T) {
	_, s := connect(t)
	if v := want(t, s, "key", l2.Miss); v.Log != 0 {
		t.Errorf("epoch is %d without a log", v.Log)
	}
	v := value("body")
	v.Epoch = purges(t, s, 0).Epoch
	store(t, s, "key", v)
	if got := want(t, s, "key", l2.Hit); got.Log != v.Epoch || got.Epoch != v.Epoch {
		t.Errorf("epochs are %d and %d, want %d", got.Epoch, got.Log, v.Epoch)
	}
	purged := appendPurge(t, s, "record")
	if got := want(t, s, "key", l2.Hit); got.Log != purged || got.Epoch != v.Epoch {
		t.Errorf("after a purge the epochs are %d and %d, want %d and %d", got.Epoch, got.Log, v.Epoch, purged)
	}
}

func TestLostLogIsNoticed(t *testing.T) {
	for _, tt := range []struct {
		name string
		lose func(srv *server, s *l2.Store)
	}{
		{"flushed", func(srv *server, _ *l2.Store) { srv.do("FLUSHALL") }},
		{"flushed and written again", func(srv *server, s *l2.Store) {
			srv.do("FLUSHALL")
			appendPurge(srv.t, s, "new")
		}},
		{"restarted", func(srv *server, s *l2.Store) {
			srv.kill()
			srv.start()
			up(srv.t, s)
		}},
		{"epoch evicted", func(srv *server, _ *l2.Store) { srv.do("DEL", "test:epoch") }},
		{"epoch evicted and written again", func(srv *server, s *l2.Store) {
			srv.do("DEL", "test:epoch")
			appendPurge(srv.t, s, "new")
		}},
		{"gone back", func(srv *server, _ *l2.Store) { srv.do("SET", "test:epoch", "1000") }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			srv, s := connect(t)
			purges(t, s, 0)
			known := appendPurge(t, s, "one")
			tt.lose(srv, s)
			var log l2.Log
			eventually(t, "the log is read", func() bool {
				var err error
				log, err = s.Purges(context.Background(), known)
				return err == nil
			})
			if log.Complete(known) || log.Floor <= known || log.Epoch <= known {
				t.Errorf("got %+v, want it to distrust values up to %d", log, known)
			}
			if again := purges(t, s, log.Epoch); !again.Complete(log.Epoch) || again.Epoch != log.Epoch {
				t.Errorf("then got %+v, want a log that goes on from %d", again, log.Epoch)
			}
		})
	}
}

func TestEntriesThatAreMissingAreNoticed(t *testing.T) {
	for _, tt := range []struct {
		name  string
		lose  func(srv *server, epochs []uint64)
		floor int // which epoch
	}{
		{"the stream", func(srv *server, _ []uint64) { srv.do("DEL", "test:purges") }, 4},
		{"the first", func(srv *server, e []uint64) { srv.do("XDEL", "test:purges", fmt.Sprint(e[1], "-0")) }, 1},
		{"one between", func(srv *server, e []uint64) { srv.do("XDEL", "test:purges", fmt.Sprint(e[2], "-0")) }, 2},
		{"the last", func(srv *server, e []uint64) { srv.do("XDEL", "test:purges", fmt.Sprint(e[4], "-0")) }, 4},
		{"one that can't be opened", func(srv *server, e []uint64) {
			srv.do("DEL", "test:purges")
			for i := 1; i <= 4; i++ {
				srv.do("XADD", "test:purges", fmt.Sprint(e[i], "-0"), "p", e[i-1], "r", "forged")
			}
		}, 4},
		{"one that is no record", func(srv *server, e []uint64) {
			srv.do("DEL", "test:purges")
			srv.do("XADD", "test:purges", fmt.Sprint(e[3], "-0"), "x", "y")
		}, 4},
	} {
		t.Run(tt.name, func(t *testing.T) {
			srv, s := connect(t)
			epochs := []uint64{purges(t, s, 0).Epoch}
			for i := range 4 {
				epochs = append(epochs, appendPurge(t, s, fmt.Sprint("record ", i)))
			}
			tt.lose(srv, epochs)
			log := purges(t, s, epochs[0])
			if log.Floor != epochs[tt.floor] || log.Epoch != epochs[4] {
				t.Errorf("floor %d and epoch %d of %d, want the floor at number %d", log.Floor, log.Epoch, epochs, tt.floor)
			}
		})
	}
}

func TestLogIsTrimmed(t *testing.T) {
	srv, s := connect(t, func(cfg *l2.Config, _ *l2.Deps) { cfg.PurgeLog = 100 })
	begun := purges(t, s, 0).Epoch
	var last uint64
	for i := range 700 {
		last = appendPurge(t, s, fmt.Sprint(i))
	}
	n, err := srv.client.XLen(context.Background(), "test:purges").Result()
	if err != nil || n < 100 || n > 300 {
		t.Errorf("%d entries, %v, want about 100", n, err)
	}
	log := purges(t, s, begun)
	if log.Complete(begun) || len(log.Records) != int(n) || log.Epoch != last {
		t.Errorf("floor %d after %d, %d records of %d, epoch %d of %d", log.Floor, begun, len(log.Records), n, log.Epoch, last)
	}
	if log.Floor >= log.Records[0].Epoch {
		t.Errorf("floor is %d, want it below the first record that is there, %d", log.Floor, log.Records[0].Epoch)
	}
}

func TestLogIsReadInPages(t *testing.T) {
	_, s := connect(t)
	begun := purges(t, s, 0).Epoch
	const n = 600
	var wg sync.WaitGroup
	for range 4 { // at once, which must not tear the chain
		wg.Go(func() {
			for i := range n / 4 {
				appendPurge(t, s, fmt.Sprint(i))
			}
		})
	}
	wg.Wait()
	if log := purges(t, s, begun); len(log.Records) != n || !log.Complete(begun) {
		t.Errorf("%d records, floor %d after %d, want all %d", len(log.Records), log.Floor, begun, n)
	}
}

func TestAppendPurgeRefusesLargeRecords(t *testing.T) {
	_, s := connect(t)
	if _, err := s.AppendPurge(context.Background(), make([]byte, l2.MaxRecord+1)); !errors.Is(err, l2.ErrRecordTooLarge) {
		t.Errorf("got %v", err)
	}
	if _, err := s.AppendPurge(context.Background(), make([]byte, l2.MaxRecord)); err != nil {
		t.Errorf("got %v", err)
	}
}

func TestPurgesAreTriedThoughTheBreakerIsOpen(t *testing.T) {
	srv := startServer(t)
	s := newIdleStore(t, "unix://"+srv.socket())
	run(t, s)
	srv.kill()
	if _, err := s.AppendPurge(context.Background(), []byte("record")); err == nil {
		t.Error("a purge of a server that is gone is reported as done")
	}
	srv.start()
	eventually(t, "a purge is appended", func() bool {
		_, err := s.AppendPurge(context.Background(), []byte("record"))
		return err == nil
	})
}

func TestWatchDeliversPurges(t *testing.T) {
	srv, a := connect(t)
	b := newStore(t, "unix://"+srv.socket())
	logs := make(chan l2.Log, 100)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- b.Watch(ctx, 0, func(l l2.Log) { logs <- l }) }()
	next := func() l2.Log {
		t.Helper()
		select {
		case l := <-logs:
			return l
		case <-time.After(wait):
			t.Fatal("Watch delivers nothing")
			return l2.Log{}
		}
	}
	known := next()
	if known.Epoch == 0 || known.Floor != known.Epoch {
		t.Errorf("first got %+v", known)
	}
	epoch := appendPurge(t, a, "one")
	if log := next(); !slices.Equal(texts(log), []string{"one"}) || log.Epoch != epoch || !log.Complete(known.Epoch) {
		t.Errorf("got %+v, want record one", log)
	}

	// A server that was away comes back with nothing, and Watch says so.
	srv.kill()
	srv.start()
	up(t, a)
	if log := next(); log.Complete(epoch) || log.Floor <= epoch {
		t.Errorf("after a restart got %+v, want it to distrust values up to %d", log, epoch)
	}

	start := time.Now()
	cancel()
	if err := <-done; err != nil {
		t.Errorf("Watch: %v", err)
	}
	if took := time.Since(start); took > 2*time.Second {
		t.Errorf("Watch took %v to end", took)
	}
}
