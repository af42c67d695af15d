package config_test

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ergoproxy/ergo/shared/config"
)

const whole = `
name: edge-1
listen:
  - address: ":8080"
  - {address: ":8443", protocols: [h1, h2, h3], tls: {cert: site.crt, min_version: 1.3}}
tunnel:
  ca: ca.crt
  cores:
    - core-1:7443
    - {address: "core-2:7443", weight: 3}
backends:
  web: {endpoints: ["10.0.0.5:3000"], balance: least_requests}
routes:
- match: {path: /}
  backend: web
trusted: [10.0.0.0/8, "2001:db8::/32"]
peer: 10.0.0.5
bind: "[::1]:443"
max_body: 64KiB
max_headers: 7
grace: 1m30s
share: 1
offset: -3
big: 9223372036854775807
debug: true
tokens:
  a: {key: {file: token}}
`

func write(t *testing.T, dir, name, content string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestLoadOfAWholeFile(t *testing.T) {
	dir := t.TempDir()
	path := write(t, dir, "edge.yaml", whole)
	crt, ca, token := write(t, dir, "site.crt", "x"), write(t, dir, "ca.crt", "y"), write(t, dir, "token", "hunter2\n")
	var e edge
	l, err := config.Load(path, &e)
	if err != nil {
		t.Fatal(err)
	}
	checks := []struct {
		name      string
		got, want any
	}{
		{"text", e.Name, "edge-1"},
		{"default of an element", e.Listen[0].Protocols, []protocol{"h1", "h2"}},
		{"list replaces its default", e.Listen[1].Protocols, []protocol{"h1", "h2", "h3"}},
		{"pointer stays nil", e.Listen[0].TLS, (*tlsConfig)(nil)},
		{"pointer", *e.Listen[1].TLS, tlsConfig{Cert: config.Path(crt), MinVersion: "1.3"}},
		{"outer default wins", e.Admin.Address, "127.0.0.1:9901"},
		{"short and long form", e.Tunnel.Cores, []core{{"core-1:7443", 1}, {"core-2:7443", 3}}},
		{"path", e.Tunnel.CA, config.Path(ca)},
		{"map", e.Pools, map[string]pool{"web": {[]core{{"10.0.0.5:3000", 1}}, "least_requests"}}},
		{"list at the key's own column", e.Routes, []route{{match{"/"}, "web"}}},
		{"text types", e.Trusted, []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("2001:db8::/32")}},
		{"address", e.Peer, netip.MustParseAddr("10.0.0.5")},
		{"address and port", e.Bind, netip.MustParseAddrPort("[::1]:443")},
		{"default map", e.Labels, map[string]string{"tier": "edge"}},
		{"inlined", e.Limits, Limits{64 << 10, 7, config.Duration(90 * time.Second), 1, -3, 1<<63 - 1, true}},
		{"secret in a map", string(e.Tokens["a"].Key.Reveal()), "hunter2"},
		{"files", l.Files, []string{path, crt, ca, token}},
		{"warnings", l.Warnings, []config.Problem(nil)},
	}
	for _, c := range checks {
		if !reflect.DeepEqual(c.got, c.want) {
			t.Errorf("%s: got %v, want %v", c.name, c.got, c.want)
		}
	}
}

func TestDefaultsAreThoseOfAnEmptyFile(t *testing.T) {
	e := edge{Name: "left over", Routes: []route{{}}}
	config.Defaults(&e)
	want := edge{
		Admin: admin{Address: "127.0.0.1:9901"}, Labels: map[string]string{"tier": "edge"},
		Trusted: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")},
		Limits:  Limits{MaxBody: 1 << 20, MaxHeaders: 100, Grace: config.Duration(30 * time.Second), Share: 0.5},
	}
	if !reflect.DeepEqual(e, want) {
		t.Errorf("got %+v, want %+v", e, want)
	}
}

func TestDecodeForgetsWhatWasThere(t *testing.T) {
	e := edge{Name: "old", Labels: map[string]string{"old": "old"}, Pools: map[string]pool{"old": {}}}
	if _, err := config.Decode("e.yaml", "", []byte("name: new\ntunnel: {cores: [\"a:1\"]}\nlabels: {a: b}\n"), &e); err != nil {
		t.Fatal(err)
	}
	if e.Name != "new" || len(e.Pools) != 0 || !reflect.DeepEqual(e.Labels, map[string]string{"a": "b"}) {
		t.Errorf("got %+v", e)
	}
}

