// Package retry holds the only rule by which Ergo sends a request again, and
// what the rule needs: how far the failed try got (Stage), a body that can be
// read from its start once more (Body), and a Budget.
//
// A failed try may be repeated when all of these hold:
//
//   - nothing of a response was passed on, and whoever asked still waits;
//   - tries are left;
//   - the budget has room, unless no byte had left this process: such a try has
//     put no load on anybody, so its repetition does not multiply any;
//   - the body can be read from its start again;
//   - the try provably never began at the next hop (Unsent, Refused), or its
//     method is idempotent (RFC 9110, section 9.2.2).
//
// Each failure is retried in one tier only: the edge repeats what never reached
// a core or what the core refused to begin, the core repeats tries at backends.
package retry

import (
	"context"
	"errors"
	"net/http"
)

// A Stage is how far a failed try got at the next hop.
type Stage uint8

const (
	// Unknown: the next hop may have begun, or even finished, the request.
	Unknown Stage = iota
	// Unsent: no byte of the request left this process.
	Unsent
	// Refused: the next hop said, in its protocol, that it did not begin: a
	// REFUSED_STREAM, a GOAWAY with a lower stream (RFC 9113, section 8.7), a
	// tunnel code.
	Refused
	// Late: the answer was late, and this process gave the try up in favour of
	// another next hop. It may have begun.
	Late
)

// String returns the word for logs.
func (s Stage) String() string {
	switch s {
	case Unsent:
		return "unsent"
	case Refused:
		return "refused"
	case Late:
		return "late"
	}
	return "unknown"
}

// NotBegun reports whether the request was provably never begun.
func (s Stage) NotBegun() bool { return s == Unsent || s == Refused }

// A Failure is the error of a try, together with how far the try got.
type Failure struct {
	Stage Stage
	Err   error // never nil
}

// Error prints the cause only: the stage is for the rule, not for people.
func (f *Failure) Error() string { return f.Err.Error() }

// Unwrap returns the cause.
func (f *Failure) Unwrap() error { return f.Err }

// StageOf returns the stage of the Failure in err's chain. An error without
// one counts as Unknown, the stage that permits least.
func StageOf(err error) Stage {
	var f *Failure
	if errors.As(err, &f) {
		return f.Stage
	}
	return Unknown
}

// Idempotent reports whether sending a request of this method twice is meant
// to have the effect of sending it once (RFC 9110, section 9.2.2). Only the
// method counts: an Idempotency-Key is between the client and the backend.
func Idempotent(method string) bool {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace,
		http.MethodPut, http.MethodDelete:
		return true
	}
	return false
}

// Failed describes a try that failed.
type Failed struct {
	Method     string
	Stage      Stage
	Replayable bool // there is no body, or Body.Replayable said so
	Begun      bool // a byte of the response, an informational head included, was passed on
	Tries      int  // tries made, this one included
	MaxTries   int  // tries allowed in all
}

// A Verdict is what Allowed says.
type Verdict uint8

// Again permits the retry; every other Verdict is the reason why not.
const (
	Again Verdict = iota
	ResponseBegun
	Canceled
	NoTriesLeft
	BodyGone
	MayHaveRun
	NoBudget
)

// String returns the word for logs and metrics.
func (v Verdict) String() string {
	switch v {
	case Again:
		return "again"
	case ResponseBegun:
		return "response_begun"
	case Canceled:
		return "canceled"
	case NoTriesLeft:
		return "no_tries_left"
	case BodyGone:
		return "body_gone"
	case MayHaveRun:
		return "may_have_run"
	}
	return "no_budget"
}

// Allowed decides whether a failed try is repeated. ctx is the context of the
// request: when it is done, by the client or by the deadline, nothing is
// repeated. Again has taken its share out of the budget, where it needs one.
func Allowed(ctx context.Context, f Failed, budget *Budget) Verdict {
	switch {
	case f.Begun:
		return ResponseBegun
	case ctx.Err() != nil:
		return Canceled
	case f.Tries >= f.MaxTries:
		return NoTriesLeft
	case !f.Replayable:
		return BodyGone
	case !f.Stage.NotBegun() && !Idempotent(f.Method):
		return MayHaveRun
	case f.Stage != Unsent && !budget.Withdraw():
		return NoBudget
	}
	return Again
}
