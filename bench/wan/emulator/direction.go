package emulator

import (
	"sync"
	"time"

	"github.com/ergoproxy/ergo/shared/link/linktest"
)

// A direction is a path and what became of the packets that the path let through.
type direction struct {
	path *linktest.Path

	mu       sync.Mutex // guards what follows
	delivery Counters   // without those of the path
}

func newDirection(seed uint64, c linktest.Conditions) *direction {
	return &direction{path: linktest.NewPath(seed, c)}
}

// counters returns both what the path and what the delivery counted.
func (d *direction) counters() Counters {
	d.mu.Lock()
	defer d.mu.Unlock()
	c := d.delivery
	c.Counters = d.path.Counters()
	return c
}

func (d *direction) refused() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.delivery.Refused++
}

// arrived counts a packet that was delivered so long after it was due.
func (d *direction) arrived(late time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.delivery.Arrived++
	d.delivery.Lateness += late
	d.delivery.Latest = max(d.delivery.Latest, late)
	if late > LateBy {
		d.delivery.Late++
	}
}
