package l2

import "sync/atomic"

// An Outcome is how a Get went. The list is closed.
type Outcome uint8

const (
	// Hit: there is a value.
	Hit Outcome = iota
	// Miss: there is none, or it has expired.
	Miss
	// Slow: there was no answer within the budget.
	Slow
	// Busy: too many Gets wait already; it was not made.
	Busy
	// Down: the breaker is open, or the Store does not run; it was not made.
	Down
	// Failed: Redis could not be reached, or answered with an error.
	Failed
	// Canceled: the caller's context ended first.
	Canceled
	// Damaged: what is there is not the value of this key, or no value at all.
	Damaged
	// TooLarge: what is there is larger than Config.MaxValue.
	TooLarge
	// UnknownKey: what is there was sealed with a key that we do not have.
	UnknownKey

	outcomes // how many there are
)

// outcomeNames are the words for logs and metrics.
var outcomeNames = [outcomes]string{
	"hit", "miss", "slow", "busy", "down", "failed", "canceled", "damaged", "too_large", "unknown_key",
}

// String returns the word for logs and metrics.
func (o Outcome) String() string {
	if o >= outcomes {
		return "invalid"
	}
	return outcomeNames[o]
}

// Outcomes returns all outcomes.
func Outcomes() []Outcome {
	all := make([]Outcome, outcomes)
	for i := range all {
		all[i] = Outcome(i)
	}
	return all
}

// Stats counts what a Store has done. The fields may be read at any time; they are
// not of one moment.
type Stats struct {
	gets [outcomes]atomic.Uint64

	Batches   atomic.Uint64 // round trips for Gets
	ReadBytes atomic.Uint64 // of values, as Redis has them

	Puts         atomic.Uint64 // values taken by Put
	Deletes      atomic.Uint64 // keys taken by Delete
	Written      atomic.Uint64 // writes that Redis has confirmed
	WrittenBytes atomic.Uint64 // of values, as Redis has them
	Dropped      atomic.Uint64 // writes for which the queue had no room, or while the breaker was open
	Oversized    atomic.Uint64 // values larger than Config.MaxValue
	Expired      atomic.Uint64 // values that expired before they were written
	Refused      atomic.Uint64 // writes that Redis answered with an error: no memory, read only
	Unsent       atomic.Uint64 // writes whose connection failed

	QueueEntries atomic.Int64 // now
	QueueBytes   atomic.Int64 // now

	Opened       atomic.Uint64 // times the breaker opened
	PurgesSent   atomic.Uint64 // records appended
	PurgesRead   atomic.Uint64 // records read
	PurgesBroken atomic.Uint64 // records that could not be opened
}

// Gets returns how many Gets had an outcome.
func (s *Stats) Gets(o Outcome) uint64 { return s.gets[o].Load() }
