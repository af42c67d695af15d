package coding

import (
	"fmt"
	"strings"
)

// defaultTypes are the media types that shrink.
var defaultTypes = []string{
	"text/*",
	"*/*+json",
	"*/*+xml",
	"*/*+yaml",
	"application/json",
	"application/javascript",
	"application/x-javascript",
	"application/xml",
	"application/x-ndjson",
	"application/yaml",
	"application/toml",
	"application/sql",
	"application/rtf",
	"application/wasm",
	"application/vnd.ms-fontobject",
	"font/ttf",
	"font/otf",
	"font/sfnt",
	"font/collection",
	"image/bmp",
	"image/x-icon",
	"image/vnd.microsoft.icon",
}

// packed are media types whose content is compressed already: another coding costs
// time and makes it longer. They are never coded, whatever pattern they match.
var packed = mustPatterns(
	"audio/*", "video/*", "*/*+zip", "*/*+gzip", "*/*+zstd",
	"image/png", "image/jpeg", "image/jpg", "image/gif", "image/webp", "image/avif",
	"image/heic", "image/heif", "image/jp2", "image/jxl", "image/apng",
	"font/woff", "font/woff2", "application/font-woff", "application/font-woff2",
	"application/gzip", "application/x-gzip", "application/zip", "application/zstd",
	"application/x-bzip2", "application/x-xz", "application/x-7z-compressed",
	"application/vnd.rar", "application/x-rar-compressed", "application/java-archive",
	"application/vnd.android.package-archive",
)

// A pattern matches media types: "text/html", "text/*", "*/*+json".
type pattern struct {
	major string // "*" for all
	minor string // "*" for all, "+json" for all that end so
}

func parsePattern(s string) (pattern, error) {
	major, minor, _ := strings.Cut(s, "/")
	p := pattern{major: major, minor: minor}
	valid := minor == "*" || isName(minor) && minor[0] != '+'
	if suffix, cut := strings.CutPrefix(minor, "*+"); cut {
		p.minor, valid = "+"+suffix, isName(suffix)
	}
	if !valid || major != "*" && !isName(major) {
		return pattern{}, fmt.Errorf("%q is no media type, want one such as text/html, text/* or */*+json", s)
	}
	if major == "*" && p.exact() {
		return pattern{}, fmt.Errorf("%q has a * before the name of a subtype, want */* or a suffix such as */*+json", s)
	}
	return p, nil
}

func mustPatterns(texts ...string) []pattern {
	patterns := make([]pattern, len(texts))
	for i, s := range texts {
		p, err := parsePattern(s)
		if err != nil {
			panic(err)
		}
		patterns[i] = p
	}
	return patterns
}

// isName reports whether s is of the characters of a type's name (RFC 6838,
// section 4.2).
func isName(s string) bool {
	for i := 0; i < len(s); i++ {
		c := s[i] | 0x20 // lower case, for letters
		if (c < 'a' || c > 'z') && (s[i] < '0' || s[i] > '9') && !strings.ContainsRune("!#$&-^_.+", rune(s[i])) {
			return false
		}
	}
	return s != ""
}

// exact reports whether p names one type.
func (p pattern) exact() bool { return p.minor != "*" && p.minor[0] != '+' }

func (p pattern) match(major, minor string) bool {
	if p.major != "*" && !equalFold(major, p.major) {
		return false
	}
	switch {
	case p.minor == "*":
		return true
	case p.minor[0] == '+':
		at := len(minor) - len(p.minor)
		return at > 0 && equalFold(minor[at:], p.minor)
	}
	return equalFold(minor, p.minor)
}

func matchAny(patterns []pattern, major, minor string) bool {
	for _, p := range patterns {
		if p.match(major, minor) {
			return true
		}
	}
	return false
}

// types are the patterns of a config.
type types struct {
	exact, wild []pattern
}

func compileTypes(texts []string) types {
	var t types
	for _, p := range mustPatterns(texts...) {
		if p.exact() {
			t.exact = append(t.exact, p)
		} else {
			t.wild = append(t.wild, p)
		}
	}
	return t
}

// match reports whether content of the type that the value of a Content-Type names
// may be coded. A stream of events is coded only where the config names it: a
// pattern can't know whether each event is flushed.
func (t types) match(contentType string) bool {
	name, _, _ := strings.Cut(contentType, ";")
	major, minor, ok := strings.Cut(trim(name), "/")
	if !ok || matchAny(packed, major, minor) || framed(major, minor) {
		return false
	}
	if matchAny(t.exact, major, minor) {
		return true
	}
	return !eventStream(major, minor) && matchAny(t.wild, major, minor)
}

func eventStream(major, minor string) bool {
	return equalFold(major, "text") && equalFold(minor, "event-stream")
}

// framed reports whether the type is of a protocol with messages of its own, which
// are compressed by its own rules or not at all: gRPC, gRPC-Web, Connect.
func framed(major, minor string) bool {
	return equalFold(major, "application") && (hasPrefixFold(minor, "grpc") || hasPrefixFold(minor, "connect+"))
}

func hasPrefixFold(s, ascii string) bool {
	return len(s) >= len(ascii) && equalFold(s[:len(ascii)], ascii)
}
