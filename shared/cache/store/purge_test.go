package store

import (
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func TestPurgeRemovesWhatItIsFor(t *testing.T) {
	for _, tt := range []struct {
		name  string
		order Order
		left  string
		n     int
	}{
		{"key", Order{Key: "h1/a"}, "h1/b h2/a h2/b", 1},
		{"unknown key", Order{Key: "h3/a"}, "h1/a h1/b h2/a h2/b", 0},
		{"part of a key", Order{Key: "h1"}, "h1/a h1/b h2/a h2/b", 0},
		{"tag", Order{Tag: "a"}, "h1/b h2/b", 2},
		{"unknown tag", Order{Tag: "c"}, "h1/a h1/b h2/a h2/b", 0},
		{"prefix", Order{Scope: prefix("h2/")}, "h1/a h1/b", 2},
		{"everything", Order{Scope: Everything}, "", 4},
	} {
		s := openStore(t, Config{})
		for _, host := range []string{"h1/", "h2/"} {
			put(t, s, host+"a", 10, "a", "all")
			put(t, s, host+"b", 10, "b", "all", "b")
		}
		r := purgeNow(t, s, tt.order)
		var left []string
		for _, key := range []string{"h1/a", "h1/b", "h2/a", "h2/b"} {
			if has(s, key) {
				left = append(left, key)
			}
		}
		if got := strings.Join(left, " "); got != tt.left || r.Matched != tt.n {
			t.Errorf("%s: %q are left and %d matched, want %q and %d", tt.name, got, r.Matched, tt.left, tt.n)
		}
		if st := s.Stats(); st.Purged != uint64(tt.n) {
			t.Errorf("%s: Stats count %d", tt.name, st.Purged)
		}
		s.verify(t)
	}
}

func TestOrderNamesExactlyOneThing(t *testing.T) {
	s := openStore(t, Config{})
	for _, o := range []Order{
		{}, {Soft: time.Unix(1, 0)}, {Key: "k", Tag: "t"}, {Tag: "t", Scope: Everything},
		{Key: "k", Tag: "t", Scope: Everything},
	} {
		if _, err := s.Purge(o); !errors.Is(err, ErrOrder) {
			t.Errorf("Purge(%+v) = %v, want ErrOrder", o, err)
		}
	}
}

// A fill that began before a purge lands after it.
func TestFillFromBeforeAPurgeIsNotStored(t *testing.T) {
	for _, tt := range []struct {
		name    string
		order   Order
		refused bool
	}{
		{"key", Order{Key: "h/k"}, true},
		{"tag", Order{Tag: "t2"}, true},
		{"prefix", Order{Scope: prefix("h/")}, true},
		{"everything", Order{Scope: Everything}, true},
		{"other key", Order{Key: "h/k2"}, false},
		{"other tag", Order{Tag: "t3"}, false},
		{"other prefix", Order{Scope: prefix("g/")}, false},
	} {
		s := openStore(t, Config{})
		early := s.Begin()
		body := fill(t, early, 10)
		purgeNow(t, s, Order{Key: "something else"})
		r := purgeNow(t, s, tt.order)
		late := s.Begin()
		item := Item{Key: "h/k", Tags: []string{"t1", "t2"}, Body: body}
		if hard, _ := early.Purged(item.Key, item.Tags); hard != tt.refused {
			t.Errorf("%s: Purged = %v", tt.name, hard)
		}
		if _, err := early.Put(item); errors.Is(err, ErrPurged) != tt.refused {
			t.Errorf("%s: Put = %v, want refused %v", tt.name, err, tt.refused)
		}
		if hard, _ := late.Purged(item.Key, item.Tags); hard || late.Epoch() < r.Epoch || early.Epoch() >= r.Epoch {
			t.Errorf("%s: epochs are %d, %d, %d", tt.name, early.Epoch(), r.Epoch, late.Epoch())
		}
		if _, err := late.Put(item); err != nil {
			t.Errorf("%s: a later fill is refused: %v", tt.name, err)
		}
		early.Close()
		late.Close()
		if s.purges.length != 0 {
			t.Errorf("%s: %d purges are remembered for no fill", tt.name, s.purges.length)
		}
		s.verify(t)
	}
}

func TestSoftPurgeMarksInsteadOfRemoving(t *testing.T) {
	s := openStore(t, Config{})
	at := time.Unix(1000, 5)
	e := put(t, s, "h/k", 10, "tag")
	fresh := put(t, s, "g/k", 10)
	early := s.Begin()
	body := fill(t, early, 10)
	if !e.StaleSince().IsZero() {
		t.Error("stale before any purge")
	}
	for i, o := range []Order{{Tag: "tag"}, {Key: "h/k"}, {Scope: prefix("h/")}} {
		o.Soft = at.Add(time.Duration(i) * time.Second)
		want := 0
		if i == 0 {
			want = 1
		}
		if r := purgeNow(t, s, o); r.Matched != want {
			t.Errorf("order %d matched %d, want %d: stale is stale", i, r.Matched, want)
		}
	}
	if got := s.Get("h/k"); len(got) != 1 || !got[0].StaleSince().Equal(at) {
		t.Errorf("Get = %v, want one entry, stale since %v", got, at)
	}
	if !fresh.StaleSince().IsZero() {
		t.Error("an entry that no purge is for is stale")
	}
	again, err := early.Put(Item{Key: "h/k", Body: body})
	early.Close()
	if err != nil || !again.StaleSince().Equal(at.Add(time.Second)) {
		t.Errorf("a fill from before is stale since %v, %v", again.StaleSince(), err)
	}
	if e := put(t, s, "h/k", 10, "tag"); !e.StaleSince().IsZero() {
		t.Error("a fill from after is stale")
	}
	purgeNow(t, s, Order{Tag: "tag"})
	if has(s, "h/k") || !has(s, "g/k") {
		t.Error("a hard purge after a soft one does not remove")
	}
	s.verify(t)
}

// When more purges come than are remembered, fills from before are refused that
// should not be; none is stored that should not be.
func TestTooManyPurgesRefuseTooMuch(t *testing.T) {
	s := openStore(t, Config{Purges: 10})
	fills := map[string]*Fill{}
	fills["first"] = s.Begin()
	purgeNow(t, s, Order{Tag: "first"})
	for i := range 10 {
		if i == 5 {
			fills["second"] = s.Begin()
		}
		purgeNow(t, s, Order{Key: fmt.Sprint(i)})
	}
	if s.purges.length > 10 {
		t.Errorf("%d purges are remembered, want 10", s.purges.length)
	}
	for name, refused := range map[string]bool{"first": true, "second": false} {
		f := fills[name]
		if _, err := f.Put(Item{Key: name, Body: fill(t, f, 1)}); errors.Is(err, ErrPurged) != refused {
			t.Errorf("%s: Put = %v, want refused %v", name, err, refused)
		}
		if _, err := f.Put(Item{Key: "8", Body: fill(t, f, 1)}); !errors.Is(err, ErrPurged) {
			t.Errorf("%s: Put of what was purged = %v", name, err)
		}
		f.Close()
	}
	if s.purges.length != 0 || s.purges.oldest != s.purges.newest {
		t.Error("purges are remembered for no fill")
	}
}

// slowScope lets a test act while its purge is half done.
type slowScope struct {
	prefix
	first *atomic.Bool
	begun chan struct{}
	goOn  chan struct{}
}

func (s slowScope) Matches(key string) bool {
	if !s.first.Swap(true) {
		close(s.begun)
		<-s.goOn
	}
	return s.prefix.Matches(key)
}

// A purge is in force from its first moment, and those that come together with
// it share one pass.
func TestGetObeysAPurgeThatIsUnderWay(t *testing.T) {
	s := openStore(t, Config{})
	for i := range 1000 {
		put(t, s, fmt.Sprintf("h/%d", i), 10)
	}
	old := s.Begin()
	slow := slowScope{"h/1", new(atomic.Bool), make(chan struct{}), make(chan struct{})}
	var wg sync.WaitGroup
	wg.Go(func() { purgeNow(t, s, Order{Scope: slow}) })
	<-slow.begun
	var receipts [3]Receipt
	for i := range receipts {
		wg.Go(func() {
			receipts[i] = purgeNow(t, s, Order{Scope: prefix(fmt.Sprint("h/", 2+i)), Soft: time.Unix(9, 0)})
		})
	}
	for len(s.purges.openNow()) < 4 {
		runtime.Gosched()
	}
	if has(s, "h/1") || has(s, "h/100") {
		t.Error("found although a purge is under way that is for it")
	}
	if got := s.Get("h/20"); len(got) != 1 || got[0].StaleSince().IsZero() {
		t.Error("a soft purge under way does not mark what is found")
	}
	if _, err := old.Put(Item{Key: "h/1", Body: fill(t, old, 1)}); !errors.Is(err, ErrPurged) {
		t.Errorf("Put of an old fill = %v", err)
	}
	put(t, s, "h/1", 10)
	if !has(s, "h/1") {
		t.Error("a purge under way hides what is newer")
	}
	old.Close()
	close(slow.goOn)
	wg.Wait()
	for i, r := range receipts {
		if r.Matched != 111 {
			t.Errorf("soft purge %d matched %d, want 111", i, r.Matched)
		}
	}
	if !has(s, "h/1") || has(s, "h/100") {
		t.Error("the purge removed the wrong entries")
	}
	s.verify(t)
}

func TestIndexForgetsTagsThatNobodyHas(t *testing.T) {
	s := openStore(t, Config{Capacity: 4 << 20, MeanObject: 4 << 10})
	for i := range 5000 { // most of which are evicted again
		tryPut(t, s, fmt.Sprintf("key %d", i), "", 4<<10, "all", fmt.Sprintf("unique %d", i), fmt.Sprintf("of ten %d", i/10))
	}
	s.verify(t)
	if n := s.index.count(); n > 2*int(s.Stats().Entries)+1 {
		t.Errorf("%d tags of %d entries", n, s.Stats().Entries)
	}
	purgeNow(t, s, Order{Tag: "all"})
	s.verify(t)
	if st := s.Stats(); st.Entries != 0 || st.Tags != 0 || len(s.index.freeSlots) != len(s.index.entries) {
		t.Errorf("after everything was purged: %+v", st)
	}
}

// Purges from several sides while entries come and go: when a purge has returned
// no Get finds what began to be filled before it.
func TestPurgedEntriesNeverComeBack(t *testing.T) {
	s := openStore(t, Config{Capacity: 4 << 20, MeanObject: 4 << 10, Variants: 2})
	var mu sync.Mutex
	purged := map[Order]uint64{} // epoch of the latest purge that returned
	latest := func(o Order) uint64 {
		mu.Lock()
		defer mu.Unlock()
		return purged[o]
	}
	orders := func(i int) []Order {
		return []Order{
			{Key: fmt.Sprintf("h%d/%d", i%4, i)}, {Tag: fmt.Sprint("t", i%5)}, {Tag: fmt.Sprint("u", i)},
			{Scope: prefix(fmt.Sprintf("h%d/", i%4))},
		}
	}
	var work, reads sync.WaitGroup
	stop := make(chan struct{})
	for g := range 2 {
		work.Go(func() {
			for n := range 3000 {
				i := (n*7 + g*13) % 400
				tryPut(t, s, fmt.Sprintf("h%d/%d", i%4, i), fmt.Sprint(n%3), 1000+10*i, fmt.Sprint("t", i%5), fmt.Sprint("u", i))
			}
		})
		work.Go(func() {
			for n := range 600 {
				o := orders((n*11 + g) % 400)[n%4]
				r := purgeNow(t, s, o)
				mu.Lock()
				purged[o] = max(purged[o], r.Epoch)
				mu.Unlock()
			}
		})
		reads.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				i := n % 400
				var least uint64
				for _, o := range orders(i) {
					least = max(least, latest(o))
				}
				for _, e := range s.Get(fmt.Sprintf("h%d/%d", i%4, i)) {
					if e.Epoch() < least {
						t.Errorf("Get found an entry of epoch %d after purge %d for it", e.Epoch(), least)
						return
					}
					s.Hit(e)
				}
			}
		})
	}
	work.Wait()
	close(stop)
	reads.Wait()
	s.verify(t)
}
