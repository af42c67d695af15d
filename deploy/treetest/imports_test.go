package treetest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/ergoproxy/ergo"

// A rule says what the packages in one part of the tree may import of ours.
type rule struct {
	part   string   // package, or every package below it with a trailing "/"
	may    []string // packages and parts, in the same form
	reason string
}

// rules has one entry for each part of the tree, the more special ones first.
var rules = []rule{
	{"edge/cmd/", []string{"edge", "edge/", "shared/"}, "a daemon's main starts its tier"},
	{"edge", []string{"edge/", "shared/"}, "the root of a tier wires its own children"},
	{"edge/", []string{"shared/"}, "a child of a tier gets a sibling's ability as an interface or a func"},
	{"core/cmd/", []string{"core", "core/", "shared/"}, "a daemon's main starts its tier"},
	{"core", []string{"core/", "shared/"}, "the root of a tier wires its own children"},
	{"core/", []string{"shared/"}, "a child of a tier gets a sibling's ability as an interface or a func"},
	{"shared/forward", append([]string{"shared/hop"}, vocabulary...), "the forwarder is made of what a hop does to header fields"},
	{"shared/daemon", append([]string{"shared/telemetry"}, vocabulary...), "a daemon has a log"},
	{"shared/tunnel/tunneltest", append([]string{"shared/tlsidentity", "shared/tlsidentity/"}, vocabulary...), "the ends of a test's tunnel show each other certificates"},
	{"shared/", vocabulary, "what both tiers share stands on the common vocabulary alone"},
	{"deploy/", []string{"edge", "edge/", "core", "core/", "shared/", "deploy/"}, "deploy runs everything"},
	{"bench/", []string{"edge", "edge/", "core", "core/", "shared/", "deploy/", "bench/"}, "bench measures everything"},
}

// vocabulary is what every shared package may speak of.
var vocabulary = []string{"shared/proxystatus", "shared/exchange", "shared/config"}

// A fence keeps a library in few places, so that it can be replaced.
type fence struct {
	libraries []string // import path prefixes
	only      []string // packages and parts; deploy and bench are free
	reason    string
}

var fences = []fence{
	{[]string{"github.com/goccy/go-yaml", "gopkg.in/yaml", "go.yaml.in/", "sigs.k8s.io/yaml"}, []string{"shared/config", "shared/config/"}, "configs are read in one place"},
	{[]string{"github.com/prometheus/", "go.opentelemetry.io/"}, []string{"shared/telemetry", "shared/telemetry/"}, "other packages count with telemetry's own types"},
	{[]string{"github.com/quic-go/quic-go"}, []string{"shared/tunnel", "shared/tunnel/", "edge/listener", "edge/listener/", "edge/tunnelclient", "edge/tunnelclient/", "core/tunnelserver", "core/tunnelserver/"}, "its API changes with each minor release"},
	{[]string{"github.com/dgraph-io/ristretto", "github.com/maypok86/otter"}, []string{"shared/cache/store"}, "the cache's policy is to be replaceable"},
	{[]string{"github.com/andybalholm/brotli", "github.com/klauspost/compress"}, []string{"shared/cache/coding", "core/l2"}, "who compresses bounds the memory for it"},
	{[]string{"github.com/redis/go-redis"}, []string{"core/l2"}, "nothing but a second level may depend on Redis"},
}

// listed must exist: an entry of the tables above that names nothing guards
// nothing.
var listed = []string{
	"edge", "core", "edge/cmd/ergo-edge", "core/cmd/ergo-core",
	"edge/listener", "edge/tunnelclient", "core/tunnelserver",
	"shared/proxystatus", "shared/exchange", "shared/config", "shared/telemetry", "shared/tunnel",
	"deploy/cmd/ergo", "deploy/stack", "bench/cmd/ergo-bench",
}

// goPackage is what go list says about a package.
type goPackage struct {
	ImportPath string
	Dir        string
	Imports    []string
	Standard   bool
	Error      *struct{ Err string }
}

// path returns the place in the tree, "shared/config".
func (p goPackage) path() string { return strings.TrimPrefix(p.ImportPath, module+"/") }

// ourPackages lists every package of the module.
func ourPackages(t *testing.T) []goPackage {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "list", "-e", "-json=ImportPath,Dir,Imports,Standard,Error", "./...")
	cmd.Dir = root
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, &stderr)
	}
	var packages []goPackage
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var p goPackage
		err := d.Decode(&p)
		if errors.Is(err, io.EOF) {
			return packages
		}
		if err != nil {
			t.Fatalf("read go list: %v", err)
		}
		if p.Error != nil {
			t.Errorf("%s: %s", p.ImportPath, p.Error.Err)
		}
		packages = append(packages, p)
	}
}

