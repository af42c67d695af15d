package config_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/ergoproxy/ergo/shared/config"
)

type filed struct {
	CA    config.Path            `yaml:"ca"`
	More  []config.Path          `yaml:"more"`
	Named map[string]config.Path `yaml:"named"`
	Key   config.Secret          `yaml:"key"`
	Other *config.Secret         `yaml:"other"`
}

func TestPathsAreRelativeToTheConfigFile(t *testing.T) {
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "etc", "tls"), 0o700); err != nil {
		t.Fatal(err)
	}
	a, b := write(t, dir, "etc/tls/a.crt", "a"), write(t, dir, "b.crt", "b")
	path := write(t, dir, "etc/edge.yaml", "ca: tls/a.crt\nmore: [../b.crt, "+b+"]\nnamed: {x: ./tls/../tls/a.crt}\n")
	t.Chdir(dir)
	var f filed
	l, err := config.Load("etc/edge.yaml", &f)
	if err != nil {
		t.Fatal(err)
	}
	if f.CA != config.Path(a) || !slices.Equal(f.More, []config.Path{config.Path(b), config.Path(b)}) || f.Named["x"] != config.Path(a) {
		t.Errorf("got %+v", f)
	}
	if want := []string{path, a, b}; !slices.Equal(l.Files, want) {
		t.Errorf("files %q, want %q", l.Files, want)
	}
}

type withDefault struct {
	CA config.Path `yaml:"ca"`
}

func (w *withDefault) SetDefaults() { w.CA = "default.crt" }

func TestDefaultPathIsCheckedToo(t *testing.T) {
	dir := t.TempDir()
	_, err := config.Decode("e.yaml", dir, []byte("{}"), new(withDefault))
	if want := "e.yaml:1:1: ca: file " + filepath.Join(dir, "default.crt") + " does not exist"; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
	want := write(t, dir, "default.crt", "x")
	var w withDefault
	if _, err := config.Decode("e.yaml", dir, []byte("{}"), &w); err != nil || string(w.CA) != want {
		t.Errorf("got %q, %v, want %q", w.CA, err, want)
	}
}

// A missing file is watched: that it appears is a reason to load again.
func TestFilesOfAFailedLoad(t *testing.T) {
	dir := t.TempDir()
	l, err := config.Decode("e.yaml", dir, []byte("ca: a.crt\nkey: {file: b.key}\n"), new(filed))
	if want := []string{filepath.Join(dir, "a.crt"), filepath.Join(dir, "b.key")}; err == nil || !slices.Equal(l.Files, want) {
		t.Errorf("got %q and %v, want %q and an error", l.Files, err, want)
	}
}

func TestUnreadableFile(t *testing.T) {
	dir := t.TempDir()
	// Root may read whatever has a mode, and nobody a link to itself.
	if err := os.Symlink("a.crt", filepath.Join(dir, "a.crt")); err != nil {
		t.Fatal(err)
	}
	_, err := config.Decode("e.yaml", dir, []byte("ca: a.crt"), new(filed))
	if err == nil || !strings.HasSuffix(err.Error(), "can't be read: too many levels of symbolic links") {
		t.Errorf("got %v", err)
	}
}

func TestSecretSources(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("ERGO_TEST_TOKEN", "from env\n")
	t.Setenv("ERGO_TEST_EMPTY", "\n")
	t.Setenv("ERGO_TEST_BIG", strings.Repeat("x", 64<<10+1))
	write(t, dir, "plain", "hunter2")
	write(t, dir, "unix", "hunter2\n")
	write(t, dir, "windows", "hunter2\r\n")
	write(t, dir, "two", "hunter2\n\n")
	write(t, dir, "binary", "\x00\xff\r")
	write(t, dir, "empty", "\n")
	write(t, dir, "limit", strings.Repeat("x", 64<<10))
	write(t, dir, "big", strings.Repeat("x", 64<<10+1))
	tests := []struct{ name, source, want, problem string }{
		{"file", "{file: plain}", "hunter2", ""},
		{"block", "\n  file: plain", "hunter2", ""},
		{"line end", "{file: unix}", "hunter2", ""},
		{"line end of Windows", "{file: windows}", "hunter2", ""},
		{"only one line end", "{file: two}", "hunter2\n", ""},
		{"binary", "{file: binary}", "\x00\xff\r", ""},
		{"limit", "{file: limit}", strings.Repeat("x", 64<<10), ""},
		{"environment", "{env: ERGO_TEST_TOKEN}", "from env", ""},
		{"empty file", "{file: empty}", "", "is empty"},
		{"large file", "{file: big}", "", "larger than 64KiB"},
		{"empty variable", "{env: ERGO_TEST_EMPTY}", "", "variable ERGO_TEST_EMPTY is empty"},
		{"large variable", "{env: ERGO_TEST_BIG}", "", "larger than 64KiB"},
		{"no variable", "{env: ERGO_TEST_NOT_SET}", "", "variable ERGO_TEST_NOT_SET is not set"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var f filed
			_, err := config.Decode("e.yaml", dir, []byte("key: "+tt.source), &f)
			if tt.problem != "" {
				if err == nil || !strings.Contains(err.Error(), "e.yaml:1:") || !strings.Contains(err.Error(), tt.problem) {
					t.Errorf("got %v, want %q", err, tt.problem)
				}
				return
			}
			if err != nil || string(f.Key.Reveal()) != tt.want || f.Key.IsZero() {
				t.Errorf("got %.20q and %v, want %.20q", f.Key.Reveal(), err, tt.want)
			}
		})
	}
}

