// Package l2 is the second level of the cores' caches: what one core has fetched,
// kept for the others in Redis or Valkey. It is a place to look before the backend
// is asked, and nothing that a request depends on: a Get takes no longer than its
// budget, whatever Redis does, and with Redis gone it takes no time at all.
//
//	Get ─▶ lookups ─▶ connection 1 ┐ many Gets in one round trip,
//	       (bounded)  connection n ┘ the epoch of the purge log with them
//	Put ─▶ queue ───▶ writer: compress, seal, many SETs in one round trip   ─▶ Redis
//	       (bounded)
//	breaker ◀── results;  open: Get and Put return at once, a probe asks on
//
// Run owns every goroutine. A Get that nobody takes in time, or that is not
// answered in time, is Slow and its caller goes on; the operation itself lives until
// Config.Timeout, so that a hiccup does not cost the connection, and setting one up
// costs no request its budget. The breaker is open until Redis has answered for the
// first time.
//
// # Values
//
// A Value is opaque: a head, a body, tags. Bodies are compressed (zstd) where it
// helps. Everything is sealed, with the full key as context, so that Redis and those
// who can reach it read nothing and can put nothing of their own, nor an old value
// at another key. What they can do is to remove values, to put an older value of the
// same key back, and to hide a purge; epoch and expiry, sealed with the value, limit
// that to its lifetime. The server itself is trusted not to exhaust our memory with
// what it answers.
//
// # Keys in Redis
//
// One server, Redis 5 or Valkey, without cluster slots. PREFIX is Config.Prefix,
// HASH the Sealer's name for the full key in base64url, 43 characters.
//
//	PREFIXv1:HASH  string  a sealed value, at most Config.MaxValue and 512 bytes   PX: the value's own
//	PREFIXepoch    string  decimal: the epoch of the last purge                    none
//	PREFIXpurges   stream  id EPOCH-0, fields p: epoch of the purge before, r:     none; about
//	                       the sealed record, at most MaxRecord and 512 bytes      Config.PurgeLog entries
//
// The plaintext of a value, numbers big-endian, lengths unsigned varints:
//
//	flags 1 │ epoch 8 │ expires 8 │ length of the body │ key │ tags │ head │ body
//
// Bit 0 of flags: the body is compressed, its length is the one before. expires is
// in milliseconds since 1970. key and head are a length and bytes, tags are a number
// and then lengths and bytes, the body is the rest. The version in the name of the
// key changes with this format: cores of two versions do not read each other's.
//
// # Purges
//
// The purge log is how a purge reaches values that were stored before it, and
// fills that were under way. A purge gets an epoch when it is appended: microseconds
// since 1970 by Redis' clock, or one more than the last, so that also a log that had
// to begin anew goes on above the old one.
//
//   - A fill takes the epoch that its core knows before it asks the backend, and
//     stores the value with it. A purge with a higher epoch concerns the value, if
//     its record matches, and one with a lower or the same epoch does not.
//   - Get returns with each value the epoch of the log, read after the value was. If
//     the caller has read the log up to there it knows of every purge that was
//     complete when the value was read. If not, it reads on (Purges) before it uses
//     the value. Any difference counts: a log that is behind has been lost.
//   - Watch delivers purges as they come, so that this is rare, and so that the first
//     level learns of them too.
//
// Every record names the epoch before it. So a reader finds out that records are
// missing, because the log was trimmed, flushed, evicted or lost in a failover, and
// Log.Floor says from where on the log is whole: values with an epoch below it can't
// be judged, and have to be treated as purged.
//
// # Errors
//
// Get has no error but an Outcome, a closed list. AppendPurge and Purges return
// Redis' errors; a purge that could not be appended has not reached the second
// level, and its receipt has to say so. All methods may be called concurrently.
package l2
