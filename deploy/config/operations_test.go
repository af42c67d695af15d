package config_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/ergoproxy/ergo/core/tunnelserver"
	"github.com/ergoproxy/ergo/deploy/stack"
	"github.com/ergoproxy/ergo/edge/tunnelclient"
)

const operations = moduleDir + "/docs/operations.md"

// The table of metrics is what a running stack says about itself.
func TestMetricsAreDocumented(t *testing.T) {
	const begin, end = "<!-- metrics, written by \"go test ./deploy/config -update\" -->\n", "<!-- end of metrics -->"
	page := read(t, operations)
	before, rest, ok1 := strings.Cut(page, begin)
	_, after, ok2 := strings.Cut(rest, end)
	if !ok1 || !ok2 {
		t.Fatalf("%s has no %q and %q", operations, begin, end)
	}
	want := before + begin + metricsTable(t) + end + after
	if *update {
		if err := os.WriteFile(operations, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if page != want {
		t.Error("the metrics in docs/operations.md are not those of a running stack: go test ./deploy/config -update")
	}
}

// A family is one metric as /metrics describes it.
type family struct {
	kind, help string
	labels     []string
}

func metricsTable(t *testing.T) string {
	families := map[string]*family{}
	for _, addr := range runStack(t) {
		res, err := http.Get("http://" + addr.String() + "/metrics")
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		if err := parseMetrics(res.Body, families); err != nil {
			t.Fatal(err)
		}
	}
	var b strings.Builder
	b.WriteString("| metric | type | labels | meaning |\n| --- | --- | --- | --- |\n")
	for _, name := range slices.Sorted(maps.Keys(families)) {
		f := families[name]
		if strings.HasPrefix(name, "go_") || strings.HasPrefix(name, "process_") || strings.HasPrefix(name, "promhttp_") {
			continue // of the libraries, which describe them
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", name, f.kind, strings.Join(f.labels, ", "), f.help)
	}
	return b.String()
}

// runStack runs an edge, a core and a demo backend until the test ends, and
// returns the admin addresses of the tiers.
func runStack(t *testing.T) []net.Addr {
	t.Helper()
	s, err := stack.New(stack.Options{Dir: t.TempDir(), Edges: 1, Cores: 1, Demo: 1, Listen: "127.0.0.1:0", Admin: "127.0.0.1:0",
		Tunnel: "127.0.0.1:0", AccessLog: "off"}, zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	awaitLinks(t, s)
	return []net.Addr{s.Edges[0].AdminAddr(), s.Cores[0].AdminAddr()}
}

// awaitLinks returns when both tiers have something to say about a link.
func awaitLinks(t *testing.T, s *stack.Stack) {
	t.Helper()
	deadline, tick := time.After(20*time.Second), time.NewTicker(5*time.Millisecond)
	defer tick.Stop()
	for {
		linked := slices.ContainsFunc(s.Cores[0].Status().Tunnels, func(c tunnelserver.TunnelStatus) bool { return c.Link != nil })
		for _, tunnel := range s.Edges[0].Status().Tunnels {
			if linked && slices.ContainsFunc(tunnel.Connections, func(c tunnelclient.ConnectionStatus) bool { return c.Link != nil }) {
				return
			}
		}
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatal("no link came up")
		}
	}
}

// parseMetrics reads the text format of Prometheus: "# HELP", "# TYPE", and the
// label names of the first sample of each metric.
func parseMetrics(r io.Reader, families map[string]*family) error {
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		line := lines.Text()
		name, text, _ := strings.Cut(strings.TrimPrefix(strings.TrimPrefix(line, "# HELP "), "# TYPE "), " ")
		switch {
		case strings.HasPrefix(line, "# HELP "):
			families[name] = &family{help: text}
		case strings.HasPrefix(line, "# TYPE "):
			families[name].kind = text
		default:
			name, labels, _ := strings.Cut(line, "{")
			f := families[strings.TrimSuffix(name, "_bucket")]
			labels, _, ok := strings.Cut(labels, "} ")
			if f == nil || !ok || f.labels != nil {
				continue
			}
			for label := range strings.SplitSeq(labels, ",") {
				if key, _, ok := strings.Cut(label, "=\""); ok && key != "le" {
					f.labels = append(f.labels, "`"+key+"`")
				}
			}
		}
	}
	return lines.Err()
}

// Each warning and error that a tier can log stands in docs/operations.md with
// what to do about it, and no other.
func TestLogLinesAreDocumented(t *testing.T) {
	_, page, _ := strings.Cut(read(t, operations), "\n## Log lines\n")
	page, _, _ = strings.Cut(page, "\n## ")
	documented := map[string]string{} // message to level
	for line := range strings.Lines(page) {
		cells := strings.Split(line, " | ")
		if message, ok := strings.CutPrefix(cells[0], "| `"); ok && len(cells) >= 3 {
			documented[strings.TrimSuffix(message, "`")] = cells[1]
		}
	}
	logged := map[string][]string{}
	for _, dir := range []string{"edge", "core", "shared"} {
		if err := logMessages(filepath.Join(moduleDir, dir), logged); err != nil {
			t.Fatal(err)
		}
	}
	if len(logged) < 10 {
		t.Fatalf("found %d messages in the source, the test does not find them", len(logged))
	}
	for message, levels := range logged {
		slices.Sort(levels)
		if level := strings.Join(slices.Compact(levels), ", "); documented[message] != level {
			t.Errorf("message %q of level %s stands in docs/operations.md with level %q", message, level, documented[message])
		}
	}
	for message := range documented {
		if _, ok := logged[message]; !ok {
			t.Errorf("docs/operations.md explains %q, which nothing logs", message)
		}
	}
}

// logMessages adds the messages below dir that are logged as warning or error.
func logMessages(dir string, into map[string][]string) error {
	return filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || filepath.Ext(path) != ".go" || strings.HasSuffix(path, "_test.go") {
			return err
		}
		source, err := os.ReadFile(path)
		if err != nil || !bytes.Contains(source, []byte("Msg(")) {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, source, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		ast.Inspect(file, func(n ast.Node) bool {
			if level, message := logCall(n); level == "warn" || level == "error" {
				into[message] = append(into[message], level)
			}
			return true
		})
		return nil
	})
}

// logCall returns level and message of log.Warn()....Msg("message").
func logCall(n ast.Node) (level, message string) {
	call, ok := n.(*ast.CallExpr)
	if !ok {
		return "", ""
	}
	s, ok := call.Fun.(*ast.SelectorExpr)
	if !ok || s.Sel.Name != "Msg" || len(call.Args) != 1 {
		return "", ""
	}
	if text, ok := call.Args[0].(*ast.BasicLit); ok {
		message, _ = strconv.Unquote(text.Value)
	}
	for ok {
		level = strings.ToLower(s.Sel.Name)
		if call, ok = s.X.(*ast.CallExpr); ok {
			s, ok = call.Fun.(*ast.SelectorExpr)
		}
	}
	return level, message
}
