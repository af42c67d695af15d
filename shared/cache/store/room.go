package store

import "sync/atomic"

// room counts the bytes of bodies that no entry counts, up to a limit.
type room struct {
	limit int64
	used  atomic.Int64
}

// take counts n bytes more if they fit.
func (r *room) take(n int64) bool {
	if r.used.Add(n) > r.limit && n > 0 {
		r.used.Add(-n)
		return false
	}
	return true
}

// add counts n bytes more, or fewer, without asking.
func (r *room) add(n int64) {
	if n != 0 {
		r.used.Add(n)
	}
}
