package store

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestGetFindsWhatPutReturned(t *testing.T) {
	s := openStore(t, Config{})
	for i := range 2000 {
		key := fmt.Sprintf("key %d", i)
		e := put(t, s, key, 100)
		if got := s.Get(key); len(got) != 1 || got[0] != e || got[0].Head() != key {
			t.Fatalf("Get right after Put number %d = %v", i, got)
		}
	}
	s.verify(t)
}

// ristretto keeps the first of two quick Sets of a new key.
func TestLaterOfTwoPutsStays(t *testing.T) {
	s := openStore(t, Config{})
	for i := range 500 {
		key := fmt.Sprintf("key %d", i)
		put(t, s, key, 10)
		want := put(t, s, key, 10+i%3) // in place for 0, new to the policy for others
		if got := s.Get(key); len(got) != 1 || got[0] != want {
			t.Fatalf("Get = %v, want the later entry", got)
		}
	}
	s.verify(t)
	if st := s.Stats(); st.Entries != 500 || st.Evictions != 0 {
		t.Errorf("%d entries, %d evictions", st.Entries, st.Evictions)
	}
}

func TestLaterOfConcurrentPutsStays(t *testing.T) {
	s := openStore(t, Config{})
	for range 200 {
		var wg sync.WaitGroup
		for i := range 4 {
			wg.Go(func() {
				if _, err := tryPut(t, s, "key", "", 10*i); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if n := len(s.Get("key")); n != 1 {
			t.Fatalf("%d entries of one key and variant", n)
		}
	}
	s.verify(t)
}

// An update that grows makes no room in ristretto, which is over its limit then
// until something new comes.
func TestEntryThatGrowsMakesRoom(t *testing.T) {
	s := openStore(t, Config{Capacity: 8 << 20, MeanObject: 4 << 10})
	for i := range 2000 { // 7 MiB: full
		tryPut(t, s, fmt.Sprintf("key %d", i), "", 4<<10)
	}
	grown := 0
	for e := range s.All() {
		for range 20 {
			s.Hit(e)
		}
		if _, err := tryPut(t, s, e.Key(), "", 200<<10); err == nil {
			grown++
		}
		if over := -s.policy.RemainingCost(); over > 0 {
			t.Fatalf("the policy is %d bytes over its limit", over)
		}
		if grown == 20 {
			break
		}
	}
	if grown < 20 {
		t.Errorf("only %d entries could grow", grown)
	}
	s.verify(t)
}

// ristretto evicts others for a large item before it refuses it.
func TestTooLargeIsRefusedBeforeItDisplaces(t *testing.T) {
	s := openStore(t, Config{Capacity: 8 << 20, MeanObject: 4 << 10})
	for i := range 3000 {
		tryPut(t, s, fmt.Sprintf("key %d", i), "", 4<<10)
	}
	before := s.Stats()
	f := s.Begin()
	defer f.Close()
	_, err := f.Put(Item{Key: "large", HeadSize: int(s.config.MaxObject) + 1, Body: fill(t, f, 0)})
	if !errors.Is(err, ErrTooLarge) {
		t.Errorf("Put = %v, want ErrTooLarge", err)
	}
	if after := s.Stats(); after.Evictions != before.Evictions || after.Entries != before.Entries {
		t.Errorf("%d entries went for one that was refused", before.Entries-after.Entries)
	}
	s.verify(t)
}

// ristretto calls OnExit with nothing for keys that it does not have.
func TestRemovingWhatIsNotThereIsHarmless(t *testing.T) {
	s := openStore(t, Config{})
	e := put(t, s, "key", 10)
	if !s.Remove(e) || s.Remove(e) || s.Delete("key") != 0 || s.Delete("none") != 0 {
		t.Error("an entry was not removed exactly once")
	}
	s.policy.Del(e.hash)
	s.policy.Del(12345)
	s.verify(t)
}

// ristretto drops Sets when its queue is full.
func TestDroppedSetIsNoticed(t *testing.T) {
	s := openStore(t, Config{})
	blocker := put(t, s, "blocker", 10)
	sh := s.shard(blocker.keyHash)
	key := "key"
	for i := 0; s.shard(keyHash(s, key)) == sh; i++ {
		key = fmt.Sprint("key", i)
	}
	sh.mu.Lock()
	// Refused, since it is larger than everything: the policy's goroutine calls
	// back and waits for the shard.
	s.policy.Set(1, blocker, s.config.Capacity)
	for i := uint64(2); s.policy.Set(i, nil, 1); i++ {
	}
	_, err := tryPut(t, s, key, "", 10)
	sh.mu.Unlock()
	if !errors.Is(err, ErrDropped) {
		t.Errorf("Put = %v, want ErrDropped", err)
	}
	if has(s, key) {
		t.Error("an entry that the policy does not know is found")
	}
	if n := s.Stats().Refusals.Dropped; n != 1 {
		t.Errorf("%d refusals as dropped, want 1", n)
	}
}

func keyHash(s *Store, key string) uint64 { h, _ := s.hashes(key, ""); return h }

// A full policy may refuse what is new: the store says so and keeps nothing.
func TestRefusedEntryIsNotKept(t *testing.T) {
	skipWithoutUses(t)
	s := openStore(t, Config{Capacity: 4 << 20, MeanObject: 16 << 10})
	for i := 0; s.Stats().Refusals.NotAdmitted == 0 && i < 50_000; i++ {
		key := fmt.Sprintf("key %d", i)
		e, err := tryPut(t, s, key, "", 16<<10)
		if err == nil {
			for range 3 {
				s.Hit(e)
			}
			continue
		}
		if !errors.Is(err, ErrNotAdmitted) {
			t.Fatal(err)
		}
		if has(s, key) {
			t.Error("a refused entry is found")
		}
	}
	if s.Stats().Refusals.NotAdmitted == 0 {
		t.Error("nothing was refused")
	}
	s.verify(t)
}

// ristretto compares hashes: two keys with one hash must not be mixed up.
func TestKeysWithOneHashAreToldApart(t *testing.T) {
	s := openStore(t, Config{})
	a := put(t, s, "a", 10)
	h := keyHash(s, "b")
	sh := s.shard(h)
	sh.mu.Lock()
	sh.entries[h] = []*Entry{a}
	sh.mu.Unlock()
	if has(s, "b") {
		t.Error("Get returns the entry of another key")
	}
	if s.Delete("b") != 0 {
		t.Error("Delete removes the entry of another key")
	}
	if got := s.displaced([]*Entry{a}, &Entry{key: "b"}); len(got) != 1 || got[0] != a {
		t.Error("the entry of another key stays beside the new one")
	}
	sh.mu.Lock()
	delete(sh.entries, h)
	sh.mu.Unlock()
	s.verify(t)
}

// What loses its place in the policy because of a hash leaves the store, too.
func TestEntryThatThePolicyLosesIsNotFound(t *testing.T) {
	s := openStore(t, Config{})
	put(t, s, "a", 10)
	s.policy.Del(keyHash(s, "a"))
	if has(s, "a") {
		t.Error("found although the policy does not count it any more")
	}
	s.verify(t)
}

// The cost is the bytes, without 56 that nobody asked for.
func TestEveryByteIsCountedOnce(t *testing.T) {
	s := openStore(t, Config{})
	e, err := tryPut(t, s, "key", "variant", 1024, "tag")
	if err != nil {
		t.Fatal(err)
	}
	const chunkHeader = 24
	want := int64(entryBytes + 3 + 7 + 3 + 1024 + chunkHeader + tagRefBytes + tagBytes + 3)
	if e.Cost() != want || s.Stats().Bytes != want {
		t.Errorf("cost is %d, Stats say %d, want %d", e.Cost(), s.Stats().Bytes, want)
	}
	s.verify(t)
}

func TestVariantsOfAKey(t *testing.T) {
	s := openStore(t, Config{Variants: 3})
	for _, v := range []string{"de", "en", "fr", "de", "it"} {
		if _, err := tryPut(t, s, "key", v, 10); err != nil {
			t.Fatal(err)
		}
	}
	var got []string
	for _, e := range s.Get("key") {
		got = append(got, e.Variant())
	}
	if want := []string{"it", "de", "fr"}; !slices.Equal(got, want) {
		t.Errorf("variants are %v, want %v: the newest three", got, want)
	}
	s.verify(t)
	if n := s.Delete("key"); n != 3 || has(s, "key") {
		t.Errorf("Delete removed %d, want all 3", n)
	}
	s.verify(t)
}

// A validation gives a stored body a new head.
func TestStoredBodyCanBePutAgain(t *testing.T) {
	s := openStore(t, Config{})
	old := put(t, s, "key", 5000)
	f := s.Begin()
	e, err := f.Put(Item{Key: "key", Head: "new", Body: old.Body()})
	f.Close()
	if err != nil || e.Body() != old.Body() || s.Get("key")[0].Head() != "new" {
		t.Errorf("Put = %v, %v", e, err)
	}
	s.verify(t)
}

func TestPutSaysWhyItRefuses(t *testing.T) {
	s := openStore(t, Config{Tags: 2, DistinctTags: 2})
	f := s.Begin()
	defer f.Close()
	whole := fill(t, f, 10)
	failed, unfinished := f.Body(-1), f.Body(-1)
	cause := errors.New("reset")
	failed.Fail(cause)
	for _, tt := range []struct {
		name string
		item Item
		want error
	}{
		{"no key", Item{Body: whole}, ErrNoKey},
		{"too many tags", Item{Key: "k", Body: whole, Tags: []string{"a", "b", "c"}}, ErrTags},
		{"no body", Item{Key: "k"}, ErrUnfinished},
		{"unfinished", Item{Key: "k", Body: unfinished}, ErrUnfinished},
		{"failed", Item{Key: "k", Body: failed}, cause},
		{"announced too long", Item{Key: "k", Body: f.Body(s.config.MaxObject + 1)}, ErrUnfinished},
		{"long key", Item{Key: strings.Repeat("k", 1<<20), Body: whole}, ErrTooLarge},
		{"fits", Item{Key: "k", Body: whole, Tags: []string{"a", "b"}}, nil},
		{"tags that exist", Item{Key: "l", Body: fill(t, f, 1), Tags: []string{"b", "a"}}, nil},
		{"one tag too many in all", Item{Key: "m", Body: fill(t, f, 1), Tags: []string{"a", "c"}}, ErrTagsFull},
	} {
		if _, err := f.Put(tt.item); !errors.Is(err, tt.want) {
			t.Errorf("%s: Put = %v, want %v", tt.name, err, tt.want)
		}
		if tt.want != nil && tt.item.Key != "" && has(s, tt.item.Key) {
			t.Errorf("%s: found although it was refused", tt.name)
		}
	}
	want := Refusals{TooLarge: 1, Incomplete: 4, Tags: 2, Other: 1}
	if got := s.Stats().Refusals; got != want {
		t.Errorf("refusals are %+v, want %+v", got, want)
	}
	s.verify(t)
}

func TestEvictedBodyIsReadToItsEndAndCounted(t *testing.T) {
	s := openStore(t, Config{})
	e := put(t, s, "key", 100<<10)
	r, err := e.Body().Reader(context.Background(), 0)
	if err != nil {
		t.Fatal(err)
	}
	if got := s.Stats().Filling; got != 0 {
		t.Errorf("%d bytes count twice", got)
	}
	s.Delete("key")
	if got := s.Stats().Filling; got < 100<<10 {
		t.Errorf("a reader holds 100 KiB, %d bytes are counted", got)
	}
	var n int
	for p := make([]byte, 8<<10); err == nil; {
		var m int
		m, err = r.Read(p)
		n += m
	}
	if n != 100<<10 {
		t.Errorf("read %d bytes", n)
	}
	r.Close()
	if got := s.Stats().Filling; got != 0 {
		t.Errorf("%d bytes are counted when nobody holds them", got)
	}
}

func TestHitsAndMissesAreCounted(t *testing.T) {
	s := openStore(t, Config{})
	e := put(t, s, "key", 10)
	s.Hit(e)
	s.Hit(e)
	s.Miss("other")
	if st := s.Stats(); st.Hits != 2 || st.Misses != 1 || st.Puts != 1 {
		t.Errorf("Stats = %+v", st)
	}
}

// ristretto's Close races with everything.
func TestCloseWhileInUse(t *testing.T) {
	for range 20 {
		s := openStore(t, Config{})
		var wg sync.WaitGroup
		for g := range 4 {
			wg.Go(func() {
				for i := range 300 {
					key := fmt.Sprint(g, i%50)
					if _, err := tryPut(t, s, key, "", 100, "tag"); err != nil && !errors.Is(err, ErrClosed) && !errors.Is(err, ErrPurged) {
						t.Error(err)
					}
					for _, e := range s.Get(key) {
						s.Hit(e)
					}
					if i%40 == 0 {
						purgeNow(t, s, Order{Tag: "tag"})
						purgeNow(t, s, Order{Scope: Everything})
					}
					if g == 0 && i == 100 {
						s.Close()
					}
				}
			})
		}
		wg.Wait()
		if st := s.Stats(); st.Entries != 0 || st.Bytes != 0 || st.Filling != 0 || st.Tags != 0 {
			t.Fatalf("a closed store has %+v", st)
		}
	}
}

func TestConfigIsRefusedWhenItCannotWork(t *testing.T) {
	for _, c := range []Config{
		{},
		{Capacity: 1000},
		{Capacity: 1 << 30, Fill: 1 << 30},
		{Capacity: 1 << 30, Fill: 1},
		{Capacity: 1 << 30, MaxObject: 1 << 29},
		{Capacity: 1 << 30, Variants: -1},
		{Capacity: 1 << 30, Tags: 1 << 20},
		{Capacity: 1 << 30, Window: 1},
		{Capacity: 1 << 30, Patience: -time.Second},
		{Capacity: 1 << 30, MeanObject: 1},
	} {
		if s, err := New(c); err == nil {
			s.Close()
			t.Errorf("New(%+v) works", c)
		}
	}
}

// skipWithoutUses skips a test that needs the policy to hear of uses. They reach
// it through a sync.Pool, which loses all of them under the race detector.
func skipWithoutUses(t *testing.T) {
	if underRace {
		t.Skip("the race detector keeps uses from the policy")
	}
}

// A crawler that asks once for ten times as much as fits, while each of its
// requests comes with a tenth of one for the hot half.
func TestHotEntriesSurviveACrawler(t *testing.T) {
	skipWithoutUses(t)
	const size = 4 << 10
	s := openStore(t, Config{Capacity: 16 << 20, MeanObject: size})
	capacity := int(s.config.stored() / (size + entryBytes))
	hot := capacity / 2
	for i := range hot {
		put(t, s, fmt.Sprintf("hot %d", i), size)
	}
	use := func(i int) {
		for _, e := range s.Get(fmt.Sprintf("hot %d", i%hot)) {
			s.Hit(e)
		}
	}
	for i := range 20 * hot {
		use(i)
		if i%64 == 0 {
			runtime.Gosched() // the policy loses what it does not come to hear
		}
	}
	for i := range 10 * capacity {
		key := fmt.Sprintf("crawled %d", i)
		if i%10 == 0 {
			use(i / 10)
		}
		if !has(s, key) {
			s.Miss(key)
			tryPut(t, s, key, "", size)
		}
	}
	left := 0
	for i := range hot {
		if has(s, fmt.Sprintf("hot %d", i)) {
			left++
		}
	}
	t.Logf("%d of %d hot entries stay", left, hot)
	if left < hot*9/10 {
		t.Errorf("%d of %d hot entries stay, want 90 %%", left, hot)
	}
	s.verify(t)
}

func TestGetAndHitDoNotAllocate(t *testing.T) {
	if underRace {
		t.Skip("the race detector allocates")
	}
	s := openStore(t, Config{})
	put(t, s, "key", 100, "tag")
	if n := testing.AllocsPerRun(1000, func() {
		for _, e := range s.Get("key") {
			s.Hit(e)
		}
	}); n >= 1 {
		t.Errorf("%v allocations", n)
	}
}
