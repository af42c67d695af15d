package rules

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"net/http"
	"slices"
	"strings"
	"time"
)

// A CookieRule says what becomes of a response that sets a cookie. RFC 9111
// (section 7.3) leaves such a response storable, but few backends know that: a
// session cookie that everybody gets is the worst mistake a cache can help with.
type CookieRule string

const (
	// CookieRefuse stores a response with Set-Cookie only if it says that it is
	// meant for a shared cache: by public, by s-maxage, or by a targeted field.
	CookieRefuse CookieRule = "refuse"
	// CookieStrip stores the response without the cookie. Only the client whose
	// request fetched it gets that.
	CookieStrip CookieRule = "strip"
	// CookieKeep stores it as it is: what RFC 9111 does.
	CookieKeep CookieRule = "keep"
)

// Limits of what Validate accepts.
const (
	maxTargeted  = 8
	maxEncodings = 16
)

// Config is what a route says about its cache. Durations count in whole seconds
// on the wire, so finer ones are of no use but do no harm.
type Config struct {
	// Targeted are the fields of RFC 9213 that stand above Cache-Control and
	// Expires, the first of them first. Surrogate-Control, if listed, is read by
	// its own, older grammar. None: only Cache-Control counts. Default
	// Ergo-Cache-Control, CDN-Cache-Control, Surrogate-Control.
	Targeted []string
	// SetCookie says what becomes of a response with Set-Cookie. Default
	// CookieRefuse.
	SetCookie CookieRule
	// HeuristicFraction is the share of the time since Last-Modified that a
	// response without an explicit lifetime is fresh (RFC 9111, section 4.2.2).
	// 0: none is. Default 0.1.
	HeuristicFraction float64
	// HeuristicMax is the longest such lifetime. Default 24h.
	HeuristicMax time.Duration
	// Negative are lifetimes by status for errors and redirects whose backend
	// gives none, in place of the heuristic one; 0 keeps a status out of the
	// cache unless its backend gives one. A lifetime, no-store, private or
	// no-cache of the backend stands above it. Default none.
	Negative map[int]time.Duration
	// IgnoreReload stops clients from forcing a request to the backend: their
	// no-cache, max-age and min-fresh have no effect. Default false, as RFC 9111
	// asks for.
	IgnoreReload bool
	// Grace is how long after its lifetime a response may be sent while no
	// backend can be reached, unless the response forbids it (RFC 9111, section
	// 4.2.4). 0: never, but for stale-if-error. Default 1h.
	Grace time.Duration
	// Parts says that the cache combines parts, so that a 206 may be stored.
	// Default false.
	Parts bool
	// Encodings are the content codings that are asked for at backends, best
	// first; Accept-Encoding is reduced to them, see Policy.SetAcceptEncoding.
	// None: it is taken as it is. Default br, zstd, gzip.
	Encodings []string
	// MaxVary is how many field names Vary may have; a response with more is not
	// stored. 0: none with Vary is. Default 16.
	MaxVary int
	// MaxTags and MaxTagBytes limit the tags and groups of a response, together;
	// one with more is not stored, since a purge could miss it. RFC 9875 (section
	// 2) wants at least 128 groups of 32 bytes. 0: none with tags is. Default 1024,
	// and 16KiB.
	MaxTags, MaxTagBytes int
}

// Default returns the configuration of a route that says nothing.
func Default() Config {
	return Config{
		Targeted:          []string{"Ergo-Cache-Control", "CDN-Cache-Control", surrogateControl},
		SetCookie:         CookieRefuse,
		HeuristicFraction: 0.1,
		HeuristicMax:      24 * time.Hour,
		Grace:             time.Hour,
		Encodings:         []string{"br", "zstd", "gzip"},
		MaxVary:           16,
		MaxTags:           1024,
		MaxTagBytes:       16 << 10,
	}
}

// Validate reports everything that is wrong with c, each with its key.
func (c *Config) Validate() error {
	var errs []error
	wrong := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }

	if len(c.Targeted) > maxTargeted {
		wrong("targeted: %d fields, at most %d", len(c.Targeted), maxTargeted)
	}
	for i, name := range c.Targeted {
		if !isToken(name) {
			wrong("targeted[%d]: %q is no field name", i, name)
		} else if strings.EqualFold(name, "Cache-Control") {
			wrong("targeted[%d]: Cache-Control always comes last, don't list it", i)
		} else if slices.ContainsFunc(c.Targeted[:i], func(s string) bool { return strings.EqualFold(s, name) }) {
			wrong("targeted[%d]: %q is there twice", i, name)
		}
	}
	switch c.SetCookie {
	case CookieRefuse, CookieStrip, CookieKeep:
	default:
		wrong("set_cookie: %q is not one of refuse, strip, keep", c.SetCookie)
	}
	if !(c.HeuristicFraction >= 0 && c.HeuristicFraction <= 1) { // NaN too
		wrong("heuristic_fraction: %v is not between 0 and 1", c.HeuristicFraction)
	}
	for _, d := range []struct {
		key   string
		value time.Duration
	}{{"heuristic_max", c.HeuristicMax}, {"grace", c.Grace}} {
		if d.value < 0 || d.value > maxDelta {
			wrong("%s: %v is not between 0 and %v", d.key, d.value, maxDelta)
		}
	}
	for _, status := range slices.Sorted(maps.Keys(c.Negative)) {
		if d := c.Negative[status]; d < 0 || d > maxDelta {
			wrong("negative[%d]: %v is not between 0 and %v", status, d, maxDelta)
		}
		if status < 300 || status > 599 || status == http.StatusNotModified || neverStored(status) {
			wrong("negative[%d]: not an error or a redirect that may be stored", status)
		}
	}
	c.validateLimits(wrong)
	return errors.Join(errs...)
}

func (c *Config) validateLimits(wrong func(string, ...any)) {
	if len(c.Encodings) > maxEncodings {
		wrong("encodings: %d codings, at most %d", len(c.Encodings), maxEncodings)
	}
	for i, coding := range c.Encodings {
		if !isToken(coding) || strings.EqualFold(coding, "identity") || coding == "*" {
			wrong("encodings[%d]: %q is no content coding", i, coding)
		}
	}
	if c.MaxVary < 0 {
		wrong("max_vary: %d is negative", c.MaxVary)
	}
	if c.MaxTags < 0 {
		wrong("max_tags: %d is negative", c.MaxTags)
	}
	if c.MaxTagBytes < 0 || c.MaxTagBytes > math.MaxInt32 {
		wrong("max_tag_bytes: %d is not between 0 and %d", c.MaxTagBytes, math.MaxInt32)
	}
}

// A Policy is a Config ready for use. It does not change any more and is safe
// for concurrent use.
type Policy struct {
	config   Config
	targeted []targetedField
	codings  []string // lower case
}

// New returns the Policy of c, or what Validate reports. It keeps nothing of c.
func New(c Config) (*Policy, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	c.Negative = maps.Clone(c.Negative)
	p := &Policy{config: c}
	for _, name := range c.Targeted {
		p.targeted = append(p.targeted, newTargetedField(name))
	}
	for _, coding := range c.Encodings {
		p.codings = append(p.codings, strings.ToLower(coding))
	}
	return p, nil
}
