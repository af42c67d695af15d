// Package rules holds the semantics of HTTP caching for a shared cache: whether a
// response may be stored, for how long it is fresh, whether it may answer a
// request, and what a 304, an unsafe request or a tag does to what is stored. It
// stores nothing and does no I/O; the caches of both tiers ask it.
//
//	request ──▶ ReadRequest ──▶ Variant ──▶ [lookup] ──▶ Stored.Reuse ──▶ Verdict
//	                                           │             │
//	              nothing stored: the backend ◀┘             ├ Fresh, Stale      ▶ NotModified, AgeField
//	                                                         ├ StaleWhileRevalidate ▶ both of the others
//	                                                         ├ Validate          ▶ SetConditions, backend
//	                                                         └ GatewayTimeout    ▶ 504
//	backend ──▶ 304    ▶ Validated ▸ Freshen ▸ Store, or again without conditions
//	            error  ▶ Verdict.OnError, Verdict.OnOutage
//	            other  ▶ Invalidated, GroupsInvalidated ▸ Store ▶ Fields, Stored.Vary, Stored.Tags
//
// A Policy is the compiled Config of a route. A Request is read once per request
// and a Stored made once per stored response, from what the backend sent; later
// decisions only compare numbers. To read, to reuse, to make the variant's key
// into a buffer and to evaluate a condition allocates nothing.
//
// # What governs a response
//
//	field                                         grammar             if broken
//	Config.Targeted, first valid one (RFC 9213)   dictionary, strict  as if absent
//	Surrogate-Control, if listed there            its own             as if absent
//	Cache-Control                                 RFC 9111, lenient   the stricter reading
//	Expires, without any targeted field           HTTP-date           stale
//	Config.Negative, without a lifetime above     -                   -
//	Last-Modified, without a lifetime above       heuristic           no lifetime
//
// # Decisions that the RFCs leave to a cache
//
//   - Of two max-age the smaller counts. At every age this is one of the two that
//     RFC 9111, section 4.2.1, allows: the first, or stale.
//   - S-maxage, like must-revalidate, proxy-revalidate and no-cache, forbids to
//     send the response stale at all: not while it is validated, not in place of
//     an error, not in an outage (sections 4.2.4 and 5.2.2.10).
//   - A response with Set-Cookie is not stored unless it is clearly meant to be,
//     see CookieRule.
//   - 428, 429, 431 and 511 are never stored (RFC 6585).
//   - Clients' no-cache and max-age are obeyed, see Config.IgnoreReload. Their
//     no-store and only-if-cached are obeyed always.
//   - What would be stale at once and has no validator is not stored.
//   - Answers to POST, and to HEAD, are not stored.
//
// # Units and limits
//
// Times are time.Duration and time.Time; the clock is an argument. On the wire
// they are whole seconds, at most 2^31 (RFC 9111, section 1.2.2). Work is linear
// in the size of the header, which the listeners limit. Vary and tags have limits
// in Config; a response over them is not stored rather than stored in part.
//
// Keys of every http.Header must be canonical, as net/http makes them. Headers
// that are arguments are not changed, but for those of SetConditions,
// SetAcceptEncoding and CacheStatus.AddTo.
//
// No function returns an error but New and Config.Validate: what comes from
// outside always has a meaning, if only the strictest. Why something was decided
// is a Reason. Everything is safe for concurrent use as long as nobody writes
// into a Stored or Request that others read.
//
// RFC 9111 caching; RFC 9110, sections 8.8, 13 and 15.4.5; RFC 5861 stale-...;
// RFC 8246 immutable; RFC 9211 Cache-Status; RFC 9213 targeted fields; RFC 9875
// cache groups; RFC 9651 (8941) structured fields.
package rules
