// Package coding compresses answers: it chooses a content coding that the client
// can read (RFC 9110, section 12.5.3), mends the head of the answer, and codes the
// content while it passes.
//
//	request ─▶ Choose ─▶ Reason.Negotiated? ─no─▶ as it is
//	answer  ─▶   │               │yes
//	             │       NewWriter ─ErrBusy─▶ Apply(Identity) ─▶ as it is
//	             │               │
//	             │        Apply(coding) ─▶ Write, Flush, Close
//	             ▼
//	          Variant, the part of the cache's key
//
// # What is coded
//
// Answers to all methods but CONNECT, with status 2xx (not 204, 205, 206, 226), 4xx
// and 5xx, of one of the configured types, of MinSize bytes or of unknown length,
// that have no coding and are not a part. Neither the request nor the answer may say
// no-transform (RFC 9110, section 7.7; RFC 9111, section 5.2.1.6). Reason is the
// closed list of all that can be in the way. The status does not become 203: a core
// is a gateway and speaks for the backend.
//
// # The cache
//
// What is stored under a normal form of Accept-Encoding (Normalise, Variant) can be
// read by all who have that form, if the backend was asked with it as well. With what
// the client wrote, a backend could pick a coding that only some of them know.
//
// Nothing here decodes. A backend that sends gzip unasked, or for a normal form that
// says gzip, is passed on and stored as it is; for another form it is asked again.
//
// An answer that is coded has a weak entity tag, W/"x" for "x". Backends compare
// If-None-Match weakly (RFC 9110, section 13.1.2), so they still answer 304, and
// ApplyNotModified or Apply mends its head. If-Match and If-Range compare strongly:
// a client that got a coded answer can't use its tag for a conditional PUT, nor to
// continue a download. What needs that says no-transform.
//
// # Codings and levels
//
// MB for each second of processor time, length of the content over that of the
// output, and MiB that an encoder holds:
//
//	            HTML          JSON
//	level     MB/s  ratio   MB/s  ratio   MiB
//	zstd 1     197   2.74    262   3.35   1.6
//	zstd 2     141   2.81    190   3.38   2.9   Passing
//	zstd 3     134   2.82    162   3.45   5.6   Stored
//	zstd 4      29   2.89     28   3.51    36
//	br 2        75   2.83     95   3.35   1.6   Passing
//	br 4        46   2.87     53   3.42   6.2
//	br 5        31   2.95     36   3.50   7.7   Stored
//	br 9        16   2.97     18   3.55    40
//	br 11      0.6   3.31    0.7   4.09    10
//	gzip 1     199   2.66    300   3.13   0.8
//	gzip 6     113   2.80    149   3.36   1.0   Passing
//	gzip 8      44   2.91     59   3.47   1.0   Stored
//	gzip 9      37   2.92     35   3.50   1.4
//
// These are BenchmarkEncode, with 64 KiB of generated text in pieces of 16 KiB and
// GOMAXPROCS=1, the better of two runs on a busy Xeon, and BenchmarkMemory, in the
// middle of 4 MiB. The speeds are good for comparing, the ratios of texts from a
// generator are lower than those of most real ones.
//
// So zstd is offered first: at the same ratio it takes less time than gzip, and half
// that of br. What is sent once is Passing, what the cache keeps is Stored; the levels
// for them are those above which the time grows much faster than the ratio. The window
// of zstd is 1 MiB (RFC 9659 permits 8), that of br 512 KiB.
//
// # Limits
//
// At most MaxConcurrent encoders exist, idle ones included, and of these at most 16
// idle. Who gets ErrBusy sends the answer as it is: nobody waits. An encoder holds its
// place from NewWriter to Close or Abort, however slow the client.
//
// A Coder is safe for concurrent use, an Encoder is not. Errors of an Encoder are
// those of the writer below it; the answer can then only be cut off.
package coding
