// Command testsummary turns the output of go test -json into what go test
// prints without -v, plus the reason of every skip and, as the last line, how
// many tests passed, failed and were skipped. It exits with 1 if any failed.
//
//	go test -json ./... | go run .ci/testsummary.go
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
)

// event is a line of go test -json (cmd/test2json).
type event struct {
	Action, Package, Test, Output, ImportPath string
}

// maxKept bounds how much output of one test is kept until it ends, in bytes.
const maxKept = 1 << 20

type summary struct {
	passed, failed, skipped int
	broken                  int // packages that failed outside their tests
	output                  map[string]*strings.Builder
}

func main() {
	s := &summary{output: make(map[string]*strings.Builder)}
	if err := s.read(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintf(os.Stderr, "testsummary: %v\n", err)
		os.Exit(1)
	}
	fmt.Printf("%d passed, %d failed, %d skipped\n", s.passed, s.failed, s.skipped)
	if s.failed+s.broken > 0 || s.passed == 0 {
		os.Exit(1)
	}
}

func (s *summary) read(r io.Reader, w io.Writer) error {
	lines := bufio.NewReader(r)
	for {
		line, err := lines.ReadBytes('\n')
		if len(line) > 0 {
			var e event
			if json.Unmarshal(line, &e) != nil {
				w.Write(line) // go itself: a package that does not build
			} else {
				s.add(e, w)
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func (s *summary) add(e event, w io.Writer) {
	key := e.Package + "\x00" + e.Test
	switch e.Action {
	case "output", "build-output":
		s.keep(e, key, w)
	case "pass", "skip", "fail", "build-fail":
		if e.Test != "" {
			s.count(e.Action)
		} else if e.Action == "fail" {
			s.broken++
		}
		// Of a test only a failure or a skip is worth reading; of a package, its
		// line with ok, FAIL or no test files.
		if b := s.output[key]; b != nil && (e.Test == "" || e.Action != "pass") {
			io.WriteString(w, b.String())
		}
		delete(s.output, key)
	}
}

func (s *summary) keep(e event, key string, w io.Writer) {
	if e.Action == "build-output" {
		io.WriteString(w, e.Output)
		return
	}
	if strings.HasPrefix(e.Output, "=== ") || e.Test == "" && e.Output == "PASS\n" {
		return
	}
	b := s.output[key]
	if b == nil {
		b = new(strings.Builder)
		s.output[key] = b
	}
	if b.Len() < maxKept {
		b.WriteString(e.Output)
	}
}

func (s *summary) count(action string) {
	switch action {
	case "pass":
		s.passed++
	case "fail":
		s.failed++
	case "skip":
		s.skipped++
	}
}
