package l2_test

import (
	"context"
	"testing"

	"github.com/ergoproxy/ergo/core/l2"
	"github.com/ergoproxy/ergo/shared/config"
)

var sizes = []config.Bytes{1 << 10, 64 << 10}

// noise is a body that can't be compressed, as one is that has a content coding.
func noise(n config.Bytes) string {
	b := make([]byte, n)
	for i, x := 0, uint32(1); i < len(b); i++ {
		x ^= x << 13
		x ^= x >> 17
		x ^= x << 5
		b[i] = byte(x)
	}
	return string(b)
}

func BenchmarkGet(b *testing.B) {
	for _, size := range sizes {
		b.Run(size.String(), func(b *testing.B) {
			_, s := connect(b)
			store(b, s, "key", value(noise(size)))
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				if _, outcome := s.Get(context.Background(), []byte("key")); outcome != l2.Hit {
					b.Fatal(outcome)
				}
			}
		})
		b.Run(size.String()+"/parallel", func(b *testing.B) {
			_, s := connect(b)
			store(b, s, "key", value(noise(size)))
			b.SetBytes(int64(size))
			b.ReportAllocs()
			b.SetParallelism(16)
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if _, outcome := s.Get(context.Background(), []byte("key")); outcome != l2.Hit {
						b.Error(outcome)
						return
					}
				}
			})
		})
	}
}

// BenchmarkPut counts what Redis has confirmed.
func BenchmarkPut(b *testing.B) {
	for _, size := range sizes {
		b.Run(size.String(), func(b *testing.B) {
			_, s := connect(b)
			v := value(noise(size))
			b.SetBytes(int64(size))
			b.ReportAllocs()
			taken := s.Stats().Puts.Load()
			for b.Loop() {
				if s.Put([]byte("key"), v) {
					taken++
					continue
				}
				eventually(b, "the queue is empty", func() bool { return s.Stats().QueueEntries.Load() == 0 })
			}
			eventually(b, "all is written", func() bool { return s.Stats().Written.Load() == taken })
		})
	}
}

// BenchmarkDown is what a request pays while Redis is gone.
func BenchmarkDown(b *testing.B) {
	s := newIdleStore(b, "127.0.0.1:1")
	for b.Loop() {
		if _, outcome := s.Get(context.Background(), []byte("key")); outcome != l2.Down {
			b.Fatal(outcome)
		}
	}
}
