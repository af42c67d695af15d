package store

import (
	"container/list"
	"fmt"
	"math"
	"math/rand/v2"
	"sort"
	"testing"

	"github.com/maypok86/otter/v2"
)

// zipf draws ranks with a probability proportional to 1/rank^s. That of math/rand
// wants s > 1.
type zipf struct {
	sums []float64
	rnd  *rand.Rand
}

func newZipf(n int, s float64) *zipf {
	z := &zipf{sums: make([]float64, n), rnd: rand.New(rand.NewPCG(5, 6))}
	sum := 0.0
	for i := range z.sums {
		sum += 1 / math.Pow(float64(i+1), s)
		z.sums[i] = sum
	}
	return z
}

func (z *zipf) draw() int {
	return sort.SearchFloat64s(z.sums, z.rnd.Float64()*z.sums[len(z.sums)-1])
}

// A rival is another cache of the same bytes. use reports a hit, and stores the
// key otherwise.
type rival interface {
	use(key string, cost int64) bool
}

type ours struct {
	t testing.TB
	s *Store
	n int // bytes of every body
}

func (o ours) use(key string, _ int64) bool {
	if entries := o.s.Get(key); len(entries) > 0 {
		o.s.Hit(entries[0])
		return true
	}
	tryPut(o.t, o.s, key, "", o.n)
	return false
}

// lru is the textbook's.
type lru struct {
	limit, used int64
	order       list.List
	keys        map[string]*list.Element
}

type lruItem struct {
	key  string
	cost int64
}

func (l *lru) use(key string, cost int64) bool {
	if e, ok := l.keys[key]; ok {
		l.order.MoveToFront(e)
		return true
	}
	l.keys[key] = l.order.PushFront(lruItem{key, cost})
	for l.used += cost; l.used > l.limit; {
		last := l.order.Remove(l.order.Back()).(lruItem)
		delete(l.keys, last.key)
		l.used -= last.cost
	}
	return false
}

type otterCache struct{ c *otter.Cache[string, int64] }

func newOtter(limit int64) otterCache {
	return otterCache{otter.Must(&otter.Options[string, int64]{
		MaximumWeight: uint64(limit),
		Weigher:       func(_ string, cost int64) uint32 { return uint32(cost) },
	})}
}

func (o otterCache) use(key string, cost int64) bool {
	if _, ok := o.c.GetIfPresent(key); ok {
		return true
	}
	o.c.Set(key, cost)
	return false
}

// BenchmarkHitRatio runs requests by Zipf's law with exponent 0.9 over a million
// objects of one size, a tenth of which fit. Run it with -benchtime=1x.
func BenchmarkHitRatio(b *testing.B) {
	const objects, size, requests = 1_000_000, 256, 3_000_000
	cost := int64(entryBytes + size + 24 + 2*12)
	limit := objects / 10 * cost
	for _, tt := range []struct {
		name string
		open func(b *testing.B) rival
	}{
		{"store", func(b *testing.B) rival {
			// So that its part for entries is the limit of the others.
			c := Config{Capacity: limit * 8 / 7, MeanObject: cost}
			c.Capacity += c.counters() * counterBytes
			return ours{b, openStore(b, c), size}
		}},
		{"LRU", func(*testing.B) rival { return &lru{limit: limit, keys: map[string]*list.Element{}} }},
		{"otter", func(*testing.B) rival { return newOtter(limit) }},
	} {
		b.Run(tt.name, func(b *testing.B) {
			for b.Loop() {
				r, z := tt.open(b), newZipf(objects, 0.9)
				hits, counted := 0, 0
				for i := range requests {
					hit := r.use(fmt.Sprintf("/o/%08d", z.draw()), cost)
					if i >= requests/3 { // warm by then
						counted++
						if hit {
							hits++
						}
					}
				}
				b.ReportMetric(100*float64(hits)/float64(counted), "%hits")
			}
		})
	}
}
