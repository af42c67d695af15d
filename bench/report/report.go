// Package report turns result files of ergo-bench into one page of HTML that
// needs nothing but itself: plots as inline SVG, the figures behind them as
// tables, a little script for tooltips without which nothing is missing.
//
//	FILE... ─ Read ▸ check ─▶ sections ▸ figures ▸ panels ─ Write ─▶ page
//
// A file becomes a section, a subject (a workload on a path, a journey, a load
// on loopback) a figure, a measure of it a panel:
//
//	wan    latency, CPU, bytes and parity over loss; single paths beside each
//	       other; shares of a bottleneck; courses over time; journeys
//	loop   requests, CPU and latency of each chain, with ratios to a peer
//	soak   memory and goroutines over time, what an idle connection costs
//
// What was not measured is named, and what failed or was never sent is marked in
// the plot and counted below it: a system that answers nine requests of ten has
// a fine p99.
//
// Everything in a file is a stranger's: names are escaped, lengths bounded where
// they are drawn, and figures that cannot be are refused with the place where
// they stand. The page's own policy forbids it to load anything.
//
// All functions are safe for concurrent use.
package report

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/ergoproxy/ergo/bench/loop"
	"github.com/ergoproxy/ergo/bench/soak"
	"github.com/ergoproxy/ergo/bench/wan"
)

// maxFile bounds a result file, in bytes. A day's matrix has less than one MiB.
const maxFile = 64 << 20

// A File is a result file whose figures can be drawn.
type File struct {
	name string // without directories
	wan  *wan.Result
	loop *loop.Report
	soak *soak.Report
}

// kind is that of the command that wrote the file.
func (f *File) kind() string {
	switch {
	case f.loop != nil:
		return loop.Kind
	case f.soak != nil:
		return soak.Kind
	default:
		return "wan"
	}
}

// ReadFile is Read of a file on disk.
func ReadFile(path string) (*File, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close() // it was only read
	return Read(path, f)
}

// Read takes a result of ergo-bench wan, loop or soak from r, at most 64 MiB. An
// error names the file, and the figure that is not finite, negative or out of
// its range.
func Read(name string, r io.Reader) (*File, error) {
	content, err := io.ReadAll(io.LimitReader(r, maxFile+1))
	if err == nil && len(content) > maxFile {
		err = fmt.Errorf("more than %d bytes", maxFile)
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	f := &File{name: filepath.Base(name)}
	if err := f.decode(content); err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	return f, nil
}

// schemas are the forms that this package reads, by kind. A result of wan has no
// schema.
var schemas = map[string]string{"wan": "", loop.Kind: loop.Schema, soak.Kind: soak.Schema}

func (f *File) decode(content []byte) error {
	kind, err := kindOf(content)
	if err != nil {
		return err
	}
	switch kind {
	case "wan":
		f.wan = new(wan.Result)
		err = json.Unmarshal(content, f.wan)
	case loop.Kind:
		f.loop = new(loop.Report)
		err = json.Unmarshal(content, f.loop)
	case soak.Kind:
		f.soak = new(soak.Report)
		err = json.Unmarshal(content, f.soak)
	}
	if err != nil {
		return err
	}
	return f.check()
}

// kindOf says which command wrote content.
func kindOf(content []byte) (string, error) {
	var head struct {
		Kind   string `json:"kind"`
		Schema string `json:"schema"`
	}
	if err := json.Unmarshal(content, &head); err != nil {
		if syntax := new(json.SyntaxError); errors.As(err, &syntax) {
			return "", fmt.Errorf("no JSON, or not all of it: byte %d: %w", syntax.Offset, err)
		}
		return "", fmt.Errorf("no result of ergo-bench: %w", err)
	}
	if head.Kind == "" { // loop and soak once had a schema alone
		for kind, schema := range schemas {
			if schema != "" && schema == head.Schema {
				return kind, nil
			}
		}
		return "", errors.New(`no result of ergo-bench: it has no "kind", want wan, loop or soak`)
	}
	schema, known := schemas[head.Kind]
	if !known {
		return "", fmt.Errorf(`kind %q is not known, want wan, loop or soak`, head.Kind)
	}
	if head.Schema != schema {
		return "", fmt.Errorf("schema %q of kind %s is not known, want %q: was it written by another version of ergo-bench?", head.Schema, head.Kind, schema)
	}
	return head.Kind, nil
}
