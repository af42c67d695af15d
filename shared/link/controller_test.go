package link

import (
	"math"
	"testing"
	"time"
)

// settled returns a controller that has learned that packets are lost at random.
func settled(repair Repair, l losses) *controller {
	c := newController(repair)
	c.total = 1 << 20
	c.losses = l
	c.small, c.bulk = [maxGroup + 1]int8{}, [maxGroup + 1]int8{}
	return c
}

// maxFor is the largest number of rows that the page promises.
func maxFor(n int, share float64) int {
	return min(maxRows, max(smallRows, int(min(maxParity, fixedParity+lossParity*share)*float64(n))))
}

func TestRowsAreBounded(t *testing.T) {
	for _, l := range []losses{{}, {1e-6}, {0.001}, {0.01}, {0.1}, {0.5}, {1}, {0, 0, 0.01}, {0, 0, 0, 0, 0, 0.001}, {0.1, 0.1, 0.1, 0.1, 0.1, 0.1}} {
		c := settled(Auto, l)
		for n := range maxGroup + 1 {
			for _, bulk := range []bool{false, true} {
				rows := c.rows(n, bulk)
				if again := c.rows(n, bulk); again != rows {
					t.Fatalf("%v: %d rows for %d packets, and then %d", l, rows, n, again)
				}
				if rows < 0 || rows > maxFor(n, l.share()) || rows > maxRows {
					t.Errorf("%v: %d rows for %d packets, want at most %d", l, rows, n, maxFor(n, l.share()))
				}
				if l == (losses{}) && rows != 0 {
					t.Errorf("%d rows for %d packets although none is lost", rows, n)
				}
			}
		}
	}
}

func TestRowsAreEnough(t *testing.T) {
	for _, c := range []struct {
		loss float64
		n    int
		left float64 // share of the packets that stay lost
	}{
		{0.001, 1, 2 * lateShare},
		{0.01, 1, 2 * lateShare},
		{0.03, 4, 2 * lateShare},
		{0.01, maxGroup, 2 * bulkShare},
		{0.03, maxGroup, 2 * bulkShare},
	} {
		l := losses{c.loss}
		rows := settled(Auto, l).rows(c.n, false)
		if left := l.tail(c.n+rows, rows) / float64(c.n+rows); left > c.left {
			t.Errorf("%v lost, %d packets: %d rows leave %v", c.loss, c.n, rows, left)
		}
	}
}

func TestMoreLossNeverMeansFewerRows(t *testing.T) {
	for _, n := range []int{1, 5, 20, 64, maxGroup} {
		before := 0
		for loss := 1e-5; loss < 0.3; loss *= 1.1 {
			rows := settled(Auto, losses{loss}).rows(n, false)
			if rows < before {
				t.Errorf("%d packets: %d rows for %v lost, but %d for less", n, rows, loss, before)
			}
			before = rows
		}
	}
}

// A reporter makes reports of what a path loses.
type reporter struct {
	*controller
	r   report
	now time.Duration
}

// after reports that so many more packets have arrived, and runs of lost ones.
func (r *reporter) after(received int, runs ...int) bool {
	r.now += 50 * time.Millisecond
	r.r.number++
	r.r.received += uint32(received)
	for _, run := range runs {
		r.r.missing += uint32(run)
		r.r.runs[classOf(run)]++
	}
	r.r.held = math.MaxUint16
	return r.report(r.now, r.r)
}

func TestControllerFollowsReports(t *testing.T) {
	r := reporter{controller: newController(Auto)}
	for range 100 {
		r.after(99, 1)
	}
	if got := r.losses.share(); got < 0.008 || got > 0.016 {
		t.Errorf("loss %v, want about 0.01", got)
	}
	if rows := r.rows(maxGroup, true); rows < 4 || rows > 9 {
		t.Errorf("%d rows for a group", rows)
	}
	for range 30 {
		r.after(100)
	}
	if got := r.losses.share(); got != 0 || r.rows(maxGroup, true) != 0 {
		t.Errorf("loss %v after a clean time", got)
	}
}

// Runs of two are a hundred times as rare as single losses: their memory alone
// would last a hundred times as long.
func TestAllLossEndsAtOnce(t *testing.T) {
	r := reporter{controller: newController(Auto)}
	for i := range 200 {
		if i%20 == 0 {
			r.after(48, 2)
		} else {
			r.after(48, 1, 1)
		}
	}
	if r.losses[0] == 0 || r.losses[1] == 0 {
		t.Fatalf("losses %v", r.losses)
	}
	for range 12 {
		r.after(50)
	}
	if r.losses != (losses{}) {
		t.Errorf("losses %v after 600 clean packets", r.losses)
	}
}

func TestOldReportsAreIgnored(t *testing.T) {
	r := reporter{controller: newController(Auto)}
	r.r.number = math.MaxUint32 - 1
	r.after(100)
	old := r.r
	if !r.after(100, 1) { // number 0
		t.Fatal("a report after the numbers have wrapped around is ignored")
	}
	for _, again := range []report{old, r.r} {
		if r.report(r.now, again) {
			t.Errorf("report %d is taken after %d", again.number, r.r.number)
		}
	}
	if r.total != 201 {
		t.Errorf("%d packets counted", r.total)
	}
}

