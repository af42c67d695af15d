package load

import (
	"sync"
	"time"
)

// A lineup hands requests that are due to the workers of an open loop: to the one
// that has been idle for the shortest time, so that most connections are never made
// if few are needed. All workers are idle at first.
type lineup struct {
	workers []*worker
	room    int // how many requests may wait

	mu      sync.Mutex // guards what follows
	idle    []*worker  // the one that was busy last is at the end
	waiting []time.Time
	closed  bool
}

// A worker takes requests one at a time.
type worker struct {
	line *lineup
	due  chan time.Time // one request, given to the worker while it is idle
}

func newLineup(workers, room int) *lineup {
	l := &lineup{room: room}
	for range workers {
		l.workers = append(l.workers, &worker{line: l, due: make(chan time.Time, 1)})
	}
	l.idle = append(l.idle, l.workers...)
	return l
}

// offer lines up a request. It returns false if there is no room.
func (l *lineup) offer(due time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if last := len(l.idle) - 1; last >= 0 {
		l.idle[last].due <- due // it has room: the worker is idle
		l.idle = l.idle[:last]
		return true
	}
	if len(l.waiting) == l.room {
		return false
	}
	l.waiting = append(l.waiting, due)
	return true
}

// close ends the workers when they have done what is lined up.
func (l *lineup) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	for _, w := range l.idle {
		close(w.due)
	}
	l.idle = nil
}

// first waits for the first request of a worker.
func (w *worker) first() (due time.Time, ok bool) {
	due, ok = <-w.due
	return due, ok
}

// next waits for a further one. It returns false if no more will come.
func (w *worker) next() (due time.Time, ok bool) {
	l := w.line
	l.mu.Lock()
	if len(l.waiting) > 0 {
		due, l.waiting = l.waiting[0], l.waiting[1:]
		l.mu.Unlock()
		return due, true
	}
	if l.closed {
		l.mu.Unlock()
		return due, false
	}
	l.idle = append(l.idle, w)
	l.mu.Unlock()
	return w.first()
}
