package tunnelclient

import "time"

// A watcher decides when to ask a peer for a sign of life, when its answer is
// late, and when to give it up. It is a function of what it is told: nothing in it
// waits or reads a clock.
type watcher struct {
	limit   time.Duration // silence, while asked, that means death
	late    time.Duration // silence, while asked, that makes it suspect
	rtt     time.Duration // to the peer, as known now
	suspect bool          // the answer is late

	hurried  bool          // late is short until it is heard
	patience time.Duration // limit, or less while the peer is in question

	last     time.Time // of the step before
	progress uint64
	heard    time.Time // when progress last moved
	asked    time.Time // when the first PING since then was sent; zero: none
	pinged   time.Time // when the last PING was sent
}

// newWatcher returns the watcher of a connection over carrier whose peer is dead
// after that silence. Over TCP a retransmission takes longer than over QUIC.
// The connection is up since now.
func newWatcher(carrier Carrier, deadAfter time.Duration, now time.Time) *watcher {
	w := &watcher{limit: deadAfter, late: deadAfter / 4, last: now, heard: now}
	if carrier == TCP {
		w.limit, w.late = 3*deadAfter, deadAfter/2
	}
	w.patience = w.limit
	return w
}

type verdict int

const (
	wait verdict = iota
	sendPing
	dead
)

// step takes the time, a number that grows whenever the peer is heard, and
// whether exchanges are under way.
func (w *watcher) step(now time.Time, progress uint64, busy bool) verdict {
	// A step that comes late says that this process did not run: what the peer
	// sent meanwhile is not yet read, and its silence means nothing.
	stalled := now.Sub(w.last) > w.late+2*watchTick
	w.last = now
	if stalled || progress != w.progress {
		w.hear(now, progress)
	}
	if !w.asked.IsZero() {
		silent := now.Sub(w.asked)
		w.suspect = w.suspect || silent > w.lateAfter()
		if silent > w.patience {
			return dead
		}
	}
	interval := pingIdle
	if busy || !w.asked.IsZero() {
		interval = w.late / 2
	}
	if now.Sub(w.heard) < interval || now.Sub(w.pinged) < interval {
		return wait
	}
	w.ask(now)
	return sendPing
}

// lateAfter is the silence that makes the peer suspect: a few round trips on a
// long path, where late alone would be too little.
func (w *watcher) lateAfter() time.Duration {
	if w.hurried {
		return max(4*w.rtt, minQuestion)
	}
	return max(w.late, min(4*w.rtt, w.limit/2))
}

// hear notes that the peer was heard, and that all is well.
func (w *watcher) hear(now time.Time, progress uint64) {
	w.progress, w.heard, w.patience = progress, now, w.limit
	w.asked, w.suspect, w.hurried = time.Time{}, false, false
}

func (w *watcher) ask(now time.Time) {
	w.pinged = now
	if w.asked.IsZero() {
		w.asked = now
	}
}

// unanswered reports that a PING has had no answer for half of the time after
// which it is late.
func (w *watcher) unanswered(now time.Time) bool {
	return !w.asked.IsZero() && now.Sub(w.asked) > w.late/2
}

// minQuestion is the least time that a peer in question has for a sign of life.
const minQuestion = 100 * time.Millisecond

// hurry says that another connection to the same core has no answer: it should be
// known soon whether this one does better. What was heard up to now does not count.
// It reports whether to send a PING.
func (w *watcher) hurry(now time.Time, progress uint64) bool {
	if w.hurried {
		return false
	}
	w.progress = progress
	w.ask(now)
	w.hurried = true
	return true
}

// question says that something speaks for the peer's death: unless it is heard
// within a few round trips it is dead. What was heard up to now does not count. The
// caller sends a PING.
func (w *watcher) question(now time.Time, progress uint64) {
	w.progress = progress
	w.ask(now)
	w.suspect = true
	w.patience = min(w.limit, now.Sub(w.asked)+max(4*w.rtt, minQuestion))
}