// A byte order mark, line ends of Windows and the signs of one document are no
// reason to refuse a file.
func TestHarmlessForms(t *testing.T) {
	for _, file := range []string{
		"\ufeffname: x\ntunnel: {cores: [\"a:1\"]}",
		"name: x\r\ntunnel:\r\n  cores:\r\n  - a:1\r\n",
		"---\nname: x\ntunnel: {cores: [\"a:1\"]}\n...\n",
		"{name: x, tunnel: {cores: [\"a:1\",],},}",
		"# first\nname: x # second\n\n# third\ntunnel:\n  # fourth\n  cores: [a:1]\n# last",
		"name: >-\n  x\ntunnel: {\"cores\": ['a:1']}\n",
	} {
		var e edge
		if _, err := config.Decode("e.yaml", "", []byte(file), &e); err != nil || e.Name != "x" || e.Tunnel.Cores[0].Address != "a:1" {
			t.Errorf("%q: got %q, %v", file, e.Name, err)
		}
	}
}

// A place in the file is counted in characters, also behind letters that take
// several bytes and after lines of any length.
func TestPositions(t *testing.T) {
	tests := []struct{ name, file, want string }{
		{"value", "name: 5", "e.yaml:1:7: name"},
		{"after umlauts", "labels: {ä: ö, ü: 5}", "e.yaml:1:19: labels.ü"},
		{"Windows", "name: x\r\ndebug: 3\r\n", "e.yaml:2:8: debug"},
		{"byte order mark", "\ufeffname: 5", "e.yaml:1:7: name"},
		{"after a long text", "labels:\n  a: |\n    one\n    two\n\n  b: 7\n", "e.yaml:6:6: labels.b"},
		{"after a folded line", "labels:\n  a: one\n    two\n  b: 7\n", "e.yaml:4:6: labels.b"},
		{"after a comment", "# ä\nname: # ö\n  5\n", "e.yaml:3:3: name"},
		{"key of a mapping", "admin:\n  address:\n    x: 1\n", "e.yaml:2:3: admin.address"},
		{"dash of an element", "trusted:\n  -\n  - 10.0.0.0/8\n", "e.yaml:2:3: trusted[0]"},
		{"fall back to the element", "listen:\n  - address: \":1\"\n  - protocols: [h1]\n", "e.yaml:3:5: listen[1].address"},
		{"fall back past a dot in a name", "backends:\n  a.b: {}\n", "e.yaml:2:3: backends.a.b.endpoints"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := config.Decode("e.yaml", "", []byte(tt.file), new(edge))
			if err == nil || !strings.Contains("\n"+err.Error(), "\n"+tt.want+": ") {
				t.Errorf("got\n%v\nwant a line with %s", err, tt.want)
			}
		})
	}
}

// What decoded cleanly is validated although something else did not; what holds
// the mistake is not.
func TestValidateAsksOnlyWhatWasUnderstood(t *testing.T) {
	file := "name: \"\"\nlisten: [{address: \"x\"}, {address: \"y\", tls: {crt: a}}]\ndebug: 3\n"
	_, err := config.Decode("e.yaml", "", []byte(file), new(edge))
	want := strings.Join([]string{
		`e.yaml:2:20: listen[0].address: "x" has no port, want host:port such as ":8080"`,
		`e.yaml:2:47: listen[1].tls.crt: unknown key "crt", did you mean "cert"?`,
		`e.yaml:3:8: debug: is the number 3, want true or false`,
	}, "\n")
	if err == nil || err.Error() != want {
		t.Errorf("got\n%v\nwant\n%s", err, want)
	}
}

