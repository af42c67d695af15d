package rules

// A Reason says why the rules decided as they did: a closed list, whose names
// are fit for the detail parameter of Cache-Status, a log field and a metric
// label. New entries go at the end.
type Reason uint8

// Why a response is not stored.
const (
	NoReason              Reason = iota
	ReasonMethod                 // of the request: only GET is stored
	ReasonStatus                 // interim, not understood, or one that must not be stored
	ReasonRequestNoStore         // no-store of the request
	ReasonNoStore                // no-store of the response
	ReasonPrivate                // private without field names
	ReasonAuthorization          // the request has it, and the response does not allow for it
	ReasonPartial                // 206 where parts are not combined, or in several ranges
	ReasonSetCookie              // see CookieRefuse
	ReasonVaryAny                // Vary has a member "*"
	ReasonVaryInvalid            // Vary has a member that is no field name
	ReasonVaryLimit              // Vary names more fields than Config.MaxVary
	ReasonTagLimit               // more tags and groups than Config.MaxTags
	ReasonTagBytes               // longer ones than Config.MaxTagBytes
	ReasonNoFreshness            // no lifetime, explicit or heuristic, and no validator
	ReasonNeverUsable            // stale when it came, and nothing that allows to use or validate it
	ReasonSoftPurged             // stale since a purge
	ReasonNoCache                // no-cache of the response
	ReasonRequestNoCache         // no-cache of the request
	ReasonRequestMaxAge          // max-age of the request
	ReasonRequestMinFresh        // min-fresh of the request
	ReasonMaxStale               // stale, but within the request's max-stale
	ReasonOnlyIfCached           // nothing usable, and the request wants no other
	ReasonWhileRevalidate        // stale, sent while it is validated
	ReasonStaleIfError           // stale, sent in place of an error
	ReasonGrace                  // stale, sent since no backend can be reached
	ReasonPrecondition           // If-Match or If-Unmodified-Since: for the backend
)

var reasonNames = [...]string{
	NoReason:              "",
	ReasonMethod:          "method",
	ReasonStatus:          "status",
	ReasonRequestNoStore:  "request-no-store",
	ReasonNoStore:         "no-store",
	ReasonPrivate:         "private",
	ReasonAuthorization:   "authorization",
	ReasonPartial:         "partial",
	ReasonSetCookie:       "set-cookie",
	ReasonVaryAny:         "vary-any",
	ReasonVaryInvalid:     "vary-invalid",
	ReasonVaryLimit:       "vary-limit",
	ReasonTagLimit:        "tag-limit",
	ReasonTagBytes:        "tag-bytes",
	ReasonNoFreshness:     "no-freshness",
	ReasonNeverUsable:     "never-usable",
	ReasonSoftPurged:      "soft-purged",
	ReasonNoCache:         "no-cache",
	ReasonRequestNoCache:  "request-no-cache",
	ReasonRequestMaxAge:   "request-max-age",
	ReasonRequestMinFresh: "request-min-fresh",
	ReasonMaxStale:        "max-stale",
	ReasonOnlyIfCached:    "only-if-cached",
	ReasonWhileRevalidate: "stale-while-revalidate",
	ReasonStaleIfError:    "stale-if-error",
	ReasonGrace:           "grace",
	ReasonPrecondition:    "precondition",
}

// String returns the name: an sf-token, or "" for NoReason.
func (r Reason) String() string {
	if int(r) < len(reasonNames) {
		return reasonNames[r]
	}
	return "unknown"
}
