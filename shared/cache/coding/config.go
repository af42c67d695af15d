package coding

import (
	"fmt"
	"slices"

	"github.com/ergoproxy/ergo/shared/config"
)

// Settings say which answers are compressed, and how hard.
type Settings struct {
	// Whether answers of backends that are not compressed are compressed for clients that
	// can read it. Pages that hold a secret next to text from the request let an observer
	// who can make requests guess the secret from lengths (BREACH): send
	// Cache-Control: no-transform with those. Default false.
	Enabled bool `yaml:"enabled"`
	// Codings to offer; among those a client likes equally the first is taken.
	// Default zstd, br, gzip.
	Codings []Coding `yaml:"codings"`
	// Media types to compress: text/html, text/* for a whole type, */*+json for a suffix.
	// What is compressed already (images, video, archives) and gRPC never is;
	// text/event-stream is if it stands here by its name, text/* does not mean it. Default:
	// text, JSON, JavaScript, XML, SVG, WebAssembly, fonts that are not compressed and the like.
	Types []string `yaml:"types"`
	// Answers that are shorter are sent as they are; those of unknown length are compressed.
	// 0 compresses all that are not empty. Default 1KiB.
	MinSize config.Bytes `yaml:"min_size"`
	// How hard answers are compressed that are sent once.
	Levels Levels `yaml:"levels"`
	// How hard answers are compressed that the cache keeps and sends often.
	StoredLevels Levels `yaml:"stored_levels"`
	// Answers that may be compressed at the same time; further ones are sent as they are.
	// At least 1. With the default levels each takes 1MiB to 8MiB. Default 32.
	MaxConcurrent int `yaml:"max_concurrent"`
}

// Levels say how hard each coding tries: higher is smaller and slower.
type Levels struct {
	// From 1 to 9. Default 6, and 8 for answers that are kept.
	Gzip int `yaml:"gzip"`
	// From 0 to 11; 9 takes 40MiB for each answer, 10 and 11 are slower than most links.
	// Default 2, and 5 for answers that are kept.
	Brotli int `yaml:"br"`
	// From 1 (fastest) to 4 (smallest, at 36MiB for each answer). Default 2, and 3 for answers
	// that are kept.
	Zstd int `yaml:"zstd"`
}

// SetDefaults sets the defaults of answers that are sent once.
func (l *Levels) SetDefaults() { *l = Levels{Gzip: 6, Brotli: 2, Zstd: 2} }

// SetDefaults sets the defaults.
func (s *Settings) SetDefaults() {
	s.Codings = []Coding{Zstd, Brotli, Gzip}
	s.Types = slices.Clone(defaultTypes)
	s.MinSize = 1 << 10
	s.Levels.SetDefaults()
	s.StoredLevels = Levels{Gzip: 8, Brotli: 5, Zstd: 3}
	s.MaxConcurrent = 32
}

// Validate reports what is wrong with l.
func (l *Levels) Validate(r *config.Report) {
	check := func(key string, level, from, to int) {
		if level < from || level > to {
			r.Errorf(key, "%d is no level, want one from %d to %d", level, from, to)
		}
	}
	check("gzip", l.Gzip, 1, 9)
	check("br", l.Brotli, 0, 11)
	check("zstd", l.Zstd, 1, 4)
}

// Validate reports what is wrong with s, but not with its Levels.
func (s *Settings) Validate(r *config.Report) {
	if s.Enabled && len(s.Codings) == 0 {
		r.Errorf("codings", "is empty, want at least one of zstd, br, gzip")
	}
	for i, c := range s.Codings {
		if slices.Contains(s.Codings[:i], c) {
			r.Errorf(fmt.Sprintf("codings[%d]", i), "%s stands there twice", c)
		}
	}
	if s.Enabled && len(s.Types) == 0 {
		r.Errorf("types", "is empty, want at least one media type")
	}
	for i, text := range s.Types {
		r.Check(fmt.Sprintf("types[%d]", i), checkType(text))
	}
	if s.MaxConcurrent < 1 {
		r.Errorf("max_concurrent", "%d is too little, want at least 1", s.MaxConcurrent)
	}
}

// checkType returns why text can't stand in Types.
func checkType(text string) error {
	p, err := parsePattern(text)
	if err != nil {
		return err
	}
	if p.exact() && matchAny(packed, p.major, p.minor) {
		return fmt.Errorf("%s is compressed already", text)
	}
	if p.exact() && framed(p.major, p.minor) {
		return fmt.Errorf("%s compresses its messages itself", text)
	}
	return nil
}