func TestInlinedStructIsValidatedOnce(t *testing.T) {
	_, err := config.Decode("e.yaml", "", []byte("name: x\ntunnel: {cores: [\"a:1\"]}\nshare: 1.5\n"), new(edge))
	if want := "e.yaml:3:8: share: is 1.5, want at most 1"; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

type keeper struct {
	Pools map[string]*kept `yaml:"pools"`
	Plain map[string]kept  `yaml:"plain"`
}

type kept struct {
	Text  string `yaml:"text"`
	upper string
}

func (k *kept) Validate(*config.Report) { k.upper = strings.ToUpper(k.Text) }

func TestValidateMayKeepWhatItWorkedOut(t *testing.T) {
	var k keeper
	if _, err := config.Decode("k.yaml", "", []byte("pools: {a: {text: b}}\nplain: {a: {text: c}}"), &k); err != nil {
		t.Fatal(err)
	}
	if k.Pools["a"].upper != "B" || k.Plain["a"].upper != "C" {
		t.Errorf("got %+v and %+v, want B and C kept", k.Pools["a"], k.Plain["a"])
	}
}

func TestProblemsAreBounded(t *testing.T) {
	var b strings.Builder
	for i := range 5000 {
		fmt.Fprintf(&b, "key_%d: x\n", i)
	}
	_, err := config.Decode("e.yaml", "", []byte(b.String()), new(edge))
	if e, ok := errors.AsType[*config.Error](err); !ok || len(e.Problems) != 100 {
		t.Errorf("got %v, want 100 problems", err)
	}
}

func TestLimits(t *testing.T) {
	tests := []struct{ name, file, want string }{
		{"size", strings.Repeat("# 1234567890\n", config.MaxFile/13+1), "larger than 4MiB"},
		{"brackets", "labels: " + strings.Repeat("[", 1000), "nested more than 64 deep"},
		{"braces", "labels: " + strings.Repeat("{a: ", 1000), "nested more than 64 deep"},
		{"dashes", strings.Repeat("- ", 1000), "nested more than 64 deep"},
		{"question marks", strings.Repeat("? ", 1000), "nested more than 64 deep"},
		{"tags", "a: " + strings.Repeat("!a ", 1000), "nested more than 64 deep"},
		{"anchors", "a: " + strings.Repeat("&a ", 1000), "nested more than 64 deep"},
		{"indentation", indented(1000), "nested more than 64 deep"},
		{"keys of one mapping", strings.Repeat("a: b\n", 10_001), "more than 10000 entries"},
		{"elements of one list", "a:\n" + strings.Repeat("- b\n", 10_001), "more than 10000 entries"},
		{"keys without a value", "a: {" + strings.Repeat("b: ,", 200) + "}", "more than 100 keys and list elements have no value"},
		{"dashes without a value", "a:\n" + strings.Repeat("-\n", 200), "more than 100 keys and list elements have no value"},
		{"words", "a: [" + strings.Repeat("\"\"\n", 1<<19) + "]", "more than 524288 words"},
		{"brackets on many lines", "a: " + strings.Repeat("[\n", 1<<20), "more than 262144 brackets"},
		{"line", "a: " + strings.Repeat("x", 1<<20), "1:16385: a line has more than 16384 characters"},
		{"key", strings.Repeat("x", 300) + ": y", "a key has 300 bytes, want at most 256"},
		{"documents", strings.Repeat("---\na: b\n", 1000), "a second YAML document"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := config.Decode("e.yaml", "", []byte(tt.file), new(edge))
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %.200v, want %q", err, tt.want)
			}
		})
	}
}

// A problem may quote the file, and the file may be long.
func TestProblemTextIsBounded(t *testing.T) {
	_, err := config.Decode("e.yaml", "", []byte("grace: "+strings.Repeat("ä", 10_000)), new(edge))
	if err == nil || len(err.Error()) > 1100 || !strings.HasSuffix(err.Error(), "ä...") {
		t.Errorf("got %d bytes: %.100v", len(fmt.Sprint(err)), err)
	}
}

func indented(levels int) string {
	var b strings.Builder
	for i := range levels {
		b.WriteString(strings.Repeat(" ", i) + "a:\n")
	}
	return b.String()
}

func TestDeepestAllowedFile(t *testing.T) {
	_, err := config.Decode("e.yaml", "", []byte(indented(config.MaxDepth)), new(edge))
	if err == nil || strings.Contains(err.Error(), "deep") {
		t.Errorf("got %v, want another problem than the depth", err)
	}
}

func TestLoadOfWhatIsNoFile(t *testing.T) {
	dir := t.TempDir()
	big := write(t, dir, "big.yaml", strings.Repeat("#", config.MaxFile+1))
	tests := []struct{ name, path, want string }{
		{"missing", filepath.Join(dir, "no.yaml"), "does not exist"},
		{"directory", dir, "is a directory, want a file"},
		{"device", os.DevNull, "is no regular file"},
		{"large", big, "is larger than 4MiB"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l, err := config.Load(tt.path, new(edge))
			if err == nil || !strings.HasPrefix(err.Error(), tt.path+": ") || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
			if !slices.Equal(l.Files, []string{tt.path}) {
				t.Errorf("files %q, want the config itself to wait for", l.Files)
			}
		})
	}
}

