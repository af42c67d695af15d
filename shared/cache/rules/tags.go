package rules

import (
	"net/http"
	"slices"
	"strings"
)

// readTags returns what a response can be purged by: tags from Surrogate-Key
// (separated by white space) and Cache-Tag (by commas), and groups from
// Cache-Groups (RFC 9875, section 2: a list of strings; broken, it is ignored).
// Each is sorted and has each name once; case matters.
//
// Count and size limit tags and groups together. Over the limit the Reason says
// so and the response is not stored: with part of its tags, a purge would miss
// it.
func readTags(h http.Header, count, size int) (tags, groups []string, why Reason) {
	for _, line := range h["Surrogate-Key"] {
		tags = append(tags, strings.FieldsFunc(line, func(r rune) bool { return r == ' ' || r == '\t' })...)
	}
	for tag := range listMembers(h["Cache-Tag"]) {
		tags = append(tags, tag)
	}
	if lines := h["Cache-Groups"]; len(lines) > 0 {
		groups, _ = parseStrings(lines)
	}
	tags, groups = unique(tags), unique(groups)
	if len(tags)+len(groups) > count {
		return tags, groups, ReasonTagLimit
	}
	for _, names := range [...][]string{tags, groups} {
		for _, name := range names {
			size -= len(name)
		}
	}
	if size < 0 {
		return tags, groups, ReasonTagBytes
	}
	return tags, groups, NoReason
}

// unique sorts names and removes what is there twice.
func unique(names []string) []string {
	slices.Sort(names)
	return slices.Compact(names)
}

// parseStrings reads a list of strings. It returns false if the list is broken or
// has a member of another type.
func parseStrings(lines []string) ([]string, bool) {
	var names []string
	onlyStrings := true
	ok := parseList(lines, func(it item) {
		onlyStrings = onlyStrings && it.kind == itemString
		names = append(names, it.text)
	})
	if !ok || !onlyStrings {
		return nil, false
	}
	return names, true
}
