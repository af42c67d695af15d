// Package chaos holds the tests that break a running Ergo: edges, cores and
// backends as processes of their own, which are killed, stopped, frozen, drained
// and reloaded, and a network that is blocked, while clients send requests at a
// fixed rate.
//
//	clients' book ─▶ edge-1, edge-2 ═▶ core-1, core-2 ─▶ backend-1, -2, -3 ─▶ journals
//	      └───────────────────────── must agree ─────────────────────────────────┘
//
// Every request has an id of its own. The client's book says how each was
// answered; the journal of a backend, which outlives the backend, says what was
// executed. Nothing that was answered may be missing in the journals, and nothing
// that is not idempotent may stand there twice.
//
// The tests need Linux. ERGO_LONG=1 runs the long form of the proof: 1,000
// requests a second for a minute.
package chaos
