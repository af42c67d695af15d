package coding_test

import (
	"reflect"
	"strings"
	"testing"

	"github.com/ergoproxy/ergo/shared/cache/coding"
	"github.com/ergoproxy/ergo/shared/config"
)

// file is a config file with Settings at its top.
type file struct {
	coding.Settings `yaml:",inline"`
}

func (f *file) SetDefaults()              { f.Settings.SetDefaults() }
func (f *file) Validate(r *config.Report) { f.Settings.Validate(r) }

func TestSettingsAreRead(t *testing.T) {
	var f file
	_, err := config.Decode("c.yaml", "", []byte(`
enabled: true
codings: [br, gzip]
types: [text/*, "*/*+json"]
min_size: 2KiB
levels: {gzip: 1, br: 0, zstd: 2}
stored_levels: {br: 11}
max_concurrent: 1
`), &f)
	want := coding.Settings{
		Enabled: true, Codings: []coding.Coding{"br", "gzip"}, Types: []string{"text/*", "*/*+json"}, MinSize: 2048,
		Levels: coding.Levels{Gzip: 1, Brotli: 0, Zstd: 2}, StoredLevels: settings().StoredLevels, MaxConcurrent: 1,
	}
	want.StoredLevels.Brotli = 11
	if err != nil || !reflect.DeepEqual(f.Settings, want) {
		t.Errorf("got %+v, %v, want %+v", f.Settings, err, want)
	}
}

func TestDefaultSettingsAreValid(t *testing.T) {
	for _, text := range []string{"enabled: true", "enabled: false"} {
		var f file
		if _, err := config.Decode("c.yaml", "", []byte(text), &f); err != nil {
			t.Errorf("%s: %v", text, err)
		}
		if len(f.Types) == 0 || f.MinSize != 1<<10 || f.MaxConcurrent != 32 || f.StoredLevels == f.Levels {
			t.Errorf("%s: defaults are %+v", text, f.Settings)
		}
		coding.New(f.Settings)
	}
}

func TestBadSettingsAreRefused(t *testing.T) {
	tests := []struct{ text, key, problem string }{
		{"enabled: true\ncodings: []", "codings", "want at least one"},
		{"codings: [deflate]", "codings[0]", "zstd, br, gzip"},
		{"codings: [identity]", "codings[0]", "zstd, br, gzip"},
		{"codings: [br, gzip, br]", "codings[2]", "twice"},
		{"enabled: true\ntypes: []", "types", "want at least one"},
		{"types: [html]", "types[0]", "is no media type"},
		{"types: [text/html, text/]", "types[1]", "is no media type"},
		{"types: [/html]", "types[0]", "is no media type"},
		{`types: ["*/html"]`, "types[0]", "before the name of a subtype"},
		{`types: ["*"]`, "types[0]", "is no media type"},
		{`types: ["text/*+"]`, "types[0]", "is no media type"},
		{`types: ["text/+json"]`, "types[0]", "is no media type"},
		{`types: ["text/h*"]`, "types[0]", "is no media type"},
		{`types: ["te*/html"]`, "types[0]", "is no media type"},
		{`types: ["text/html;charset=utf-8"]`, "types[0]", "is no media type"},
		{`types: ["text/html "]`, "types[0]", "is no media type"},
		{"types: [image/png]", "types[0]", "compressed already"},
		{"types: [Video/MP4]", "types[0]", "compressed already"},
		{"types: [application/grpc]", "types[0]", "compresses its messages itself"},
		{"types: [application/grpc-web+proto]", "types[0]", "compresses its messages itself"},
		{"min_size: -1", "min_size", "-1"},
		{"levels: {gzip: 0}", "levels.gzip", "from 1 to 9"},
		{"levels: {gzip: 10}", "levels.gzip", "from 1 to 9"},
		{"levels: {br: -1}", "levels.br", "from 0 to 11"},
		{"levels: {br: 12}", "levels.br", "from 0 to 11"},
		{"stored_levels: {zstd: 0}", "stored_levels.zstd", "from 1 to 4"},
		{"stored_levels: {zstd: 5}", "stored_levels.zstd", "from 1 to 4"},
		{"max_concurrent: 0", "max_concurrent", "at least 1"},
		{"max_concurrent: -5", "max_concurrent", "at least 1"},
		{"max_size: 1KiB", "max_size", "min_size"},
	}
	for _, tt := range tests {
		t.Run(tt.text, func(t *testing.T) {
			var f file
			_, err := config.Decode("c.yaml", "", []byte(tt.text), &f)
			if err == nil {
				t.Fatal("it is accepted")
			}
			if text := err.Error(); strings.Contains(text, "\n") || !strings.Contains(text, tt.key+":") || !strings.Contains(text, tt.problem) {
				t.Errorf("got %q, want %q of key %q", text, tt.problem, tt.key)
			}
		})
	}
}