func TestSecretThatIsNotSet(t *testing.T) {
	var f filed
	if _, err := config.Decode("e.yaml", "", []byte("{}"), &f); err != nil {
		t.Fatal(err)
	}
	if !f.Key.IsZero() || f.Key.Reveal() != nil || f.Other != nil {
		t.Errorf("got %v %v %v", f.Key.IsZero(), f.Key.Reveal(), f.Other)
	}
}

type hidden struct {
	secret config.Secret
	inner  struct{ secrets []config.Secret }
}

// However a secret is printed, also from deep inside of what fmt takes apart by
// reflection, it does not appear.
func TestSecretNeverPrints(t *testing.T) {
	s := config.NewSecret([]byte("hunter2"))
	h := hidden{secret: s}
	h.inner.secrets = []config.Secret{s}
	f := filed{Key: s, Other: &s}
	for _, v := range []any{s, &s, f, &f, h, &h, map[string]config.Secret{"a": s}, []any{s}} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%p", "%t", "%c", "%08b"} {
			out := fmt.Sprintf(verb, v)
			for _, leak := range []string{"hunter2", fmt.Sprintf("%x", "hunter2"), fmt.Sprintf("%X", "hunter2"), "104 117 110", "0x68, 0x75"} {
				if strings.Contains(out, leak) {
					t.Errorf("%T with %s prints %s", v, verb, out)
				}
			}
		}
	}
	for _, v := range []any{s, &s, map[config.Path]config.Secret{"a": s}, f} {
		out, err := json.Marshal(v)
		if err != nil || !strings.Contains(string(out), `"[redacted]"`) || strings.Contains(string(out), "hunter2") {
			t.Errorf("%T in JSON is %s, %v", v, out, err)
		}
	}
	text, err := s.MarshalText()
	if err != nil || string(text) != "[redacted]" || s.String() != "[redacted]" || s.GoString() != "[redacted]" {
		t.Errorf("got %s %v %s %s, want [redacted]", text, err, s.String(), s.GoString())
	}
}

func TestEqualSecretsAreDeeplyEqual(t *testing.T) {
	a, b, c := config.NewSecret([]byte("a")), config.NewSecret([]byte("a")), config.NewSecret([]byte("b"))
	if !reflect.DeepEqual(a, b) || reflect.DeepEqual(a, c) || reflect.DeepEqual(a, config.Secret{}) {
		t.Error("a reload can't tell which secrets changed")
	}
}

func TestNewSecretKeepsACopy(t *testing.T) {
	b := []byte("hunter2")
	s := config.NewSecret(b)
	b[0] = 'x'
	if string(s.Reveal()) != "hunter2" || s.IsZero() {
		t.Errorf("got %q", s.Reveal())
	}
}

// What stands where a secret's source is expected may be the secret.
func TestProblemsDoNotQuoteSecrets(t *testing.T) {
	for _, file := range []string{
		"key: hunter2", "key: {hunter2}", "key: {hunter2: x}", "key: {file: {hunter2: x}}", "key: [hunter2]",
		"key: {env: [hunter2]}", "key: {value: hunter2}", "key: {file: x, hunter2: y}", "key: 'hunter2", "key: !hunter {hunter2}",
	} {
		_, err := config.Decode("e.yaml", t.TempDir(), []byte(file), new(filed))
		if err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: got %v, want a problem without the word", file, err)
		}
	}
}

func TestSecretFileThatOthersMayReadIsAWarning(t *testing.T) {
	dir := t.TempDir()
	path := write(t, dir, "token", "hunter2")
	for _, tt := range []struct {
		mode os.FileMode
		warn bool
	}{{0o600, false}, {0o400, false}, {0o640, true}, {0o604, true}, {0o644, true}, {0o610, false}} {
		if err := os.Chmod(path, tt.mode); err != nil {
			t.Fatal(err)
		}
		l, err := config.Decode("e.yaml", dir, []byte("ca: token\nkey: {file: token}"), new(filed))
		if err != nil {
			t.Fatal(err)
		}
		var got string
		if len(l.Warnings) > 0 {
			got = l.Warnings[0].String()
		}
		want := ""
		if tt.warn {
			want = fmt.Sprintf("e.yaml:2:1: key: file %s holds a secret and others may read it (mode %04o), want mode 0600", path, tt.mode)
		}
		if got != want {
			t.Errorf("mode %o: got %q, want %q", tt.mode, got, want)
		}
	}
}