// What can't be decoded at all is a mistake in the program. It shows with the
// first file, whatever that holds.
func TestMistakesInTheProgramPanic(t *testing.T) {
	tests := []struct {
		name string
		into any
		want string
	}{
		{"no pointer", edge{}, "pointer to a struct"},
		{"nil", (*edge)(nil), "pointer to a struct"},
		{"no struct", new(int), "pointer to a struct"},
		{"no tag", new(struct{ A int }), "A: the tag must be"},
		{"option", new(struct {
			A int `yaml:"a,omitempty"`
		}), "A: the tag must be"},
		{"unexported", new(struct {
			A int `yaml:"b"`
			a int `yaml:"a"`
		}), "not exported"},
		{"channel", new(struct {
			A []chan int `yaml:"a"`
		}), "chan int can't be decoded"},
		{"interface", new(struct {
			A any `yaml:"a"`
		}), "can't be decoded"},
		{"time.Duration", new(struct {
			A *time.Duration `yaml:"a"`
		}), "use config.Duration"},
		{"keys", new(struct {
			A map[int]string `yaml:"a"`
		}), "are not strings"},
		{"same key twice", new(struct {
			A int `yaml:"a"`
			B int `yaml:"a"`
		}), "both have the key"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			defer func() {
				if r := fmt.Sprint(recover()); !strings.Contains(r, tt.want) {
					t.Errorf("got %s, want a panic with %q", r, tt.want)
				}
			}()
			_, _ = config.Decode("e.yaml", "", nil, tt.into)
		})
	}
}

func TestKeysMayLookLikeNumbers(t *testing.T) {
	var e edge
	if _, err := config.Decode("e.yaml", "", []byte("name: x\ntunnel: {cores: [\"a:1\"]}\nlabels: {1: a, true: b, 1.50: c, \"d e\": f}"), &e); err != nil {
		t.Fatal(err)
	}
	if want := map[string]string{"1": "a", "true": "b", "1.50": "c", "d e": "f"}; !reflect.DeepEqual(e.Labels, want) {
		t.Errorf("got %v, want %v", e.Labels, want)
	}
}

type picky struct {
	Endpoint endpoint `yaml:"endpoint"`
	Empty    struct{} `yaml:"empty"`
	Size     uint64   `yaml:"size"`
}

type endpoint struct {
	URL string `yaml:"url"`
}

func (e *endpoint) UnmarshalScalar(text string) error {
	if !strings.HasPrefix(text, "http://") {
		return fmt.Errorf("%q does not begin with http://", text)
	}
	e.URL = text
	return nil
}

func TestShortFormAndItsErrors(t *testing.T) {
	tests := []struct{ file, want string }{
		{"endpoint: http://a", ""},
		{"endpoint: {url: x}", ""},
		{"endpoint: 80", `p.yaml:1:11: endpoint: "80" does not begin with http://`},
		{"endpoint: [http://a]", "p.yaml:1:1: endpoint: is a list, want text or a mapping with the keys url"},
		{"empty: {a: b}", `p.yaml:1:9: empty.a: unknown key "a", none is allowed here`},
		{"size: 18446744073709551615", ""},
		{"size: -1", "p.yaml:1:7: size: is the number -1, want a whole number of 0 or more"},
		{"size: 18446744073709551616", "p.yaml:1:7: size: is the number 18446744073709551616, want a whole number of 0 or more, at most 18446744073709551615"},
	}
	for _, tt := range tests {
		got := ""
		if _, err := config.Decode("p.yaml", "", []byte(tt.file), new(picky)); err != nil {
			got = err.Error()
		}
		if got != tt.want {
			t.Errorf("%s: got %s, want %s", tt.file, got, tt.want)
		}
	}
}

type tree struct {
	Name  string  `yaml:"name"`
	Left  *tree   `yaml:"left"`
	Inner []*tree `yaml:"inner"`
}

func (n *tree) SetDefaults() { n.Name = "leaf" }

func TestStructThatHoldsItself(t *testing.T) {
	var n tree
	if _, err := config.Decode("t.yaml", "", []byte("left: {left: {}}\ninner: [{name: x}, {}]"), &n); err != nil {
		t.Fatal(err)
	}
	want := tree{Name: "leaf", Left: &tree{Name: "leaf", Left: &tree{Name: "leaf"}}, Inner: []*tree{{Name: "x"}, {Name: "leaf"}}}
	if !reflect.DeepEqual(n, want) {
		t.Errorf("got %+v, want %+v", n, want)
	}
}
