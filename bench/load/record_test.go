package load

import (
	"math"
	"testing"
	"time"
)

func TestQuantilesAreExactToThreeDigits(t *testing.T) {
	shards := newShards(100, nil) // more workers than shards
	if len(shards) != maxShards {
		t.Fatalf("%d shards", len(shards))
	}
	target := &Target{WantStatus: 200, WantLength: 3}
	begin := time.Unix(1000, 0)
	const n = 100_000
	for i := range n { // latencies 1 µs, 2 µs, ... 100 ms, over all shards
		done := begin.Add(time.Duration(i+1) * time.Microsecond)
		shards[i%len(shards)].record(target, outcome{status: 200, length: 3}, begin, begin, done)
	}
	r := sum(shards, begin)
	if r.Answered != n || r.Bytes != 3*n || r.Statuses[200] != n || r.Elapsed != 100*time.Millisecond || r.Failed() != 0 {
		t.Errorf("answered %d, bytes %d, statuses %v, elapsed %s, failures %v", r.Answered, r.Bytes, r.Statuses, r.Elapsed, r.Failures)
	}
	if math.Abs(r.Rate()-n*10) > 1 {
		t.Errorf("rate %g", r.Rate())
	}
	for _, q := range []float64{0.001, 0.1, 0.5, 0.9, 0.99, 0.999, 1} {
		want := time.Duration(q * n * float64(time.Microsecond))
		if got := r.Quantile(q); math.Abs(float64(got-want)) > float64(want)/1000+lowestLatency {
			t.Errorf("quantile %g: %s, want %s", q, got, want)
		}
	}
}

func TestRecordKeepsWhatWasNotWantedOutOfLatency(t *testing.T) {
	shards := newShards(1, nil)
	begin := time.Unix(1000, 0)
	target := &Target{WantStatus: 200, WantLength: 3}
	for _, o := range []outcome{{status: 200, length: 3}, {status: 200, length: 4}, {status: 503, length: 3}, {failure: FailedClosed}} {
		shards[0].record(target, o, begin, begin, begin.Add(time.Second))
	}
	r := sum(shards, begin)
	if r.Answered != 1 || r.Latency.TotalCount() != 1 || r.Failed() != 3 {
		t.Errorf("answered %d, latencies %d, failed %d", r.Answered, r.Latency.TotalCount(), r.Failed())
	}
	for _, failure := range []Failure{FailedLength, FailedStatus, FailedClosed} {
		if r.Failures[failure] != 1 {
			t.Errorf("%s: %d", failure, r.Failures[failure])
		}
	}
	if r.Statuses[200] != 2 || r.Statuses[503] != 1 || r.Bytes != 10 {
		t.Errorf("statuses %v, bytes %d", r.Statuses, r.Bytes)
	}
}

func TestRecordTakesEveryDuration(t *testing.T) {
	h := newHistogram()
	for _, d := range []time.Duration{-time.Second, 0, time.Hour, 100 * time.Hour} {
		recordDuration(h, d)
	}
	if h.TotalCount() != 4 {
		t.Errorf("%d recorded", h.TotalCount())
	}
	if got := time.Duration(h.Max()); got < time.Hour || got > time.Hour+time.Hour/1000 {
		t.Errorf("maximum %s", got)
	}
}
