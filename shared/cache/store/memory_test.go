package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"runtime"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"testing"
)

func heapInUse() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC() // the first one only finds what sync.Pools hold
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// The bytes that entries are counted for are at least those that they take, and
// not absurdly more.
func TestCountedBytesCoverWhatEntriesTake(t *testing.T) {
	if underRace {
		t.Skip("the race detector takes memory itself")
	}
	for _, tt := range []struct {
		name string
		tags func(i int) []string
	}{
		{"no tags", func(int) []string { return nil }},
		{"one tag of its own", func(i int) []string { return []string{fmt.Sprintf("own %d", i)} }},
		{"ten tags of many", func(i int) []string {
			var tags []string
			for k := range 10 {
				tags = append(tags, fmt.Sprintf("shared %d", (i+k*k)%500))
			}
			return tags
		}},
	} {
		// Just after the maps have grown, which is when they waste most.
		for _, n := range []int{30_000, 60_000} {
			s := openStore(t, Config{Capacity: 256 << 20, MeanObject: 2 << 10})
			before := heapInUse()
			for i := range n {
				put(t, s, fmt.Sprintf("https://example.com/%d", i), 16, tt.tags(i)...)
			}
			took, counted := heapInUse()-before, s.Stats().Bytes
			t.Logf("%-18s %d entries take %d bytes each, counted are %d", tt.name, n, took/int64(n), counted/int64(n))
			if took > counted {
				t.Errorf("%s: %d entries take %d bytes, only %d are counted", tt.name, n, took, counted)
			}
			if counted > 2*took {
				t.Errorf("%s: %d entries take %d bytes, %d are counted", tt.name, n, took, counted)
			}
			runtime.KeepAlive(s)
		}
	}
}

// resident returns the resident memory of the process, or 0 where it can't tell.
func resident() int64 {
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0
	}
	var size, pages int64
	if _, err := fmt.Sscan(string(text), &size, &pages); err != nil {
		return 0
	}
	return pages * int64(os.Getpagesize())
}

// churn puts bodies of 1 KiB to 50 MB, as many bytes of one size as of another
// ten times as large, until their sum is volume. It returns the most memory that
// was resident.
func churn(t testing.TB, s *Store, payload []byte, volume int64) (most int64) {
	var done, peak atomic.Int64
	var wg sync.WaitGroup
	for g := range 2 {
		wg.Go(func() {
			rnd := rand.New(rand.NewPCG(uint64(g), 3))
			for i := 0; done.Load() < volume; i++ {
				n := int(1024 * math.Pow(50_000_000.0/1024, rnd.Float64()))
				key := fmt.Sprintf("/%d/%d", g, rnd.IntN(20_000))
				for _, e := range s.Get(key) {
					s.Hit(e)
				}
				one(t, s, key, payload[:n], rnd.IntN(2) == 0)
				done.Add(int64(n))
				if now := resident(); now > peak.Load() {
					peak.Store(now)
				}
			}
		})
	}
	wg.Wait()
	return peak.Load()
}

// one fills one body, with a reader as every request has one, and puts it.
func one(t testing.TB, s *Store, key string, p []byte, announced bool) {
	f := s.Begin()
	defer f.Close()
	size := int64(-1)
	if announced {
		size = int64(len(p))
	}
	b := f.Body(size)
	r, err := b.Reader(context.Background(), 0)
	if err != nil {
		t.Error(err)
		return
	}
	defer r.Close()
	var wg sync.WaitGroup
	wg.Go(func() {
		if n, err := io.Copy(io.Discard, r); n != int64(len(p)) || err != nil {
			t.Errorf("read %d of %d bytes: %v", n, len(p), err)
		}
	})
	if _, err := b.ReadFrom(context.Background(), bytes.NewReader(p)); err != nil {
		t.Error(err)
	}
	b.Finish(nil)
	wg.Wait()
	_, err = f.Put(Item{Key: key, Body: b, Tags: []string{key[:3]}})
	if err != nil && !errors.Is(err, ErrRelay) && !errors.Is(err, ErrNotAdmitted) {
		t.Error(err)
	}
}

// churned opens a store of a capacity, with the memory limit that it asks for or
// with Go's default, and reports by how much the process grew under churn.
func churned(t testing.TB, capacity, volume int64, limited bool) int64 {
	payload := bytes.Repeat([]byte("payload "), 50_000_000/8)
	debug.FreeOSMemory()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	base := resident()
	c := Config{Capacity: capacity}
	if limited {
		rest := int64(m.Sys - m.HeapReleased)
		defer debug.SetMemoryLimit(debug.SetMemoryLimit(rest + c.MemoryLimit()))
	}
	s := openStore(t, c)
	most := churn(t, s, payload, volume) - base
	st := s.Stats()
	t.Logf("capacity %d MiB, limited %v: resident %d MiB = %.2f times; %d entries with %d MiB, %d put, %d too large",
		capacity>>20, limited, most>>20, float64(most)/float64(capacity), st.Entries, st.Bytes>>20, st.Puts, st.Refusals.TooLarge)
	s.Close()
	return most
}

func TestResidentMemoryStaysNearTheLimit(t *testing.T) {
	if underRace || testing.Short() || resident() == 0 {
		t.Skip("needs an ordinary build, a few seconds and /proc")
	}
	const capacity = 128 << 20
	if most := churned(t, capacity, 5<<30, true); most > capacity*13/10 {
		t.Errorf("resident memory grew by %d MiB, want at most 1.3 times %d MiB", most>>20, capacity>>20)
	}
}

// BenchmarkResidentMemory makes the table of the package doc: run it
// with -benchtime=1x -v.
func BenchmarkResidentMemory(b *testing.B) {
	for _, capacity := range []int64{64 << 20, 128 << 20} {
		for _, limited := range []bool{false, true} {
			b.Run(fmt.Sprintf("capacity=%dMiB/limited=%v", capacity>>20, limited), func(b *testing.B) {
				var most int64
				for b.Loop() {
					most = churned(b, capacity, 4<<30, limited)
				}
				b.ReportMetric(float64(most)/float64(capacity), "resident/capacity")
			})
		}
	}
}
