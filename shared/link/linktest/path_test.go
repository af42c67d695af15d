package linktest_test

import (
	"testing"
	"time"

	"github.com/ergoproxy/ergo/shared/link/linktest"
)

var start = time.Unix(1e9, 0)

func TestPathWithoutConditionsDeliversAtOnce(t *testing.T) {
	p := linktest.NewPath(1, linktest.Conditions{})
	if at, n := p.Send(start, 1500); n != 1 || at[0] != start {
		t.Errorf("%d times at %v, want once at %v", n, at[0], start)
	}
}

func TestPathTakesTheTimeOfItsRateAndDropsWhatWaitsTooLong(t *testing.T) {
	// 1,000 bytes take 1 ms; 10 of them may wait.
	p := linktest.NewPath(1, linktest.Conditions{Delay: 40 * time.Millisecond, Rate: 8e6, Queue: 10 * time.Millisecond})
	for i := range 20 {
		at, n := p.Send(start, 1000)
		want := start.Add(time.Duration(i+1)*time.Millisecond + 40*time.Millisecond)
		if i > 10 && n != 0 || i <= 10 && (n != 1 || at[0] != want) {
			t.Errorf("packet %d arrives %d times, at %v, want %v", i, n, at[0].Sub(start), want.Sub(start))
		}
	}
	if c := p.Counters(); c.Packets != 20 || c.Delivered != 11 || c.Dropped != 9 || c.Lost != 0 || c.DeliveredBytes != 11000 || c.Bytes != 20000 {
		t.Errorf("counted %+v", c)
	}
	if _, n := p.Send(start.Add(time.Millisecond), 1000); n != 1 {
		t.Error("no room although a packet has left the queue")
	}
}

func TestPathSwallowsWhatIsTooLarge(t *testing.T) {
	p := linktest.NewPath(1, linktest.Conditions{MTU: 1252})
	for size, want := range map[int]int{1252: 1, 1253: 0} {
		if _, n := p.Send(start, size); n != want {
			t.Errorf("%d bytes arrive %d times, want %d", size, n, want)
		}
	}
	if c := p.Counters(); c.TooLarge != 1 {
		t.Errorf("counted %+v", c)
	}
}

// fates sends a packet each millisecond and returns how often each arrived, and how
// long it took.
func fates(c linktest.Conditions, packets int) (times []int, took []time.Duration, overtaken int) {
	p := linktest.NewPath(7, c)
	latest := start
	for i := range packets {
		now := start.Add(time.Duration(i) * time.Millisecond)
		at, n := p.Send(now, 100)
		times = append(times, n)
		for _, at := range at[:n] {
			took = append(took, at.Sub(now))
		}
		if n > 0 && at[0].Before(latest) {
			overtaken++
		}
		if n > 0 {
			latest = at[0]
		}
	}
	return times, took, overtaken
}

func TestPathJittersReordersAndRepeats(t *testing.T) {
	const packets = 10_000
	delay := 40 * time.Millisecond
	for _, c := range []struct {
		name              string
		conditions        linktest.Conditions
		least, most       time.Duration
		arrivals          [2]int // at least, at most
		overtaken, beyond int    // at least, at most
	}{
		{"steady", linktest.Conditions{Delay: delay}, delay, delay, [2]int{packets, packets}, 0, 0},
		{"jitter", linktest.Conditions{Delay: delay, Jitter: 20 * time.Millisecond}, 20 * time.Millisecond, 60 * time.Millisecond, [2]int{packets, packets}, 4000, 6000},
		{"jitter in order", linktest.Conditions{Delay: delay, Jitter: 20 * time.Millisecond, InOrder: true}, 20 * time.Millisecond, 60 * time.Millisecond, [2]int{packets, packets}, 0, 0},
		{"reordering", linktest.Conditions{Delay: delay, Reorder: 0.1}, delay, delay + 5*time.Millisecond, [2]int{packets, packets}, 700, 1300},
		{"repetition", linktest.Conditions{Delay: delay, Duplicate: 0.1}, delay, delay, [2]int{packets + 800, packets + 1200}, 0, 0},
	} {
		times, took, overtaken := fates(c.conditions, packets)
		sum := 0
		for _, n := range times {
			sum += n
		}
		if sum < c.arrivals[0] || sum > c.arrivals[1] {
			t.Errorf("%s: %d arrivals of %d packets, want %v", c.name, sum, packets, c.arrivals)
		}
		for _, d := range took {
			if d < c.least || d > c.most {
				t.Errorf("%s: took %v, want %v to %v", c.name, d, c.least, c.most)
				break
			}
		}
		if overtaken < c.overtaken || overtaken > c.beyond {
			t.Errorf("%s: %d packets arrived before the one sent before, want %d to %d", c.name, overtaken, c.overtaken, c.beyond)
		}
	}
}

func TestSameSeedSameFates(t *testing.T) {
	conditions := func() linktest.Conditions {
		return linktest.Conditions{Loss: linktest.Bernoulli(0.5), Jitter: time.Second, Reorder: 0.5, Duplicate: 0.5}
	}
	a, b, other := linktest.NewPath(1, conditions()), linktest.NewPath(1, conditions()), linktest.NewPath(2, conditions())
	same := true
	for i := range 100 {
		at, n := a.Send(start, i)
		if at2, n2 := b.Send(start, i); at != at2 || n != n2 {
			t.Fatalf("packet %d: %v and %v", i, at[:n], at2[:n2])
		}
		if at3, n3 := other.Send(start, i); at != at3 || n != n3 {
			same = false
		}
	}
	if same {
		t.Error("another seed gives the same fates")
	}
}

func TestSetHoldsForLaterPackets(t *testing.T) {
	p := linktest.NewPath(1, linktest.Conditions{Delay: time.Second})
	p.Set(linktest.Conditions{Delay: 2 * time.Second})
	if at, _ := p.Send(start, 1); at[0].Sub(start) != 2*time.Second {
		t.Errorf("took %v, want 2s", at[0].Sub(start))
	}
}
