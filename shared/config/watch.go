package config

import (
	"context"
	"maps"
	"os"
	"time"
)

const (
	// settleRounds is how many looks in a row may find a file changed again
	// before the change is announced anyway.
	settleRounds = 10

	// settled is the age of a file, in a time stamp of the coarsest file system
	// in use, from which on a write must show in its time.
	settled = 2 * time.Second
)

// Watch looks every interval, which must be positive, at the files of the
// latest Loaded, and calls changed when one of them is not what it was when
// that was loaded. It blocks until ctx ends, calls changed on its own goroutine
// and does not look while changed runs.
//
// Latest returns what the last Load returned, successful or not, so that
// mending a file that made a Load fail is noticed too; nil is allowed as long as
// nothing was loaded. It is called once a look. An atomic.Pointer[Loaded] has a
// fitting method.
//
// A change is content: a new time stamp alone is none, and a file that was
// renamed over, or whose symbolic link now leads elsewhere, is looked at again. A
// change is announced when two looks in a row agree about it, or after ten.
func Watch(ctx context.Context, interval time.Duration, latest func() *Loaded, changed func()) {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	var w watcher
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		if l := latest(); l != nil && w.look(l) && ctx.Err() == nil {
			changed()
		}
	}
}

type watcher struct {
	loaded *Loaded
	known  map[string]fileState // what changed was called for last, or was loaded
	seen   map[string]fileState // what the last look found
	rounds int                  // looks since seen left known
}

// look reports whether a change of the files of l has to be announced.
func (w *watcher) look(l *Loaded) bool {
	if l != w.loaded {
		*w = watcher{loaded: l, known: l.states, seen: l.states}
	}
	now := make(map[string]fileState, len(w.known))
	for path := range w.known {
		now[path] = w.seen[path].refresh(path)
	}
	stable := maps.EqualFunc(now, w.seen, fileState.same)
	w.seen = now
	if maps.EqualFunc(now, w.known, fileState.same) {
		w.rounds = 0
		return false
	}
	w.rounds++
	if !stable && w.rounds < settleRounds || w.rounds == 1 {
		return false
	}
	w.known, w.rounds = now, 0
	return true
}

// refresh returns the state that the file at path is in now. It reads the file
// only if it may have changed since s.
func (s fileState) refresh(path string) fileState {
	info, err := os.Stat(path)
	if err != nil {
		return fileState{}
	}
	if s.info != nil && sameStat(s.info, info) && s.taken.Sub(info.ModTime()) > settled {
		return s
	}
	now, err := lookAt(path)
	if err != nil {
		return fileState{}
	}
	return now
}

// same reports whether s and o have the same content, as far as is known.
func (s fileState) same(o fileState) bool {
	if s.info == nil || o.info == nil {
		return s.info == nil && o.info == nil
	}
	if s.whole && o.whole {
		return s.sum == o.sum
	}
	return sameStat(s.info, o.info)
}

func sameStat(a, b os.FileInfo) bool {
	return os.SameFile(a, b) && a.Size() == b.Size() && a.ModTime().Equal(b.ModTime())
}
