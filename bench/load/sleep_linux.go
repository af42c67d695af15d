package load

import (
	"context"
	"time"

	"golang.org/x/sys/unix"
)

// longest bounds a sleep that ctx cannot end.
const longest = 50 * time.Millisecond

// sleepUntil returns at due, or at most 50 ms after ctx is done. A Go timer on
// an otherwise idle process fires up to 1 ms late, since the runtime waits with
// epoll in whole milliseconds; open-loop latencies would all be that much too
// long. The kernel's own sleep is late by about 0.06 ms.
func sleepUntil(ctx context.Context, due time.Time) {
	for ctx.Err() == nil {
		left := time.Until(due)
		if left <= 0 {
			return
		}
		t := unix.NsecToTimespec(int64(min(left, longest)))
		// An interrupted sleep is as good as one that is over: the loop looks at the clock.
		_ = unix.Nanosleep(&t, nil)
	}
}
