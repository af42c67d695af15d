package proxystatus

import (
	"strconv"
	"strings"
)

// maxAccept is how many bytes of an Accept field are looked at. What stands
// behind cannot change more than the form of an error body.
const maxAccept = 1024

// prefersJSON reports whether an Accept field (RFC 9110, section 12.5.1) names
// JSON and gives text no higher weight. A wildcard alone does not: browsers and
// curl send one, and their users want to read text.
func prefersJSON(accept []string) bool {
	var json, text float64
	for _, value := range accept {
		value = value[:min(len(value), maxAccept)]
		for part := range strings.SplitSeq(value, ",") {
			mediaType, params, _ := strings.Cut(part, ";")
			mediaType = strings.ToLower(strings.TrimSpace(mediaType))
			switch {
			case mediaType == "application/json", mediaType == "application/problem+json",
				strings.HasPrefix(mediaType, "application/") && strings.HasSuffix(mediaType, "+json"):
				json = max(json, weight(params))
			case strings.HasPrefix(mediaType, "text/"):
				text = max(text, weight(params))
			}
		}
	}
	return json > 0 && json >= text
}

// weight returns the q parameter, 1 without one and 0 when it is malformed.
func weight(params string) float64 {
	for param := range strings.SplitSeq(params, ";") {
		key, value, _ := strings.Cut(strings.TrimSpace(param), "=")
		if key != "q" && key != "Q" {
			continue
		}
		q, err := strconv.ParseFloat(value, 64)
		if err != nil || !(q >= 0 && q <= 1) {
			return 0
		}
		return q
	}
	return 1
}
