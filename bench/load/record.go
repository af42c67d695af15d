package load

import (
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

const (
	lowestLatency  = 100 // ns
	highestLatency = int64(time.Hour)
	maxShards      = 16 // a shard is 0.2 MiB; workers beyond this many share
	statusLimit    = 600
)

func newHistogram() *hdrhistogram.Histogram {
	return hdrhistogram.New(lowestLatency, highestLatency, 3)
}

// A shard is the book of one or a few workers.
type shard struct {
	each func(Exchange) // nil: nobody asks

	// mu guards what follows.
	mu       sync.Mutex
	latency  *hdrhistogram.Histogram
	late     *hdrhistogram.Histogram
	statuses [statusLimit]int64
	failures map[Failure]int64
	bytes    int64
	answered int64
	last     time.Time
}

// newShards returns a shard for each worker, shared if there are many. They tell
// each exchange to each, if that is set.
func newShards(workers int, each func(Exchange)) []*shard {
	shards := make([]*shard, min(workers, maxShards))
	for i := range shards {
		shards[i] = &shard{each: each, latency: newHistogram(), late: newHistogram(), failures: make(map[Failure]int64)}
	}
	return shards
}

// An outcome is what a session says about one exchange. Status and length are
// known only if failure is empty.
type outcome struct {
	status  int
	length  int64
	failure Failure
}

// record books one exchange that was due, sent and done at those times.
func (s *shard) record(t *Target, o outcome, due, sent, done time.Time) {
	failure := s.book(t, o, due, sent, done)
	if s.each != nil {
		s.each(Exchange{Due: due, Done: done, Failure: failure})
	}
}

func (s *shard) book(t *Target, o outcome, due, sent, done time.Time) Failure {
	s.mu.Lock()
	defer s.mu.Unlock()
	if o.failure == "" {
		if o.status >= 0 && o.status < statusLimit {
			s.statuses[o.status]++
		}
		s.bytes += o.length
		if o.status != t.WantStatus {
			o.failure = FailedStatus
		} else if t.WantLength != AnyLength && o.length != t.WantLength {
			o.failure = FailedLength
		}
	}
	if done.After(s.last) {
		s.last = done
	}
	recordDuration(s.late, sent.Sub(due))
	if o.failure != "" {
		s.failures[o.failure]++
		return o.failure
	}
	s.answered++
	recordDuration(s.latency, done.Sub(due))
	return ""
}

func recordDuration(h *hdrhistogram.Histogram, d time.Duration) {
	// The only error is a value out of range, which min and max exclude.
	_ = h.RecordValue(min(max(int64(d), 0), highestLatency))
}

// sum adds up the shards of a window that began at begin.
func sum(shards []*shard, begin time.Time) *Result {
	r := &Result{Failures: make(map[Failure]int64), Statuses: make(map[int]int64), Latency: newHistogram(), Late: newHistogram()}
	last := begin
	for _, s := range shards {
		s.mu.Lock()
		r.Answered += s.answered
		r.Bytes += s.bytes
		r.Latency.Merge(s.latency)
		r.Late.Merge(s.late)
		for status, n := range s.statuses {
			if n > 0 {
				r.Statuses[status] += n
			}
		}
		for failure, n := range s.failures {
			r.Failures[failure] += n
		}
		if s.last.After(last) {
			last = s.last
		}
		s.mu.Unlock()
	}
	r.Elapsed = last.Sub(begin)
	return r
}
