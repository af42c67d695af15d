package link

import (
	"bytes"
	"testing"
	"time"
)

// A keeper adds numbered packets to a past, at a rate, and knows what they held.
type keeper struct {
	past
	now  time.Duration
	next uint64
}

func newKeeper(limit int64) *keeper {
	return &keeper{past: past{pool: newPool(limit)}, now: time.Minute}
}

func (k *keeper) content(seq uint64, n int) []byte {
	return bytes.Repeat([]byte{byte(seq), byte(seq >> 8)}, n/2)
}

// send adds packets of n bytes, each in its own piece.
func (k *keeper) send(packets, n int, interval, keep time.Duration) {
	for range packets {
		k.now += interval
		k.begin(n, k.now, keep)
		copy(k.add(k.next, n, true), k.content(k.next, n))
		k.end()
		k.next++
	}
}

// has reports whether the packet that was sent ago packets before the last is there,
// unharmed.
func (k *keeper) has(t *testing.T, ago uint64, n int) bool {
	t.Helper()
	seq := k.next - 1 - ago
	got := k.find(seq)
	if got != nil && !bytes.Equal(got, k.content(seq, n)) {
		t.Errorf("packet %d is not what was sent", seq)
	}
	return got != nil
}

func TestPastKeepsWhatMayBeAskedFor(t *testing.T) {
	k := newKeeper(64 << 20)
	// 1,200,000 bytes a second, for 200 ms: four times the first ring.
	k.send(5000, 1200, time.Millisecond, 200*time.Millisecond)
	for ago := range uint64(200) {
		if !k.has(t, ago, 1200) {
			t.Fatalf("the packet %d before the last is gone", ago)
		}
	}
	if k.has(t, 1000, 1200) || k.find(k.next) != nil {
		t.Error("a packet was found that cannot be there")
	}
	if k.held > 1<<20 || k.held != len(k.ring) || k.pool.used.Load() != int64(k.held) {
		t.Errorf("%d bytes held, %d taken, for a ring of %d", k.held, k.pool.used.Load(), len(k.ring))
	}
}

func TestPastIsBounded(t *testing.T) {
	k := newKeeper(64 << 20)
	k.send(20_000, 1200, time.Microsecond, time.Hour)
	if len(k.ring) != pastMax {
		t.Errorf("a ring of %d bytes, want %d", len(k.ring), pastMax)
	}
	poor := newKeeper(pastMin)
	poor.send(1000, 1200, time.Microsecond, time.Hour)
	if len(poor.ring) != pastMin || !poor.has(t, 10, 1200) {
		t.Errorf("a ring of %d bytes, want %d that hold the last packets", len(poor.ring), pastMin)
	}
}

// What bulk has made large does not stay so behind keep-alives.
func TestPastIsSmallAgainWhenLittleIsSent(t *testing.T) {
	k := newKeeper(64 << 20)
	k.send(20_000, 1200, time.Microsecond, time.Hour)
	k.send(5, 40, 3*time.Second, 200*time.Millisecond)
	if len(k.ring) != pastMin || k.pool.used.Load() != pastMin {
		t.Errorf("a ring of %d bytes, %d taken", len(k.ring), k.pool.used.Load())
	}
	if !k.has(t, 0, 40) {
		t.Error("the last packet is gone")
	}
	k.close()
	if left := k.pool.used.Load(); left != 0 {
		t.Errorf("%d bytes left after the end", left)
	}
}
