package linktest_test

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ergoproxy/ergo/shared/link/linktest"
)

// runs returns the lengths of the runs of losses among n packets, one each
// millisecond.
func runs(loss linktest.Loss, n int) (lengths []int, lost int) {
	rng := rand.New(rand.NewPCG(1, 2))
	now := time.Unix(0, 0)
	run := 0
	for range n {
		now = now.Add(time.Millisecond)
		if loss.Lost(now, rng) {
			run++
			lost++
			continue
		}
		if run > 0 {
			lengths = append(lengths, run)
		}
		run = 0
	}
	return lengths, lost
}

func TestLossModelsLoseWhatTheySay(t *testing.T) {
	const n = 200_000
	for _, c := range []struct {
		name       string
		loss       linktest.Loss
		share      float64 // of the packets
		run        float64 // mean length
		atMost     int     // length
		leastShare float64
	}{
		{"none", linktest.Bernoulli(0), 0, 0, 0, 0},
		{"all", linktest.Bernoulli(1), 1, 0, 0, 1},
		{"one in a hundred", linktest.Bernoulli(0.01), 0.01, 1.01, 5, 0.009},
		{"bursts of four", &linktest.GilbertElliott{ToBad: 0.0025, ToGood: 0.25, LossBad: 1}, 0.0099, 4, 60, 0.008},
		{"a lossy state", &linktest.GilbertElliott{ToBad: 0.01, ToGood: 0.01, LossGood: 0.01, LossBad: 0.3}, 0.155, 1.4, 20, 0.13},
		{"five to eight each second", &linktest.Bursts{Every: time.Second, Min: 5, Max: 8}, 0.0065, 6.5, 8, 0.006},
	} {
		lengths, lost := runs(c.loss, n)
		share := float64(lost) / n
		if share < c.leastShare || share > 2*c.share-c.leastShare {
			t.Errorf("%s: %.5f lost, want about %.5f", c.name, share, c.share)
		}
		if len(lengths) == 0 {
			continue
		}
		mean := float64(lost) / float64(len(lengths))
		if mean < 0.9*c.run || mean > 1.1*c.run || slices.Max(lengths) > c.atMost {
			t.Errorf("%s: runs of %.2f on average, %d at most, want %.2f and %d", c.name, mean, slices.Max(lengths), c.run, c.atMost)
		}
	}
}

func TestBurstsEndForThoseWhoSendLittle(t *testing.T) {
	b := &linktest.Bursts{Every: time.Second, Min: 20, Max: 20}
	rng := rand.New(rand.NewPCG(1, 2))
	lost := 0
	for i := range 1000 {
		if b.Lost(time.Unix(int64(3*i), 0), rng) {
			lost++
		}
	}
	if lost < 900 { // each packet begins a burst, and none ends one
		t.Errorf("%d of 1000 packets, 3 s apart, are lost", lost)
	}
	b = &linktest.Bursts{Every: 10 * time.Second, Min: 20, Max: 20}
	lost = 0
	for i := range 1000 {
		if b.Lost(time.Unix(int64(2*i), 0), rng) {
			lost++
		}
	}
	if lost < 100 || lost > 300 {
		t.Errorf("%d of 1000 packets, 2 s apart, are lost to bursts each 10 s, want one each", lost)
	}
}

func TestStepsChangeTheLossAtTheirTime(t *testing.T) {
	steps := &linktest.Steps{Of: []linktest.Step{{Loss: linktest.Bernoulli(1)}, {After: time.Second}, {After: 2 * time.Second, Loss: linktest.Bernoulli(1)}}}
	start := time.Unix(9, 0)
	for _, c := range []struct {
		after time.Duration
		want  bool
	}{{0, true}, {999 * time.Millisecond, true}, {time.Second, false}, {1999 * time.Millisecond, false}, {2 * time.Second, true}, {time.Hour, true}} {
		if got := steps.Lost(start.Add(c.after), rand.New(rand.NewPCG(1, 1))); got != c.want {
			t.Errorf("after %v: lost %t", c.after, got)
		}
	}
}

func TestPatternRepeatsItsTrace(t *testing.T) {
	p, err := linktest.ReadPattern(strings.NewReader("# a comment 9\n2 1\n\n 1 2 0 1\n"))
	if err != nil {
		t.Fatal(err)
	}
	var got strings.Builder
	for range 14 {
		if p.Lost(time.Time{}, nil) {
			got.WriteByte('x')
		} else {
			got.WriteByte('.')
		}
	}
	if want := "..x.xxx..x.xxx"; got.String() != want {
		t.Errorf("got %s, want %s", got.String(), want)
	}
}

func TestBrokenTracesAreErrors(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		{"empty", "# nothing\n", "no packets"},
		{"only zeros", "0 0 0", "no packets"},
		{"a word", "1 2\nx 1", "line 2"},
		{"negative", "1 -2", "line 1"},
		{"too long", "1048576 1", "more than"},
		{"beyond any number", "4294967295", "more than"},
	} {
		if p, err := linktest.ReadPattern(strings.NewReader(c.text)); p != nil || err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
}