func TestImports(t *testing.T) {
	for _, p := range ourPackages(t) {
		for _, problem := range importProblems(p.path(), p.Imports) {
			t.Error(problem)
		}
	}
}

func TestListedPackagesExist(t *testing.T) {
	var have []string
	for _, p := range ourPackages(t) {
		have = append(have, p.path())
	}
	for _, path := range listed {
		if !slices.Contains(have, path) {
			t.Errorf("package %s does not exist: the tables in this test name it, mend them with the tree", path)
		}
	}
}

// importProblems says which imports of the package at path break the tables.
func importProblems(path string, imports []string) []string {
	at := slices.IndexFunc(rules, func(r rule) bool { return within(path, r.part) })
	if at < 0 {
		return []string{fmt.Sprintf("%s: no rule says what it may import; is it in the right place?", path)}
	}
	r := rules[at]
	may := append([]string{kin(path), kin(path) + "/"}, r.may...)
	var problems []string
	for _, imported := range imports {
		if ours, ok := strings.CutPrefix(imported, module+"/"); ok && !withinAny(ours, may) {
			problems = append(problems, fmt.Sprintf("%s imports %s: %s", path, ours, r.reason))
		}
		for _, f := range fences {
			if hasPrefixAny(imported, f.libraries) && !withinAny(path, append([]string{"deploy/", "bench/"}, f.only...)) {
				problems = append(problems, fmt.Sprintf("%s imports %s, want that in %s alone: %s", path, imported, strings.Join(f.only, ", "), f.reason))
			}
		}
	}
	return problems
}

// kin returns the package directly below the tier, whose sub-packages are free
// to import each other: "shared/config" for "shared/config/configdoc".
func kin(path string) string {
	parts := strings.SplitN(path, "/", 3)
	return strings.Join(parts[:min(2, len(parts))], "/")
}

// within reports whether path is part, or below it if part ends in a slash.
func within(path, part string) bool {
	if strings.HasSuffix(part, "/") {
		return strings.HasPrefix(path, part)
	}
	return path == part
}

func withinAny(path string, parts []string) bool {
	return slices.ContainsFunc(parts, func(part string) bool { return within(path, part) })
}

func hasPrefixAny(s string, prefixes []string) bool {
	return slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(s, p) })
}

func TestImportTablesCatchWhatTheyShould(t *testing.T) {
	ours := func(paths ...string) []string {
		for i := range paths {
			paths[i] = module + "/" + paths[i]
		}
		return paths
	}
	for _, tt := range []struct {
		path    string
		imports []string
		bad     bool
	}{
		{"edge", ours("edge/auth", "shared/config"), false},
		{"edge", ours("core/router"), true},
		{"edge", ours("deploy/stack"), true},
		{"edge/auth", ours("shared/telemetry", "edge/auth/jwks"), false},
		{"edge/auth", ours("edge/filter"), true},
		{"edge/auth", ours("edge"), true},
		{"edge/auth", ours("core"), true},
		{"edge/cmd/ergo-edge", ours("edge", "shared/config"), false},
		{"core/backend", ours("core/router"), true},
		{"core/cmd/ergo-core", ours("edge"), true},
		{"shared/admin", ours("shared/config"), false},
		{"shared/admin", ours("shared/telemetry"), true},
		{"shared/tunnel/tunneltest", ours("shared/tunnel"), false},
		{"shared/cache", ours("edge"), true},
		{"deploy/stack", ours("edge", "core"), false},
		{"deploy/stack", ours("bench/load"), true},
		{"bench/load", ours("deploy/stack"), false},
		{"tools/x", nil, true},
		{"edge/auth", []string{"github.com/quic-go/quic-go"}, true},
		{"edge/listener", []string{"github.com/quic-go/quic-go/http3"}, false},
		{"edge/auth", []string{"github.com/prometheus/client_golang/prometheus"}, true},
		{"shared/config", []string{"github.com/goccy/go-yaml"}, false},
		{"core", []string{"github.com/goccy/go-yaml/ast"}, true},
		{"deploy/cmd/ergo", []string{"github.com/goccy/go-yaml"}, false},
	} {
		if got := importProblems(tt.path, tt.imports); len(got) > 0 != tt.bad {
			t.Errorf("%s importing %v: problems %q, want some: %v", tt.path, tt.imports, got, tt.bad)
		}
	}
}
