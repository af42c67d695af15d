//go:build !linux

package load

import (
	"context"
	"time"
)

// sleepUntil returns at due or when ctx is done.
func sleepUntil(ctx context.Context, due time.Time) {
	timer := time.NewTimer(time.Until(due))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
