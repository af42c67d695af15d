package tunnelclient

import (
	"testing"
	"time"
)

// patient drives a watcher through time, one tick after another.
type patient struct {
	*watcher
	now      time.Time
	progress uint64
}

func newPatient(carrier Carrier) *patient {
	start := time.Unix(1_000_000, 0)
	return &patient{watcher: newWatcher(carrier, time.Second, start), now: start}
}

// silent lets ticks pass without a sign of life until done, and returns how long
// that took, or -1 if it takes longer than limit.
func (p *patient) silent(limit time.Duration, done func(verdict) bool) time.Duration {
	start := p.now
	for p.now.Sub(start) < limit {
		p.now = p.now.Add(watchTick)
		if done(p.step(p.now, p.progress, true)) {
			return p.now.Sub(start)
		}
	}
	return -1
}

func (p *patient) suspected(verdict) bool { return p.suspect }

func isDead(v verdict) bool { return v == dead }

func TestWatcherTakesSilenceForLatenessAndThenForDeath(t *testing.T) {
	for _, c := range []struct {
		carrier    Carrier
		rtt        time.Duration
		late, dead time.Duration // at most; they are not sooner than half of it
	}{
		{QUIC, time.Millisecond, 450 * time.Millisecond, 1250 * time.Millisecond},
		{QUIC, 100 * time.Millisecond, 600 * time.Millisecond, 1250 * time.Millisecond},
		{TCP, time.Millisecond, 900 * time.Millisecond, 3400 * time.Millisecond},
	} {
		p := newPatient(c.carrier)
		p.rtt = c.rtt
		if d := p.silent(time.Minute, p.suspected); d > c.late || d < c.late/2 {
			t.Errorf("%s, round trip %s: suspect after %s, want about %s", c.carrier, c.rtt, d, c.late)
		}
		p = newPatient(c.carrier)
		p.rtt = c.rtt
		if d := p.silent(time.Minute, isDead); d > c.dead || d < c.dead/2 {
			t.Errorf("%s, round trip %s: dead after %s, want about %s", c.carrier, c.rtt, d, c.dead)
		}
	}
}

func TestWatcherAcquitsWhoIsHeard(t *testing.T) {
	p := newPatient(QUIC)
	p.silent(time.Minute, p.suspected)
	p.progress++
	p.now = p.now.Add(watchTick)
	if p.step(p.now, p.progress, true); p.suspect {
		t.Error("suspect although it was heard")
	}
	if d := p.silent(time.Minute, isDead); d < time.Second {
		t.Errorf("dead %s after it was heard", d)
	}
}

func TestWatcherInQuestionHasLittleTime(t *testing.T) {
	p := newPatient(QUIC)
	// In the very moment the connection got up, and what it has heard since counts
	// for nothing.
	p.progress = 5
	p.question(p.now, p.progress)
	if !p.suspect {
		t.Error("in question and not suspect")
	}
	if d := p.silent(time.Minute, isDead); d > 200*time.Millisecond {
		t.Errorf("dead only after %s", d)
	}

	p = newPatient(QUIC)
	p.question(p.now, p.progress)
	p.progress++ // the answer
	if d := p.silent(500*time.Millisecond, isDead); d >= 0 {
		t.Errorf("dead %s after it answered", d)
	}
	if p.patience != time.Second {
		t.Errorf("patience is still %s", p.patience)
	}
}

func TestWatcherInAHurry(t *testing.T) {
	p := newPatient(TCP)
	if !p.hurry(p.now, p.progress) || p.hurry(p.now, p.progress) {
		t.Error("want one PING for the first time, and none for the second")
	}
	if d := p.silent(time.Minute, p.suspected); d > 200*time.Millisecond {
		t.Errorf("suspect only after %s", d)
	}
	if d := p.silent(time.Minute, isDead); d < time.Second {
		t.Errorf("dead %s later, a hurry is no reason", d)
	}
}

func TestWatcherForgivesWhenItDidNotRunItself(t *testing.T) {
	p := newPatient(QUIC)
	p.silent(time.Minute, p.suspected)
	p.now = p.now.Add(10 * time.Second)
	if v := p.step(p.now, p.progress, true); v == dead || p.suspect {
		t.Errorf("verdict %v, suspect %v, after a stall of this process", v, p.suspect)
	}
}
