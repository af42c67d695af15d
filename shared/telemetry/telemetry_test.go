package telemetry

import (
	"bytes"
	"encoding/json"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/ergoproxy/ergo/shared/config"
)

func TestJSONLinesHaveUTCTimesAndRespectTheLevel(t *testing.T) {
	var out bytes.Buffer
	log := NewLogger(&out, LogConfig{Level: "warn", Format: FormatJSON})
	log.Info().Msg("not written")
	log.Warn().Err(errors.New("cause")).Str(KeyCore, "core-1").Msg("core marked down")
	var line map[string]string
	if err := json.Unmarshal(out.Bytes(), &line); err != nil {
		t.Fatalf("%v in %q", err, out.String())
	}
	when, err := time.Parse(time.RFC3339Nano, line[KeyTime])
	if err != nil || time.Since(when) > time.Minute || !strings.HasSuffix(line[KeyTime], "Z") || len(line[KeyTime]) != 30 {
		t.Errorf("time %q (%v), want now in UTC with nine digits", line[KeyTime], err)
	}
	if line[KeyLevel] != "warn" || line[KeyMessage] != "core marked down" || line[KeyError] != "cause" || line[KeyCore] != "core-1" {
		t.Errorf("line %v lacks a key", line)
	}
}

func TestConsoleLinesAreForPeople(t *testing.T) {
	t.Setenv("NO_COLOR", "1")
	var out bytes.Buffer
	log := NewLogger(&out, LogConfig{Level: "info", Format: FormatConsole})
	log.Info().Str(KeyCore, "core-1").Msg("core is up")
	got := out.String()
	if _, err := time.Parse("15:04:05.000", strings.Fields(got)[0]); err != nil {
		t.Errorf("line %q does not begin with a time of day", got)
	}
	if !strings.HasSuffix(got, " INF core is up core=core-1\n") {
		t.Errorf("line %q, want level, message and keys without colour", got)
	}
}

func TestLogConfig(t *testing.T) {
	var c LogConfig
	c.SetDefaults()
	tests := []struct {
		c    LogConfig
		keys []string
	}{
		{c, nil},
		{LogConfig{Level: "error", Format: "console"}, nil},
		{LogConfig{Level: "trace", Format: "json"}, []string{"level"}},
		{LogConfig{Level: "5", Format: "json"}, []string{"level"}},
		{LogConfig{}, []string{"level", "format"}},
	}
	for _, tt := range tests {
		var r config.Report
		tt.c.Validate(&r)
		var keys []string
		for _, p := range r.Problems() {
			keys = append(keys, p.Key)
		}
		if strings.Join(keys, ",") != strings.Join(tt.keys, ",") {
			t.Errorf("%+v: problems with %v, want %v", tt.c, keys, tt.keys)
		}
	}
}

func TestUnsafeToolchain(t *testing.T) {
	for built, want := range map[string]bool{
		"go1.26.8": true, "go1.26.10": true, "go1.26.11": false, "go1.26.12": false, "go1.26rc1": true, "go1.26": true,
		"go1.27": true, "go1.27rc2": true, "go1.27.3": true, "go1.27.4": false, "go1.28": false, "go1.28rc1": false,
		"go1.25.99": true, "go1.27.4 X:nogreenteagc": false, "go1.26.8-vendor": true, "go1.26.8 X:jsonv2": true,
		"devel go1.28-abc": false, "": false,
	} {
		if got := unsafeToolchain(built); got != want {
			t.Errorf("unsafeToolchain(%q) = %v", built, got)
		}
	}
}

func TestWarnOldToolchainNamesTheReason(t *testing.T) {
	var out bytes.Buffer
	log := zerolog.New(&out)
	warnOldToolchain(log, "go1.27.4")
	if out.Len() > 0 {
		t.Fatalf("a safe toolchain is warned about: %s", &out)
	}
	warnOldToolchain(log, "go1.26.8")
	for _, want := range []string{`"level":"warn"`, `"version":"go1.26.8"`, "GO-2026-6859", "go1.27.4"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("line %s lacks %s", &out, want)
		}
	}
}

func TestBuildString(t *testing.T) {
	for _, tt := range []struct {
		b    Build
		want string
	}{
		{Build{Version: "v1.2.3", Go: "go1.27.4"}, "v1.2.3 (go1.27.4)"},
		{Build{Version: "devel", Revision: "0123456789abcdef", Modified: true, Go: "go1.27.4"}, "devel (0123456789ab+changes, go1.27.4)"},
	} {
		if got := tt.b.String(); got != tt.want {
			t.Errorf("String = %q, want %q", got, tt.want)
		}
	}
	if b := BuildInfo(); b.Version == "" || !strings.HasPrefix(b.Go, "go") && !strings.HasPrefix(b.Go, "devel") {
		t.Errorf("BuildInfo = %+v, want a version and a toolchain", b)
	}
}

// One word must not stand for two things.
func TestKeysAreDistinctAndReadable(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "keys.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]string{}
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok {
			return true
		}
		value, err := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
		if err != nil {
			t.Fatal(err)
		}
		name := spec.Names[0].Name
		if other, ok := seen[value]; ok {
			t.Errorf("%s and %s are both %q", name, other, value)
		}
		seen[value] = name
		if strings.Trim(value, "abcdefghijklmnopqrstuvwxyz_") != "" {
			t.Errorf("%s is %q, want lower-case words", name, value)
		}
		return false
	})
	if len(seen) < 30 {
		t.Errorf("found %d keys, the test does not read them", len(seen))
	}
}
