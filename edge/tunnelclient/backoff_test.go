package tunnelclient

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"
)

func TestBackoffDoublesToItsLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := backoff{limit: 400 * time.Millisecond}
		for _, want := range []time.Duration{50, 100, 200, 400, 400, 400} {
			want *= time.Millisecond
			start := time.Now()
			if err := b.wait(t.Context(), nil); err != nil {
				t.Fatal(err)
			}
			if took := time.Since(start); took <= want/2 || took > want {
				t.Errorf("waited %v, want %v to %v", took, want/2, want)
			}
		}
	})
}

func TestBackoffGoesOnWhenAConnectionDidNotLast(t *testing.T) {
	k := keeper{log: zerolog.Nop(), pause: backoff{limit: time.Second, next: 800 * time.Millisecond}}
	k.ended(true, stableAfter/2, nil)
	if k.pause.next == 0 {
		t.Error("a core that sends everybody away is dialled at once")
	}
	k.ended(true, 2*stableAfter, nil)
	if k.pause.next != 0 {
		t.Error("a core that was lost is not dialled at once")
	}
}
