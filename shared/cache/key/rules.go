package key

import (
	"fmt"
	"strings"

	"github.com/ergoproxy/ergo/shared/config"
)

// Bounds of Rules.MaxLength.
const (
	minMaxLength     = 256
	maxMaxLength     = 64 << 10
	defaultMaxLength = 8 << 10
)

// Rules say what of a request, besides scheme, host and path, is part of the key
// under which its response is stored.
type Rules struct {
	// What of the query. Default: all of it, as it was sent.
	Query Query `yaml:"query"`
	// Header fields that are part of the key, such as Accept-Language: responses
	// are stored apart for each value. What a response names in Vary need not be
	// here. Default: none.
	Headers []string `yaml:"headers"`
	// Cookies that are part of the key. Default: none.
	Cookies []string `yaml:"cookies"`
	// Whether the authenticated client is part of the key: responses are then stored
	// apart for each. Default false.
	Principal bool `yaml:"principal"`
	// Longest key, in bytes; 256 to 64KiB. A request with a longer one is not
	// cached. Default 8KiB.
	MaxLength config.Bytes `yaml:"max_length"`
}

// Query says which parameters of a query are part of the key, and in which order.
// A parameter that a backend could read in more than one way (an encoded name,
// one with a semicolon) always stays, lest it be used to store an answer under the key
// of others.
type Query struct {
	// Whether parameters are sorted by name, without regard to case, so that their
	// order does not matter; those of one name keep theirs. Default false.
	Sort bool `yaml:"sort"`
	// Names of parameters that are not part of the key, to the letter; one with a
	// star at its end is the beginning of names: "utm_*". Not together with keep.
	// Default: none.
	Drop []string `yaml:"drop"`
	// Names, without regard to case, of the only parameters that are part of the
	// key. Not together with drop. Default: all.
	Keep []string `yaml:"keep"`
	// Whether the query is no part of the key at all. Not together with sort, drop
	// and keep. Default false.
	Ignore bool `yaml:"ignore"`
}

// SetDefaults implements config.Defaulter.
func (r *Rules) SetDefaults() { *r = Rules{MaxLength: defaultMaxLength} }

// Validate implements config.Validator.
func (r *Rules) Validate(report *config.Report) {
	seen := map[string]bool{}
	for i, name := range r.Headers {
		at := fmt.Sprintf("headers[%d]", i)
		lower := strings.ToLower(name)
		switch reason := unfit[lower]; {
		case !isToken(name):
			report.Errorf(at, "%q is no field name, want one such as Accept-Language", name)
		case reason != "":
			report.Errorf(at, "%s can't be part of a key: %s", name, reason)
		case seen[lower]:
			report.Errorf(at, "%s stands there twice", name)
		}
		seen[lower] = true
	}
	seen = map[string]bool{}
	for i, name := range r.Cookies {
		at := fmt.Sprintf("cookies[%d]", i)
		lower := strings.ToLower(name)
		switch {
		case !isToken(name):
			report.Errorf(at, "%q is no name of a cookie, want one such as theme", name)
		case seen[lower]:
			report.Errorf(at, "%s stands there twice; names are compared without regard to case", name)
		}
		seen[lower] = true
	}
	if r.MaxLength < minMaxLength || r.MaxLength > maxMaxLength {
		report.Errorf("max_length", "is %s, want 256 to 64KiB", r.MaxLength)
	}
}

// unfit are the fields that can't be chosen, in lower case, and why.
var unfit = map[string]string{
	"host":                "the host is part of every key",
	"cookie":              "name the cookies under cookies",
	"authorization":       "it is a secret, write principal: true",
	"range":               "parts are served from the stored whole",
	"if-range":            "parts are served from the stored whole",
	"if-match":            "it does not choose a response",
	"if-none-match":       "it does not choose a response",
	"if-modified-since":   "it does not choose a response",
	"if-unmodified-since": "it does not choose a response",
	"cache-control":       "it does not choose a response",
	"connection":          "it holds for one hop only",
	"keep-alive":          "it holds for one hop only",
	"proxy-authorization": "it holds for one hop only",
	"te":                  "it holds for one hop only",
	"transfer-encoding":   "it holds for one hop only",
	"upgrade":             "it holds for one hop only",
}

// Validate implements config.Validator.
func (q *Query) Validate(report *config.Report) {
	if q.Ignore && (q.Sort || q.Drop != nil || q.Keep != nil) {
		report.Errorf("ignore", "leaves nothing for sort, drop and keep, want ignore alone")
	}
	if q.Drop != nil && q.Keep != nil {
		report.Errorf("keep", "stands beside drop, want only one of them")
	}
	if q.Keep != nil && len(q.Keep) == 0 {
		report.Errorf("keep", "is empty, write ignore: true to keep none")
	}
	for i, name := range q.Drop {
		at := fmt.Sprintf("drop[%d]", i)
		switch {
		case name == "*":
			report.Errorf(at, `"*" is every name, write ignore: true`)
		case strings.Contains(strings.TrimSuffix(name, "*"), "*"):
			report.Errorf(at, "%q has a star that is not its end, want one such as utm_*", name)
		default:
			checkParameter(report, at, name)
		}
	}
	for i, name := range q.Keep {
		at := fmt.Sprintf("keep[%d]", i)
		if strings.Contains(name, "*") {
			report.Errorf(at, "%q has a star, want whole names", name)
			continue
		}
		checkParameter(report, at, name)
	}
}

// checkParameter reports a name that no parameter can have.
func checkParameter(report *config.Report, at, name string) {
	if name == "" || !isText(name) || strings.ContainsAny(name, "&=;#") {
		report.Errorf(at, "%q can't match, want the name of a parameter such as utm_source, encoded as it is sent", name)
	}
}

// isToken reports whether s is a token (RFC 9110, 5.6.2).
func isToken(s string) bool {
	for i := range len(s) {
		c := s[i]
		if !('a' <= lower(c) && lower(c) <= 'z' || '0' <= c && c <= '9' || strings.IndexByte("!#$%&'*+-.^_`|~", c) >= 0) {
			return false
		}
	}
	return s != ""
}
