package store

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func BenchmarkGetHit(b *testing.B) {
	s := openStore(b, Config{Capacity: 256 << 20})
	keys := make([]string, 50_000)
	for i := range keys {
		keys[i] = fmt.Sprintf("https://example.com/some/path/%d", i)
		put(b, s, keys[i], 100, "tag")
	}
	b.ReportAllocs()
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for i := 0; pb.Next(); i++ {
			entries := s.Get(keys[i*7919%len(keys)])
			if len(entries) == 0 {
				b.Fatal("miss")
			}
			s.Hit(entries[0])
		}
	})
}

func BenchmarkGetMiss(b *testing.B) {
	s := openStore(b, Config{})
	b.ReportAllocs()
	for b.Loop() {
		if s.Get("https://example.com/some/path") != nil {
			b.Fatal("hit")
		}
	}
}

func BenchmarkPut(b *testing.B) {
	for _, tt := range []struct {
		name string
		size int
		tags []string
	}{
		{"1KiB", 1 << 10, nil},
		{"1KiB with 10 tags", 1 << 10, strings.Fields("a b c d e f g h i j")},
		{"64KiB", 64 << 10, nil},
	} {
		b.Run(tt.name, func(b *testing.B) {
			s := openStore(b, Config{Capacity: 64 << 20})
			p := make([]byte, tt.size)
			var n atomic.Int64
			b.SetBytes(int64(tt.size))
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					f := s.Begin()
					body := f.Body(int64(len(p)))
					body.Append(context.Background(), p)
					body.Finish(nil)
					f.Put(Item{Key: fmt.Sprint("key ", n.Add(1)), Tags: tt.tags, Body: body})
					f.Close()
				}
			})
		})
	}
}

func BenchmarkReadStoredBody(b *testing.B) {
	s := openStore(b, Config{Capacity: 64 << 20})
	body := put(b, s, "key", 1<<20).Body()
	b.SetBytes(1 << 20)
	b.ReportAllocs()
	for b.Loop() {
		r, err := body.Reader(context.Background(), 0)
		if err != nil {
			b.Fatal(err)
		}
		r.WriteTo(nowhere{})
		r.Close()
	}
}

type nowhere struct{}

func (nowhere) Write(p []byte) (int, error) { return len(p), nil }

// BenchmarkPurge purges 100,000 of 200,000 entries while others call Get, and
// reports how long the purge took and how long a Get took at most. Compare that
// with the figure of the same Gets without a purge: the rest is the scheduler's.
func BenchmarkPurge(b *testing.B) {
	const n = 100_000
	for _, tt := range []struct {
		name  string
		order Order
	}{
		{"none", Order{Key: "none"}},
		{"tag", Order{Tag: "half"}},
		{"tag, soft", Order{Tag: "half", Soft: time.Unix(1, 0)}},
		{"prefix", Order{Scope: prefix("/a/")}},
	} {
		b.Run(tt.name, func(b *testing.B) {
			s := openStore(b, Config{Capacity: 1 << 30, MeanObject: 1 << 10})
			var took, longest, pauses time.Duration
			for b.Loop() {
				b.StopTimer()
				for i := range n {
					put(b, s, fmt.Sprintf("/a/%d", i), 16, "half", "all")
					put(b, s, fmt.Sprintf("/b/%d", i), 16, "all")
				}
				runtime.GC()
				b.StartTimer()
				took, longest, pauses = purgeUnderReads(b, s, tt.order, n)
			}
			b.ReportMetric(float64(took.Microseconds())/1000, "ms/purge")
			b.ReportMetric(float64(longest.Nanoseconds())/1000, "µs-longest-Get")
			b.ReportMetric(float64(pauses.Nanoseconds())/1000, "µs-p99.99-Get")
		})
	}
}

// purgeUnderReads measures Gets from before the purge until well after it.
func purgeUnderReads(b *testing.B, s *Store, o Order, n int) (took, longest, p9999 time.Duration) {
	stop := make(chan struct{})
	var wg sync.WaitGroup
	var times []time.Duration
	wg.Go(func() {
		keys := make([]string, 4096)
		for i := range keys {
			keys[i] = fmt.Sprintf("/%c/%d", "ab"[i%2], i*23%n)
		}
		times = make([]time.Duration, 0, 1<<22)
		for i := 0; len(times) < cap(times); i++ {
			began := time.Now()
			s.Get(keys[i%len(keys)])
			times = append(times, time.Since(began))
			select {
			case <-stop:
				return
			default:
			}
		}
	})
	began := time.Now()
	purgeNow(b, s, o)
	took = time.Since(began)
	for time.Since(began) < 100*time.Millisecond {
		runtime.Gosched()
	}
	close(stop)
	wg.Wait()
	slices.Sort(times)
	return took, times[len(times)-1], times[len(times)*9999/10000]
}

// BenchmarkIndexMemory enters a million entries with ten tags each.
func BenchmarkIndexMemory(b *testing.B) {
	const n, each = 1_000_000, 10
	names := make([]string, 50_000)
	for i := range names {
		names[i] = fmt.Sprintf("category-%d", i)
	}
	for b.Loop() {
		entries := make([]Entry, n)
		before := heapInUse()
		x := newIndex(1 << 20)
		var tags [each]string
		for i := range entries {
			for k := range tags {
				tags[k] = names[(i*31+k*k*997)%len(names)]
			}
			if _, ok := x.add(&entries[i], tags[:]); !ok {
				b.Fatal("index is full")
			}
		}
		b.ReportMetric(float64(heapInUse()-before)/(n*each), "bytes/tag-of-entry")
		began := time.Now()
		for i := range entries {
			x.remove(&entries[i])
		}
		b.ReportMetric(float64(time.Since(began).Nanoseconds())/n, "ns/removal")
		if x.count() != 0 {
			b.Fatal("tags are left")
		}
	}
}
