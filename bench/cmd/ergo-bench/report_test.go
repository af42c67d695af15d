package main

import (
	"bytes"
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ergoproxy/ergo/bench/loop"
	"github.com/ergoproxy/ergo/bench/wan"
)

func writeResult(t *testing.T, path string, result any) string {
	t.Helper()
	content, err := json.Marshal(result)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, content, 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestReportWritesOnePageOfAllFiles(t *testing.T) {
	dir := t.TempDir()
	looped := writeResult(t, filepath.Join(dir, "loop.json"), loop.Report{Kind: loop.Kind, Schema: loop.Schema})
	far := writeResult(t, filepath.Join(dir, "wan.json"), wan.Result{Kind: "wan", Command: "ergo-bench wan --rounds 5"})
	out := filepath.Join(dir, "page.html")
	var stdout, stderr bytes.Buffer
	if code := run(t.Context(), []string{"report", "--out", out, far, looped}, &stdout, &stderr); code != 0 {
		t.Fatalf("exit code %d: %s", code, &stderr)
	}
	page, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"<!DOCTYPE html>", "wan.json", "ergo-bench wan --rounds 5", "loop.json"} {
		if !bytes.Contains(page, []byte(want)) {
			t.Errorf("the page lacks %q", want)
		}
	}
	if stdout.String() != out+"\n" {
		t.Errorf("stdout %q", &stdout)
	}
}

func TestReportOfABadFileWritesNothing(t *testing.T) {
	dir := t.TempDir()
	good := writeResult(t, filepath.Join(dir, "good.json"), wan.Result{Kind: "wan"})
	worse := writeResult(t, filepath.Join(dir, "worse.json"), wan.Result{Kind: "wan", Cells: []wan.Cell{{System: "ergo", Measured: wan.Measured{CPU: -1}}}})
	out := filepath.Join(dir, "page.html")
	var stdout, stderr bytes.Buffer
	code := run(t.Context(), []string{"report", "--out", out, good, worse, filepath.Join(dir, "none.json")}, &stdout, &stderr)
	if code != 1 || stdout.Len() > 0 {
		t.Errorf("exit code %d, stdout %q", code, &stdout)
	}
	for _, want := range []string{"worse.json: cells[0].cpu is -1", "none.json"} { // all that is wrong at once
		if !strings.Contains(stderr.String(), want) {
			t.Errorf("stderr %q lacks %q", &stderr, want)
		}
	}
	if _, err := os.Stat(out); !os.IsNotExist(err) {
		t.Errorf("%s: %v, want %v", out, err, fs.ErrNotExist)
	}
}

func TestReportIsCalledWithFiles(t *testing.T) {
	for _, row := range []struct {
		args string
		code int
		want string
	}{
		{"report", 2, "no files given"},
		{"report --format pdf x.json", 2, "-format"},
		{"report --out", 2, "-out"},
		{"report --help", 0, "usage: ergo-bench report [flags] FILE..."},
	} {
		var stdout, stderr bytes.Buffer
		if code := run(t.Context(), strings.Fields(row.args), &stdout, &stderr); code != row.code || !strings.Contains(stderr.String(), row.want) {
			t.Errorf("%q: exit code %d, stderr %q; want %d and %q", row.args, code, &stderr, row.code, row.want)
		}
	}
}
