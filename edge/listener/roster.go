package listener

import (
	"context"
	"sync"
)

// A tracked connection can be closed at once, and says whether nothing would be
// lost by it.
type tracked interface {
	abort()
	unused() bool
}

// A roster holds the open connections of an endpoint, hijacked ones included.
type roster struct {
	// mu guards the fields below it.
	mu    sync.Mutex
	open  map[tracked]struct{}
	empty chan struct{} // not nil: somebody waits for the last one
	shut  bool          // no more are taken
}

func newRoster() *roster { return &roster{open: map[tracked]struct{}{}} }

// add reports whether c was taken.
func (r *roster) add(c tracked) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.shut {
		return false
	}
	r.open[c] = struct{}{}
	return true
}

func (r *roster) remove(c tracked) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.open, c)
	if len(r.open) == 0 && r.empty != nil {
		close(r.empty)
		r.empty = nil
	}
}

// wait blocks until there is no connection, or ctx ends.
func (r *roster) wait(ctx context.Context) error {
	r.mu.Lock()
	if len(r.open) == 0 {
		r.mu.Unlock()
		return nil
	}
	if r.empty == nil {
		r.empty = make(chan struct{})
	}
	empty := r.empty
	r.mu.Unlock()
	select {
	case <-empty:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// abort closes those connections that which picks, and with shut lets no new one
// in.
func (r *roster) abort(shut bool, which func(tracked) bool) {
	r.mu.Lock()
	r.shut = r.shut || shut
	var picked []tracked
	for c := range r.open {
		if which(c) {
			picked = append(picked, c)
		}
	}
	r.mu.Unlock()
	for _, c := range picked {
		c.abort()
	}
}