// Reports get lost. The next one says all that they have said.
func TestLostReportsTakeNothingWithThem(t *testing.T) {
	all, some := reporter{controller: newController(Auto)}, reporter{controller: newController(Auto)}
	for i := range 40 {
		all.after(99, 1)
		some.r.number, some.now = all.r.number, all.now
		some.r = all.r
		if i%4 == 3 {
			some.report(all.now, all.r)
		}
	}
	a, b := all.losses.share(), some.losses.share()
	if all.total != some.total || math.Abs(a-b) > 0.2*a {
		t.Errorf("%d packets and loss %v, with one report in four %d and %v", all.total, a, some.total, b)
	}
}

func TestRepairSaysWhenThereIsParity(t *testing.T) {
	for _, c := range []struct {
		repair     Repair
		seen       float64
		atLeast    int // rows for a full group
		small      int // for one packet
		lossAtMost float64
	}{
		{Auto, 0, 0, 0, 0},
		{Always, 0, 3, 1, 0.01},
		{Always, 0.05, 10, 1, 0.1},
		{Off, 0, 0, 0, 0},
		{Off, 0.05, 0, 0, 0},
	} {
		r := reporter{controller: newController(c.repair)}
		for range 100 {
			if c.seen > 0 {
				r.after(95, 1, 1, 1, 1, 1)
			} else {
				r.after(100)
			}
		}
		rows, small := r.rows(maxGroup, true), r.rows(1, false)
		if rows < c.atLeast || c.atLeast == 0 && rows > 0 || small < c.small || c.small == 0 && small > 0 || r.losses.share() > c.lossAtMost {
			t.Errorf("%s, %v lost: %d rows for a group and %d for a packet, loss %v", c.repair, c.seen, rows, small, r.losses.share())
		}
	}
}

func TestNewPathsAreTrustedLittleByLittle(t *testing.T) {
	r := reporter{controller: newController(Auto)}
	before := r.rows(maxGroup, true)
	if before == 0 {
		t.Error("no parity for the first packets of bulk")
	}
	if rows := r.rows(maxGroup, false); rows != 0 {
		t.Errorf("%d rows for small packets of which none was lost", rows)
	}
	for r.total < priorPackets {
		r.after(100)
		rows := r.rows(maxGroup, true)
		if rows > before {
			t.Errorf("%d rows after %d clean packets, and %d before", rows, r.total, before)
		}
		before = rows
	}
	if before != 0 {
		t.Errorf("%d rows after %d clean packets", before, r.total)
	}
	neighbour := newController(Auto)
	neighbour.rtt = near - 1
	if rows := neighbour.rows(maxGroup, true); rows != 0 {
		t.Errorf("%d rows for a near peer", rows)
	}
}

func TestRoundTripIsMeasuredFromEchoes(t *testing.T) {
	at := func(d time.Duration) uint32 { return uint32(d/tick) & wireMask }
	for _, c := range []struct {
		name      string
		now, sent time.Duration
		held      time.Duration
		want      time.Duration
	}{
		{"at once", time.Second, time.Second - 80*time.Millisecond, 0, 80 * time.Millisecond},
		{"held for a while", time.Second, time.Second - 100*time.Millisecond, 20 * time.Millisecond, 80 * time.Millisecond},
		{"across the end of the numbers", 268*time.Second + 500*time.Millisecond, 268*time.Second + 400*time.Millisecond, 0, 100 * time.Millisecond},
		{"from the future", time.Second, 2 * time.Second, 0, 0},
		{"held for longer than it took", time.Second, time.Second - 10*time.Millisecond, 20 * time.Millisecond, 0},
		{"held for too long to tell", time.Second, time.Second - 80*time.Millisecond, 2 * time.Second, 0},
		{"no time at all", time.Second, time.Second, 0, tick},
	} {
		r := newController(Auto)
		r.report(c.now, report{number: 1, echo: at(c.sent), held: uint16(min(c.held/tick, math.MaxUint16))})
		if diff := r.rtt - c.want; diff > 2*tick || diff < -2*tick {
			t.Errorf("%s: %v, want %v", c.name, r.rtt, c.want)
		}
	}
}

func TestRoundTripFollowsThePath(t *testing.T) {
	c := newController(Auto)
	for i := range uint32(100) {
		rtt := 80 * time.Millisecond
		if i >= 50 {
			rtt = 160 * time.Millisecond
		}
		now := time.Duration(i+10) * 100 * time.Millisecond
		c.report(now, report{number: i + 1, echo: uint32((now-rtt)/tick) & wireMask})
		if i == 49 && (c.rtt < 79*time.Millisecond || c.rtt > 81*time.Millisecond) {
			t.Errorf("%v, want 80ms", c.rtt)
		}
	}
	if c.rtt < 155*time.Millisecond {
		t.Errorf("%v, want 160ms", c.rtt)
	}
	if got := c.memory(); got < c.rtt+holdMax || got > 2*c.rtt+holdMax {
		t.Errorf("packets are kept for %v", got)
	}
}
